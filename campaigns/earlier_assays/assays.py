"""Simulated binding of proteins to DNA of eight letters: a new protein, and the tables of others that are like it.

`python assays.py` writes earlier.csv anew.
"""

import csv
import random
from pathlib import Path

LETTERS = "ACGT"
FAMILIES = ("GATAAG", "TGACTC", "CACGTG", "GGGCGG")
"""What the proteins of a family like best."""
NEW = 1000
"""Number of the protein that is measured now: of the first family, and in no table."""


def measure(sequences: list[str]) -> list[float]:
    """Return how well the new protein binds each sequence."""
    return [_bound(sequence, _likes(NEW, FAMILIES[0])) for sequence in sequences]


def _likes(number: int, motif: str) -> list[dict[str, float]]:
    """Return the weight of each letter at each place of a protein's motif: the family's, with a will of its own."""
    draw = random.Random(number)
    return [{letter: (letter == best) - 0.25 + draw.gauss(0, 0.25) for letter in LETTERS} for best in motif]


def _bound(sequence: str, likes: list[dict[str, float]]) -> float:
    """Return the weight of the best place on either strand, and a little noise that depends on the sequence."""
    pair = {"A": "T", "C": "G", "G": "C", "T": "A"}
    strands = (sequence, "".join(pair[letter] for letter in reversed(sequence)))
    places = [strand[at : at + len(likes)] for strand in strands for at in range(len(sequence) - len(likes) + 1)]
    best = max(sum(weights[letter] for weights, letter in zip(likes, place, strict=True)) for place in places)
    return round(best + random.Random(sequence).gauss(0, 0.05), 3)


if __name__ == "__main__":
    draw = random.Random(0)
    sequences = sorted({"".join(draw.choices(LETTERS, k=8)) for _ in range(700)})
    proteins = [(f"protein_{k + 1}", _likes(k, FAMILIES[k % len(FAMILIES)])) for k in range(24)]
    with Path(__file__).with_name("earlier.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["sequence", *(name for name, _ in proteins)])
        for sequence in sequences:
            table.writerow([sequence, *(_bound(sequence, likes) for _, likes in proteins)])
