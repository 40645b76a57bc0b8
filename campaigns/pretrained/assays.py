"""Two simulated assays of DNA of eight letters: how well two motifs are bound."""


def gata(sequences: list[str]) -> list[float]:
    """Return the best agreement of four letters in a row with GATA, 0 to 1, less 0.05 for each C."""
    return [_bound(one, "GATA") for one in sequences]


def tgca(sequences: list[str]) -> list[float]:
    """Return the same for TGCA."""
    return [_bound(one, "TGCA") for one in sequences]


def _bound(sequence: str, motif: str) -> float:
    windows = [sequence[at : at + len(motif)] for at in range(len(sequence) - len(motif) + 1)]
    best = max(sum(a == b for a, b in zip(window, motif, strict=True)) for window in windows)
    return round(best / len(motif) - 0.05 * sequence.count("C"), 3)
