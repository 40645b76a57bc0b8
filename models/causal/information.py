"""What an experiment is expected to tell about a graph: how far graphs foresee its answer, and their mix does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from data.records import FloatArray
from models.causal.graph_draws import Graphs
from models.causal.predictive import Predictive, Setting


class ExpectedInformation:
    """Mutual information of the graph and an experiment's row, in nats: H[y | mix of graphs] - mean H[y | graph].

    Rows are drawn of each graph, and both entropies taken over them. Of several experiments together the rows of one
    graph are taken for independent, so that log-densities add: what they would tell of the parameters is left out.

    Reference: Lindley, On a measure of the information provided by an experiment, Ann. Math. Statist. 27, 986 (1956);
    Murphy, Active learning of causal Bayes net structure, UC Berkeley (2001).

    Args:
        predictive: the law of rows under graphs.
        graphs: m draws of the posterior over graphs.
        draws: rows of each graph.
        seed: of the rows.
    """

    def __init__(self, predictive: Predictive, graphs: Graphs, *, draws: int = 2, seed: int = 0) -> None:
        self._predictive, self._seed = predictive, seed
        self._graphs, self._counts = np.unique(graphs, axis=0, return_counts=True)
        self._log_weights = np.log(self._counts / self._counts.sum())
        self._own = np.repeat(np.arange(len(self._graphs)), self._counts * draws)
        self._known: dict[Setting, FloatArray] = {}

    def _densities(self, setting: Setting) -> FloatArray:
        """Return `(s, m)` the log-densities of rows drawn of each graph under each graph."""
        found = self._known.get(setting)
        if found is None:
            node = -1 if setting.node is None else setting.node
            rng = np.random.default_rng([self._seed, node + 1, abs(hash(setting.value)) % 2**32])
            rows = self._predictive.draw(self._graphs[self._own], setting, rng)
            found = self._known[setting] = self._predictive.log_densities(rows, self._graphs, setting)
        return found

    def _information(self, densities: FloatArray) -> float:
        own = densities[np.arange(len(densities)), self._own]
        mix = logsumexp(densities + self._log_weights, axis=1)
        return float((own - mix).mean())

    def gains(self, settings: Sequence[Setting]) -> FloatArray:
        """Return the expected information of each of k experiments, in nats, shape `(k,)`."""
        known = {one: self._information(self._densities(one)) for one in dict.fromkeys(settings)}
        return np.array([known[one] for one in settings])

    def together(self, settings: Sequence[Setting], n: int) -> list[int]:
        """Return the places of n experiments, each the one that adds most to those before it; ties by place."""
        chosen: list[int] = []
        total = np.zeros((len(self._own), len(self._graphs)))
        while len(chosen) < min(n, len(settings)):
            known: dict[Setting, float] = {}
            for number, one in enumerate(settings):
                if number not in chosen and one not in known:
                    known[one] = self._information(total + self._densities(one))
            free = [number for number in range(len(settings)) if number not in chosen]
            best = max(free, key=lambda number: (known[settings[number]], -number))
            chosen.append(best)
            total = total + self._densities(settings[best])
        return chosen
