"""Breadth of a batch: not more than so many members that are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data.records import FloatArray
from models.protocols import Pool
from models.selectors.base import BatchSelector, geometry_of
from models.selectors.geometry import Fingerprinted, Geometry, squared_distances


class CrowdedSelector(BatchSelector):
    """Base of selectors that choose one member after the other and can keep a batch from crowding.

    Where a model is sure of one family, its best scores are all there, and a batch of near copies teaches it next to
    nothing. With `crowd`, a member that has so many chosen neighbours is passed over as long as others are left.
    """

    class Options(BatchSelector.Options):
        """Options of selectors that can keep a batch from crowding."""

        crowd: int | None = Field(
            None, ge=1, description="most members of a batch that are alike to one of them, it included; null: any"
        )
        alike: float = Field(
            0.5, gt=0, lt=1, description="similarity, as the space takes nearness, from which two members are alike"
        )

    @property
    def wants_nearness(self) -> bool:
        """Whether the pool must have what the space takes nearness by."""
        return self.options.crowd is not None


class Crowd:
    """Who has enough chosen neighbours."""

    def __init__(self, selector: CrowdedSelector, pool: Pool) -> None:
        """Look at a pool; without `crowd` nobody is ever in a crowd.

        Raises:
            ValueError: the pool has neither fingerprints nor features.
        """
        self._most, self._alike = selector.options.crowd, selector.options.alike
        self._neighbours = np.zeros(len(pool), dtype=np.int64)
        self._geometry: Geometry | None = None
        if self._most is not None:
            features = "descriptors" if pool.fingerprints is None else "fingerprints"
            self._geometry = geometry_of(selector, features, pool, train=False, centre=True)

    def add(self, chosen: int) -> None:
        """Count a chosen member as a neighbour of those that are like it."""
        if self._geometry is not None:
            self._neighbours += similarities(self._geometry, chosen) >= self._alike

    @property
    def full(self) -> NDArray[np.bool_]:
        """Whether each member has `crowd` chosen neighbours, shape `(m,)`."""
        most = np.inf if self._most is None else self._most
        full: NDArray[np.bool_] = self._neighbours >= most
        return full


def similarities(geometry: Geometry, i: int) -> FloatArray:
    """Return the similarity of all members to member i, shape `(m,)`: as `models.featurisers.nearness` has it."""
    if isinstance(geometry, Fingerprinted):
        return geometry.row(i)
    return np.asarray(1.0 / (1.0 + np.sqrt(np.maximum(squared_distances(geometry, i), 0.0))))
