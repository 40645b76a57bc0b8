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
from models.gflownet.judging.outcomes import converted, outcome_flows, outcome_policy
from models.gflownet.policies.backward import UniformBackward
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
