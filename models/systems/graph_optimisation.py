"""Let the flows tell: does a policy that reads the graph learn the law of solutions, and serve graphs it never saw?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from data.config import derive_seed
from models.gflownet.environments.graph_instances import RandomGraphs
from models.gflownet.environments.vertex_sets import VertexSetEnvironment, VertexStates
from models.gflownet.exploration.schedule import Schedule
from models.gflownet.judging.graph_solutions import (
    estimated_law,
    largest_independent_set,
    maximal_independent_sets,
    minimum_degree_greedy,
    random_greedy,
)
from models.gflownet.objectives.detailed_balance import DetailedBalance
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.vertex_gin import VertexGIN
from models.gflownet.rewards.base import EnvironmentReward
from models.gflownet.training.amortised import AmortisedOptions, AmortisedTrainer, best_of
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.registry import Component, build
from models.spaces.graph_file import Graph
from models.systems.base import Bench, Check, System
from models.threads import single_thread

Progress = Callable[[int, int, Mapping[str, float]], None]
OBJECTIVES = {
    "fl": "forward_looking_detailed_balance",
    "db": "detailed_balance",
    "tb": "trajectory_balance",
}
DRAWS = 20
"""Solutions of a graph of which the best counts."""
NETWORK: dict[str, Any] = {"dim": 32, "layers": 3}
ER: dict[str, Any] = {"model": "erdos_renyi", "nodes": (20, 20), "density": (0.25, 0.25)}
RB: dict[str, Any] = {"model": "rb", "nodes": (12, 14), "clique": (4, 5), "density": (0.3, 0.9)}
RB_SMALL: dict[str, Any] = {"model": "rb", "nodes": (20, 24), "clique": (9, 11), "density": (0.3, 0.999)}
"""The law of the paper's smaller graphs: of cliques of 5 to 11 vertices, those of 200 to 300 vertices are kept."""


