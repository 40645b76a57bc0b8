"""Active learning of causal graphs: do experiments chosen by expected information find the graph sooner?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.records import FloatArray
from models.causal.accuracy import edge_auroc, expected_distance
from models.causal.graph_draws import MOST, GraphLaw, edges_of
from models.causal.information import ExpectedInformation
from models.causal.predictive import Predictive, Setting
from models.causal.simulated import LinearSystem
from models.gflownet.judging.dag_posterior import edge_marginals
from models.gflownet.rewards.dag_scores import GaussianScores
from models.registry import Component
from models.systems.base import Bench, Check, System

ARMS = ("informative", "random", "observed")
AWAY = 2.0
"""Standard deviations of what was observed that a variable is set to, above or below its mean."""
DRAWS = 300


class InterventionDesignClaim(System["InterventionDesignClaim.Options"]):
    """The next experiment is the one whose answer tells most about the graph."""

    kind: ClassVar[str] = "intervention_design"
    cites: ClassVar[tuple[str, ...]] = ("murphy2001active", "cooper1999causal", "lindley1956measure")
    title: ClassVar[str] = "Active learning of causal graphs"
    claim: ClassVar[str] = (
        "Interventions chosen by the expected information of their outcome about the graph find it with fewer "
        "experiments than interventions at random, and both with fewer than observations."
    )
    protocol: ClassVar[str] = (
        "12 linear Gaussian systems of 6 variables a seed: Erdos-Renyi graphs of 6 edges on average, weights of "
        "size 0.5 to 2, unit noise. 30 observed rows, then 12 experiments one by one, each a single row: one of "
        "the variables set two standard deviations below or above its mean, or none. After each the exact "
        "posterior over graphs (BGe, uniform prior; a row says nothing about the variable that was set in it). "
        "Measured: expected structural Hamming distance of 300 exact draws to the true graph, a turned edge "
        "counting once, and AUROC of the exact probabilities of edges. The arms share systems, observations and "
        "the number of rows: expected information (300 graphs, 600 rows an experiment), one of the 12 "
        "interventions at random, and rows in which nothing is set."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (
        ("space", "interventions"),
        ("proxy", "causal_graphs"),
        ("acquisition", "expected_information_gain"),
    )
    example: ClassVar[str] = "campaigns/interventions/campaign.yaml"
    axes: ClassVar[tuple[str, str]] = ("Experiments", "Expected structural Hamming distance")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("over the course, chosen interventions leave a smaller distance than random ones",
              "informative_course", than="random_course", at_most=0.0),
        Check("after all experiments, chosen interventions leave a smaller distance than random ones",
              "informative_distance", than="random_distance", at_most=0.0),
        Check("after all experiments, chosen interventions leave a smaller distance than observations",
              "informative_distance", than="observed_distance", at_most=0.0),
        Check("after all experiments, random interventions leave a smaller distance than observations",
              "random_distance", than="observed_distance", at_most=0.0),
        Check("after all experiments, chosen interventions rank edges better than observations (AUROC)",
              "informative_auroc", than="observed_auroc", at_least=0.0),
        Check("after all experiments, AUROC of chosen interventions less that of random ones",
              "informative_auroc", than="random_auroc"),
    )  # fmt: skip

    class Options(Component.Options):
        """How long the trial takes."""

        systems: int = Field(12, ge=1, description="systems of each seed")
        nodes: int = Field(6, ge=2, le=MOST, description="variables of each")
        observed: int = Field(30, ge=2, description="rows that are observed first")
        experiments: int = Field(12, ge=1, description="experiments of each arm")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Experiment on several systems with each arm; return distances, areas and entropies."""
        options = self.options
        told: dict[str, list[FloatArray]] = {arm: [] for arm in ARMS}
        total = options.systems * len(ARMS)
        for number in range(options.systems):
            rng = np.random.default_rng([seed, number])
            system = LinearSystem.drawn(options.nodes, options.nodes, rng)
            first = system.rows(options.observed, rng)
            for place, arm in enumerate(ARMS):
                told[arm].append(self._course(arm, system, first, [seed, number, place]))
                bench.progress(number * len(ARMS) + place + 1, total, {})
        figures: dict[str, Any] = {}
        curves: dict[str, list[list[float]]] = {}
        for arm, courses in told.items():
            mean = np.mean(courses, axis=0)  # (experiments + 1, 3)
            figures |= {
                f"{arm}_course": float(mean[1:, 0].mean()),
                f"{arm}_distance": float(mean[-1, 0]),
                f"{arm}_auroc": float(mean[-1, 1]),
                f"{arm}_entropy": float(mean[-1, 2]),
            }
            curves[arm] = [list(map(float, range(len(mean)))), mean[:, 0].tolist()]
        figures |= {"first_distance": float(np.mean(told["observed"], axis=0)[0, 0])}
        return figures | {"curves": curves}

    def _course(self, arm: str, system: LinearSystem, first: FloatArray, seed: list[int]) -> FloatArray:
        """Return (experiments + 1, 3): distance, AUROC and entropy after each experiment."""
        n, rng = self.options.nodes, np.random.default_rng(seed)
        centre, spread = first.mean(0), first.std(0)
        rows, marked = (first - centre) / spread, np.zeros(first.shape, dtype=bool)
        every = [Setting(), *(Setting(node, way * AWAY) for node in range(n) for way in (-1, 1))]
        found = []
        for number in range(self.options.experiments + 1):
            scores = GaussianScores(rows, marked)
            law = GraphLaw(scores.table)
            graphs = law.draw(DRAWS, rng)
            found.append([
                expected_distance(edges_of(graphs), system.edges),
                edge_auroc(edge_marginals(scores.table), system.edges),
                float(-law.of(graphs).mean()),
            ])  # fmt: skip
            if number == self.options.experiments:
                break
            if arm == "informative":
                expected = ExpectedInformation(Predictive(scores), graphs, seed=int(rng.integers(2**31)))
                setting = every[int(np.argmax(expected.gains(every)))]
            else:
                setting = every[0] if arm == "observed" else every[int(rng.integers(1, len(every)))]
            node = setting.node
            value = 0.0 if node is None else centre[node] + setting.value * spread[node]
            row = system.rows(1, rng, node=node, value=value)
            rows = np.vstack([rows, (row - centre) / spread])
            marked = np.vstack([marked, [[place == node for place in range(n)]]])
        return np.array(found)
