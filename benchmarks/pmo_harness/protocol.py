"""The protocol of PMO (mol_opt, Gao et al. 2022): what counts as a call, and the areas under the curves of the best.

A call is a unique canonical SMILES; asking again and asking for what is no molecule are free, the latter worth 0. The
curve is the mean of the K best so far, taken every 100 calls from 0 at none on; a search that ends early is extended
with its last value. The area is divided by the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from data.chemistry.molecules import canonical, morgan_counts, scaffold

EVERY = 100
"""Calls between two points of a curve."""

BEST = (1, 10, 100)
"""Sizes of the set of best molecules."""

LEVELS = tuple(round(0.1 * n, 1) for n in range(1, 10))
"""Scores above which molecules, their scaffolds and circles are counted."""

CIRCLE = 0.75
"""Tanimoto distance (Morgan bits, radius 2) of the molecules that count as circles: Xie et al., ICLR 2023."""


class BudgetSpentError(Exception):
    """All calls are spent: the search ends."""


class Evaluations:
    """A score that is remembered, counted and limited.

    Args:
        score: value of a molecule, given its canonical SMILES.
        budget: unique molecules that may be asked for.
    """

    def __init__(self, score: Callable[[str], float], budget: int) -> None:
        self._score, self.budget = score, budget
        self.values: dict[str, float] = {}
        """Canonical SMILES -> value, in the order of the calls."""
        self.invalid = 0
        """Texts asked for that were no molecules."""

    def __call__(self, text: str) -> float:
        """Return the value of a molecule.

        Raises:
            BudgetSpentError: it would be a call too many.
        """
        smiles = canonical(text)
        if smiles is None:
            self.invalid += 1
            return 0.0
        if smiles not in self.values:
            if len(self.values) >= self.budget:
                raise BudgetSpentError
            self.values[smiles] = self._score(smiles)
        return self.values[smiles]


def mean_of_best(values: Sequence[float], best: int) -> float:
    """Return the mean of the `best` largest values, of fewer if there are fewer."""
    return float(np.mean(np.sort(values)[::-1][:best]))


def area(values: Sequence[float], best: int, budget: int, every: int = EVERY) -> float:
    """Return the area under the curve of the best, 0 to 1 for values from 0 to 1.

    Args:
        values: of the calls, in order.
        best: size of the set whose mean is the curve.
        budget: calls that there were to be; a shorter list is extended with its last value.
        every: calls between two points.
    """
    values = values[:budget]
    if not values:
        return 0.0
    points = [*range(every, len(values), every), len(values)]
    curve = [mean_of_best(values[:point], best) for point in points]
    total, at, height = 0.0, 0, 0.0
    for point, now in zip(points, curve, strict=True):
        total += (point - at) * (now + height) / 2
        at, height = point, now
    return (total + (budget - at) * height) / budget


def figures(values: dict[str, float], budget: int) -> dict[str, object]:
    """Return the figures of a run: areas and final means of the best, and breadth.

    Breadth is the number of scaffolds and circles of the best hundred, and of all molecules above each of `LEVELS`.
    """
    calls = list(values.values())[:budget]
    everything = sorted(list(values)[:budget], key=lambda smiles: -values[smiles])
    ranked = everything[: max(BEST)]
    reached = {level: [smiles for smiles in everything if values[smiles] > level] for level in LEVELS}
    return {
        "calls": len(calls),
        "auc": {str(best): area(calls, best, budget) for best in BEST},
        "final": {str(best): mean_of_best(calls, best) if calls else 0.0 for best in BEST},
        "scaffolds": len({scaffold(smiles) for smiles in ranked}),
        "circles": circles(ranked),
        "above": {str(level): breadth(molecules) for level, molecules in reached.items() if molecules},
        "best": [[smiles, values[smiles]] for smiles in ranked[:10]],
    }


def breadth(molecules: Sequence[str]) -> dict[str, int]:
    """Return how many molecules, scaffolds and circles there are of some molecules, best first."""
    scaffolds = {scaffold(smiles) for smiles in molecules}
    return {"molecules": len(molecules), "scaffolds": len(scaffolds), "circles": circles(molecules)}


def circles(ranked: Sequence[str]) -> int:
    """Return how many of some molecules, best first, keep the distance `CIRCLE` from all such before them."""
    bits = (morgan_counts(ranked) > 0).astype(np.float64)
    common, sizes = bits @ bits.T, bits.sum(axis=1)
    distances = 1 - common / np.maximum(sizes[:, None] + sizes - common, 1)
    chosen: list[int] = []
    for row in range(len(ranked)):
        if np.all(distances[row, chosen] >= CIRCLE):
            chosen.append(row)
    return len(chosen)
