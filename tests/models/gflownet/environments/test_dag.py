from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.component import ComponentError
from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.dag import DagEnvironment
from models.gflownet.judging.dag_posterior import edge_marginals
from models.gflownet.judging.exact import enumerate_graph
from models.registry import build


@pytest.mark.parametrize(("nodes", "graphs"), [(2, 3), (3, 25), (4, 543)])
def test_all_acyclic_graphs_are_built_and_no_other(nodes: int, graphs: int) -> None:
    graph = enumerate_graph(DagEnvironment(nodes=nodes), limit=5000)
    assert len(set(graph.objects)) == len(graph.terminal) == graphs


def test_what_reaches_what_is_the_same_forwards_and_backwards() -> None:
    env, generator = DagEnvironment(nodes=6), torch.Generator().manual_seed(0)
    states = env.source(20)
    for _ in range(8):
        legal = env.forward_mask(states)
        legal[:, -1] = ~legal[:, :-1].any(1)
        open_ones = legal[:, :-1].any(1)
        states, legal = states[open_ones], legal[open_ones]
        states = env.step(states, torch.multinomial(legal.double(), 1, generator=generator)[:, 0])
    edge = env.backward_mask(states).double().argmax(1)
    back = env.backstep(states, edge)
    again = env.step(back, edge)
    assert torch.equal(again.edges, states.edges)
    assert torch.equal(again.reached, states.reached)


def test_data_of_a_file_name_the_nodes(tmp_path: Path) -> None:
    file = tmp_path / "gauges.csv"
    file.write_text("\ufeffrain, wet ,slip\n1,2,3\n2,1,1\n0,4,2\n", encoding="utf-8")
    env = build("environment", {"kind": "dag", "data": "gauges.csv"}, base=tmp_path)
    assert env.names == ("rain", "wet", "slip")
    assert env.n_actions == 10


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n3,x\n", r"gauges.csv, line 3, has 'x' in the column 'b'; expected a number"),
        ("a,b\n1,2\n3,4,5\n", "Line 3 of .*gauges.csv cannot be read: 3 cells where the header has 2"),
        ("a,b\n1,nan\n3,4\n", "not a finite number"),
        ("a,b\n1,\n3,4\n", "Line 2 of gauges.csv has nothing in the column 'b'"),
        ("a,a\n1,2\n3,4\n", "different names"),
        ("t,a,b\n00:00,1,2\n01:00,3,4\n", "The column 't' of .*gauges.csv holds no numbers: line 2 has '00:00'. Leave"),
        ("a;b\n1,5;2.5\n3;4\n", "which mark is that of decimals cannot be told"),
        ("a;b\n1,500;2\n3,250;4\n", "may part thousands or decimals"),
        ("a;b,c;d\n1;2,3;4\n5;6,7;8\n", "can be parted by ',' and by ';'"),
        ("a,b\n", "expected two or more"),
    ],
)
def test_a_file_that_is_no_table_of_numbers_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "gauges.csv").write_text(text)
    with pytest.raises((ValueError, ComponentError), match=told):
        build("environment", {"kind": "dag", "data": "gauges.csv"}, base=tmp_path)


def test_semicolons_and_decimal_commas_give_the_same_law(tmp_path: Path) -> None:
    text = "a,b,c\n1.5,2,0.25\n3,-4.5,1\n0.5,1,2\n"
    (tmp_path / "plain.csv").write_text(text)
    (tmp_path / "other.csv").write_text("\ufeff" + text.replace(",", ";").replace(".", ",") + ";;\n")
    plain, other = (build("environment", {"kind": "dag", "data": f"{name}.csv"}, base=tmp_path)
                    for name in ("plain", "other"))  # fmt: skip
    assert other.names == ("a", "b", "c")
    np.testing.assert_array_equal(plain.scores.table, other.scores.table)


def test_more_nodes_than_the_formula_has_need_a_file() -> None:
    with pytest.raises((ValueError, ComponentError), match="Name a CSV file"):
        DagEnvironment(nodes=9)


def test_without_a_score_there_are_many_nodes_and_no_reward_of_its_own() -> None:
    env = DagEnvironment(nodes=20, score="none")
    assert env.n_actions == 401
    with pytest.raises(NotProvided, match="give the trainer one"):
        env.log_reward(env.source(1))


