"""Whether one proxy is better than another on the same objects, beyond what chance alone would give.

Both predict the same measured objects; the difference of their negative log-likelihoods is averaged over the objects.
Its interval is that of a paired bootstrap over families: objects of one family stand or fall together, so a family is
drawn whole. The percentiles of few families lie too near the mean, so they are moved outwards as Student's t is wider
than the normal distribution, and fewer than `FEWEST_FAMILIES` say nothing.

Reference: Efron and Tibshirani, An introduction to the bootstrap (1993); expanded percentiles: Hesterberg, The American
Statistician 69, 371 (2015).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data.ledger.health import expected_inside, whole
from data.records import FloatArray, Prediction
from data.student import student
from models.proxies.evaluation import reliability, surprises

DRAWS, LEVEL, Z95 = 4000, 0.95, 1.959963984540054
"""Resamples, and the probability of the interval."""
FEWEST_FAMILIES = 8
COVERED = 0.9


@dataclass(frozen=True, slots=True)
class Compared:
    """Two proxies on the same n objects; differences are the challenger's less the champion's.

    Attributes:
        n: objects.
        families: of them.
        nll: mean difference of the negative log-likelihood; below 0 the challenger is better.
        low: lower end of its 95 % interval.
        high: upper end.
        rmse: difference of the root mean square error, in the unit of the values.
        champion_coverage: share of the values inside the champion's 90 % intervals.
        challenger_coverage: the same of the challenger.
    """

    n: int
    families: int
    nll: float
    low: float
    high: float
    rmse: float
    champion_coverage: float
    challenger_coverage: float

    @property
    def enough(self) -> bool:
        """Whether there are families enough to tell."""
        return self.families >= FEWEST_FAMILIES

    @property
    def better(self) -> bool:
        """Whether the challenger is better beyond the interval."""
        return self.enough and self.high < 0.0

    @property
    def worse(self) -> bool:
        """Whether it is worse beyond the interval; of too few families a worse mean is enough to be careful."""
        return (self.low if self.enough else self.nll) > 0.0

    @property
    def calibrated(self) -> bool:
        """Whether as many values lie inside the challenger's intervals as there should, or no fewer than before.

        As many as chance leaves to a calibrated proxy in 95 of 100 cases; else no farther from 90 % than the champion.
        """
        low, high = expected_inside(self.n, COVERED)
        held = whole(self.challenger_coverage * self.n)
        return low <= held <= high or abs(self.challenger_coverage - COVERED) <= abs(self.champion_coverage - COVERED)

    def figures(self) -> dict[str, float]:
        """Return everything as numbers, by name."""
        return {name: float(value) for name, value in asdict(self).items()}

    def told(self) -> str:
        """Return the difference with its interval, for people."""
        few = "" if self.enough else f"; of {self.families} families nothing can be told"
        return f"NLL {self.nll:+.3f} ({self.low:+.3f} to {self.high:+.3f}), n {self.n}{few}"


def compare(
    champion: Prediction, challenger: Prediction, values: FloatArray, families: Sequence[str], *, seed: int
) -> Compared:
    """Compare what two proxies predict of n >= 2 measured objects.

    Args:
        champion: predictions of the objects.
        challenger: of the same.
        values: measured, shape `(n,)`.
        families: of the n objects; those of one are resampled together.
        seed: of the resamples.
    """
    difference = surprises(challenger, values) - surprises(champion, values)
    low, high = paired_interval(difference, families, seed=seed)
    errors = [float(np.sqrt(np.square(one.mean - values).mean())) for one in (champion, challenger)]
    covered = [float(reliability(one, values, [COVERED])[0]) for one in (champion, challenger)]
    return Compared(
        len(values), len(set(families)), float(difference.mean()), low, high, errors[1] - errors[0], *covered
    )


def paired_interval(difference: FloatArray, families: Sequence[str], *, seed: int) -> tuple[float, float]:
    """Return the ends of the interval of a mean difference, by the percentiles of resampled families.

    Args:
        difference: of n pairs, shape `(n,)`.
        families: of the pairs.
        seed: of the resamples.
    """
    names, place = np.unique(np.asarray(families, dtype=object).astype(str), return_inverse=True)
    sums, sizes = np.bincount(place, difference), np.bincount(place)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=DRAWS)
    means = (drawn @ sums) / (drawn @ sizes)
    tail = 50.0 * (1.0 - LEVEL)
    mean, free = float(difference.mean()), len(names) - 1
    wider = 1.0 if free < 1 else math.sqrt(len(names) / free) * student(free) / Z95
    low, high = (mean + wider * (float(end) - mean) for end in np.percentile(means, [tail, 100.0 - tail]))
    return low, high


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a challenger takes the champion's place, and why."""

    promote: bool
    reason: str


def decide(compared: Mapping[str, Compared], differing: Sequence[str] = ()) -> Verdict:
    """Return whether a challenger is promoted: better somewhere, worse nowhere, calibrated, and of the same inputs.

    Args:
        compared: where -> the comparison; a place without objects enough is not there.
        differing: inputs in which the two differ, in words.
    """
    if differing:
        return Verdict(
            False,
            f"Not compared: the challenger has other inputs than the champion ({'; '.join(differing)}), so figures of "
            "both say nothing. To take it nevertheless: `discover rollback NAME --to VERSION`.",
        )
    told = "; ".join(f"{where} {one.told()}" for where, one in compared.items()) or "too few objects to compare"
    if any(one.worse for one in compared.values()):
        where = " and ".join(where for where, one in compared.items() if one.worse)
        return Verdict(False, f"Not better: worse on {where}. {told}.")
    if not any(one.better for one in compared.values()):
        return Verdict(False, f"Not better beyond the interval: {told}.")
    off = [f"{where} {one.challenger_coverage:.0%}" for where, one in compared.items() if not one.calibrated]
    if off:
        return Verdict(False, f"Better, but not calibrated: {'; '.join(off)} inside its 90 % intervals. {told}.")
    return Verdict(True, f"Better beyond the interval: {told}.")


def figures_of(compared: Mapping[str, Compared]) -> dict[str, Any]:
    """Return `where_name` -> number of all comparisons."""
    return {f"{where}_{name}": value for where, one in compared.items() for name, value in one.figures().items()}
