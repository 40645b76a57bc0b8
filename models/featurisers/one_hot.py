"""Sequences of letters as one column per place and letter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from models.featurisers.base import ColumnNames, Features, Featuriser, no_counts, no_dense
from models.featurisers.letters import letter_places
from models.registry import Component


class OneHot(Featuriser):
    """One column per place and letter, 1 where the letter stands there; places beyond a sequence's end are all 0.

    The squared distance of two sequences of one length is twice the number of places where they differ. As counts,
    the min-max similarity of two sequences of length L with m equal places is m / (2 L - m).
    """

    kind = "one_hot"
    objects = "sequences"

    class Options(Component.Options):
        """Alphabet, longest length, and the block that is filled."""

        alphabet: str = Field("ACGT", min_length=2, description="letters, in the order of the columns")
        length: int = Field(64, ge=1, description="most letters of a sequence; places that never vary cost nothing")
        counted: bool = Field(
            False, description="whether the columns are counts: nearness is the share of equal places"
        )

    def names(self) -> ColumnNames:
        """Return the place that each column belongs to, from 1."""
        places = tuple(f"place {place + 1}" for place in range(self.options.length) for _ in self.options.alphabet)
        return ColumnNames(counts=places) if self.options.counted else ColumnNames(dense=places)

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return shape `(n, length * letters)` zeros and ones.

        Raises:
            ValueError: a sequence is too long, or has a letter that is not in the alphabet.
        """
        alphabet, length, n = self.options.alphabet, self.options.length, len(objects)
        long = next((sequence for sequence in objects if len(sequence) > length), None)
        if long is not None:
            raise ValueError(
                f"The featuriser one_hot takes sequences of at most {length} letters; got {len(long)} in {long!r}. Set "
                "its option `length`."
            )
        places = letter_places(objects, alphabet, "one_hot")
        out = np.zeros((n, length, len(alphabet)), dtype=np.int32 if self.options.counted else np.float64)
        rows, columns = np.nonzero(places >= 0)
        out[rows, columns, places[rows, columns]] = 1
        flat = out.reshape(n, length * len(alphabet))
        return Features(no_dense(n), flat) if self.options.counted else Features(flat, no_counts(n))
