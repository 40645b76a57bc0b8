"""How much of the libraries that a campaign buys from is left, in a sentence."""

from __future__ import annotations

from collections.abc import Iterable

from data.ledger.campaigns import StageRow

STOCK = ("library_members", "library_left", "library_unmeasured")
"""Metrics of the stage `propose` where the generator proposes of files: their members, those that are not in the
campaign yet, and those that are in it without a value."""


def stock_told(stages: Iterable[StageRow]) -> list[str]:
    """Return a sentence on what the last round that proposed of libraries found in them; none where none did."""
    proposed = [stage for stage in stages if stage.name == "propose" and STOCK[0] in stage.metrics]
    if not proposed:
        return []
    last = max(proposed, key=lambda stage: stage.round)
    members, left, unmeasured = (int(last.metrics[name]) for name in STOCK)
    without = f", {unmeasured} of them without a value" if unmeasured else ""
    return [
        f"When round {last.round} proposed, {members - left} of {members} were in the campaign{without}; {left} left."
    ]
