"""Every object at the true level, as if it were the only one."""

from __future__ import annotations

from models.buying.base import Buying, Choice, Offer


class OneLevel(Buying):
    """Buys each chosen candidate at the true level and nothing below it: what other ways are compared with."""

    kind = "one_level"

    def buy(self, offer: Offer) -> list[Choice]:
        """Return the selector's choice, each at the truth."""
        return [Choice(member, (offer.top,)) for member in offer.chosen[: offer.n]]

    def initial(self, n: int, levels: int) -> list[tuple[int, ...]]:
        """Return the true level for each."""
        return [(levels - 1,)] * n

    def control(self, levels: int) -> tuple[int, ...]:
        """Return the true level."""
        return (levels - 1,)

    def why(self) -> str:
        """Return that no other level is bought."""
        return "every candidate is bought at the true level and at no other"
