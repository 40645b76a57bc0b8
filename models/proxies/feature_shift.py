"""Which features of a batch are not as they were among the objects that a proxy learnt from.

For each feature the statistic is the expected squared difference between the scores (derivatives of the log-density by
that feature) of two Gaussians, of the reference and of the batch, with one covariance: the square of
`(S^-1 (mean of the batch - mean of the reference))_j`. A feature that only follows another one, by which it is
explained, is not accused. Each is compared with its own spread under permutations of the rows, and the largest of all
features with the largest of each permutation: no feature is accused wrongly with more than the level's probability,
however many there are.

With B resamples, as the reference has it, no p-value falls below 1 / (B + 1), which d features tested at level / d each
can never reach for large d; the largest one is tested at the level itself.

Reference: Kulinski, Bagchi and Inouye, Feature shift detection: localizing which features have shifted via conditional
distribution tests, NeurIPS (2020), arXiv:2107.06929. The largest statistic: Westfall and Young, Resampling-based
multiple testing (1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray

CITES = ("kulinski2020feature", "westfall1993resampling")
FEWEST = 8
"""Rows on either side below which nothing can be said."""
MOST = 2000
"""Rows of either side that are compared, drawn by the seed."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A feature that moved.

    Attributes:
        name: of the feature.
        deviations: how far its mean went, in standard deviations of the reference.
        p: probability of a statistic as large of any feature, if none moved.
    """

    name: str
    deviations: float
    p: float


def feature_shift(
    reference: FloatArray,
    batch: FloatArray,
    names: Sequence[str],
    *,
    seed: int,
    level: float = 0.05,
    permutations: int = 1000,
) -> list[Moved]:
    """Return the features that moved, the surest first; none where either side has fewer than 8 rows.

    Args:
        reference: features of what a proxy learnt from, shape `(n, d)`, finite.
        batch: of the objects that it is asked about, shape `(m, d)`, finite.
        names: of the d features.
        seed: of the permutations.
        level: probability of accusing any feature where none moved.
        permutations: of the rows.

    Raises:
        ValueError: the two do not have d columns each.
    """
    if reference.shape[1:] != batch.shape[1:] or reference.shape[1] != len(names):
        raise ValueError(
            f"Both sides have one column for each name; got {reference.shape[1]} and {batch.shape[1]} columns and "
            f"{len(names)} names."
        )
    rng = np.random.default_rng(seed)
    reference, batch = (side[_some(len(side), rng)] for side in (reference, batch))
    n, m = len(reference), len(batch)
    rows = np.vstack([reference, batch])
    varies = np.flatnonzero(np.ptp(rows, axis=0) > 0)
    if min(n, m) < FEWEST or not len(varies):
        return []
    rows = rows[:, varies]
    z = (rows - rows.mean(0)) / rows.std(0)
    # One covariance for both, with the shift in it: the same for every permutation, as a permutation test needs it.
    precision = np.linalg.inv(_shrunk(z))
    flag = np.zeros(n + m)
    flag[n:] = 1.0
    flags = np.stack([flag, *(rng.permutation(flag) for _ in range(permutations))])
    shift = (flags / m - (1.0 - flags) / n) @ z @ precision
    statistic = np.square(shift / shift[1:].std(0))
    largest = np.sort(statistic[1:].max(1))
    p = (1.0 + permutations - np.searchsorted(largest, statistic[0], side="left")) / (permutations + 1.0)
    spread = reference[:, varies].std(0)
    far = (batch[:, varies].mean(0) - reference[:, varies].mean(0)) / np.where(spread > 0, spread, rows.std(0))
    order = [j for j in np.lexsort((-statistic[0], p)).tolist() if p[j] <= level]
    return [Moved(names[int(varies[j])], float(far[j]), float(p[j])) for j in order]


def _some(n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    drawn: NDArray[np.intp] = np.arange(n) if n <= MOST else np.sort(rng.choice(n, MOST, replace=False))
    return drawn


def _shrunk(z: FloatArray) -> FloatArray:
    """Return the correlation of standardised rows `(n, d)`, shrunk towards none (Ledoit and Wolf, 2004)."""
    from sklearn.covariance import ledoit_wolf  # takes a second

    found: FloatArray = ledoit_wolf(z, assume_centered=True)[0]
    return found
