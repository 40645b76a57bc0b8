"""Sets of vertices: exactly the solutions of four problems, with the numbers that are known of some graphs."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import networkx as nx
import pytest
import torch

from models.gflownet.environments.graph_instances import RandomGraphs, named_graph, networkx_graph
from models.gflownet.environments.vertex_sets import VertexSetEnvironment
from models.gflownet.judging.exact import enumerate_graph
from models.gflownet.judging.graph_solutions import maximal_independent_sets
from models.registry import ComponentError, build
from tests.models.gflownet.environments.properties import (
    PROPERTIES,
    Instance,
    distinct_actions_lead_to_distinct_states,
    stays_on_its_device,
)

PROBLEMS = ("independent_set", "clique", "dominating_set", "cut")
INDEPENDENT = {
    "cycle_12": ({4: 3, 5: 24, 6: 2}, (8.419044, 30.770963), (5.141876, 5.925072)),
    "petersen": ({3: 10, 4: 5}, (6.160883, 21.622824), (3.576117, 3.986703)),
    "grid_4x4": ({4: 2, 6: 34, 7: 4, 8: 2}, (10.093042, 40.707294), (6.665667, 7.985191)),
    "dodecahedral": ({6: 10, 7: 280, 8: 5}, (12.694642, 41.929647), (7.033345, 7.725931)),
    "karate_club": (
        {4: 2, 7: 9, 8: 9, 9: 16, 10: 4, 11: 4, 12: 5, 13: 7, 14: 4, 15: 20, 16: 28, 17: 40, 18: 24, 19: 32, 20: 24},
        (23.729980, 103.187043),
        (19.349888, 19.991005),
    ),
}
"""Maximal independent sets by size; log Z and mean size at beta 1 and 5."""
DOMINATING = {
    "cycle_12": {4: 3, 5: 48, 6: 6},
    "petersen": {3: 10, 4: 5, 5: 12},
    "grid_4x4": {4: 2, 5: 16, 6: 270, 7: 12, 8: 6},
}
CUTS = {"cycle_12": 12, "petersen": 12, "grid_4x4": 24}
RANDOM = {"model": "erdos_renyi", "nodes": [7, 7], "density": [0.4, 0.4], "seed": 1}


def terminal(env):
    """All terminal states, walked to from the source; of the club, whose sets have millions of parts, told by names."""
    if len(env.graphs[0].items) < 30:
        graph = enumerate_graph(env)
        return graph.states[graph.terminal]
    return env.states_of(maximal_independent_sets(env.graphs[0]), torch.Generator())


def brute_force(problem, graph):
    """The objects of a problem by its definition, of all subsets of the vertices."""
    g, n = networkx_graph(graph), len(graph.items)
    subsets = [frozenset(one) for k in range(n + 1) for one in combinations(range(n), k)]

    def good(one):
        if problem == "independent_set":
            return not any(g.has_edge(a, b) for a, b in combinations(one, 2))
        if problem == "clique":
            return all(g.has_edge(a, b) for a, b in combinations(one, 2))
        return nx.is_dominating_set(g, one)

    family = {one for one in subsets if good(one)}
    if problem == "dominating_set":
        return {one for one in family if not any(one - {v} in family for v in one)}
    return {one for one in family if not any(one | {v} in family for v in range(n) if v not in one)}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_maximal_independent_sets_have_their_known_sizes_and_sums(name):
    counts, log_z, mean = INDEPENDENT[name]
    for beta, total, size in zip((1.0, 5.0), log_z, mean, strict=True):
        env = VertexSetEnvironment(named=name, beta=beta)
        states = terminal(env)
        log_reward = env.log_reward(states)
        assert Counter(env.gain(states).long().tolist()) == counts
        assert log_reward.logsumexp(0).item() == pytest.approx(total, abs=1e-6)
        assert (log_reward.softmax(0) * env.gain(states)).sum().item() == pytest.approx(size, abs=1e-6)


@pytest.mark.parametrize("name", DOMINATING)
def test_minimal_dominating_sets_have_their_known_sizes(name):
    env = VertexSetEnvironment(problem="dominating_set", named=name)
    assert Counter((-env.gain(terminal(env))).long().tolist()) == DOMINATING[name]


@pytest.mark.parametrize("name", CUTS)
def test_the_largest_cut_is_reached(name):
    env = VertexSetEnvironment(problem="cut", named=name)
    assert env.gain(terminal(env)).max().item() == CUTS[name]


@pytest.mark.parametrize("problem", ["independent_set", "clique", "dominating_set"])
def test_objects_are_the_solutions_by_definition(problem):
    env = VertexSetEnvironment(problem=problem, random=RANDOM)
    objects = enumerate_graph(env).objects
    found = {frozenset(map(int, names)) for names in objects}
    assert len(found) == len(objects)
    assert found == brute_force(problem, env.graphs[0])


def test_the_gain_of_a_cut_is_the_number_of_edges_between_its_sides():
    env = VertexSetEnvironment(problem="cut", random=RANDOM)
    states = enumerate_graph(env).states
    g = networkx_graph(env.graphs[0])
    expected = [nx.cut_size(g, members) if members else 0 for members in env.members(states)]
    assert env.gain(states).tolist() == expected


def test_a_vertex_of_a_cut_may_not_be_last_where_most_neighbours_are_on_its_side():
    env = VertexSetEnvironment(problem="cut", random={"model": "barabasi_albert", "nodes": [8, 8], "attached": 3})
    states = enumerate_graph(env).states
    fewer = env.backward_mask(states).sum(1) < states.member.sum(1)
    assert fewer.any()
    assert not fewer.all()


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("check", [*PROPERTIES, distinct_actions_lead_to_distinct_states], ids=lambda f: f.__name__)
def test_promise_is_kept_for_every_problem(check, problem):
    check(Instance(VertexSetEnvironment(problem=problem, random=RANDOM)))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_sets_are_encoded_as_what_they_decode_to(problem):
    env = VertexSetEnvironment(problem=problem, random=RANDOM)
    objects = enumerate_graph(env).objects
    states = env.states_of(objects, torch.Generator())
    assert states.done.all()
    assert env.decode(states) == objects


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_graph_among_larger_ones_has_the_moves_that_it_has_alone(problem):
    small, large = RandomGraphs(**RANDOM).draw(1)[0], named_graph("petersen")
    alone = VertexSetEnvironment(problem=problem, graphs=[small])
    among = VertexSetEnvironment(problem=problem, graphs=[large, small])
    states, n = enumerate_graph(alone).states, len(small.items)
    padded = among.starts(torch.ones(len(states), dtype=torch.int64))
    padded.member[:, :n] = states.member
    assert torch.equal(among.free(padded)[:, :n], alone.free(states))
    assert not among.free(padded)[:, n:].any()
    assert torch.equal(among.removable(padded)[:, :n], alone.removable(states))
    assert torch.equal(among.gain(padded), alone.gain(states))
    assert among.decode(padded) == alone.decode(states)
    assert among.keys(padded[:1]) != among.keys(among.starts(torch.zeros(1, dtype=torch.int64)))
    both = type(padded).cat([padded, among.starts(torch.zeros(2, dtype=torch.int64))])
    assert len(among.codes(both).unique()) == len(set(among.keys(both)))


def test_a_file_has_names_and_weights(tmp_path):
    (tmp_path / "edges.csv").write_text("source,target\nann,bob\nbob,eve\n")
    (tmp_path / "people.csv").write_text("name,worth\nann,1\nbob,5\neve,2.5\nzoe,1\n")
    spec = {"kind": "vertex_sets", "graph": "edges.csv", "nodes": "people.csv", "weight_column": "worth"}
    env = build("environment", spec, base=tmp_path)
    graph = enumerate_graph(env)
    gains = env.gain(graph.states[graph.terminal]).tolist()
    assert dict(zip(graph.objects, gains, strict=True)) == {("ann", "eve", "zoe"): 4.5, ("bob", "zoe"): 6.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no graph to choose from"),
        ({"named": "petersen", "random": {}}, "give one of them"),
        ({"named": "petersen", "nodes": "a.csv"}, "belongs to a `graph`"),
        ({"named": "petersen", "weight_column": "w"}, "weights are a column"),
        ({"random": {"model": "barabasi_albert", "nodes": [4, 4]}}, "below the number of nodes"),
        ({"random": {"density": [0.5, 0.2]}}, "least to its greatest"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises((ComponentError, ValueError), match=message):
        build("environment", {"kind": "vertex_sets", **options})


def test_a_weight_that_is_missing_or_not_above_zero_is_refused(tmp_path):
    (tmp_path / "edges.csv").write_text("source,target\nann,bob\n")
    (tmp_path / "people.csv").write_text("name,worth\nann,1\nbob,-2\n")
    files = {"graph": tmp_path / "edges.csv", "nodes": tmp_path / "people.csv"}
    with pytest.raises(ValueError, match="'bob' weighs '-2'"):
        VertexSetEnvironment(**files, weight_column="worth")
    with pytest.raises(ValueError, match="no column 'value'"):
        VertexSetEnvironment(**files, weight_column="value")


def test_a_graph_on_which_nothing_can_be_decided_is_refused(tmp_path):
    (tmp_path / "edges.csv").write_text("source,target\n")
    (tmp_path / "people.csv").write_text("name\nann\nbob\n")
    with pytest.raises(ValueError, match="it has one solution"):
        VertexSetEnvironment(problem="dominating_set", graph=tmp_path / "edges.csv", nodes=tmp_path / "people.csv")


@pytest.mark.parametrize(
    ("set_", "message"),
    [(("0", "99"), "'99' is none"), (("0", "1"), "breaks the rules"), (("0",), "left undecided")],
)
def test_a_set_that_is_no_object_is_refused(set_, message):
    with pytest.raises(ValueError, match=message):
        VertexSetEnvironment(named="petersen").states_of([set_], torch.Generator())


def test_tensors_stay_on_the_device_of_the_environment():
    stays_on_its_device(VertexSetEnvironment(named="petersen"))
