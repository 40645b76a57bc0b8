"""Subsets of named items as one column per item."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pydantic import Field

from data.objects import unlisted
from models.featurisers.base import ColumnNames, Features, Featuriser, no_dense
from models.registry import Component


class Membership(Featuriser):
    """One count per item, 1 for members: the min-max similarity of two subsets is the Jaccard index.

    Reference: Jaccard, Bull. Soc. Vaud. Sci. Nat. 1901, 37, 547.
    """

    kind = "membership"
    objects = "subsets"
    cites = ("jaccard1901etude",)

    class Options(Component.Options):
        """The items."""

        items: tuple[str, ...] = Field(
            tuple("0123456789"), min_length=1, description="names of the items, in the order of the columns"
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.options.items)}

    def names(self) -> ColumnNames:
        """Return the items."""
        return ColumnNames(counts=self.options.items)

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return shape `(n, items)` zeros and ones.

        Raises:
            ValueError: one of the texts is no list of items.
        """
        counts = np.zeros((len(objects), len(self.options.items)), dtype=np.int32)
        for row, text in enumerate(objects):
            for name in unlisted(text):
                if name not in self._places:
                    raise ValueError(
                        f"The featuriser membership knows {len(self._places)} items; got {name!r} in {text!r}, none "
                        "of them. Set its option `items`."
                    )
                counts[row, self._places[name]] = 1
        return Features(no_dense(len(objects)), counts)
