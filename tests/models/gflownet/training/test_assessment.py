"""What objectives are shown of trajectories is what exact tables say of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from models.gflownet.conditioning.partition import LogPartition
from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.environments.tabulated import IndexStates, Tabulated
from models.gflownet.judging.exact import backward_log_probs, enumerate_graph
from models.gflownet.judging.tabular import Table, edge_numbers, forward_policy
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.gflownet.training.assessment import Assessor
from models.gflownet.training.trajectories import sample_forward
from models.registry import build, kinds

GRID = HyperGrid(dimensions=2, height=4)


class Numbers(FlatPolicy):
    """Forward logits, backward logits and log-flows of all states as numbers."""

    def __init__(self, env, generator):
        super().__init__(env)
        n = len(env.done)
        shapes = ((n, env.n_actions), (n, env.n_backward), (n,))
        self.values = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]

    def network(self, states, condition=None):
        return Outputs(*(value[states.index] for value in self.values))


def made(objective, backward, base=GRID):
    env = Tabulated(base, enumerate_graph(base))
    graph = replace(env.graph, states=IndexStates(env.done, torch.arange(len(env.done))))
    generator = torch.Generator().manual_seed(0)
    policy, network = Numbers(env, generator), Numbers(env, generator)
    backward = build("backward_policy", {"kind": backward})
    network = network if backward.network == "own" else policy
    prior = Numbers(env, torch.Generator().manual_seed(1))
    partition = LogPartition()
    partition.initialise(0.7)
    reward = torch.linspace(-1, 1, len(env.done), dtype=torch.float64)
    assessor = Assessor(
        env=env,
        policy=policy,
        backward=backward,
        objective=build("objective", {"kind": objective}),
        backward_network=network,
        partition=partition,
        partial=lambda states: 0.1 * states.index.double(),
        reward=lambda states, condition: reward[states.index],
        prior=prior,
    )
    log_flow = policy.values[2].clone()
    if assessor.objective.forward_looking:
        log_flow += 0.1 * torch.arange(len(log_flow))
    log_flow[0] = partition.value.item()
    table = Table(
        graph=graph,
        log_pf=forward_policy(graph, policy.values[0][graph.origin, graph.action]),
        log_pb=backward_log_probs(env, graph, backward, network),
        log_flow=log_flow,
        log_reward=reward[graph.terminal],
        stop=env.stop,
        log_prior=forward_policy(graph, prior.values[0][graph.origin, graph.action]),
    )
    paths = sample_forward(env, policy, 40, generator)
    edges = edge_numbers(env, graph, paths)
    # The guide of a table is its backward policy.
    guide = SimpleNamespace(log_prob=lambda paths: table.log_pb[edges[paths.time, paths.row]])
    return replace(assessor, guide=guide), table, paths, edges, reward


@pytest.mark.parametrize("backward", sorted(kinds("backward_policy")))
@pytest.mark.parametrize("objective", sorted(kinds("objective")))
def test_objectives_are_shown_what_the_tables_say(objective, backward):
    assessor, table, paths, edges, reward = made(objective, backward)
    seen = assessor.assess(paths, reward[paths.terminal.index])
    exact = table.trajectories(edges)
    for name in ("log_pf", "log_pb", "log_flow", "alive", "log_reward", "log_behaviour", *assessor.objective.needs):
        assert torch.allclose(getattr(seen, name).double(), getattr(exact, name).double(), atol=1e-6), name
    loss = assessor.objective.loss(seen)
    assert loss.item() == pytest.approx(assessor.objective.loss(exact).item(), abs=1e-5)


def test_what_is_not_asked_for_is_not_made():
    assessor, _, paths, _, reward = made("trajectory_balance", "uniform")
    seen = assessor.assess(paths, reward[paths.terminal.index])
    assert seen.log_inflow is None
    assert seen.log_stop is None
    assert seen.log_state_reward is None
    assert seen.log_prior is None
