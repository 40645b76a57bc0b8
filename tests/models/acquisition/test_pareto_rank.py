from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import Prediction
from models.acquisition.base import within_a_pool
from models.acquisition.pareto import pareto_fronts
from models.acquisition.pareto_rank import ParetoRank, crowding_distance
from models.protocols import Scoring

seeds = st.integers(0, 2**32 - 1)


def objectives_of(*means):
    return tuple(Prediction(np.array(mean, dtype=float), np.ones(len(mean))) for mean in means)


def scored(predicted, measured=(), **options):
    return ParetoRank(**options).score(predicted, Scoring(measured=np.asarray(measured)))


@given(seed=seeds, m=st.integers(1, 15), k=st.integers(2, 3))
@settings(max_examples=50, deadline=None)
def test_the_front_is_the_whole_part_and_crowding_orders_within_it(seed, m, k):
    values = np.random.default_rng(seed).normal(size=(m, k))
    value = scored(objectives_of(*values.T))
    for rank, front in enumerate(pareto_fronts(values)):
        assert (np.ceil(value[front]) == -rank + 1).all()
        lonely = crowding_distance(values[front])
        order = np.argsort(-value[front], kind="stable")
        assert (np.diff(lonely[order][np.isfinite(lonely[order])]) <= 1e-9).all()
        assert np.isinf(lonely[order][: np.isinf(lonely).sum()]).all()


def test_crowding_is_the_distance_between_ones_neighbours_in_ranges():
    # A front of four with ranges 10 and 6. The second has 0 and 4, 6 and 3 for neighbours; the third 1 and 10, 5 and 0.
    front = np.array([[0.0, 6.0], [1.0, 5.0], [4.0, 3.0], [10.0, 0.0]])
    np.testing.assert_allclose(crowding_distance(front), [np.inf, 4 / 10 + 3 / 6, 9 / 10 + 5 / 6, np.inf])
    np.testing.assert_allclose(crowding_distance(np.ones((3, 2))), np.inf)


def test_optimism_may_be_added():
    # The second is worse in both and less sure: with enough optimism it is better in both.
    first = Prediction(np.array([1.0, 0.0]), np.array([0.1, 1.0]))
    plain, optimistic = scored((first, first)), scored((first, first), beta=2.0)
    assert plain[0] > plain[1]
    assert optimistic[1] > optimistic[0]


@given(seed=seeds, m=st.integers(1, 8), t=st.integers(0, 12))
@settings(max_examples=50, deadline=None)
def test_among_the_measured_it_counts_the_fronts_that_dominate(seed, m, t):
    rng = np.random.default_rng(seed)
    values, measured = rng.integers(0, 5, (m, 2)).astype(float), rng.integers(0, 5, (t, 2)).astype(float)
    value = scored(objectives_of(*values.T), measured, among="measured")
    for one, got in zip(values, value, strict=True):
        fronts = [measured[front] for front in pareto_fronts(measured)]
        assert got == -sum(any((r >= one).all() and (r > one).any() for r in front) for front in fronts)


@pytest.mark.parametrize(("among", "relative"), [("candidates", True), ("measured", False)])
def test_only_the_rank_among_candidates_depends_on_who_is_there(among, relative):
    assert within_a_pool(ParetoRank(among=among)) == relative
    measured = np.array([[2.0, 2.0]])
    three = scored(objectives_of([1.0, 3.0, 4.0], [1.0, 3.0, 4.0]), measured, among=among)
    two = scored(objectives_of([1.0, 3.0], [1.0, 3.0]), measured, among=among)
    assert (three[:2].tolist() != two.tolist()) == relative
