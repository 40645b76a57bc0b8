"""A level at random for each chosen object: what a choice of levels has to beat."""

from __future__ import annotations

import numpy as np

from models.buying.base import Choice, Nested, NestedOptions, Offer


class RandomLevel(Nested["RandomLevel.Options"]):
    """Buys the selector's choice, each at a level drawn at random and at all below it; nothing is bought again."""

    kind = "random_level"

    class Options(NestedOptions):
        """Options of levels at random; `promote` is of round 0."""

    def buy(self, offer: Offer) -> list[Choice]:
        """Return the new objects in the selector's order."""
        levels = np.random.default_rng(offer.seed).integers(len(offer.costs), size=len(offer.chosen))
        pairs = zip(offer.chosen[: offer.n], levels.tolist(), strict=False)
        return [Choice(member, offer.missing(member, level)) for member, level in pairs]

    def why(self) -> str:
        """Return how levels are chosen."""
        return "levels are drawn at random"
