"""Scores of Bayesian networks: the log marginal likelihood of data under a graph, as a sum over its nodes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray

TABLED = 12
"""Most nodes of which the scores of all parent sets are worked out at once: 2^n each."""


class NodeScores(ABC):
    """log P(data | graph) = sum over nodes j of local(j, parents of j); parent sets are numbers, bit i for node i.

    A variable that an experimenter sets says nothing about what it depends on otherwise: rows in which j was set are
    left out of the term of j, and stay in those of all others.

    Args:
        data: (N, n), a row per observation.
        intervened: (N, n) bool, which variables were set; None: none was.

    Reference: Cooper and Yoo, Causal discovery from a mixture of experimental and observational data, UAI 1999.
    """

    def __init__(self, data: FloatArray, intervened: NDArray[np.bool_] | None = None) -> None:
        self.data = data
        self.n = data.shape[1]
        self.kept: NDArray[np.bool_] = np.ones(data.shape, dtype=bool) if intervened is None else ~intervened
        """(N, n) bool, the rows that count in the term of each node."""
        self._known: dict[int, float] = {}

    @abstractmethod
    def local(self, node: int, parents: int) -> float:
        """Return the score of a node with a set of parents, the node not among them."""

    def of(self, nodes: np.ndarray, parents: np.ndarray) -> FloatArray:
        """Return the scores of pairs of nodes and parent sets, each of shape `(m,)`."""
        if self.n <= TABLED:
            values: FloatArray = self.table[nodes, parents]
            return values
        # Of a batch of graphs most nodes have few different sets of parents: each is looked up once.
        keys, which = np.unique(parents * self.n + nodes, return_inverse=True)
        known, asked = self._known, keys.tolist()
        new = np.array([key for key in asked if key not in known], dtype=np.int64)
        if len(new):
            known.update(zip(new.tolist(), self.locals(new % self.n, new // self.n).tolist(), strict=True))
        return np.array([known[key] for key in asked])[which.ravel()]

    def locals(self, nodes: np.ndarray, parents: np.ndarray) -> FloatArray:
        """Return the same of m pairs, each worked out."""
        return np.array([self.local(*pair) for pair in zip(nodes.tolist(), parents.tolist(), strict=True)])

    def gains(self, nodes: NDArray[np.int64], parents: NDArray[np.int64]) -> FloatArray:
        """Return (m, n) what each variable would add to the score of a node as one more parent, 0 where it is one.

        Args:
            nodes: m nodes.
            parents: (m,), their parents.
        """
        n = self.n
        more = parents[:, None] | 1 << np.arange(n)
        new = (more != parents[:, None]) & (nodes[:, None] != np.arange(n))
        found = np.zeros((len(nodes), n))
        found[new] = self.of(np.repeat(nodes, n)[new.ravel()], more[new])
        return np.where(new, found - self.of(nodes, parents)[:, None], 0.0)

    @cached_property
    def table(self) -> FloatArray:
        """All scores, `(n, 2^n)`; minus infinity where a node would be its own parent."""
        found = np.full((self.n, 1 << self.n), -np.inf)
        for node in range(self.n):
            for parents in range(1 << self.n):
                if not parents >> node & 1:
                    found[node, parents] = self.local(node, parents)
        return found


class GaussianScores(NodeScores):
    """BGe: linear Gaussian networks with a normal-Wishart prior, alpha_mu = 1, alpha_w = n + 2, mean 0.

    Graphs that say the same of the data (one equivalence class) have one score.

    Reference: Geiger and Heckerman, Learning Gaussian networks, UAI 1994; corrected by Kuipers, Moffa and Heckerman,
    Ann. Statist. 42, 1689 (2014).
    """

    def __init__(self, data: FloatArray, intervened: NDArray[np.bool_] | None = None) -> None:
        super().__init__(data, intervened)
        n = self.n
        self._mu, self._w = 1.0, n + 2.0
        self._t = self._mu * (self._w - n - 1.0) / (self._mu + 1.0)
        kept, self._own = np.unique(self.kept, axis=1, return_inverse=True)
        self._own = self._own.ravel()
        self._rows = kept.sum(0).tolist()
        self._r = [self._scatter(data[rows]) for rows in kept.T]
        self._dets: dict[tuple[int, int], float] = {}

    def _scatter(self, data: FloatArray) -> FloatArray:
        n_rows, n = data.shape
        mean = data.sum(0) / max(n_rows, 1)
        centred, shift = data - mean, n_rows * self._mu / (n_rows + self._mu)
        scatter: FloatArray = self._t * np.eye(n) + centred.T @ centred + shift * np.outer(mean, mean)
        return scatter

    def moments(self, node: int) -> tuple[int, FloatArray, FloatArray]:
        """Return of the rows that count for a node their number, their mean (n,), and prior and scatter R (n, n)."""
        rows = self.data[self.kept[:, node]]
        mean: FloatArray = rows.sum(0) / max(len(rows), 1)
        return len(rows), mean, self._r[int(self._own[node])]

    def local(self, node: int, parents: int) -> float:
        """Return the score of a node with a set of parents."""
        own = int(self._own[node])
        n_rows, n, w, p = self._rows[own], self.n, self._w, parents.bit_count()
        alone, joined = self._log_det(own, parents), self._log_det(own, parents | 1 << node)
        score: float = (
            self._constant(n_rows, p) + (n_rows + w - n + p) / 2 * alone - (n_rows + w - n + p + 1) / 2 * joined
        )
        return score

    def _constant(self, n_rows: int, p: int) -> float:
        """Return what depends on the numbers of rows and parents alone."""
        w, n = self._w, self.n
        found: float = (
            0.5 * (math.log(self._mu) - math.log(n_rows + self._mu))
            + math.lgamma((n_rows + w - n + p + 1) / 2)
            - math.lgamma((w - n + p + 1) / 2)
            - n_rows / 2 * math.log(math.pi)
            + (w - n + 2 * p + 1) / 2 * math.log(self._t)
        )
        return found

    def locals(self, nodes: np.ndarray, parents: np.ndarray) -> FloatArray:
        """Return the scores of m pairs, determinants of one size together."""
        found = np.empty(len(nodes))
        members = (parents[:, None] >> np.arange(self.n) & 1).astype(bool)
        sizes, owns = members.sum(1), self._own[nodes]
        for own, p in {*zip(owns.tolist(), sizes.tolist(), strict=True)}:
            here = np.flatnonzero((owns == own) & (sizes == p))
            places = np.nonzero(members[here])[1].reshape(len(here), p)
            joined = np.concatenate([places, nodes[here, None]], axis=1)
            r = self._r[own]
            both = np.linalg.slogdet(r[joined[:, :, None], joined[:, None, :]])[1]
            alone = np.linalg.slogdet(r[places[:, :, None], places[:, None, :]])[1] if p else 0.0
            half = (self._rows[own] + self._w - self.n + p) / 2
            found[here] = self._constant(self._rows[own], p) + half * alone - (half + 0.5) * both
        return found

    def gains(self, nodes: NDArray[np.int64], parents: NDArray[np.int64]) -> FloatArray:
        """Return (m, n) what each variable would add, by the scatter that the parents leave unexplained."""
        members = (parents[:, None] >> np.arange(self.n) & 1).astype(bool)
        found, sizes, owns = np.zeros((len(nodes), self.n)), members.sum(1), self._own[nodes]
        for own, p in sorted({(int(a), int(b)) for a, b in zip(owns, sizes, strict=True)}):
            here = np.flatnonzero((owns == own) & (sizes == p))
            r, node, rows = self._r[own], nodes[here], self._rows[own]
            diagonal = np.broadcast_to(np.diag(r), (len(here), self.n))
            beside = r[node]
            if p:
                places = np.nonzero(members[here])[1].reshape(len(here), p)
                across = r[places]  # (m, p, n)
                explained = np.linalg.solve(r[places[:, :, None], places[:, None, :]], across)
                diagonal = diagonal - (across * explained).sum(1)
                beside = beside - (across[np.arange(len(here)), :, node][:, :, None] * explained).sum(1)
            own_left = diagonal[np.arange(len(here)), node][:, None]
            new = ~members[here]
            new[np.arange(len(here)), node] = False
            share = np.where(new, beside**2 / (own_left * np.where(new, diagonal, 1.0)), 0.0)
            # With u the scatter of one more parent and v that of the node, |R| of both is u v (1 - share).
            step = self._constant(rows, p + 1) - self._constant(rows, p)
            scatter = 0.5 * np.log(own_left * np.where(new, diagonal, 1.0))
            told = ((rows + self._w - self.n + p) / 2 + 1.0) * np.log1p(-np.minimum(share, 1.0 - 1e-15))
            found[here] = np.where(new, step - scatter - told, 0.0)
        return found

    def _log_det(self, own: int, subset: int) -> float:
        known = self._dets.get((own, subset))
        if known is None:
            rows = [i for i in range(self.n) if subset >> i & 1]
            block = self._r[own][np.ix_(rows, rows)]
            known = self._dets[own, subset] = float(np.linalg.slogdet(block)[1]) if rows else 0.0
        return known


class DiscreteScores(NodeScores):
    """BDeu: tables of conditional probabilities with a Dirichlet prior of equivalent sample size 1.

    Args:
        data: (N, n), whole numbers: which state a variable has.
        intervened: as of every score.

    Raises:
        ValueError: a value is no whole number.

    Reference: Heckerman, Geiger and Chickering, Learning Bayesian networks, Machine Learning 20, 197 (1995).
    """

    def __init__(self, data: FloatArray, intervened: NDArray[np.bool_] | None = None) -> None:
        super().__init__(data, intervened)
        if (data != np.round(data)).any():
            row, column = np.argwhere(data != np.round(data))[0]
            raise ValueError(
                f"The score 'bde' counts states, which are whole numbers; got {data[row, column]:g} in row {row + 1} "
                f"of variable {column + 1}. Use the score 'bge' for measured values, or number the states."
            )
        self._codes = [np.unique(column, return_inverse=True)[1] for column in data.T]
        self._states = [int(codes.max()) + 1 for codes in self._codes]

    def local(self, node: int, parents: int) -> float:
        """Return the score of a node with a set of parents."""
        r, q = self._states[node], 1
        place = np.zeros(len(self.data), dtype=np.int64)
        for i in range(self.n):
            if parents >> i & 1:
                place, q = place * self._states[i] + self._codes[i], q * self._states[i]
        a, b = 1.0 / q, 1.0 / (q * r)
        kept = self.kept[:, node]
        together = np.unique((place * r + self._codes[node])[kept], return_counts=True)[1]
        above = np.unique(place[kept], return_counts=True)[1]
        # Configurations that were never seen add nothing: their terms cancel.
        return math.fsum(math.lgamma(c + b) - math.lgamma(b) for c in together.tolist()) - math.fsum(
            math.lgamma(c + a) - math.lgamma(a) for c in above.tolist()
        )


SCORES: dict[str, type[NodeScores]] = {"bge": GaussianScores, "bde": DiscreteScores}


def reference_data(n: int) -> FloatArray:
    """Return 50 observations (50, n) of up to eight variables by a formula: what exact values of tests are of.

    Raises:
        ValueError: there are no more than eight.
    """
    if not 1 <= n <= 8:
        raise ValueError(f"The variables by formula are eight; got {n} nodes. Give a file of data for more.")
    t = np.arange(50.0)
    z = [np.sin(1.7 * (k + 1) * (t + 1)) + np.cos(0.9 * (k + 2) * (t + 1)) for k in range(8)]
    x = [z[0]]
    x.append(0.8 * x[0] + 0.5 * z[1])
    x.append(z[2] - 0.7 * x[1])
    x.append(0.6 * x[0] + 0.4 * z[3])
    x.append(0.5 * x[3] + 0.4 * z[4])
    x.append(z[5])
    x.append(0.7 * x[5] - 0.6 * x[2] + 0.3 * z[6])
    x.append(0.5 * x[6] + 0.5 * z[7])
    return np.stack(x[:n], axis=1)
