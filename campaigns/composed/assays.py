"""Two simulated assays of DNA of six letters: how well it is bound, and how firmly it holds together."""

import itertools

MOTIF = "GATA"


def binding(sequences: list[str]) -> list[float]:
    """Return the best agreement of four letters in a row with GATA, 0 to 1, less 0.05 for each C."""
    return [round(max(map(_agreement, _windows(one))) - 0.05 * one.count("C"), 3) for one in sequences]


def stability(sequences: list[str]) -> list[float]:
    """Return half the share of G and C, and 0.1 more for each two neighbours that are both of them."""
    out = []
    for one in sequences:
        strong = [letter in "GC" for letter in one]
        pairs = sum(a and b for a, b in itertools.pairwise(strong))
        out.append(round(0.5 * sum(strong) / len(strong) + 0.1 * pairs, 3))
    return out


def both(sequences: list[str]) -> list[float]:
    """Return the better of the two."""
    return [max(pair) for pair in zip(binding(sequences), stability(sequences), strict=True)]


def _windows(sequence: str) -> list[str]:
    return [sequence[at : at + len(MOTIF)] for at in range(len(sequence) - len(MOTIF) + 1)]


def _agreement(window: str) -> float:
    return sum(a == b for a, b in zip(window, MOTIF, strict=True)) / len(MOTIF)
