"""Arrays of numbers as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.featurisers.base import Features, Featuriser, no_counts, no_dense


class Identity(Featuriser):
    """Rows of numbers, taken as they are: the user's own features, or points of a continuous space."""

    kind = "identity"
    objects = "arrays"

    def __call__(self, objects: Sequence[Any]) -> Features:
        """Return n rows of p numbers.

        Raises:
            ValueError: rows of different lengths, something that is no number, or a number that is not finite.
        """
        if len(objects) == 0:
            return Features(no_dense(0), no_counts(0))
        try:
            table = np.asarray(objects, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "The featuriser identity takes rows of numbers, all of one length; got something else, the first being "
                f"{objects[0]!r}. For molecules use `features: both`, for sequences `features: one_hot`."
            ) from error
        if table.ndim != 2:
            raise ValueError(f"The featuriser identity takes an array of shape (n, p); got shape {table.shape}.")
        bad = np.flatnonzero(~np.isfinite(table).all(1))
        if len(bad):
            raise ValueError(
                f"The featuriser identity takes finite numbers; {len(bad)} of {len(table)} rows have others, the first "
                f"is row {bad[0]}. Leave those objects out."
            )
        return Features(table, no_counts(len(table)))
