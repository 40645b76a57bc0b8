"""A policy made of flows towards objects samples their reward: exactly, where the flows are exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.judging.exact import (
    backward_log_probs,
    enumerate_graph,
    forward_log_probs,
    target_law,
    terminal_law,
)
from models.gflownet.judging.outcomes import outcome_flows, outcome_policy
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.converted import ConvertedPolicy
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.registry import build

SPECS = [
    {"kind": "sequence", "alphabet": "ACG", "max_length": 3},
    {"kind": "sequence", "alphabet": "AC", "min_length": 1, "max_length": 3, "mode": "prepend_append"},
    {"kind": "hypergrid", "dimensions": 2, "height": 4},
]


class Exact(FlatPolicy):
    """The exact flows towards each terminal state; the condition is one-hot, its number."""

    def __init__(self, env, graph):
        super().__init__(env)
        log_pb = backward_log_probs(env, graph, UniformBackward())
        flow = outcome_flows(graph, log_pb)
        policy = outcome_policy(graph, flow, log_pb)
        self.place = {code: number for number, code in enumerate(env.codes(graph.states).tolist())}
        self.flow = flow.log().clamp(min=-1e3)
        self.logits = torch.full((len(graph.states), len(graph.terminal), env.n_actions), -torch.inf).double()
        self.logits[graph.origin, :, graph.action] = policy.log()

    def network(self, states, condition=None):
        at = torch.tensor([self.place[code] for code in self.env.codes(states).tolist()])
        y = condition.argmax(1)
        logits = self.logits[at, y].clamp(min=-1e4)  # a row without a way to y
        return Outputs(logits, torch.zeros(len(at), self.env.n_backward), self.flow[at, y])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.get("mode", spec["kind"]))
@pytest.mark.parametrize("shares", [1.0, 0.4])
def test_exact_flows_draw_the_objects_in_proportion_to_the_reward_and_no_others(spec, shares):
    env = build("environment", spec)
    graph = enumerate_graph(env)
    rng = np.random.default_rng(0)
    log_reward = rng.normal(scale=2.0, size=len(graph.terminal))
    among = np.sort(rng.permutation(len(log_reward))[: max(2, int(shares * len(log_reward)))])
    conditions = torch.eye(len(log_reward))[torch.from_numpy(among)]
    policy = ConvertedPolicy(Exact(env, graph), conditions, torch.from_numpy(log_reward[among]))
    wanted = np.full(len(log_reward), -np.inf)
    wanted[among] = log_reward[among]
    law = terminal_law(graph, forward_log_probs(graph, policy))
    assert np.abs(law - target_law(wanted)).max() <= 1e-6
