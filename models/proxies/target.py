"""Location and scale of what a proxy learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.records import FloatArray


@dataclass(frozen=True, slots=True)
class Target:
    """Location and scale of K targets, each shape `(K,)`: proxies learn `(value - location) / scale`.

    Labels that are all one value say nothing about the scale of the target; it is then the value's own size, 1 if it
    is 0, and the standardised labels are exactly 0.
    """

    location: FloatArray
    scale: FloatArray

    @staticmethod
    def of(values: FloatArray) -> Target:
        """Take location and scale from labels `(n, K)`, NaN where one is missing."""
        location, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        # The mean and deviation of equal numbers carry rounding noise; it must not be taken for a signal.
        constant = spread <= 1e-12 * np.maximum(np.abs(location), 1e-300)
        size = np.where(location == 0, 1.0, np.abs(location))
        return Target(location, np.where(constant, size, spread))

    def standardised(self, values: FloatArray) -> FloatArray:
        """Return standardised labels `(n, K)`; NaN stays.

        Rounded: the same values in another unit differ in the last bits, by which a tree would choose another one of
        two splits that are equally good.
        """
        z: FloatArray = (values - self.location) / self.scale
        return z.round(9) + 0.0
