"""What was measured, as acquisitions look at it."""

from __future__ import annotations

import numpy as np
import pytest

from models.acquisition.measured import centre_and_spread, certain_scores, feasible_whole, measured_whole, narrowed
from models.protocols import Scoring
from models.registry import build

INF = np.inf
FREE = (-INF, INF)
MEASURED = np.array([[1.0, 3.0, 0.0], [np.nan, 4.0, 0.0], [2.0, 7.0, 9.0], [3.0, 1.0, np.nan]])
ABOUT = Scoring(measured=MEASURED, limits=(FREE, FREE, (-INF, 5.0)), improved=(0, 1))


def test_rows_are_whole_or_left_out_and_rivals_keep_to_limits():
    here = narrowed(ABOUT)
    assert measured_whole(here, 2).tolist() == [[1.0, 3.0], [2.0, 7.0], [3.0, 1.0]]
    assert feasible_whole(here, 2).tolist() == [[1.0, 3.0]]
    assert (here.limits, here.improved) == ((), ())
    assert measured_whole(Scoring(), 3).shape == feasible_whole(narrowed(Scoring()), 3).shape == (0, 3)
    assert narrowed(Scoring(improved=(0, 2))).measured.shape == (0, 2)
    with pytest.raises(ValueError, match=r"shape \(t, 2\); got \(4, 3\)"):
        measured_whole(ABOUT, 2)


def test_the_best_keeps_to_the_limits_and_is_of_what_is_to_be_improved():
    assert ABOUT.feasible.tolist() == [True, True, False, False]
    assert ABOUT.best == 1.0
    assert Scoring(measured=MEASURED, limits=ABOUT.limits, improved=(1,)).best == 4.0
    assert Scoring(measured=MEASURED, limits=(FREE, FREE, (6.0, 8.0)), improved=(0,)).best is None
    assert narrowed(ABOUT).best == 1.0
    assert not Scoring(measured=MEASURED, limits=(FREE,) * 3).limited


def test_of_one_objective_certain_scores_are_the_values():
    about = Scoring(measured=np.array([[3.0], [np.nan], [1.0]]))
    assert certain_scores(build("acquisition", {"kind": "upper_confidence_bound"}), about).tolist() == [3.0, 1.0]
    assert certain_scores(build("acquisition", {"kind": "mean"}), Scoring()).shape == (0,)


def test_of_several_they_are_the_scores_without_deviation():
    found = certain_scores(build("acquisition", {"kind": "weighted_sum", "beta": 3.0}), narrowed(ABOUT))
    np.testing.assert_allclose(found, [(0.0 + 1 / 3) / 2, (0.5 + 1.0) / 2, (1.0 + 0.0) / 2], atol=1e-9)


def test_centre_and_spread_leave_gaps_out_and_have_a_size_where_values_are_equal():
    assert centre_and_spread(np.array([1.0, np.nan, 3.0])) == (2.0, 1.0)
    assert centre_and_spread(np.array([4.0, 4.0])) == (4.0, 4.0)
    assert centre_and_spread(np.array([np.nan])) == (0.0, 1.0)
