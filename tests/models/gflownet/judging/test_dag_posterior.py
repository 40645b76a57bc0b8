"""Scores of Bayesian networks and their exact posterior, against published values and against enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from models.gflownet.environments.dag import DagEnvironment
from models.gflownet.judging.dag_posterior import edge_marginals, log_partition
from models.gflownet.judging.exact import enumerate_graph
from models.gflownet.rewards.dag_scores import DiscreteScores, GaussianScores, NodeScores, reference_data

EXACT = {
    3: (-182.812027349, -218.743112, 2.167621),
    4: (-211.440680353, -280.496739, 3.587163),
    5: (-241.697603978, -327.717298, 5.245076),
    6: (-299.713612, None, None),
    7: (-318.376532, None, None),
    8: (-353.105287, -510.026701, None),
}
"""Nodes -> log Z, score of the graph without edges, expected number of edges."""


def scores(n: int) -> np.ndarray:
    return GaussianScores(reference_data(n)).table


@pytest.mark.parametrize("n", EXACT)
def test_log_z_and_edges_are_the_exact_ones(n: int) -> None:
    log_z, empty, edges = EXACT[n]
    table = scores(n)
    assert log_partition(table) == pytest.approx(log_z, abs=2e-6)
    if empty is not None:
        assert table[:, 0].sum() == pytest.approx(empty, abs=1e-6)
    if edges is not None:
        assert edge_marginals(table).sum() == pytest.approx(edges, abs=1e-6)


def test_the_edges_of_eight_nodes_are_the_exact_ones() -> None:
    found = edge_marginals(scores(8))
    exact = {(0, 1): 0.752497, (1, 0): 0.247502, (5, 6): 0.850631, (2, 6): 0.865363, (6, 7): 0.922358,
             (7, 6): 0.074587, (0, 5): 0.076244, (3, 4): 0.739183}  # fmt: skip
    for edge, value in exact.items():
        assert found[edge] == pytest.approx(value, abs=1e-6)


def test_the_sum_without_enumeration_is_the_sum_over_all_graphs() -> None:
    env = DagEnvironment(nodes=4)
    graph = enumerate_graph(env, limit=2000)
    terminal = graph.states[graph.terminal]
    values = env.log_reward(terminal)
    assert len(values) == 543
    assert float(values.logsumexp(0)) == pytest.approx(log_partition(env.scores.table), abs=1e-9)
    law = values.softmax(0).numpy()
    edges = np.einsum("g,gij->ij", law, terminal.edges.numpy())
    assert np.abs(edges - edge_marginals(env.scores.table)).max() < 1e-9
    assert law.max() == pytest.approx(0.104245, abs=1e-6)


def complete(order: tuple[int, ...]) -> list[int]:
    """Parent sets of the graph in which every node has all that come before it."""
    parents = [0] * len(order)
    for place, node in enumerate(order):
        parents[node] = sum(1 << other for other in order[:place])
    return parents


@pytest.mark.parametrize("kind", ["bge", "bde"])
def test_graphs_that_say_the_same_have_one_score(kind: str) -> None:
    data = reference_data(4)
    score = GaussianScores(data) if kind == "bge" else DiscreteScores((data > 0).astype(float) + (data > 1))
    found = [
        sum(score.local(j, p) for j, p in enumerate(complete(order))) for order in itertools.permutations(range(4))
    ]
    assert max(found) - min(found) < 1e-10


def test_the_discrete_score_of_one_variable_is_that_of_polya() -> None:
    data = np.array([[0.0], [0.0], [1.0], [0.0]])
    rising = [0.5, 1.5, 0.5, 2.5]  # counts before plus half, over 1, 2, 3, 4
    exact = sum(math.log(a / b) for a, b in zip(rising, (1.0, 2.0, 3.0, 4.0), strict=True))
    assert DiscreteScores(data).local(0, 0) == pytest.approx(exact, abs=1e-12)


def test_measured_values_are_no_states() -> None:
    with pytest.raises(ValueError, match=r"counts states.* got 0\.5 in row 2 of variable 1"):
        DiscreteScores(np.array([[0.0, 1.0], [0.5, 1.0]]))


def test_more_nodes_than_can_be_summed_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 12"):
        log_partition(np.zeros((13, 1)))


def test_scores_of_many_nodes_are_worked_out_when_they_are_asked_for() -> None:
    data = np.random.default_rng(0).normal(size=(30, 14))
    score = GaussianScores(data)
    nodes, parents = np.array([0, 3, 3]), np.array([0b10, 0b111, 0b111])
    assert score.of(nodes, parents).tolist() == [score.local(0, 2), score.local(3, 7), score.local(3, 7)]


def simulated(seed: int, rows: int, target: int | None) -> np.ndarray:
    """Observations of a -> b, or experiments in which one of them was set."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=rows)
    b = 1.5 * a + 0.5 * rng.normal(size=rows)
    if target is not None:
        (a if target == 0 else b)[:] = rng.normal(size=rows)
    if target == 0:
        b = 1.5 * a + 0.5 * rng.normal(size=rows)
    return np.stack([a, b], axis=1)


@pytest.mark.parametrize("kind", ["bge", "bde"])
def test_experiments_tell_directions_apart_that_observations_cannot(kind: str) -> None:
    data = np.vstack([simulated(0, 60, None), simulated(1, 10, 0), simulated(2, 10, 1)])
    intervened = np.zeros(data.shape, dtype=bool)
    intervened[60:70, 0] = intervened[70:, 1] = True
    if kind == "bde":
        data = (data > 0).astype(float)
    made = GaussianScores if kind == "bge" else DiscreteScores
    seen = edge_marginals(made(data[:60]).table)
    assert seen[0, 1] == pytest.approx(seen[1, 0], abs=1e-9)
    assert seen[0, 1] > 0.49
    known = edge_marginals(made(data, intervened).table)
    assert known[0, 1] > 0.97
    assert known[0, 1] + known[1, 0] <= 1.0 + 1e-9


@pytest.mark.parametrize("made", [GaussianScores, DiscreteScores])
def test_a_term_is_that_of_the_rows_in_which_its_variable_was_not_set(made: type[NodeScores]) -> None:
    data = (reference_data(3) > 0).astype(float)
    intervened = np.zeros(data.shape, dtype=bool)
    intervened[:20, 1] = True
    score, rest, whole = made(data, intervened), made(data[20:]), made(data)
    for parents in (0b000, 0b001, 0b101):
        assert score.local(1, parents) == pytest.approx(rest.local(1, parents), abs=1e-9)
    for node, parents in ((0, 0b010), (2, 0b011)):
        assert score.local(node, parents) == pytest.approx(whole.local(node, parents), abs=1e-9)


@pytest.mark.parametrize("made", [GaussianScores, DiscreteScores])
def test_a_variable_that_was_always_set_has_no_say(made: type[NodeScores]) -> None:
    data = (reference_data(3) > 0).astype(float)
    intervened = np.zeros(data.shape, dtype=bool)
    intervened[:, 2] = True
    score = made(data, intervened)
    assert [score.local(2, parents) for parents in range(4)] == pytest.approx([0.0] * 4, abs=1e-9)
