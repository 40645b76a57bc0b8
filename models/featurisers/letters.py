"""Sequences as a matrix of letters, which featurisers of sequences begin with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def letter_places(sequences: Sequence[str], alphabet: str, featuriser: str) -> NDArray[np.int16]:
    """Return the place in the alphabet of each letter, -1 behind a sequence's end; shape `(n, longest)`.

    Raises:
        ValueError: a sequence has a letter that is not in the alphabet; the message names the featuriser.
    """
    lengths = np.fromiter(map(len, sequences), dtype=np.intp, count=len(sequences))
    width = int(lengths.max(initial=0))
    if width == 0:
        return np.full((len(sequences), 0), -1, dtype=np.int16)
    points = np.array(sequences, dtype=f"<U{width}").view(np.uint32).reshape(len(sequences), width)
    order = np.argsort([ord(letter) for letter in alphabet]).astype(np.int16)
    known = np.array([ord(alphabet[place]) for place in order], dtype=np.uint32)
    found = np.minimum(np.searchsorted(known, points), len(known) - 1)
    beyond = np.arange(width) >= lengths[:, None]
    foreign = (known[found] != points) & ~beyond
    if foreign.any():
        row, place = np.argwhere(foreign)[0]
        sequence = sequences[row]
        raise ValueError(
            f"The featuriser {featuriser} knows the letters {alphabet!r}; got {sequence[place]!r} in {sequence!r}. Set "
            "its option `alphabet`."
        )
    places: NDArray[np.int16] = np.where(beyond, np.int16(-1), order[found])
    return places
