"""What is worth measuring again instead of something new, where measurements have noise.

Two things are: the best so far, while its lead over the next could be the luck of one measurement (the best of many
noisy values is too good on average), and a value that is far from what the proxy predicts of it without having seen it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray

FAR = 3.0
"""Held-out deviations from its prediction beyond which a value is suspected."""

CLOSE = 2.0
"""Standard errors of a difference within which the lead of the best may be chance."""

FURTHER = 3
"""Most repetitions of the best, beyond what each object is measured at first."""

EXACT = 2
"""Objects that repeated exactly, after which measuring again is known to say nothing."""


@dataclass(frozen=True)
class Known:
    """What is known of one objective of n measured objects.

    Attributes:
        name: of the objective.
        values: shape `(n,)`, means of the measurements in the objective's unit, nan where there is none.
        merits: shape `(n,)`, larger is better; minus infinity of what breaks a limit or has no value; none of an
            objective that has limits only.
        counts: shape `(n,)`, measurements of each.
        held_out: shapes `(n,)`, mean and standard deviation of what the proxy predicts of each without it, nan where
            it was not asked.
        noise: standard deviation of a measurement; None: nothing was measured twice.
        repeated: objects that were measured more than once.
    """

    name: str
    values: FloatArray
    merits: FloatArray | None
    counts: NDArray[np.int64]
    held_out: tuple[FloatArray, FloatArray]
    noise: float | None
    repeated: int

    @property
    def exact(self) -> bool:
        """Whether repetitions were made and all gave the same value."""
        return self.noise == 0.0 and self.repeated >= EXACT


@dataclass(frozen=True, slots=True)
class Again:
    """An object that is worth measuring again: its index, the objective it is measured of, and why."""

    member: int
    objective: str
    why: str


def worth_remeasuring(objectives: Sequence[Known], n: int, at_first: int = 1) -> list[Again]:
    """Return at most n objects, each once, in the order of worth: the best of each objective, then the suspected.

    Args:
        objectives: what is known of each.
        n: most of them.
        at_first: how often each object is measured when it is bought.
    """
    noisy = [known for known in objectives if not known.exact]
    chosen: dict[int, Again] = {}
    for known in noisy:
        best = _doubtful_best(known, at_first)
        if best is not None:
            chosen.setdefault(best.member, best)
    suspected = [
        (float(surprise[i]), int(i), known)
        for surprise, known in ((_surprise(known), known) for known in noisy)
        for i in np.flatnonzero((surprise > FAR) & (known.counts <= at_first))
    ]
    for surprise, i, known in sorted(suspected, key=lambda one: (-one[0], one[1])):
        why = f"{known.name} is {surprise:.1f} held-out deviations from its prediction"
        chosen.setdefault(i, Again(i, known.name, why))
    return list(chosen.values())[:n]


def _surprise(known: Known) -> FloatArray:
    """Return how many held-out deviations each value is from its prediction; 0 where there is none."""
    mean, std = known.held_out
    with np.errstate(invalid="ignore", divide="ignore"):
        surprise = np.abs(known.values - mean) / std
    return np.where(np.isfinite(surprise), surprise, 0.0)


def _doubtful_best(known: Known, at_first: int) -> Again | None:
    """Return the best object of an objective where it is worth another measurement."""
    if known.merits is None or not len(known.merits) or not np.isfinite(known.merits.max()):
        return None
    order = np.argsort(-known.merits, kind="stable")
    best = int(order[0])
    if known.counts[best] >= at_first + FURTHER:
        return None
    if known.noise is None:
        return Again(best, known.name, f"the best {known.name} so far is one measurement")
    if len(order) < 2 or not np.isfinite(known.merits[order[1]]):
        return None
    lead = float(known.merits[best] - known.merits[order[1]])
    error = known.noise * math.sqrt(1 / known.counts[best] + 1 / known.counts[order[1]])
    if not lead < CLOSE * error:
        return None
    return Again(best, known.name, f"the lead of the best {known.name} is {lead / error:.1f} standard errors")
