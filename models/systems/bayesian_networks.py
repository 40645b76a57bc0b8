"""DAG-GFlowNet: does a policy that adds edges learn the posterior over Bayesian networks?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from data.config import derive_seed
from data.records import FloatArray
from models.causal.accuracy import area
from models.gflownet.environments.dag import DagEnvironment
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.judging.dag_posterior import edge_marginals
from models.gflownet.training.trainer import Trainer
from models.gflownet.training.trajectories import sample_forward
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.systems.training import Training, train

GRAPHS = 10_000
"""Graphs drawn from a policy to estimate its edges: an error of .005 at most, from drawing alone."""


class BayesianNetworksClaim(System["BayesianNetworksClaim.Options"]):
    """Graphs are built edge by edge; every graph may be the end, so that there is no flow to learn."""

    kind: ClassVar[str] = "bayesian_networks"
    cites: ClassVar[tuple[str, ...]] = ("deleu2022bayesian",)
    title: ClassVar[str] = "DAG-GFlowNet, posteriors over Bayesian networks"
    claim: ClassVar[str] = (
        "Trained by modified detailed balance on the marginal likelihood of data, a GFlowNet over directed acyclic "
        "graphs samples them from their posterior: probabilities of edges agree with exact ones."
    )
    protocol: ClassVar[str] = (
        "50 observations of 5 and of 8 variables by a formula, BGe score, uniform prior over graphs, a perceptron over "
        "the edges. Of 5 variables (29,281 graphs) the exact total variation; of 8 (7.8e11 graphs) 10,000 sampled "
        "graphs against the exact probability of each edge, which a sum over childless sets gives without enumeration. "
        "Modified detailed balance, on 8 variables with the Huber loss of the residual as in the authors' code, and on "
        "5 variables trajectory balance beside it. 8 variables have 3,000 steps; 1,000 left 0.034 of the edges."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (
        ("environment", "dag"),
        ("objective", "modified_detailed_balance"),
    )
    example: ClassVar[str] = "campaigns/samplers/dags.yaml"
    version: ClassVar[int] = 2
    axes: ClassVar[tuple[str, str]] = ("Trajectories, 5 variables", "Total variation (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("5 variables: modified detailed balance is near the posterior", "mdb_tv", at_most=0.15),
        Check("5 variables: probabilities of edges are right", "mdb_edges_5", at_most=0.02),
        Check("8 variables: probabilities of edges are right", "mdb_edges_8", at_most=0.03),
        Check("8 variables: the rank of probable edges is right (AUROC against the exact ones above 1/2)",
              "mdb_auroc_8", at_least=0.98),
        Check("5 variables: modified detailed balance is nearer to the posterior than trajectory balance", "mdb_tv",
              than="tb_tv", at_most=0.0),
    )  # fmt: skip

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(2000, ge=8, description="steps of each training on 5 variables")
        large_steps: int = Field(3000, ge=8, description="steps of the training on 8 variables")
        nodes: int = Field(8, ge=2, le=8, description="variables of the larger problem")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train both objectives on both problems; return distances and errors of edges."""
        options, figures, curves, past = self.options, dict[str, Any](), dict[str, list[list[float]]](), 0
        balance, trajectories = "modified_detailed_balance", "trajectory_balance"
        trainings = (
            ("mdb", balance, 5, options.steps),
            ("tb", trajectories, 5, options.steps),
            ("mdb", balance, options.nodes, options.large_steps),
        )
        total = sum(steps for *_, steps in trainings)
        for number, (key, objective, nodes, steps) in enumerate(trainings):

            def progress(done: int, _total: int, told: Mapping[str, float], past: int = past) -> None:
                bench.progress(past + done, total, told)

            exact = number < 2
            training = train(_sampler(objective, nodes, steps, exact=exact), seed, bench, progress=progress)
            error, area = edges_against_exact(training, derive_seed(seed, "graphs"))
            if exact:
                figures |= {f"{key}_tv": training.last["tv"], f"{key}_edges_5": error}
                curves[objective.replace("_", " ")] = training.curve("tv")
            else:
                figures |= {f"{key}_edges_8": error, f"{key}_auroc_8": area}
            past += steps
        return figures | {"curves": curves}


def _sampler(objective: str, nodes: int, steps: int, *, exact: bool) -> dict[str, Any]:
    return {
        "environment": {"kind": "dag", "nodes": nodes},
        "policy": {"kind": "mlp", "hidden": [128, 128]},
        "objective": {"kind": objective, "residual": "squared" if exact else "huber"},
        "backward_policy": {"kind": "uniform"},
        "training": {
            "steps": steps,
            "batch_size": 128 if exact else 64,
            "learning_rate": 0.003 if exact else 0.004,
            "log_z_learning_rate": 0.1,
            "schedule": "cosine",
            "epsilon": 0.1,
            "replay_share": 0,
            "evaluate_every": max(1, steps // 20) if exact else steps,
        },
        "evaluation": {"max_states": 100_000 if exact else 0, "held_out": 8, "draws": 2, "samples": 16},
    }


def edges_against_exact(training: Training, seed: int) -> tuple[float, float]:
    """Return how far the probabilities of edges are from the exact ones: mean error, and the area under the curve."""
    trainer: Trainer[Any] = training.session.trainer
    env = trainer.env.base if isinstance(trainer.env, Tabulated) else trainer.env
    assert isinstance(env, DagEnvironment)
    sampled = sampled_edges(trainer, env, seed)
    exact = edge_marginals(env.scores.table)
    apart = ~np.eye(env.nodes, dtype=bool)
    return float(np.abs(sampled - exact)[apart].mean()), area(sampled[apart], exact[apart] > 0.5)


def sampled_edges(trainer: Trainer[Any], env: DagEnvironment, seed: int, n: int = GRAPHS) -> FloatArray:
    """Return (n, n) the shares of graphs drawn from a policy that have each edge."""
    generator, counts, drawn = torch.Generator().manual_seed(seed), np.zeros((env.nodes, env.nodes)), 0
    while drawn < n:
        terminal = sample_forward(trainer.env, trainer.policy, 1000, generator).terminal
        states = trainer.env.states(terminal) if isinstance(trainer.env, Tabulated) else terminal
        counts, drawn = counts + states.edges.sum(0).numpy(), drawn + 1000
    return np.asarray(counts / drawn)
