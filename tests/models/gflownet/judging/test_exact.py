"""The exact evaluator: fixed point, terminal law, distances; and training judged by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.environments.fragments import FragmentEnvironment
from models.gflownet.judging.exact import (
    backward_log_probs,
    enumerate_graph,
    expected_reward,
    fixed_point,
    forward_log_probs,
    jensen_shannon,
    kl_divergence,
    l1_sum,
    merge,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.judging.tabular import Table, edge_numbers
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import TiedBackward, UniformBackward
from models.gflownet.policies.transformer import FragmentTransformer
from models.gflownet.policies.uniform import UniformFragments
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.gflownet.training.trajectories import sample_forward


def log_reward(molecules):
    return np.array([-0.3 * abs(len(s) - 9) + 0.7 * s.count("N") + 0.5 * ("O" in s) for s in molecules])


@pytest.fixture(scope="module")
def env():
    return FragmentEnvironment(only=("c1ccccc1", "C#N", "O"), max_heavy_atoms=10, max_fragments=4)


@pytest.fixture(scope="module")
def graph(env):
    return enumerate_graph(env)


def policy_of(env, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return FragmentTransformer(env, dim=32, layers=2, heads=4, prior=0.0, generator=generator), generator


def distance(graph, law):
    merged = merge(graph.objects, law)
    return total_variation(np.array(list(merged.values())), target_law(log_reward(merged)))


@pytest.mark.parametrize("backward", [UniformBackward(), TiedBackward()], ids=["uniform", "learned"])
def test_the_fixed_point_has_zero_loss_and_the_target_law(env, graph, backward):
    policy, generator = policy_of(env)
    rewards = log_reward(graph.objects)
    log_pb = backward_log_probs(env, graph, backward, policy)
    point = fixed_point(graph, rewards, log_pb)
    tolerance = 1e-10 if backward.kind == "uniform" else 1e-6  # logits are float32
    assert distance(graph, terminal_law(graph, point.log_pf)) < tolerance
    z = np.exp(log_reward(sorted(set(graph.objects)))).sum()
    assert point.log_z == pytest.approx(np.log(z), abs=tolerance)
    paths = sample_forward(env, policy, 100, generator)
    table = Table(graph, point.log_pf, log_pb, point.log_flow, torch.tensor(rewards))
    assert TrajectoryBalance().loss(table.trajectories(edge_numbers(env, graph, paths))).item() < 1e-10


def test_a_wrong_backward_policy_is_found_out(env, graph):
    rewards = log_reward(graph.objects)
    log_pb = backward_log_probs(env, graph, UniformBackward()) - 0.1 * graph.action.remainder(2)
    point = fixed_point(graph, rewards, log_pb)
    assert distance(graph, terminal_law(graph, point.log_pf)) > 1e-3


@pytest.mark.parametrize("backward", [UniformBackward(), TiedBackward()], ids=["uniform", "learned"])
def test_training_reaches_the_target_law_over_molecules(env, graph, backward):
    policy, generator = policy_of(env)

    def reward(terminal):
        molecules = env.decode(terminal)
        return torch.tensor(log_reward(molecules), dtype=torch.float32), molecules

    before = distance(graph, terminal_law(graph, forward_log_probs(graph, policy)))
    options = TrainerOptions(steps=120, batch_size=64, learning_rate=3e-3, replay_share=0.0)
    trainer = Trainer(
        env, policy, reward, objective=TrajectoryBalance(), backward=backward, options=options, generator=generator
    )
    trainer.train()
    after = distance(graph, terminal_law(graph, forward_log_probs(graph, policy)))
    z = np.exp(log_reward(sorted(set(graph.objects)))).sum()
    assert before > 0.2
    assert after <= 0.05
    assert trainer.log_z.item() == pytest.approx(np.log(z), abs=0.05)


def test_the_terminal_law_of_a_policy_sums_to_one(env, graph):
    for policy in (policy_of(env)[0], UniformFragments(env)):
        assert terminal_law(graph, forward_log_probs(graph, policy)).sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", ["uniform", "transformer"])
def test_samples_follow_the_exact_law(env, graph, name):
    policy = UniformFragments(env) if name == "uniform" else policy_of(env, seed=5)[0]
    exact = merge(graph.objects, terminal_law(graph, forward_log_probs(graph, policy)))
    n = 4000
    drawn = env.decode(sample_forward(env, policy, n, torch.Generator().manual_seed(0)).terminal)
    assert set(drawn) <= set(exact)
    squares = sum((drawn.count(key) - n * p) ** 2 / (n * p) for key, p in exact.items())
    assert squares < len(exact) + 6 * (2 * len(exact)) ** 0.5


def test_the_policy_does_not_depend_on_the_order_of_insertion(env, graph):
    policy, _ = policy_of(env)
    by_tree = {}
    log_pf = forward_log_probs(graph, policy)
    stops = (graph.action == 0).nonzero()[:, 0]
    for edge in stops.tolist():
        tree = env.tree(graph.states, int(graph.origin[edge]))
        name = (tree.nodes[0], frozenset((a, i, tree.nodes[b], j) for a, i, b, j in tree.edges if a == 0))
        if all(a == 0 for a, *_ in tree.edges):
            by_tree.setdefault(name, []).append(log_pf[edge].item())
    assert any(len(values) > 1 for values in by_tree.values())
    assert all(max(values) - min(values) < 1e-5 for values in by_tree.values())


def test_an_environment_too_large_is_refused(env):
    with pytest.raises(ValueError, match="more than 10 states"):
        enumerate_graph(env, limit=10)


def test_distances_have_their_known_values():
    p, q = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert total_variation(p, q) == 1.0
    assert l1_sum(p, q) == 2.0
    assert jensen_shannon(p, q) == pytest.approx(np.log(2))
    assert kl_divergence(p, q) == np.inf
    assert kl_divergence(p, np.array([0.5, 0.5])) == pytest.approx(np.log(2))
    assert expected_reward(np.array([0.25, 0.75]), np.log([1.0, 3.0])) == pytest.approx(2.5)
    assert target_law(np.log([1.0, 3.0])) == pytest.approx([0.25, 0.75])
