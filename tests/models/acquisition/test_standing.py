"""How measured objects stand among each other, by hand and against the definition of domination."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.acquisition.standing import standing, violation
from models.protocols import Scoring

INF = np.inf
FREE = (-INF, INF)
seeds = st.integers(0, 2**32 - 1)


def test_a_breach_is_counted_in_deviations_of_what_was_measured_and_summed():
    about = Scoring(measured=np.array([[0.0, 10.0], [0.0, 14.0]]), limits=((-INF, 1.0), (5.0, 8.0)))
    values = np.array([[0.5, 6.0], [2.0, 4.0], [1.0, 8.0], [0.0, np.nan], [np.nan, 12.0]])
    # Deviations are 2 for the second, and for the first, which is always 0, they are 1.
    assert violation(values, about).tolist() == [0.0, 1.0 + 0.5, 0.0, 1.0, 1.0 + 2.0]
    assert violation(values, Scoring(measured=values)).tolist() == [0.0] * 5


def test_of_one_objective_it_is_the_value_in_deviations_and_what_breaks_a_limit_is_below():
    values = np.array([[1.0, 0.0], [3.0, 9.0], [5.0, 0.0], [7.0, 5.0], [np.nan, 0.0]])
    about = Scoring(measured=values[:4], limits=(FREE, (-INF, 4.0)), improved=(0,))
    width, side = np.std([1.0, 3.0, 5.0, 7.0]), np.std([0.0, 9.0, 0.0, 5.0])
    last = -3.0 / width  # of the first, the worse of the two that keep to the limit
    expected = [last, last - 5.0 / side, 1.0 / width, last - 1.0 / side, last - 1.0]
    np.testing.assert_allclose(standing(values, about), expected)


def test_where_nothing_is_feasible_the_least_breach_is_best():
    values = np.array([[9.0, 8.0], [1.0, 5.0], [5.0, 6.0]])
    about = Scoring(measured=values, limits=(FREE, (-INF, 4.0)), improved=(0,))
    assert np.argsort(-standing(values, about)).tolist() == [1, 2, 0]


@given(seed=seeds, t=st.integers(1, 15), k=st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_of_several_nobody_stands_above_who_dominates_it(seed, t, k):
    values = np.random.default_rng(seed).integers(0, 4, (t, k)).astype(float)
    found = standing(values, Scoring(measured=values))
    assert np.isfinite(found).all()
    assert abs(found.mean()) < 0.5
    for i in range(t):
        for j in range(t):
            if (values[i] >= values[j]).all() and (values[i] > values[j]).any():
                assert found[i] > found[j]


def test_of_several_the_unit_of_none_matters_and_gaps_come_last():
    values = np.array([[1.0, 5.0, 0.0], [2.0, 4.0, 0.0], [9.0, 9.0, 9.0], [0.0, 0.0, 0.0], [np.nan, 9.0, 0.0]])
    limits = (FREE, FREE, (-INF, 1.0))
    found = standing(values, Scoring(measured=values, limits=limits, improved=(0, 1)))
    assert found[0] == found[1] > found[3] > found[[2, 4]].max()
    other = values * (1e-6, 300.0, 1.0)
    np.testing.assert_allclose(standing(other, Scoring(measured=other, limits=limits, improved=(0, 1))), found)


def test_the_lonelier_of_a_front_stands_higher():
    values = np.array([[0.0, 10.0], [1.0, 9.0], [2.0, 8.0], [7.0, 3.0], [10.0, 0.0]])
    found = standing(values, Scoring(measured=values))
    assert found[3] > found[1]
    assert found[[0, 4]].min() > found[1:4].max()  # the ends of a front have nobody beyond them
