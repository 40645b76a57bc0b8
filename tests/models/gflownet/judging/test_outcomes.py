"""Flows towards each object, and their conversion to any reward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.judging.exact import (
    backward_log_probs,
    enumerate_graph,
    fixed_point,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.judging.outcomes import converted, outcome_flows, outcome_policy, reachable, summed
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.registry import build

SMALL = [
    {"kind": "hypergrid", "dimensions": 2, "height": 5},
    {"kind": "sequence", "alphabet": "ACGT", "max_length": 4},
    {"kind": "sequence", "alphabet": "AC", "max_length": 4, "mode": "prepend_append"},
    {"kind": "set", "elements": 6, "chosen": 3},
    {"kind": "bit_sequence", "bits": 8, "word": 2, "modes": 3},
]


def made(spec):
    env = build("environment", spec)
    graph = enumerate_graph(env)
    return env, graph, backward_log_probs(env, graph, UniformBackward())


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: f"{spec['kind']}-{spec.get('mode', '')}")
@pytest.mark.parametrize("seed", [0, 1])
def test_any_reward_is_sampled_exactly_without_training(spec, seed):
    _, graph, log_pb = made(spec)
    flow = outcome_flows(graph, log_pb)
    log_reward = np.random.default_rng(seed).normal(scale=3.0, size=len(graph.terminal))
    point = converted(graph, flow, outcome_policy(graph, flow, log_pb), log_reward)
    assert total_variation(terminal_law(graph, point.log_pf), target_law(log_reward)) <= 1e-12
    known = fixed_point(graph, log_reward, log_pb)
    assert torch.allclose(point.log_flow, known.log_flow, atol=1e-9)


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: f"{spec['kind']}-{spec.get('mode', '')}")
def test_the_policy_towards_an_object_always_reaches_it(spec):
    _, graph, log_pb = made(spec)
    flow = outcome_flows(graph, log_pb)
    policy = outcome_policy(graph, flow, log_pb)
    assert torch.allclose(flow[0], torch.ones(len(graph.terminal), dtype=torch.float64))
    for y in range(0, len(graph.terminal), 7):
        law = terminal_law(graph, policy[:, y].log())
        assert law[y] == pytest.approx(1.0, abs=1e-12)


def test_the_flow_towards_a_sequence_passes_its_beginnings_and_nothing_else():
    env, graph, log_pb = made(SMALL[1])
    flow = outcome_flows(graph, log_pb)
    texts = env.decode(graph.states)
    for y, end in zip(range(len(graph.objects)), graph.objects, strict=True):
        passed = {texts[place] for place in flow[:, y].nonzero()[:, 0].tolist()}
        assert passed == {end[:n] for n in range(len(end) + 1)}
        assert set(flow[:, y].tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: f"{spec['kind']}-{spec.get('mode', '')}")
def test_the_pairs_that_can_be_reached_are_those_with_a_flow(spec):
    _, graph, log_pb = made(spec)
    state, place = reachable(graph)
    pairs = torch.zeros((len(graph.states), len(graph.terminal)), dtype=torch.int64)
    pairs.index_put_((state, place), torch.ones_like(state), accumulate=True)
    assert torch.equal(pairs, (outcome_flows(graph, log_pb) > 0).long())


@pytest.mark.parametrize("spec", [SMALL[0], SMALL[2]], ids=["grid", "letters"])
def test_sums_over_what_can_be_reached_are_those_over_all_where_flows_are_exact(spec):
    env, graph, log_pb = made(spec)
    flow = outcome_flows(graph, log_pb)
    exact = outcome_policy(graph, flow, log_pb)
    place = {code: number for number, code in enumerate(env.codes(graph.states).tolist())}
    logits = torch.full((len(graph.states), len(graph.terminal), env.n_actions), -1e3, dtype=torch.float64)
    logits[graph.origin, :, graph.action] = exact.log().clamp(min=-1e3)

    class Tables(FlatPolicy):
        def network(self, states, condition=None):
            at, y = torch.tensor([place[code] for code in env.codes(states).tolist()]), condition.argmax(1)
            return Outputs(logits[at, y], torch.zeros(len(at), env.n_backward), flow.log()[at, y])

    rewards = np.random.default_rng(0).normal(scale=3.0, size=(2, len(graph.terminal)))
    points = summed(graph, Tables(env), torch.eye(len(graph.terminal)), rewards)
    for point, log_reward in zip(points, rewards, strict=True):
        known = fixed_point(graph, log_reward, log_pb)
        assert torch.allclose(point.log_flow, known.log_flow, atol=1e-9)
        assert torch.allclose(point.log_pf, known.log_pf, atol=1e-9)
