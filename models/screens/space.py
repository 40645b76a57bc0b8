"""The search space itself as a screen: bounds and rings that can exist."""

from __future__ import annotations

from typing import Self

from pydantic import Field
from rdkit import Chem

from data.chemistry.bounds import SpaceBounds, outside, strained
from models.registry import Component
from models.screens.base import MoleculeScreen


class SpaceScreen(MoleculeScreen["SpaceScreen.Options"]):
    """Refuse molecules outside the bounds of the space, or with rings that cannot exist in three dimensions.

    Every campaign applies it with its own bounds before the screens of its file.
    """

    kind = "space"

    class Options(Component.Options):
        """Bounds of the space."""

        max_heavy_atoms: int = Field(default=14, ge=1)
        min_heavy_atoms: int = Field(default=3, ge=1)
        elements: tuple[str, ...] = ("H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br")

    options: SpaceScreen.Options

    @classmethod
    def of(cls, space: SpaceBounds) -> Self:
        """Return the screen of a space."""
        return cls(
            max_heavy_atoms=space.max_heavy_atoms,
            min_heavy_atoms=space.min_heavy_atoms,
            elements=tuple(space.elements),
        )

    def reason(self, mol: Chem.Mol) -> str | None:
        """Return what is outside, or None."""
        reason = outside(mol, self.options) or strained(mol)
        return None if reason is None else f"Outside the space: {reason}."