class GraphOptimisationClaim(System["GraphOptimisationClaim.Options"]):
    """Solutions of combinatorial problems on graphs, vertex by vertex, by a network that reads the graph."""

    kind: ClassVar[str] = "graph_optimisation"
    cites: ClassVar[tuple[str, ...]] = (
        "zhang2023combopt", "pan2023forwardlooking", "xu2007rb", "zachary1977karate", "hagberg2008networkx",
    )  # fmt: skip
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Let the flows tell, combinatorial optimisation on graphs"
    claim: ClassVar[str] = (
        "A GFlowNet that decides for one vertex after the other samples solutions in proportion to exp(beta size). "
        "Forward-looking detailed balance on single transitions learns it with a better signal than detailed balance; "
        "conditioned on the graph, one network finds near-optimal solutions of graphs that it was not trained on."
    )
    protocol: ClassVar[str] = (
        "Maximal independent sets, a graph isomorphism network of width 32 with 3 rounds; settings were chosen on "
        "seeds from 100 up. One graph: the karate club (34 vertices, 228 sets), beta 1, 220 steps of 32 "
        "trajectories with each of three objectives. Detailed balance is learnt from 64 single transitions at a "
        "time, and the flow of the empty set is the network's, as in the paper: in about equal CPU time (14 to 18 "
        "seconds, seed 100 alone) log Z was 5.0 too low with a parameter of its own and one gradient step of a "
        "batch, 1.9 with the flow of the network, and 0.9 with many steps of a batch too. Total variation from "
        "the exact law: the policy's probability of each set is estimated without bias from 16 backward "
        "trajectories in the mean, shared out by the exact law (what noise is left adds to the distance: of one "
        "policy by trajectory balance, seed 100, 8 of each set gave 0.110, as many as here 0.084 and 70 in the "
        "mean 0.072); log Z against 23.729980. What is missed on the club looks like too little training: 100 "
        "steps gave 0.16 (seed 100) and 250 gave 0.09 (seed 101), with log Z 0.8 and 0.4 too low; whether more "
        "would reach 0.1 was not tried, as a whole trial takes 9.1 of the 10 CPU-minutes it may. Many graphs: one "
        "network by forward-looking detailed balance on transitions of 200 graphs, beta from 1 to 10; on 50 "
        "others the gap of the best of 20 solutions to the exact optimum, in per cent, beside random greedy and "
        "minimum-degree greedy with as many draws. Erdos-Renyi graphs of 20 vertices, density 1/4; RB graphs of "
        "12 to 14 cliques of 4 or 5 vertices (48 to 70). The RB network, not trained again, on 10 RB graphs of "
        "the paper's sizes (200 to 300 vertices): mean size of the best of 20; optima are not known there, and "
        "minimum-degree greedy is larger (rb_small_degree). The paper trains on 4,000 of these for 20 epochs; "
        "19.18 is told of it second-hand, on other graphs, and is not compared."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (
        ("environment", "vertex_sets"),
        ("policy", "gin"),
        ("objective", "forward_looking_detailed_balance"),
    )
    example: ClassVar[str] = "campaigns/samplers/independent_sets.yaml"
    axes: ClassVar[tuple[str, str]] = ("Trajectories, karate club", "Total variation (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("karate club: forward-looking detailed balance is near the exact law", "fl_tv", at_most=0.1),
        Check("karate club: its log Z is right", "fl_log_z_error", at_most=0.1),
        Check("karate club: it is nearer to the law than detailed balance", "fl_tv", than="db_tv", at_most=0.0),
        Check("karate club: trajectory balance is near the exact law", "tb_tv", at_most=0.1),
        Check("ER(20), graphs not seen: the best of 20 is within 2 % of the optimum", "er_gap", at_most=2.0),
        Check("ER(20), graphs not seen: one draw is nearer to the optimum than random greedy's", "er_gap_single",
              than="er_random_single", at_most=0.0),
        Check("RB, graphs not seen: the best of 20 is nearer to the optimum than random greedy's", "rb_gap",
              than="rb_random", at_most=0.0),
        Check("RB, graphs not seen: the best of 20 is nearer to the optimum than minimum-degree greedy's", "rb_gap",
              than="rb_degree", at_most=0.0),
        Check("RB of 200 to 300 vertices, trained on 48 to 70: the best of 20 is larger than random greedy's",
              "rb_small_random", than="rb_small_size", at_most=0.0),
    )  # fmt: skip

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(220, ge=2, description="steps of each training on the karate club")
        er_rounds: int = Field(100, ge=1, description="rounds of the training on Erdos-Renyi graphs")
        rb_rounds: int = Field(200, ge=1, description="rounds of the training on RB graphs")
        train_graphs: int = Field(200, ge=1, description="graphs of each law that are trained on")
        test_graphs: int = Field(50, ge=1, description="graphs of each law that are judged on")
        large_graphs: int = Field(10, ge=1, description="RB graphs of the paper's sizes")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train on the club by each objective, then on many graphs of both laws; return distances and gaps."""
        options, figures, curves, past = self.options, dict[str, Any](), dict[str, list[list[float]]](), 0
        total = len(OBJECTIVES) * options.steps + options.er_rounds + options.rb_rounds

        def tell(done: int, _total: int, told: Mapping[str, float]) -> None:
            bench.progress(past + done, total, told)

        with single_thread():
            for key, kind in OBJECTIVES.items():
                found, curve = club(kind, options.steps, seed, tell)
                figures |= {f"{key}_{name}": value for name, value in found.items()}
                curves[kind.replace("_", " ")] = curve
                past += options.steps
            for key, law, rounds in (("er", ER, options.er_rounds), ("rb", RB, options.rb_rounds)):
                found, policy = amortised(law, rounds, (options.train_graphs, options.test_graphs), seed, tell)
                figures |= {f"{key}_{name}": value for name, value in found.items()}
                past += rounds
            larger = published(policy, options.large_graphs, seed)
            figures |= {f"rb_small_{name}": value for name, value in larger.items()}
        return figures | {"curves": curves}


def club(kind: str, steps: int, seed: int, progress: Progress) -> tuple[dict[str, float], list[list[float]]]:
    """Train on the karate club by an objective; return figures at the end, and total variation by trajectories."""
    env = VertexSetEnvironment(named="karate_club")
    objects = maximal_independent_sets(env.graphs[0])
    generator = torch.Generator().manual_seed(derive_seed(seed, "club"))
    log_reward = env.log_reward(env.states_of(objects, generator))
    log_z = float(log_reward.logsumexp(0))
    target = (log_reward - log_z).exp()
    policy = VertexGIN(env, generator=generator, **NETWORK)
    trainer = club_trainer(env, policy, kind, steps, generator)
    curve: list[list[float]] = [[], []]
    told: dict[str, float] = {}
    while trainer.done < steps:
        row = trainer.round() if isinstance(trainer, AmortisedTrainer) else trainer.step()
        ended = trainer.done == steps
        if ended or trainer.done % max(1, steps // 5) == 0:
            law = estimated_law(env, policy, objects, 16 if ended else 2, generator, target=target)
            told = {"tv": 0.5 * float((law - target).abs().sum())}
            curve[0].append(float(trainer.done * 32))
            curve[1].append(told["tv"])
        progress(trainer.done, steps, {"loss": row["loss"], **told})
    return {**told, "log_z_error": abs(float(trainer.log_z.detach()) - log_z)}, curve


def club_trainer(
    env: VertexSetEnvironment, policy: VertexGIN, kind: str, steps: int, generator: torch.Generator
) -> AmortisedTrainer | Trainer[VertexStates]:
    """Return a trainer by an objective: of detailed balance on single transitions, else on whole trajectories."""
    objective = build("objective", {"kind": kind})
    shared: dict[str, Any] = {"steps": steps, "batch_size": 32, "learning_rate": 0.01, "final_rate": 0.02}
    if isinstance(objective, DetailedBalance):
        single = AmortisedOptions(**shared, transitions=64)
        return AmortisedTrainer(env, policy, objective, single, generator)
    whole = TrainerOptions(**shared, schedule="cosine", epsilon=0.1, replay_share=0)
    return Trainer(
        env,
        policy,
        EnvironmentReward(env),
        objective=objective,
        backward=UniformBackward(),
        options=whole,
        generator=generator,
    )


def amortised(
    law: Mapping[str, Any], rounds: int, numbers: tuple[int, int], seed: int, progress: Progress
) -> tuple[dict[str, float], VertexGIN]:
    """Train one network on graphs of a law; return its gaps on others, those of greedy rules, in per cent, and it."""
    train, test = (
        RandomGraphs(**law, seed=derive_seed(seed, part)).draw(number)
        for part, number in zip(("train", "test"), numbers, strict=True)
    )
    env = VertexSetEnvironment(graphs=train)
    generator = torch.Generator().manual_seed(derive_seed(seed, "amortised"))
    policy = VertexGIN(env, generator=generator, **NETWORK)
    options = AmortisedOptions(
        steps=rounds, learning_rate=0.01, coldness=Schedule(shape="linear", start=1.0, end=10.0, share=0.5)
    )
    AmortisedTrainer.forward_looking(env, policy, options, generator).train(progress)
    best = np.array([float(largest_independent_set(graph)) for graph in test])
    rng = np.random.default_rng(derive_seed(seed, "greedy"))
    found = sizes_of(policy, test, generator, rng)
    gaps = {name: 100.0 * float(np.mean(1.0 - sizes / best)) for name, sizes in found.items()}
    return {**gaps, "optimum": float(best.mean())}, policy


def sizes_of(
    policy: VertexGIN, graphs: Sequence[Graph], generator: torch.Generator, rng: np.random.Generator
) -> dict[str, Any]:
    """Return sizes (G,) of sets of each graph: the best of the draws, and one, of the policy and of greedy rules."""
    unseen = VertexSetEnvironment(graphs=graphs)
    other = policy.on(unseen)
    drawn = [random_greedy(graph, DRAWS, rng) for graph in graphs]
    degree = [minimum_degree_greedy(graph, DRAWS, rng) for graph in graphs]
    return {
        "gap": best_of(unseen, other, DRAWS, generator)[0].numpy(),
        "gap_single": best_of(unseen, other, 1, generator)[0].numpy(),
        "random": np.array([max(sizes) for sizes in drawn]),
        "random_single": np.array([sizes[0] for sizes in drawn]),
        "degree": np.array([max(sizes) for sizes in degree]),
        "degree_single": np.array([sizes[0] for sizes in degree]),
    }


def published(policy: VertexGIN, number: int, seed: int) -> dict[str, float]:
    """Return mean sizes of the best of the draws on RB graphs of the paper's sizes, which the policy was not made for.

    The largest set is not known; it has at most one vertex of each clique.
    """
    drawn = RandomGraphs(**RB_SMALL, seed=derive_seed(seed, "published")).draw(2 * number + 10)
    graphs = [graph for graph in drawn if 200 <= len(graph.items) <= 300][:number]
    generator = torch.Generator().manual_seed(derive_seed(seed, "published"))
    rng = np.random.default_rng(derive_seed(seed, "greedy, published"))
    found = [sizes_of(policy, [graph], generator, rng) for graph in graphs]
    names = {"gap": "size", "random": "random", "degree": "degree"}
    return {told: float(np.mean([one[name] for one in found])) for name, told in names.items()}
