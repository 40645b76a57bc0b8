"""How measured objects stand among each other: those that keep to all limits first, then by how far others are off."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata

from data.records import FloatArray
from models.acquisition.measured import centre_and_spread
from models.acquisition.pareto_rank import crowded_order
from models.protocols import Scoring

CITES = ("deb2002nsga2", "vanderwaerden1953test")
"""Keys of the papers of `standing`."""


def violation(values: FloatArray, about: Scoring) -> FloatArray:
    """Return by how much rows of values break limits, in deviations of what was measured, summed, shape `(n,)`.

    A limited value that is not there breaks its limit by one deviation. Zero exactly where all limits are kept to.

    Args:
        values: signed, shape `(n, K)`, nan where there is none.
        about: limits, and what was measured.
    """
    total = np.zeros(len(values))
    for k, (low, high) in enumerate(about.limits):
        if np.isfinite((low, high)).any():
            spread = centre_and_spread(about.measured[:, k])[1] if len(about.measured) else 1.0
            excess = np.maximum(np.maximum(low - values[:, k], values[:, k] - high), 0.0) / spread
            total += np.where(np.isnan(values[:, k]), 1.0, excess)
    return total


def standing(values: FloatArray, about: Scoring) -> FloatArray:
    """Return how good rows of measured values are, in deviations from the average, larger being better, `(n,)`.

    What keeps to all limits comes before what does not (the constrained domination of Deb et al.). Among the former, of
    one objective to improve it is the value less the mean, in standard deviations; of several the order of
    non-dominated sorting, the lonelier of a front first, as normal scores: the deviations that ranks would have if they
    came from a normal distribution. A share of the dominated volume would be 0 for all but the front, and neighbours on
    it would take each other's. The others stand below the last of them, at the amount by which they break limits; so
    does what was not measured in full.

    Reference: Deb, Pratap, Agarwal and Meyarivan, NSGA-II, IEEE Trans. Evol. Comput. 6 (2002), sections III and VI;
    normal scores: van der Waerden, Math. Ann. 126 (1953).

    Args:
        values: signed, shape `(n, K)`, nan where an objective was not measured.
        about: limits, what is to be improved, and what was measured.
    """
    improved = list(about.improved or range(values.shape[1]))
    mine = values[:, improved]
    gaps = np.isnan(mine).sum(1)
    broken = violation(values, about) + gaps
    good = np.flatnonzero(broken == 0)
    out = np.empty(len(values))
    if len(improved) == 1:
        centre, spread = centre_and_spread(about.measured[:, improved[0]] if len(about.measured) else mine[:, 0])
        out[good] = (mine[good, 0] - centre) / spread
    elif len(good):
        ranks = rankdata(crowded_order(mine[good]))
        out[good] = norm.ppf((ranks - 0.5) / len(good))
    last = min(float(out[good].min(initial=0.0)), 0.0)
    out[broken > 0] = last - broken[broken > 0]
    return out
