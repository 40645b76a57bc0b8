"""Compositions as counts of elements, and what these are like on average."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pydantic import Field

from data.records import FloatArray
from models.featurisers.base import ColumnNames, Features, Featuriser, no_dense
from models.registry import Component
from models.spaces.formulas import counts_of, properties

_PROPERTIES = ("atomic number", "group", "period", "atomic mass", "electronegativity")


class Elements(Featuriser):
    """Counts of each element in the reduced formula; mean and deviation over atoms of five properties of elements.

    The properties are atomic number, group, period, atomic mass and Pauling electronegativity.

    Reference: Ward et al., npj Computational Materials 2, 16028 (2016), whose set is larger.
    """

    kind = "elements"
    objects = "compositions"
    spaces = ("compositions",)
    cites = ("ward2016general",)

    class Options(Component.Options):
        """Which elements, and whether they are described."""

        elements: tuple[str, ...] = Field(min_length=1, description="symbols, in the order of the columns")
        descriptors: bool = Field(default=True, description="whether to add means and deviations of their properties")

    @cached_property
    def _properties(self) -> FloatArray:
        """Shape `(elements, 5)`."""
        return np.array([properties(symbol) for symbol in self.options.elements])

    def names(self) -> ColumnNames:
        """Return the elements of the counts, and what means and deviations are of."""
        means = tuple(f"{told} {name}" for told in ("mean", "deviation of") for name in _PROPERTIES)
        return ColumnNames(means if self.options.descriptors else (), self.options.elements)

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return the features of n formulas.

        Raises:
            ValueError: one of the texts is no formula, or has another element.
        """
        place = {symbol: at for at, symbol in enumerate(self.options.elements)}
        counts = np.zeros((len(objects), len(place)), dtype=np.int32)
        for row, obj in enumerate(objects):
            for symbol, count in counts_of(obj).items():
                if symbol not in place:
                    raise ValueError(
                        f"The featuriser elements knows {', '.join(place)}; got {symbol} in {obj!r}. Set its option "
                        "`elements`."
                    )
                counts[row, place[symbol]] = count
        if not self.options.descriptors:
            return Features(no_dense(len(objects)), counts)
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        # Sums that do not depend on how many rows there are, as those of a matrix product do.
        mean = np.einsum("ne,ep->np", share, self._properties)
        variance = np.maximum(np.einsum("ne,ep->np", share, np.square(self._properties)) - np.square(mean), 0.0)
        return Features(np.hstack([mean, np.sqrt(variance)]), counts)
