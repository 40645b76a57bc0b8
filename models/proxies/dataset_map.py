"""Data maps: which measured objects a proxy learns, and which it never does.

Each row has several residuals of what is predicted without it: of a Gaussian process along its ridge path, from all
noise to as little as was found; of an ensemble from each member that did not see the row. Their mean and deviation
place the row on a map: what is learnt has a small mean, what some learn a large deviation; what all of them miss by
far, to the same side, is never learnt. Such a row may be wrong (a slip, another unit, another compound) or of a kind
that nothing else measured is like; a proxy cannot tell which, a second measurement can. Nothing is left out.

The papers take residuals over the epochs of one network, in which a network that learns by heart has none in the end:
hence those of rows that were held out, which need no second training either.

References: Swayamdipta et al., Dataset cartography, EMNLP (2020), arXiv:2009.10795; Karamcheti et al., Mind your
outliers!, ACL (2021), arXiv:2107.02331, where acquisition functions prefer exactly such rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray

CITES = ("swayamdipta2020cartography", "karamcheti2021outliers")
LIMIT = 4.0
"""Robust deviations of all last residuals beyond which a row's is never learnt: of normal ones 6 in 100,000 are."""
LEAST = 3.0
"""Predicted deviations that it must be beyond too: where a proxy predicts nearly everything, small misses stand out."""
FEWEST = 20
"""Rows below which nothing is called never learnt: their robust deviation says little."""
_MAD = 1.4826022185056018
"""Deviations of a normal distribution in its median absolute deviation."""


@dataclass(frozen=True)
class Course:
    """Residuals of n rows.

    Attributes:
        residuals: measured less predicted without the row, in predicted deviations, shape `(E, n)`; NaN where a member
            saw the row.
        last: the same as the proxy itself has it, shape `(n,)`; about a standard normal where its predictions hold.
    """

    residuals: FloatArray
    last: FloatArray


@runtime_checkable
class MappingProxy(Protocol):
    """A proxy that can place its training data on a map."""

    def course(self, objects: Sequence[str], values: FloatArray) -> Course | None:
        """Return the residuals of what `fit` was given, in any order, shape `(n,)`; None: there are too many.

        Raises:
            RuntimeError: the proxy was not trained.
        """


@dataclass(frozen=True)
class DatasetMap:
    """Where n rows are on the map, in predicted deviations.

    Attributes:
        last: residual of a row as the proxy itself has it, shape `(n,)`; above nought the row is larger than predicted.
        mean: of a row's residuals, shape `(n,)`.
        deviation: of the same, shape `(n,)`.
        never: whether the row is never learnt, shape `(n,)`.
    """

    last: FloatArray
    mean: FloatArray
    deviation: FloatArray
    never: NDArray[np.bool_]


def dataset_map(course: Course) -> DatasetMap:
    """Return the map of n rows.

    A row is never learnt if the proxy misses it by more than `LIMIT` robust deviations of all rows' last residuals and
    by more than `LEAST` predicted ones, and if its residuals lie on that side of nought by more than they scatter.
    """
    last = course.last
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a row that every member saw has no residual
        mean, deviation = (np.nan_to_num(of(course.residuals, axis=0)) for of in (np.nanmean, np.nanstd))
    never = np.zeros(len(last), dtype=bool)
    if len(last) >= FEWEST:
        middle = float(np.median(last))
        spread = _MAD * float(np.median(np.abs(last - middle)))
        far = np.abs(last - middle) > np.maximum(LIMIT * spread, LEAST)
        never = far & (np.sign(last) == np.sign(mean)) & (np.abs(mean) > deviation)
    return DatasetMap(last, mean, deviation, never)
