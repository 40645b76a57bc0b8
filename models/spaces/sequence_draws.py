"""Sequences drawn at random: distinct, uniform over all of them or over their lengths."""

from __future__ import annotations

import re
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from models.component import ComponentError
from models.spaces.sequence_edits import SequenceEdits

TRIES = 400_000
"""Sequences that are drawn for a pattern beyond those that are asked for; some 0.5 s."""
_LISTED = 100_000
"""Spaces of at most so many sequences are listed, not drawn from: then the draws are all there are."""
_BATCH = 20_000
_WALK = 50
"""Mutations per sequence that is lacking."""


def drawn_sequences(
    letters: str,
    lengths: tuple[int, int],
    n: int,
    seed: int,
    by_length: bool,
    pattern: re.Pattern[str] | None,
    edits: SequenceEdits,
) -> list[str]:
    """Return up to n distinct sequences, deterministic under the seed.

    Args:
        letters: the alphabet.
        lengths: fewest and most letters.
        n: sequences that are asked for.
        seed: of the draws.
        by_length: whether lengths are uniform; else all sequences are.
        pattern: what a whole sequence matches; None: any does.
        edits: mutate what was found where matches are too rare.

    Raises:
        ComponentError: no sequence was found that matches the pattern.
    """
    rng = np.random.default_rng(seed)
    if n < 1:
        return []
    sizes = [len(letters) ** length for length in range(lengths[0], lengths[1] + 1)]
    listed = sum(sizes) <= (n if by_length else max(_LISTED, 4 * n))
    if listed:
        found = _matching(_listed(letters, lengths[0], sizes, rng), pattern)
    else:
        found = _rejected(letters, lengths, sizes, n, by_length, pattern, rng)
    if not found:
        tried = f"all {sum(sizes)}" if listed else f"{TRIES + 20 * n} random"
        raise ComponentError(
            f"Of {tried} sequences of these letters and lengths none matches the space's pattern "
            f"{pattern.pattern if pattern else ''!r}, so that none can be drawn. Loosen the pattern, or give a library "
            "as `data` and `control: {kind: pool}`."
        )
    if len(found) < n and not listed:
        _walk(found, n, edits, rng)
    return list(found)[:n]


def _matching(sequences: list[str], pattern: re.Pattern[str] | None) -> dict[str, None]:
    return dict.fromkeys(one for one in sequences if pattern is None or pattern.fullmatch(one))


def _listed(letters: str, shortest: int, sizes: list[int], rng: np.random.Generator) -> list[str]:
    """Return all sequences in random order."""
    ends = np.array(list(accumulate(sizes)))
    ranks = rng.permutation(int(ends[-1]))
    which = np.searchsorted(ends, ranks, side="right")
    codes = ranks - (ends - np.array(sizes))[which]
    places = (codes[:, None] // len(letters) ** np.arange(shortest + len(sizes) - 1)) % len(letters)
    return _texts(letters, places, which + shortest)


def _rejected(
    letters: str,
    lengths: tuple[int, int],
    sizes: list[int],
    n: int,
    by_length: bool,
    pattern: re.Pattern[str] | None,
    rng: np.random.Generator,
) -> dict[str, None]:
    # Ratios of whole numbers: the number of long sequences is beyond any float.
    weights = np.array([1.0 if by_length else size / sizes[-1] for size in sizes])
    found: dict[str, None] = {}
    left = 20 * n + (TRIES if pattern is not None else 0)
    while len(found) < n and left > 0:
        size = min(left, _BATCH)
        long = lengths[0] + rng.choice(len(sizes), size=size, p=weights / weights.sum())
        places = rng.integers(len(letters), size=(size, lengths[1]))
        found |= _matching(_texts(letters, places, long), pattern)
        left -= size
    return found


def _texts(letters: str, places: NDArray[np.int64], lengths: NDArray[np.intp]) -> list[str]:
    """Return the sequences whose letters are at places of the alphabet, each cut to its length."""
    width = places.shape[1]
    matrix = np.array(list(letters), dtype="<U1")[places]
    matrix[np.arange(width) >= lengths[:, None]] = ""
    texts: list[str] = np.ascontiguousarray(matrix).view(f"<U{width}")[:, 0].tolist()
    return texts


def _walk(found: dict[str, None], n: int, edits: SequenceEdits, rng: np.random.Generator) -> None:
    """Add mutants of what was found until there are n, or too many mutations have led to nothing new."""
    known = list(found)
    for _ in range(_WALK * (n - len(found))):
        if len(known) >= n:
            return
        mutant = edits.mutate(known[int(rng.integers(len(known)))], rng)
        if mutant is not None and mutant not in found:
            found[mutant] = None
            known.append(mutant)
