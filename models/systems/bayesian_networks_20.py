"""DAG-GFlowNet on twenty variables: graphs that generated the data are known, their posterior is not."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from data.config import derive_seed
from data.records import FloatArray
from models.causal.accuracy import edge_auroc, expected_distance
from models.causal.simulated import LinearSystem
from models.causal.structure_search import Bools, bootstrapped, chain, climbed
from models.gflownet.environments.dag import DagEnvironment
from models.gflownet.rewards.dag_scores import GaussianScores
from models.gflownet.training.trajectories import sample_forward
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import train

GRAPHS = 1000
"""Graphs drawn from each law."""


class LargeBayesianNetworksClaim(System["LargeBayesianNetworksClaim.Options"]):
    """Graphs of twenty variables, too many for any exact value, beside searches and chains over graphs."""

    kind: ClassVar[str] = "bayesian_networks_20"
    cites: ClassVar[tuple[str, ...]] = ("deleu2022bayesian", "friedman1999data", "madigan1995bayesian")
    title: ClassVar[str] = "DAG-GFlowNet, graphs of 20 variables"
    claim: ClassVar[str] = (
        "Graphs of 20 variables sampled by a GFlowNet are nearer to the true graph, in expected structural Hamming "
        "distance, than those of bootstrapped greedy search and of Markov chains over graphs, and rank edges better."
    )
    protocol: ClassVar[str] = (
        "A seed draws a linear Gaussian system: Erdos-Renyi graph with 20 edges expected, standard normal weights, "
        "noise of deviation 0.1, 100 observations, here scaled to unit variance. BGe score; for all arms the prior "
        "expects 20 edges. Modified detailed balance with the policy `edge_gains`; 1,000 graphs are drawn. Beside it "
        "a graph by greedy search, 100 of bootstrapped greedy search, 1,000 of a Metropolis chain (a step adds, takes "
        "away or turns an edge), and no edges at all. The chain has 20 million steps, which take "
        "less CPU time than the training."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (
        ("environment", "dag"),
        ("objective", "modified_detailed_balance"),
        ("policy", "edge_gains"),
    )
    settings: ClassVar[tuple[str, ...]] = ("environment: {expected_edges: 20}",)
    example: ClassVar[str] = "campaigns/samplers/dags_sparse.yaml"
    axes: ClassVar[tuple[str, str]] = ("Trajectories", "Loss (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("Sampled graphs are nearer to the true one than those of bootstrapped greedy search (E-SHD)",
              "gflownet_eshd", than="bootstrap_eshd", at_most=0.0),
        Check("Edges are ranked better than by bootstrapped greedy search (AUROC)", "gflownet_auroc",
              than="bootstrap_auroc", at_least=0.0),
        Check("Sampled graphs are nearer to the true one than those of a Markov chain (E-SHD)",
              "gflownet_eshd", than="chain_eshd", at_most=0.0),
        Check("Probabilities of edges agree with those of the Markov chain (mean error)", "edges_apart", at_most=0.03),
        Check("AUROC of edges", "gflownet_auroc"),
        Check("AUROC of edges by the Markov chain", "chain_auroc"),
        Check("E-SHD of one graph by greedy search", "greedy_eshd"),
        Check("E-SHD of the graph without edges", "empty_eshd"),
        Check("Mean log-posterior of sampled graphs against those of the Markov chain", "gflownet_score",
              than="chain_score"),
    )  # fmt: skip

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(100, ge=2, description="steps of the training")
        chain_steps: int = Field(20_000_000, ge=1000, description="steps of the Markov chain")
        nodes: int = Field(20, ge=4, le=32, description="variables")
        resamplings: int = Field(100, ge=2, description="graphs of bootstrapped greedy search")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Draw a system, and find its graph in all ways; return distances and areas."""
        n, rng = self.options.nodes, np.random.default_rng(derive_seed(seed, "system"))
        system = LinearSystem.drawn(n, n, rng, deviation=0.1, normal=True)
        data = system.rows(100, rng)
        data = (data - data.mean(0)) / data.std(0)
        env, graphs, curve = self._trained(data, seed, bench)
        scores = GaussianScores(data)
        chained, worth = chain(
            scores, self.options.chain_steps, GRAPHS, np.random.default_rng(derive_seed(seed, "chain")), env.log_odds
        )
        resampled = np.random.default_rng(derive_seed(seed, "bootstrap"))
        arms = {
            "gflownet": graphs.edges.numpy(),
            "chain": chained,
            "bootstrap": bootstrapped(data, GaussianScores, self.options.resamplings, resampled, env.log_odds),
            "greedy": climbed(scores, env.log_odds)[None],
            "empty": np.zeros((1, n, n), dtype=bool),
        }
        figures: dict[str, Any] = {}
        for name, edges in arms.items():
            figures |= _figures(name, edges, system.edges)
        apart = ~np.eye(n, dtype=bool)
        return figures | {
            "edges_apart": float(np.abs(arms["gflownet"].mean(0) - chained.mean(0))[apart].mean()),
            "gflownet_score": float(env.log_reward(graphs).mean()),
            "chain_score": float(worth.mean()),
            "true_edges": float(system.edges.sum()),
            "curves": {"modified detailed balance": curve},
        }

    def _trained(self, data: FloatArray, seed: int, bench: Bench) -> tuple[DagEnvironment, Any, list[list[float]]]:
        """Return the environment of data, graphs that the trained policy draws, and the loss against trajectories."""
        n = self.options.nodes
        with TemporaryDirectory() as folder:
            file = Path(folder) / "rows.csv"
            header = ",".join(f"X{i}" for i in range(n))
            np.savetxt(file, data, delimiter=",", header=header, comments="", fmt="%.17g")
            training = train(_sampler(file, n, self.options.steps), seed, bench)
        trainer = training.session.trainer
        assert isinstance(trainer.env, DagEnvironment)
        generator = torch.Generator().manual_seed(derive_seed(seed, "graphs"))
        graphs = sample_forward(trainer.env, trainer.policy, GRAPHS, generator).terminal
        x, y = training.curve("loss")
        every = max(1, len(x) // 40)
        return trainer.env, graphs, [x[::every], y[::every]]


def _sampler(data: Path, nodes: int, steps: int) -> dict[str, Any]:
    return {
        "environment": {"kind": "dag", "data": str(data), "expected_edges": nodes},
        "policy": {"kind": "edge_gains"},
        "objective": {"kind": "modified_detailed_balance", "residual": "huber"},
        "backward_policy": {"kind": "uniform"},
        "training": {
            "steps": steps,
            "batch_size": 16,
            "learning_rate": 0.0005,
            "schedule": "cosine",
            "epsilon": 0.0,
            "replay_share": 0,
            "evaluate_every": steps,
        },
        "evaluation": {"max_states": 0, "held_out": 8, "draws": 2, "samples": 16},
    }


def _figures(name: str, edges: Bools, truth: Bools) -> dict[str, float]:
    found = {f"{name}_eshd": expected_distance(edges, truth), f"{name}_edges": float(edges.sum((1, 2)).mean())}
    return found | {f"{name}_auroc": edge_auroc(edges.mean(0), truth)}
