"""Which known object is nearest to a candidate: what its novelty is measured from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data.ledger.summary import IMPORTED
from data.records import CandidateRow
from models.spaces.base import BaseSpace

_EQUAL = 1e-9
_AGREES = 1e-4
"""Difference of the similarity from the novelty that was written down, with which both speak of one object."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest object that had a value before the round in which a candidate was chosen.

    Attributes:
        row: of it.
        similarity: in [0, 1].
        same_family: whether both are of one family.
        core: where, in its drawing, what both have in common is; empty: it is not known.
    """

    row: CandidateRow
    similarity: float
    same_family: bool
    core: Sequence[tuple[float, float]] = ()


def nearest_known(
    shown: Sequence[CandidateRow], rows: Sequence[CandidateRow], space: BaseSpace[Any]
) -> dict[str, Nearest]:
    """Return the nearest known object of each candidate, by the candidate's id; that of equals which ranks first.

    Args:
        shown: candidates that are asked for; those without novelty are left out, and
            those whose novelty was measured from something else.
        rows: all of the campaign.
        space: of the objects.
    """
    asked = [row for row in shown if row.novelty is not None]
    found: dict[str, Nearest] = {}
    for round in sorted({row.round for row in asked}):
        known = [row for row in rows if _known(row, round)]
        own = [row for row in asked if row.round == round]
        if not known:
            continue
        similarity = space.nearness([row.object for row in own], [row.object for row in known])
        for row, near in zip(own, similarity, strict=True):
            at = int((near > near.max() - _EQUAL).argmax())
            if abs(1.0 - near[at] - (row.novelty or 0.0)) > _AGREES:
                continue  # more was known then than has a value now, or less
            family = space.family(row.object)
            same = bool(family) and family == space.family(known[at].object)
            core = space.core_places(row.object, known[at].object)
            found[row.id] = Nearest(known[at], float(near[at]), same, core)
    return found


def _known(row: CandidateRow, round: int) -> bool:
    """Return whether a candidate had a value before a round, where there are levels at the true one."""
    if row.value is None:
        return False
    true = [known[-1].round for known in (row.levels or {}).values()]
    if true:
        return all(at is not None and at < round for at in true)
    return row.round < round or (row.origin == IMPORTED and round > 0)
