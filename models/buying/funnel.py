"""New objects cheaply, the best of them dearly."""

from __future__ import annotations

import math

import numpy as np

from models.buying.base import Choice, Nested, NestedOptions, Offer


class Funnel(Nested["Funnel.Options"]):
    """Buys the selector's choice at the cheapest level, and the best of each level one level up.

    So many go up that the share `promote` of all that is measured at a level was bought one level higher, failed calls
    among them. The best are those of the best score, which a proxy of all levels gives with the cheap value in mind, or
    of the best cheap value. Promotions come first in the order of purchase and beside the batch.

    Reference: successive halving, Karnin, Koren and Somekh, ICML (2013), with a constant inflow.
    """

    kind = "funnel"
    cites = ("karnin2013almost",)

    class Options(NestedOptions):
        """Options of the funnel."""

    def buy(self, offer: Offer) -> list[Choice]:
        """Return promotions from the highest level down, then the new objects at the cheapest level."""
        found: list[Choice] = []
        for level in reversed(range(offer.top)):
            wanted = math.ceil(self.options.promote * offer.answered[level] - 1e-9) - int(offer.asked[level + 1])
            # A proxy that knows the level judges by it; else the measured value does.
            worth = offer.scores if offer.joint is not None else offer.low
            here = np.flatnonzero((offer.reached == level) & (offer.scores > -np.inf))
            best = here[np.argsort(-worth[here], kind="stable")][: max(0, wanted)]
            found += [Choice(int(member), (level + 1,)) for member in best]
        return found + [Choice(member, (0,)) for member in offer.chosen[: offer.n]]

    def why(self) -> str:
        """Return which share goes up."""
        return f"of what is measured at a level the best {self.options.promote:.0%} go one level up"
