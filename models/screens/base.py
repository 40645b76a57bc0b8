"""What all screens of single molecules share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from rdkit import Chem

from data.chemistry.molecules import shared
from models.registry import Component, OptionsT
from models.screens.verdicts import Verdicts, remembered

_verdicts: dict[tuple[type, str], Verdicts] = {}
"""Class of a screen and its options -> what it said of molecules."""


class MoleculeScreen(Component[OptionsT]):
    """A screen that looks at one molecule at a time; an unreadable text is refused."""

    group = "screen"
    spaces = ("molecules",)
    lasting: ClassVar[bool] = False
    """Whether a verdict follows from molecule and options alone, so that one is made once in a process for all screens
    of this very class with equal options. A round asks twice for what it proposes, as the generator's reward and as the
    stage `screen`, and the next one asks again for what it goes on from."""

    def refuse(self, molecules: Sequence[str]) -> list[str | None]:
        """Return, per molecule, None if it passes or one sentence that says why it is refused."""
        if not vars(type(self)).get("lasting", False):  # a class that is derived may ask for more
            return [self._of_text(smiles) for smiles in molecules]
        known = _verdicts.setdefault((type(self), self.options.model_dump_json()), {})
        return remembered(known, molecules, self._of_text)

    @abstractmethod
    def reason(self, mol: Chem.Mol) -> str | None:
        """Return why a molecule is refused, or None. The molecule is shared: for reading only."""

    def _of_text(self, smiles: str) -> str | None:
        mol = shared(smiles)
        return f"{smiles!r} is no valid SMILES." if mol is None else self.reason(mol)
