"""Flow matching against its edge-flow form."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.judging.exact import enumerate_graph
from models.gflownet.judging.tabular import Table, every_trajectory, forward_policy
from models.gflownet.objectives.flow_matching import FlowMatching


@pytest.fixture(scope="module")
def table():
    graph = enumerate_graph(HyperGrid(dimensions=2, height=3))
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(n, generator=generator, dtype=torch.float64) for n in (len(graph.origin), len(graph.states))]
    reward = torch.randn(len(graph.terminal), generator=generator, dtype=torch.float64)
    log_pb = -torch.bincount(graph.target).double().log()[graph.target]
    return Table(graph, forward_policy(graph, noise[0]), log_pb, noise[1], reward)


def test_it_equals_the_classic_form_with_one_flow_per_edge(table):
    graph, edges = table.graph, every_trajectory(table.graph)
    edge_flow = (table.log_flow[graph.origin] + table.log_pf).exp()
    zeros = torch.zeros(len(graph.states), dtype=torch.float64)
    inflow, outflow = zeros.index_add(0, graph.target, edge_flow), zeros.index_add(0, graph.origin, edge_flow)
    reward = zeros.index_put((graph.terminal,), table.log_reward.exp())
    residual = inflow.log() - (reward + outflow).log()
    visited = graph.target[edges[edges >= 0]]
    loss = FlowMatching().loss(table.trajectories(edges))
    assert loss.item() > 0.1
    assert loss.item() == pytest.approx(residual[visited].square().mean().item(), rel=1e-12)


def test_terminal_states_weigh_what_they_are_told_to(table):
    t = table.trajectories(every_trajectory(table.graph))
    residual = (t.log_inflow - t.next_flow).square()
    last = t.alive & (torch.arange(len(t.alive))[:, None] == t.alive.sum(0) - 1)
    inner = t.alive & ~last
    expected = (10 * residual[last].sum() + residual[inner].sum()) / (10 * last.sum() + inner.sum())
    assert FlowMatching(leaf_weight=10).loss(t).item() == pytest.approx(expected.item(), rel=1e-12)


def test_it_asks_for_the_inflow_and_says_so_if_there_is_none(table):
    assert FlowMatching.needs == {"log_inflow"}
    t = replace(table.trajectories(every_trajectory(table.graph)), log_inflow=None)
    with pytest.raises(ValueError, match="flow_matching needs `log_inflow`"):
        FlowMatching().loss(t)