@pytest.mark.parametrize(("limit", "graphs"), [(1, 16), (2, 25)])
def test_no_node_has_more_parents_than_allowed(limit: int, graphs: int) -> None:
    graph = enumerate_graph(DagEnvironment(nodes=3, max_parents=limit), limit=5000)
    assert len(set(graph.objects)) == graphs
    assert max(max(sum(row[j::3]) for j in range(3)) for row in graph.objects) == limit


def test_states_of_matrices_are_the_ones_that_are_built() -> None:
    env = DagEnvironment(nodes=3)
    graph = enumerate_graph(env, limit=500)
    terminal = graph.states[graph.terminal]
    found = env.states_of(env.decode(terminal), torch.Generator())
    assert env.keys(found) == env.keys(terminal)
    assert torch.equal(found.reached, terminal.reached)


@pytest.mark.parametrize(
    ("matrix", "told"),
    [((0, 1, 1, 0), "has a circle"), ((1, 0, 0, 0), "has a circle"), ((0, 1), "matrix of 4 entries; got 2")],
)
def test_a_matrix_that_is_no_acyclic_graph_is_refused(matrix: tuple[int, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        DagEnvironment(nodes=2, score="none").states_of([matrix], torch.Generator())


def test_a_column_names_the_variables_that_were_set(tmp_path: Path) -> None:
    (tmp_path / "gauges.csv").write_text("rain,set by us,wet,slip\n1,,2,3\n2,wet,1,1\n0,wet; slip,4,2\n5,,4,2\n")
    spec = {"kind": "dag", "data": "gauges.csv", "intervened": "set by us"}
    env = build("environment", spec, base=tmp_path)
    assert env.names == ("rain", "wet", "slip")
    assert env.scores.kept.tolist() == [[True, True, True], [True, False, True], [True, False, False], [True] * 3]
    with pytest.raises((ValueError, ComponentError), match="has no column 'set'; it has rain, set by us, wet, slip"):
        build("environment", spec | {"intervened": "set"}, base=tmp_path)
    (tmp_path / "gauges.csv").write_text("rain,set by us,wet,slip\n1,,2,3\n2,wat,1,1\n")
    with pytest.raises((ValueError, ComponentError), match=r"Line 3 of gauges\.csv has an intervention on 'wat'"):
        build("environment", spec, base=tmp_path)
    with pytest.raises((ValueError, ComponentError), match="Name a CSV file"):
        DagEnvironment(intervened="set")


@pytest.mark.parametrize("options", [{"score": "bge"}, {"score": "bge", "expected_edges": 3.0}, {"score": "bde"}])
def test_a_gain_is_the_difference_that_an_edge_makes_to_the_log_reward(tmp_path: Path, options: dict[str, Any]) -> None:
    values = np.random.default_rng(0).integers(0, 3, (30, 13))
    np.savetxt(tmp_path / "rows.csv", values, "%d", ",", header=",".join("abcdefghijklm"), comments="")
    env, generator = DagEnvironment(data=tmp_path / "rows.csv", **options), torch.Generator().manual_seed(0)
    states = env.source(40)
    for _ in range(9):
        states = env.step(
            states, torch.multinomial(env.forward_mask(states)[:, :-1].double(), 1, generator=generator)[:, 0]
        )
    edge = torch.multinomial(env.forward_mask(states)[:, :-1].double(), 1, generator=generator)[:, 0]
    gained = env.gains(states).flatten(1).double()[torch.arange(40), edge]
    assert torch.allclose(gained, env.log_reward(env.step(states, edge)) - env.log_reward(states), atol=1e-4)
    assert bool((env.gains(states)[states.edges] == 0).all())


def test_expected_edges_are_a_prior_of_independent_edges() -> None:
    plain, sparse = DagEnvironment(nodes=4), DagEnvironment(nodes=4, expected_edges=1.5)
    states = enumerate_graph(plain, limit=5000).states
    apart = sparse.log_reward(states) - plain.log_reward(states)
    assert torch.allclose(apart, math.log(0.25 / 0.75) * states.edges.flatten(1).sum(1).double())
    assert edge_marginals(sparse.log_weights).sum() < edge_marginals(plain.log_weights).sum()


def test_more_edges_than_there_is_room_for_are_not_expected() -> None:
    with pytest.raises(ValueError, match="below n"):
        DagEnvironment(nodes=4, expected_edges=6)
