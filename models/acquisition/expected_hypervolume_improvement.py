"""Expected growth of the volume that the measured values dominate, exact in two to six objectives."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition, stacked
from models.acquisition.expected_improvement import log_h
from models.acquisition.measured import feasible_whole, measured_whole
from models.acquisition.pareto import undominated, undominated_boxes
from models.protocols import Scoring
from models.registry import Component

_CELLS = 4_000_000


class ExpectedHypervolumeImprovement(BaseAcquisition):
    """Logarithm of the expected hypervolume improvement, the objectives being independent normals.

    What the front does not dominate is cut into disjoint boxes. The improvement inside a box is a product over the
    objectives of `min(f, upper) - lower` where positive, whose expectation is a difference of two expected
    improvements; sums and differences are taken in logarithms, so that the order survives far from the front. The boxes
    of a front are kept: a round asks again and again with the same measured values.

    Boxes grow with the number of objectives: a front of a hundred has 2,000 in five objectives (1.5 CPU-seconds) and
    5,600 in six (6), one of eighty 14,000 in seven (18), and there is a front for each member of a batch. So six are
    the most; beyond, `chebyshev` and `pareto_rank` cost next to nothing.

    The front is that of measured objects that keep to all limits. Without a reference point it lies a tenth of the
    measured range below the worst measured value of each objective, of whatever object.

    Reference: Emmerich, Deutz and Klinkenberg, Hypervolume-based expected improvement, CEC (2011); by boxes: Yang,
    Emmerich, Deutz and Bäck, J. Global Optimization 75 (2019); in logarithms: Ament et al., NeurIPS (2023).
    """

    kind = "expected_hypervolume_improvement"
    cites: ClassVar[tuple[str, ...]] = ("emmerich2011hypervolume", "yang2019efficient", "ament2023unexpected")
    objectives = 2
    most_objectives = 6
    logarithmic = True

    class Options(Component.Options):
        """Options of the expected hypervolume improvement."""

        reference_point: tuple[float, ...] = Field(
            (),
            description="value of each objective to improve, in its unit, from which volume counts; none given: from "
            "the data",
        )

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores: logarithms of the product of the objectives' units.

        Raises:
            ValueError: the reference point has another length, or there is neither one nor a measured value.
        """
        k = len(predicted)
        return self.improvement(predicted, feasible_whole(about, k), self.reference_of(measured_whole(about, k), k))

    @staticmethod
    def improvement(predicted: tuple[Prediction, ...], values: FloatArray, reference: FloatArray) -> FloatArray:
        """Return `(n,)` scores over the front of values `(t, K)`, above a reference point `(K,)`."""
        mean, std = stacked(predicted)
        low, high = _boxes(values.tobytes(), reference.tobytes(), mean.shape[1])
        return log_improvement(mean, std, low, high)

    def reference_of(self, measured: FloatArray, k: int) -> FloatArray:
        """Return the signed reference point `(k,)`: the option's, or below measured values `(t, k)`.

        Raises:
            ValueError: the option has another length, or there is neither it nor a measured value.
        """
        point = self.options.reference_point
        if point:
            if len(point) != k:
                raise ValueError(f"The reference point has {len(point)} values; there are {k} objectives to improve.")
            return self.signed(point)
        if not len(measured):
            raise self.lacks("a reference point or measured values", "Set the option reference_point.")
        low, high = measured.min(0), measured.max(0)
        return np.asarray(low - 0.1 * np.where(high > low, high - low, 1.0))


@lru_cache(maxsize=64)
def _boxes(measured: bytes, reference: bytes, k: int) -> tuple[FloatArray, FloatArray]:
    values = np.frombuffer(measured, dtype=np.float64).reshape(-1, k)
    return undominated_boxes(values[undominated(values)], np.frombuffer(reference, dtype=np.float64))


def log_improvement(mean: FloatArray, std: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the logarithm of the expected volume of improvement inside disjoint boxes, shape `(n,)`.

    Args:
        mean: of independent normals, shape `(n, K)`.
        std: shape `(n, K)`, > 0.
        low: lower corners, shape `(b, K)`, finite.
        high: upper corners, shape `(b, K)`, may be infinite.
    """
    out = np.empty(len(mean))
    step = max(1, _CELLS // max(len(low), 1))
    for begin in range(0, len(mean), step):
        part = slice(begin, begin + step)
        volume = np.zeros((len(mean[part]), len(low)))
        for k in range(mean.shape[1]):
            # Corners repeat from box to box: each is worked out once.
            edges, at = np.unique(np.concatenate([low[:, k], high[:, k]]), return_inverse=True)
            gain = _log_gain(mean[part, k], std[part, k], edges)
            volume += _log_difference(gain[:, at[: len(low)]], gain[:, at[len(low) :]])
        top = volume.max(1)
        out[part] = top + np.log(np.exp(volume - top[:, None]).sum(1))
    return out


def _log_gain(mean: FloatArray, std: FloatArray, edges: FloatArray) -> FloatArray:
    """Log E max(0, f - edge), shape `(n, e)`; minus infinity at an infinite edge."""
    finite = np.isfinite(edges)
    gain = np.full((len(mean), len(edges)), -np.inf)
    gain[:, finite] = np.log(std)[:, None] + log_h((mean[:, None] - edges[finite]) / std[:, None])
    return gain


def _log_difference(larger: FloatArray, smaller: FloatArray) -> FloatArray:
    """Log(exp a - exp b) for a >= b; the least distance that rounding leaves when they are equal."""
    return np.asarray(larger + np.log(-np.expm1(np.minimum(smaller - larger, -1e-16))))
