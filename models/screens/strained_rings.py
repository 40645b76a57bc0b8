"""Rings that cannot be trusted to exist in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from data.molecules import shared
from data.space import strained
from models.registry import Component


class StrainedRings(Component):
    """Refuse rings of more than eight atoms, cyclic cumulenes and alkynes, anti-Bredt double bonds and the like.

    The rules are those of `data.space.strained`; most of what they refuse has no ETKDG geometry, and an oracle that
    needs one would fail on it after it was paid for.
    """

    group = "screen"
    kind = "strained_rings"
    reference = "Fawcett, Chem. Rev. 1950, 47, 219 (Bredt's rule)"

    def refuse(self, molecules: Sequence[str]) -> list[str | None]:
        """Return, per molecule, None or why it is refused."""
        return [self._reason(smiles) for smiles in molecules]

    def _reason(self, smiles: str) -> str | None:
        mol = shared(smiles)
        if mol is None:
            return f"{smiles!r} is no valid SMILES."
        reason = strained(mol)
        return None if reason is None else f"The molecule has {reason}."
