"""Flows of several rewards, added up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.judging.composition import composed
from models.gflownet.judging.exact import (
    FixedPoint,
    backward_log_probs,
    enumerate_graph,
    fixed_point,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.judging.tabular import segment_logsumexp
from models.gflownet.policies.backward import UniformBackward

WEIGHTS = (0.7, 0.3, 1.5)


@pytest.fixture(scope="module")
def grid():
    env = HyperGrid(dimensions=2, height=8)
    return env, enumerate_graph(env)


def rewards(graph):
    return np.random.default_rng(3).normal(scale=2.0, size=(len(WEIGHTS), len(graph.terminal)))


def uneven(graph, seed):
    """A backward policy drawn at random."""
    logits = torch.randn(len(graph.origin), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return logits - segment_logsumexp(logits, graph.target, len(graph.states))[graph.target]


def distance(graph, policy, values):
    mixed = np.logaddexp.reduce(values + np.log(WEIGHTS)[:, None])
    return total_variation(terminal_law(graph, policy.log_pf), target_law(mixed))


def test_members_of_one_backward_policy_add_up_to_the_flows_of_the_sum(grid):
    env, graph = grid
    values, log_pb = rewards(graph), backward_log_probs(env, graph, UniformBackward())
    total = composed(graph, [fixed_point(graph, own, log_pb) for own in values], WEIGHTS)
    assert distance(graph, total, values) <= 1e-12
    whole = fixed_point(graph, np.logaddexp.reduce(values + np.log(WEIGHTS)[:, None]), log_pb)
    assert torch.allclose(total.log_flow, whole.log_flow, atol=1e-10)
    assert torch.allclose(total.log_pf, whole.log_pf, atol=1e-10)


def test_members_of_different_backward_policies_add_up_as_well(grid):
    _, graph = grid
    values = rewards(graph)
    members = [fixed_point(graph, own, uneven(graph, seed)) for seed, own in enumerate(values)]
    assert distance(graph, composed(graph, members, WEIGHTS), values) <= 1e-12


def test_flows_of_one_backward_policy_do_not_go_with_policies_of_another(grid):
    env, graph = grid
    values, log_pb = rewards(graph), backward_log_probs(env, graph, UniformBackward())
    flows = [fixed_point(graph, own, log_pb) for own in values]
    policies = [fixed_point(graph, own, uneven(graph, seed)) for seed, own in enumerate(values)]
    mixed = [FixedPoint(one.log_flow, other.log_pf) for one, other in zip(flows, policies, strict=True)]
    assert distance(graph, composed(graph, mixed, WEIGHTS), values) > 0.01


def test_drawing_whole_trajectories_of_members_has_the_same_law(grid):
    _, graph = grid
    values = rewards(graph)
    members = [fixed_point(graph, own, uneven(graph, seed)) for seed, own in enumerate(values)]
    shares = np.array([w * np.exp(member.log_z) for w, member in zip(WEIGHTS, members, strict=True)])
    mixture = sum(
        share * terminal_law(graph, member.log_pf) for share, member in zip(shares / shares.sum(), members, strict=True)
    )
    assert total_variation(mixture, terminal_law(graph, composed(graph, members, WEIGHTS).log_pf)) <= 1e-12


@pytest.mark.parametrize("weights", [(), (1.0,), (1.0, 1.0, 0.0)])
def test_a_weight_that_is_missing_or_not_positive_is_refused(grid, weights):
    env, graph = grid
    log_pb = backward_log_probs(env, graph, UniformBackward())
    members = [fixed_point(graph, own, log_pb) for own in rewards(graph)]
    with pytest.raises(ValueError, match="one positive weight for each member"):
        composed(graph, members, weights)
