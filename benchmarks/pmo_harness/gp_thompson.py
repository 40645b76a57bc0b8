"""A Gaussian process on counts with Thompson sampling over a genetic search: the usual strong peer at few calls.

After Tripp and Hernandez-Lobato (arXiv 2310.09267) and the GP-BO of mol_opt: Tanimoto kernel on Morgan counts, one
scale and one noise ratio by the likelihood on a grid; each round offspring of the best known, a joint draw for each
purchase.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from benchmarks.pmo_harness.protocol import Evaluations
from data.chemistry.molecules import morgan_counts
from data.records import FloatArray
from models.featurisers.nearness import min_max
from models.spaces.base import Variation

NOISE = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
REFIT = 5
"""Rounds between two choices of the noise ratio."""


class TanimotoProcess:
    """y ~ N(mean, a (T + noise I)), a and the mean in closed form.

    Args:
        counts: shape `(n, d)`.
        values: shape `(n,)`.
        noise: ratio of noise to signal; None: the most likely of `NOISE`.
    """

    def __init__(self, counts: Any, values: FloatArray, noise: float | None) -> None:
        self.counts, self.values = counts, values
        self.kernel = min_max(counts, counts)
        self.noise = noise or max(NOISE, key=lambda ratio: self._condition(ratio))
        self._condition(self.noise)

    def _condition(self, noise: float) -> float:
        n = len(self.values)
        self.factor = cholesky(self.kernel + noise * np.eye(n), lower=True)
        ones = cho_solve((self.factor, True), np.ones(n))
        self.mean = float(ones @ self.values / ones.sum())
        self.weights = cho_solve((self.factor, True), self.values - self.mean)
        self.scale = max(float((self.values - self.mean) @ self.weights) / n, 1e-12)
        return -0.5 * n * float(np.log(self.scale)) - float(np.log(self.factor.diagonal()).sum())

    def marginals(self, counts: Any) -> tuple[FloatArray, FloatArray]:
        """Return mean and deviation at new counts, each `(m,)`."""
        cross = min_max(counts, self.counts)
        half = solve_triangular(self.factor, cross.T, lower=True)
        return self.mean + cross @ self.weights, np.sqrt(self.scale * np.maximum(1.0 - np.square(half).sum(0), 0.0))

    def draws(self, counts: Any, n: int, rng: np.random.Generator) -> FloatArray:
        """Return n joint draws at new counts, shape `(n, m)`."""
        cross = min_max(counts, self.counts)
        half = solve_triangular(self.factor, cross.T, lower=True)
        values, vectors = np.linalg.eigh(self.scale * (min_max(counts, counts) - half.T @ half))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.array(
            [self.mean + cross @ self.weights + root @ normal for normal in rng.standard_normal((n, len(root)))]
        )


def search(
    evaluations: Evaluations, library: list[str], variation: Variation, seed: int, options: dict[str, Any]
) -> None:
    """Spend the calls; the last one too many raises `BudgetSpentError`.

    Args:
        evaluations: the oracle.
        library: molecules to start from, in random order.
        variation: graph edits.
        seed: of everything.
        options: start, batch, generations, offspring, population, carried, fresh, pool, mutation_share.
    """
    rng = np.random.default_rng(seed)
    for smiles in library[: options["start"]]:
        evaluations(smiles)
    carried: list[str] = []
    noise: float | None = None
    counts: dict[str, Any] = {}
    for turn in range(10 * evaluations.budget):
        known = evaluations.values
        process = TanimotoProcess(
            _counts(list(known), counts), np.array(list(known.values())), None if turn % REFIT == 0 else noise
        )
        noise = process.noise
        beta = 10 ** rng.uniform(-2.0, 0.0)

        def scored(names: list[str], process: TanimotoProcess = process, beta: float = beta) -> dict[str, float]:
            if not names:
                return {}
            mean, deviation = process.marginals(_counts(names, counts))
            return dict(zip(names, (mean + beta * deviation).tolist(), strict=True))

        best = sorted(known, key=lambda smiles: -known[smiles])[: options["population"]]
        fresh = [library[i] for i in rng.permutation(len(library))[: options["fresh"]]]
        met = scored([s for s in dict.fromkeys([*carried, *fresh]) if s not in known])
        population = {**{smiles: known[smiles] for smiles in best}, **met}
        for _ in range(options["generations"]):
            parents = sorted(population, key=lambda smiles: (-population[smiles], smiles))[: options["population"]]
            children = (_child(parents, variation, rng, options["mutation_share"]) for _ in range(options["offspring"]))
            new = scored([c for c in dict.fromkeys(children) if c and c not in met and c not in known])
            met |= new
            population = {**{smiles: population[smiles] for smiles in parents}, **new}
        pool = sorted(met, key=lambda smiles: (-met[smiles], smiles))[: options["pool"]]
        taken: list[int] = []
        for draw in process.draws(_counts(pool, counts), min(options["batch"], len(pool)), rng):
            draw[taken] = -np.inf
            taken.append(int(draw.argmax()))
        for place in taken:
            evaluations(pool[place])
        carried = [smiles for smiles in pool if smiles not in evaluations.values][: options["carried"]]


def _child(parents: list[str], variation: Variation, rng: np.random.Generator, mutation_share: float) -> str | None:
    first, second = (parents[int(len(parents) * 10 ** rng.uniform(-2.5, 0))] for _ in range(2))
    return variation.mutate(first, rng) if rng.random() < mutation_share else variation.crossover(first, second, rng)


def _counts(names: list[str], remembered: dict[str, Any]) -> Any:
    new = [smiles for smiles in names if smiles not in remembered]
    if new:
        remembered.update(zip(new, morgan_counts(new), strict=True))
    return np.array([remembered[smiles] for smiles in names])
