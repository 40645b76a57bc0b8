"""What a linear Gaussian network predicts of a new row under an intervention, its parameters integrated out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data.records import FloatArray
from models.causal.graph_draws import Graphs
from models.gflownet.rewards.dag_scores import GaussianScores


@dataclass(frozen=True, slots=True)
class Setting:
    """An experiment: what an experimenter sets, and to what; nothing is set where a row is merely observed."""

    node: int | None = None
    value: float = 0.0


@dataclass(frozen=True)
class _Law:
    """Of a node given its parents x: Student's t with `freedom`, middle `base + slopes x`, and a scale.

    Attributes:
        parents: their numbers.
        freedom: degrees.
        base, slopes: of the middle.
        spread: square of the scale at the middle of the parents, times the degrees of freedom.
        centre, inverse: middle of the parents and inverse of their scatter, shapes `(p,)` and `(p, p)`.
    """

    parents: tuple[int, ...]
    freedom: float
    base: float
    slopes: FloatArray
    spread: float
    centre: FloatArray
    inverse: FloatArray

    def at(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return middle and scale for m rows, each shape `(m,)`."""
        given = rows[:, self.parents]
        away = given - self.centre
        apart = np.einsum("mi,ij,mj->m", away, self.inverse, away)
        return self.base + given @ self.slopes, np.sqrt(self.spread * (1.0 + apart) / self.freedom)

    def log_density(self, values: FloatArray, rows: FloatArray) -> FloatArray:
        """Return the log-density of m values beside their rows, shape `(m,)`."""
        middle, scale = self.at(rows)
        v = self.freedom
        constant = math.lgamma((v + 1) / 2) - math.lgamma(v / 2) - 0.5 * math.log(v * math.pi)
        found: FloatArray = constant - np.log(scale) - (v + 1) / 2 * np.log1p(((values - middle) / scale) ** 2 / v)
        return found


class Predictive:
    """New rows under graphs, given data: the law of the normal-Wishart prior that the BGe score is of.

    The density of a row under a graph is exp of what it would add to the graph's score: of each node but the one that
    is set, Student's t given its parents, from the rows in which the node was not set.

    Reference: Geiger and Heckerman, Learning Gaussian networks, UAI 1994, theorem 3.
    """

    def __init__(self, scores: GaussianScores) -> None:
        self._scores = scores
        self.n = scores.n
        self._laws: dict[tuple[int, int], _Law] = {}

    def law(self, node: int, parents: int) -> _Law:
        """Return the law of a node given a set of parents."""
        found = self._laws.get((node, parents))
        if found is None:
            found = self._laws[node, parents] = self._made(node, parents)
        return found

    def _made(self, node: int, parents: int) -> _Law:
        count, mean, scatter = self._scores.moments(node)
        own = tuple(i for i in range(self.n) if parents >> i & 1)
        mu, freedom = 1.0 + count, 3.0 + count  # of the middle; alpha_w - n + 1 with alpha_w = n + 2
        # A row is as uncertain as its mean and itself: scatter (mu + 1) / mu.
        wide = scatter * (mu + 1.0) / mu
        middle = mean * count / mu
        if not own:
            nothing = np.zeros(0)
            return _Law((), freedom, float(middle[node]), nothing, float(wide[node, node]), nothing, np.zeros((0, 0)))
        inverse: FloatArray = np.asarray(np.linalg.inv(wide[np.ix_(own, own)]), dtype=np.float64)
        slopes: FloatArray = inverse @ wide[list(own), node]
        left = float(wide[node, node] - wide[node, list(own)] @ slopes)
        centre = middle[list(own)]
        return _Law(
            own, freedom + len(own), float(middle[node] - centre @ slopes), slopes, max(left, 1e-12), centre, inverse
        )

    def draw(self, graphs: Graphs, setting: Setting, rng: np.random.Generator) -> FloatArray:
        """Return a row of each of m graphs under an experiment, shape `(m, n)`."""
        m, n = graphs.shape
        rows, done = np.zeros((m, n)), np.zeros(m, dtype=np.int64)
        if setting.node is not None:
            rows[:, setting.node] = setting.value
            done |= 1 << setting.node
        whole = (1 << n) - 1
        while (done != whole).any():
            for node in range(n):
                ready = np.flatnonzero(((done >> node & 1) == 0) & ((graphs[:, node] & ~done) == 0))
                for parents in np.unique(graphs[ready, node]).tolist():
                    here = ready[graphs[ready, node] == parents]
                    law = self.law(node, parents)
                    middle, scale = law.at(rows[here])
                    rows[here, node] = middle + scale * rng.standard_t(law.freedom, len(here))
                done[ready] |= 1 << node
        return rows

    def log_densities(self, rows: FloatArray, graphs: Graphs, setting: Setting) -> FloatArray:
        """Return the log-densities of s rows under m graphs, shape `(s, m)`."""
        found = np.zeros((len(rows), len(graphs)))
        for node in range(self.n):
            if node == setting.node:
                continue
            sets, which = np.unique(graphs[:, node], return_inverse=True)
            own = np.stack([self.law(node, int(one)).log_density(rows[:, node], rows) for one in sets], axis=1)
            found += own[:, which.ravel()]
        return found
