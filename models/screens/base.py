"""What all screens of single molecules share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from rdkit import Chem

from data.chemistry.molecules import shared
from models.registry import Component, OptionsT


class MoleculeScreen(Component[OptionsT]):
    """A screen that looks at one molecule at a time; an unreadable text is refused."""

    group = "screen"
    spaces = ("molecules",)

    def refuse(self, molecules: Sequence[str]) -> list[str | None]:
        """Return, per molecule, None if it passes or one sentence that says why it is refused."""
        return [self._of_text(smiles) for smiles in molecules]

    @abstractmethod
    def reason(self, mol: Chem.Mol) -> str | None:
        """Return why a molecule is refused, or None. The molecule is shared: for reading only."""

    def _of_text(self, smiles: str) -> str | None:
        mol = shared(smiles)
        return f"{smiles!r} is no valid SMILES." if mol is None else self.reason(mol)
