"""Rings that cannot be trusted to exist in three dimensions."""

from __future__ import annotations

from rdkit import Chem

from data.chemistry.bounds import strained
from models.screens.base import MoleculeScreen


class StrainedRings(MoleculeScreen):
    """Refuse rings of more than eight atoms, cyclic cumulenes and alkynes, anti-Bredt double bonds and the like.

    The rules are those of `data.chemistry.bounds.strained`; most of what they refuse has no ETKDG geometry, and an
    oracle that needs one would fail on it after it was paid for.
    """

    kind = "strained_rings"
    lasting = True
    cites = ("fawcett1950bredt",)

    def reason(self, mol: Chem.Mol) -> str | None:
        """Return what is wrong with the rings, or None."""
        reason = strained(mol)
        return None if reason is None else f"The molecule has {reason}."
