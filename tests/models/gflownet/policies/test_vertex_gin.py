"""The network over vertices: blind to their numbers, alike alone and among other graphs, and trained to the exact law."""

from __future__ import annotations

import pytest
import torch

from models.gflownet.environments.graph_instances import RandomGraphs, named_graph
from models.gflownet.environments.selection import SelectionEnvironment
from models.gflownet.environments.vertex_sets import VertexSetEnvironment
from models.gflownet.judging.exact import enumerate_graph, forward_log_probs, terminal_law, total_variation
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.vertex_gin import VertexGIN
from models.gflownet.rewards.base import EnvironmentReward
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.registry import build
from models.spaces.graph_file import Graph


def gin(env, seed=0, **options):
    return VertexGIN(env, generator=torch.Generator().manual_seed(seed), **{"dim": 16, "layers": 2, **options})


def outputs(policy, states):
    out = policy.network(states)
    return out.forward, out.backward, out.log_flow


@pytest.mark.parametrize("problem", ["independent_set", "clique", "dominating_set", "cut"])
def test_renumbered_vertices_have_their_outputs_renumbered(problem):
    graph, order = named_graph("petersen"), torch.randperm(10, generator=torch.Generator().manual_seed(1))
    at = order.argsort().tolist()
    edges = tuple(sorted((min(at[a], at[b]), max(at[a], at[b])) for a, b in graph.edges))
    env, other = (
        VertexSetEnvironment(problem=problem, graphs=[graph]),
        VertexSetEnvironment(problem=problem, graphs=[Graph(graph.items, edges)]),
    )
    states = enumerate_graph(env).states
    renumbered = other.source(len(states))
    renumbered.member[:] = states.member[:, order]
    policy = gin(env)
    here, there = outputs(policy, states), outputs(policy.on(other), renumbered)
    assert torch.allclose(here[0][:, order], there[0], atol=1e-5)
    assert torch.allclose(here[1][:, order], there[1], atol=1e-5)
    assert torch.allclose(here[2], there[2], atol=1e-5)


def test_a_graph_is_judged_alike_alone_and_among_larger_ones():
    small = RandomGraphs(nodes=(6, 6), density=(0.4, 0.4)).draw(1)[0]
    alone, among = VertexSetEnvironment(graphs=[small]), VertexSetEnvironment(graphs=[named_graph("petersen"), small])
    states = enumerate_graph(alone).states
    padded = among.starts(torch.ones(len(states), dtype=torch.int64))
    padded.member[:, :6] = states.member
    policy = gin(alone)
    for here, there in zip(outputs(policy, states), outputs(policy.on(among), padded), strict=True):
        assert torch.allclose(here, there[:, :6] if there.ndim == 2 else there, atol=1e-5)


def test_weights_and_conditions_change_what_it_says(tmp_path):
    (tmp_path / "edges.csv").write_text("source,target\na,b\nb,c\n")
    (tmp_path / "items.csv").write_text("name,one,two\na,1,3\nb,1,1\nc,1,1\n")
    said = []
    for column in ("one", "two"):
        env = VertexSetEnvironment(graph=tmp_path / "edges.csv", nodes=tmp_path / "items.csv", weight_column=column)
        said.append(gin(env).network(env.source(1)).forward)
    assert not torch.allclose(*said)
    assert torch.allclose(said[0][0, 0], said[0][0, 2])  # a symmetry exchanges them
    policy = gin(env, conditions=2)
    one, other = (policy.network(env.source(1), torch.tensor([row])).log_flow for row in ([0.0, 1.0], [1.0, 0.0]))
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(
    "env",
    [
        VertexSetEnvironment(named="petersen"),
        SelectionEnvironment(items=5, min_size=1, max_size=3, excluded=((0, 1), (1, 2), (3, 4))),
    ],
    ids=["vertex_sets", "selection"],
)
def test_it_learns_the_exact_law(env):
    graph = enumerate_graph(env)
    reward = EnvironmentReward(env) if isinstance(env, VertexSetEnvironment) else _by_size(env)
    generator = torch.Generator().manual_seed(0)
    policy = VertexGIN(env, generator=generator, dim=16, layers=2)
    trainer = Trainer(
        env,
        policy,
        reward,
        objective=TrajectoryBalance(),
        backward=UniformBackward(),
        options=TrainerOptions(steps=150, batch_size=32, learning_rate=0.01, replay_share=0, schedule="cosine"),
        generator=generator,
    )
    trainer.train()
    target = reward(graph.states[graph.terminal])[0].softmax(0).numpy()
    assert total_variation(terminal_law(graph, forward_log_probs(graph, policy)), target) < 0.05


def _by_size(env):
    return lambda states: (0.5 * states.member.sum(1).double(), env.decode(states))


def test_other_environments_are_refused_with_the_policy_that_fits():
    with pytest.raises(ValueError, match=r"'gin'.*vertex_sets.*got 'hypergrid'. Use the policy 'mlp'"):
        build("policy", {"kind": "gin"}).build(build("environment", {"kind": "hypergrid"}), torch.Generator())


def test_a_perceptron_cannot_read_several_graphs():
    env = VertexSetEnvironment(graphs=[named_graph("petersen"), named_graph("cycle_12")])
    with pytest.raises(ValueError, match="k-hot features"):
        build("policy", {"kind": "mlp"}).build(env, torch.Generator())
