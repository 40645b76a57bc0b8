"""Synthetic accessibility score (Ertl and Schuffenhauer, J. Cheminformatics 2009, 1, 8), as RDKit ships it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from pydantic import Field
from rdkit import RDConfig

from data.chemistry.molecules import shared
from models.registry import Component


@cache
def _scorer() -> ModuleType:
    # Loaded from its file: the Contrib folder is no package, and putting it on sys.path would expose all of it.
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("_rdkit_sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(
            f"RDKit's synthetic accessibility scorer is not at {path}; install the `rdkit` wheel, which ships it."
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def synthetic_accessibility(smiles: str) -> float:
    """Return the score of a molecule, from 1 (easy to make) to 10 (hard).

    Raises:
        ValueError: the text is no valid SMILES.
    """
    mol = shared(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is no valid SMILES; the score needs a molecule that RDKit can read.")
    return float(_scorer().calculateScore(mol))


class SyntheticAccessibility(Component["SyntheticAccessibility.Options"]):
    """Refuse molecules whose synthetic accessibility score is above `max`; 1 is easy, 10 is hard.

    Reference: Ertl, Schuffenhauer, J. Cheminformatics 2009, 1, 8.
    """

    group = "screen"
    kind = "synthetic_accessibility"
    reference = "Ertl, Schuffenhauer, J. Cheminformatics 2009, 1, 8"

    class Options(Component.Options):
        """Options of the screen `synthetic_accessibility`."""

        max: float = Field(default=4.0, ge=1, le=10, description="largest score that passes")

    def refuse(self, molecules: Sequence[str]) -> list[str | None]:
        """Return, per molecule, None or why it is refused."""
        return [self._reason(smiles) for smiles in molecules]

    def _reason(self, smiles: str) -> str | None:
        try:
            score = synthetic_accessibility(smiles)
        except ValueError as error:
            return str(error)
        if score <= self.options.max:
            return None
        return f"The synthetic accessibility score is {score:.2f}; at most {self.options.max:g} passes."
