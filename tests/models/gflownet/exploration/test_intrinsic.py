"""Rewards of novelty: balanced exactly where their flows are, nothing once they have faded, and the same after a kill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.exploration.intrinsic import Intrinsic, IntrinsicOptions
from models.gflownet.judging.exact import enumerate_graph
from models.gflownet.judging.tabular import Table, edge_numbers, segment_logsumexp
from models.gflownet.policies.mlp import MLP
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.gflownet.training.trajectories import sample_forward
from models.registry import build

GRID = {"kind": "hypergrid", "dimensions": 2, "height": 4}


def space():
    base = build("environment", GRID)
    env = Tabulated(base, enumerate_graph(base, limit=1000))
    return env, env.indexed()


def drawn(env, seed=0, n=64):
    generator = torch.Generator().manual_seed(seed)
    return sample_forward(env, MLP(env, generator=generator, hidden=(16,)), n, generator)


def augmented_table(env, graph, novelty, place):
    """The flows, by going back from the terminal states: F(s) = sum of F(s') P_B + r(s') over the edges out of s."""
    parents = env.backward_mask(graph.states).sum(1)
    log_pb = -parents[graph.target].double().log()
    done = graph.states.done
    log_reward = torch.linspace(-1.0, 1.0, len(graph.terminal), dtype=torch.float64)
    flow = torch.full((len(graph.states),), -torch.inf, dtype=torch.float64)
    beside = novelty[graph.terminal].log() if place != "edge" else torch.full_like(log_reward, -torch.inf)
    flow[graph.terminal] = torch.logaddexp(log_reward, beside)
    extra = torch.where(done[graph.target] | (torch.tensor(place == "state")), 0.0, novelty[graph.target]).log()
    for _ in range(len(graph.states)):
        edge = torch.logaddexp(flow[graph.target] + log_pb, extra)
        flow = torch.where(done, flow, segment_logsumexp(edge, graph.origin, len(graph.states)))
    log_pf = torch.logaddexp(flow[graph.target] + log_pb, extra) - flow[graph.origin]
    return Table(graph, log_pf, log_pb, flow, log_reward, env.stop)


@pytest.mark.parametrize("place", ["edge", "state", "joint"])
@pytest.mark.parametrize("objective", ["trajectory_balance", "detailed_balance", "sub_trajectory_balance"])
def test_the_flows_with_novelty_balance_exactly(place: str, objective: str) -> None:
    env, graph = space()
    intrinsic = Intrinsic(IntrinsicOptions(place=place, scale=0.3), env, torch.Generator().manual_seed(1))
    hot = env.k_hot(graph.states)
    with torch.no_grad():
        novelty = 0.3 * (intrinsic.predictor(hot) - intrinsic.target(hot)).norm(dim=1).double()
    table, paths = augmented_table(env, graph, novelty, place), drawn(env)
    seen = table.trajectories(edge_numbers(env, graph, paths))
    loss = build("objective", {"kind": objective})
    assert loss.loss(intrinsic.augmented(seen, paths, 0.3)[0]).item() < 1e-8
    assert loss.loss(seen).item() > 1e-3, "without the rewards of novelty these flows balance nothing"


def test_novelty_of_what_is_seen_again_and_again_fades() -> None:
    env, _ = space()
    intrinsic, paths = Intrinsic(IntrinsicOptions(), env, torch.Generator().manual_seed(1)), drawn(env)
    seen = trajectories(env, paths)
    means = [intrinsic.augmented(seen, paths, 1.0)[1] for _ in range(300)]
    assert means[-1] < 0.2 * means[0]


def trajectories(env, paths):
    graph = env.indexed()
    zeros = torch.zeros(len(graph.origin), dtype=torch.float64)
    flows, rewards = torch.zeros(len(graph.states), dtype=torch.float64), torch.zeros(len(graph.terminal))
    return Table(graph, zeros, zeros, flows, rewards.double(), env.stop).trajectories(edge_numbers(env, graph, paths))


def test_a_scale_of_nothing_changes_nothing() -> None:
    env, _ = space()
    intrinsic, paths = Intrinsic(IntrinsicOptions(), env, torch.Generator().manual_seed(1)), drawn(env)
    seen = trajectories(env, paths)
    assert intrinsic.augmented(seen, paths, 0.0)[0] is seen


def trainer(steps: int = 20, **intrinsic) -> Trainer:
    env, _ = space()
    generator = torch.Generator().manual_seed(3)
    options = TrainerOptions(steps=steps, batch_size=8, intrinsic=intrinsic or None, replay_share=0, checkpoint_every=5)
    return Trainer(
        env,
        MLP(env, generator=generator, hidden=(16,)),
        lambda states: (env.log_reward(states), env.decode(states)),
        objective=build("objective", {"kind": "trajectory_balance"}),
        backward=build("backward_policy", {"kind": "uniform"}),
        options=options,
        generator=generator,
    )


def test_a_training_that_was_killed_goes_on_bit_for_bit(tmp_path) -> None:
    whole, half, rest = (trainer(place="joint") for _ in range(3))
    whole.train()
    while half.done < 10:
        half.step()
    half.save(tmp_path / "checkpoint.pt", "x")
    rest.train(checkpoint=tmp_path / "checkpoint.pt", fingerprint="x")
    assert rest.history == whole.history
    assert all("novelty" in row for row in whole.history)


def test_a_training_without_novelty_is_what_it_was() -> None:
    plain, none = trainer(), trainer()
    none.options = none.options.model_copy(update={"intrinsic": None})
    plain.train()
    none.train()
    assert [row["loss"] for row in plain.history] == [row["loss"] for row in none.history]
    assert "novelty" not in plain.history[0]


def test_an_environment_whose_states_have_no_features_is_refused() -> None:
    env = build("environment", {"kind": "fragments", "max_heavy_atoms": 8})
    with pytest.raises(NotProvided, match="no k-hot features"):
        Intrinsic(IntrinsicOptions(), env, torch.Generator())


def test_an_objective_that_balances_no_flows_is_refused() -> None:
    env, _ = space()
    with pytest.raises(ValueError, match="rewards of novelty have no place"):
        Trainer(
            env,
            MLP(env, generator=torch.Generator(), hidden=(8,)),
            lambda states: (env.log_reward(states), env.decode(states)),
            objective=build("objective", {"kind": "reverse_kl"}),
            backward=build("backward_policy", {"kind": "uniform"}),
            options=TrainerOptions(intrinsic={}, replay_share=0),
            generator=torch.Generator().manual_seed(0),
        )


def test_the_target_is_never_trained() -> None:
    env, _ = space()
    intrinsic, paths = Intrinsic(IntrinsicOptions(), env, torch.Generator().manual_seed(1)), drawn(env)
    before = [one.clone() for one in intrinsic.target.parameters()]
    intrinsic.augmented(replace(trajectories(env, paths)), paths, 1.0)
    assert all(torch.equal(one, other) for one, other in zip(before, intrinsic.target.parameters(), strict=True))
    assert np.isfinite([float(one.detach().sum()) for one in intrinsic.predictor.parameters()]).all()
