"""Sequences of letters as one column per place and letter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from models.featurisers.base import Features, Featuriser, no_counts
from models.registry import Component


class OneHot(Featuriser):
    """One column per place and letter, 1 where the letter stands there; places beyond a sequence's end are all 0.

    The squared distance of two sequences of one length is twice the number of places where they differ.
    """

    kind = "one_hot"
    objects = "sequences"

    class Options(Component.Options):
        """Alphabet and longest length."""

        alphabet: str = Field("ACGT", min_length=2, description="letters, in the order of the columns")
        length: int = Field(64, ge=1, description="most letters of a sequence; places that never vary cost nothing")

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return shape `(n, length * letters)` zeros and ones.

        Raises:
            ValueError: a sequence is too long, or has a letter that is not in the alphabet.
        """
        alphabet, length = self.options.alphabet, self.options.length
        column = {letter: i for i, letter in enumerate(alphabet)}
        out = np.zeros((len(objects), length, len(alphabet)))
        for row, sequence in enumerate(objects):
            if len(sequence) > length:
                raise ValueError(
                    f"The featuriser one_hot takes sequences of at most {length} letters; got {len(sequence)} in "
                    f"{sequence!r}. Set its option `length`."
                )
            for place, letter in enumerate(sequence):
                if letter not in column:
                    raise ValueError(
                        f"The featuriser one_hot knows the letters {alphabet!r}; got {letter!r} in {sequence!r}. Set "
                        "its option `alphabet`."
                    )
                out[row, place, column[letter]] = 1.0
        return Features(out.reshape(len(objects), length * len(alphabet)), no_counts(len(objects)))
