"""Graphs found without a generative model: greedy ascent, its bootstrap, and a Markov chain over graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray
from models.gflownet.rewards.dag_scores import NodeScores

Bools = NDArray[np.bool_]


def climbed(scores: NodeScores, log_odds: float = 0.0) -> Bools:
    """Return (n, n) the edges of a graph that no edge added, taken away or turned makes better, from no edges on.

    Args:
        scores: of the data.
        log_odds: what each edge adds to the log of the prior.

    Reference: Heckerman, Geiger and Chickering, Machine Learning 20, 197 (1995).
    """
    n, powers = scores.n, 1 << np.arange(scores.n)
    edges, every = np.zeros((n, n), dtype=bool), np.arange(n)
    while True:
        parents = edges.T @ powers
        gains = scores.gains(every, parents).T + log_odds
        origin, target = np.nonzero(edges)
        losses = np.full((n, n), np.inf)
        if len(origin):
            fewer = scores.gains(target, parents[target] & ~powers[origin])
            losses[origin, target] = fewer[np.arange(len(origin)), origin] + log_odds
        reached = _reached(edges)
        legal = ~edges & ~reached.T
        # Turning i -> j closes a circle where a child of i other than j leads to j.
        around = (edges.astype(int) @ reached.astype(int)) > 1
        moves = np.stack(
            [
                np.where(legal, gains, -np.inf),
                np.where(edges, -losses, -np.inf),
                np.where(edges & ~around, gains.T - losses, -np.inf),
            ]
        )
        kind, i, j = np.unravel_index(int(moves.argmax()), moves.shape)
        if moves[kind, i, j] <= 1e-9:
            return edges
        edges[i, j] = kind == 0
        if kind == 2:
            edges[j, i] = True


def bootstrapped(
    data: FloatArray,
    score: Callable[[FloatArray], NodeScores],
    count: int,
    rng: np.random.Generator,
    log_odds: float = 0.0,
) -> Bools:
    """Return (count, n, n) the graphs climbed to from rows drawn with replacement.

    Args:
        data: (N, n).
        score: of data.
        count: graphs.
        rng: draws the rows.
        log_odds: as of `climbed`.

    Reference: Friedman, Goldszmidt and Wyner, Data analysis with Bayesian networks: a bootstrap approach, UAI 1999.
    """
    return np.stack([climbed(score(data[rng.integers(len(data), size=len(data))]), log_odds) for _ in range(count)])


def chain(
    scores: NodeScores, steps: int, keep: int, rng: np.random.Generator, log_odds: float = 0.0
) -> tuple[Bools, FloatArray]:
    """Return graphs of a Metropolis chain, (keep, n, n), and their log-posterior but for a constant, (keep,).

    It starts without edges; a step proposes to add, take away or turn one edge. The first half is left out, and graphs
    are kept evenly from the second.

    Args:
        scores: of the data.
        steps: of the chain.
        keep: graphs.
        rng: draws the steps.
        log_odds: as of `climbed`.

    Reference: Madigan and York, Bayesian graphical models for discrete data, Int. Stat. Rev. 63, 215 (1995).
    """
    n, known = scores.n, dict[tuple[int, int], float]()

    def local(node: int, parents: int) -> float:
        found = known.get((node, parents))
        if found is None:
            found = known[node, parents] = scores.local(node, parents) + log_odds * parents.bit_count()
        return found

    parents = [0] * n
    values = [local(node, 0) for node in range(n)]
    kept, worth = [], []
    marks = set(np.linspace(steps // 2, steps - 1, keep).astype(int).tolist())
    block = 100_000
    for step in range(steps):
        at = step % block
        if not at:
            origins = rng.integers(n, size=block).tolist()
            shifts = rng.integers(1, n, size=block).tolist()
            turns = (rng.random(block) < 0.5).tolist()
            noise = np.log(rng.random(block)).tolist()
        i = origins[at]
        j = (i + shifts[at]) % n
        there = parents[j] >> i & 1
        if turns[at]:
            if there:
                above, below = parents[j] & ~(1 << i), parents[i] | 1 << j
                new_j, new_i = local(j, above), local(i, below)
                if noise[at] < new_j + new_i - values[j] - values[i] and not _leads(parents, i, above):
                    parents[j], parents[i], values[j], values[i] = above, below, new_j, new_i
        else:
            changed = parents[j] ^ 1 << i
            new = local(j, changed)
            if noise[at] < new - values[j] and (there or not _leads(parents, j, 1 << i)):
                parents[j], values[j] = changed, new
        if step in marks:
            kept.append(tuple(parents))
            worth.append(sum(values))
    graphs = np.array(kept, dtype=np.int64)
    return (graphs[:, None, :] >> np.arange(n)[None, :, None] & 1).astype(bool), np.array(worth)


def _leads(parents: list[int], node: int, to: int) -> bool:
    """Whether a path leads from a node to one of a set of nodes."""
    seen = 0
    while to:
        if to >> node & 1:
            return True
        seen |= to
        one = to & -to
        to = (to ^ one) | (parents[one.bit_length() - 1] & ~seen)
    return False


def _reached(edges: Bools) -> Bools:
    """Return (n, n) whether a path leads from row to column; every node reaches itself."""
    reached: Bools = edges | np.eye(len(edges), dtype=bool)
    for _ in range(max(1, (len(edges) - 1).bit_length())):
        reached = (reached.astype(np.int64) @ reached.astype(np.int64)) > 0
    return reached
