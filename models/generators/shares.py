"""Shares of the members of a union: what the campaign set, moved by what was bought and what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from data.records import FloatArray

SET = 0.5
"""Weight of the shares that the campaign set: a member keeps half of its own, so that it can come back."""
BEST = 0.1
"""Part of the measured objects that counts as found."""


def adapted_shares(shares: FloatArray, kinds: Sequence[str], sources: Sequence[str]) -> FloatArray:
    """Return shares of work and proposals, shape `(k,)`, summing to 1.

    Half of a share is as set. A quarter each goes by the members' parts of what was bought from any of them, and of
    what is among the best tenth of everything measured. Members of one kind divide what their kind has earned by their
    shares. Where nothing was bought, or nothing found, all of that part is as set.

    Args:
        shares: as set, shape `(k,)`, positive, summing to 1.
        kinds: of the k members; a candidate's source is the kind of its generator.
        sources: what proposed each measured object, best object first.
    """
    rivals = np.array([shares[[other == kind for other in kinds]].sum() for kind in kinds])
    best = max(1, round(BEST * len(sources)))
    parts = []
    for some in (sources, sources[:best]):
        counts = Counter(some)
        earned = np.array([counts[kind] for kind in kinds]) * shares / rivals
        parts.append(earned / earned.sum() if earned.any() else shares)
    adapted: FloatArray = SET * shares + (1.0 - SET) * np.mean(parts, axis=0)
    return adapted
