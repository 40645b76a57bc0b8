"""Refusal of molecules that are hard to make, by the score of Ertl and Schuffenhauer."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from data.chemistry.accessibility import synthetic_accessibility
from models.registry import Component


class SyntheticAccessibility(Component["SyntheticAccessibility.Options"]):
    """Refuse molecules whose synthetic accessibility score is above `max`; 1 is easy, 10 is hard.

    Reference: Ertl, Schuffenhauer, J. Cheminformatics 2009, 1, 8.
    """

    group = "screen"
    kind = "synthetic_accessibility"
    spaces = ("molecules",)
    cites = ("ertl2009accessibility",)

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
