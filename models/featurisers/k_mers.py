"""Sequences of letters by how often each short word stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from pydantic import Field

from models.featurisers.base import ColumnNames, Features, Featuriser, no_dense
from models.featurisers.letters import letter_places
from models.registry import Component


class KMers(Featuriser):
    """Counts of all words of 1 to k neighbouring letters, wherever they stand.

    An insertion changes the counts of at most 2 k - 1 words, where it moves every letter behind it to another place.

    Reference: Leslie, Eskin and Noble, Pac. Symp. Biocomput. 2002, 564 (the spectrum kernel).
    """

    kind = "k_mers"
    objects = "sequences"
    cites = ("leslie2002spectrum",)

    class Options(Component.Options):
        """Alphabet and longest word."""

        alphabet: str = Field("ACGT", min_length=2, description="letters, in the order of the columns")
        k: int = Field(3, ge=1, le=8, description="letters of the longest words; there are letters ** k of them")

    def names(self) -> ColumnNames:
        """Return the words, shortest first."""
        alphabet, k = self.options.alphabet, self.options.k
        return ColumnNames(counts=tuple("".join(word) for n in range(1, k + 1) for word in product(alphabet, repeat=n)))

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return shape `(n, a + a^2 + ... + a^k)` counts, for a letters of the alphabet.

        Raises:
            ValueError: a sequence has a letter that is not in the alphabet.
        """
        alphabet, n = self.options.alphabet, len(objects)
        letters = letter_places(objects, alphabet, "k_mers").astype(np.int64)
        blocks, words, whole = [], np.zeros_like(letters), np.ones(letters.shape, dtype=bool)
        for k in range(1, self.options.k + 1):
            # What begins at each place: the word of k - 1 letters there and the letter behind it.
            width = max(letters.shape[1] - k + 1, 0)
            last = letters[:, k - 1 : k - 1 + width]
            words, whole = words[:, :width] * len(alphabet) + last, whole[:, :width] & (last >= 0)
            counts = np.zeros((n, len(alphabet) ** k), dtype=np.int32)
            rows, _ = np.nonzero(whole)
            np.add.at(counts, (rows, words[whole]), 1)
            blocks.append(counts)
        return Features(no_dense(n), np.hstack(blocks))
