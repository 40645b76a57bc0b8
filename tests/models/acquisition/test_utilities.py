"""Utilities of several objectives: measured ranges, optimism, limits, and how sharp a reward they make."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from data.records import Prediction
from models.acquisition.utilities import LEAST, UtilityScale
from models.protocols import Scoring

RNG = np.random.default_rng(0)
MEASURED = np.column_stack([np.arange(11.0), 50.0 - 5.0 * RNG.permutation(11)])
INF = float("inf")


def scale_of(measured=MEASURED, *, b=2.0, **about):
    return UtilityScale.of(measured, Scoring(measured=measured, **about), inverse_temperature=b, limit=30.0)


def predictions(*columns, std=0.0):
    return tuple(Prediction(np.array(column, dtype=float), np.full(len(column), std)) for column in columns)


def test_the_best_measured_value_has_one_and_the_worst_the_least():
    found = np.exp(scale_of().of_values(MEASURED))
    assert found.max(0).tolist() == pytest.approx([1.0, 1.0])
    assert found.min(0).tolist() == pytest.approx([LEAST, LEAST], abs=1e-6)
    assert found[5, 0] == pytest.approx(0.5, abs=1e-6)


def test_one_bad_outlier_does_not_make_the_others_alike():
    several = np.vstack([np.repeat(MEASURED, 30, axis=0), [-40.0, 25.0]])
    found = np.exp(scale_of(several).of_values(np.array([[10.0, 25.0], [5.0, 25.0], [-40.0, 25.0]])))[:, 0]
    assert found[[0, 2]].tolist() == pytest.approx([1.0, LEAST], abs=1e-6)
    assert 0.5 < found[1] < 0.65  # of the whole range it would be .9


def test_a_prediction_counts_with_what_it_may_reach():
    scale = scale_of()
    certain, unsure = (scale.of_predictions(predictions([5.0], [25.0], std=std)) for std in (0.0, 1.0))
    assert np.exp(unsure - certain)[0].tolist() == pytest.approx([1.2, 26 / 25], abs=1e-5)
    better = scale.of_predictions(predictions([12.0, 1e9], [25.0, 25.0]))
    assert np.exp(better[0, 0]) == pytest.approx(1.2, abs=1e-5)
    assert better[1, 0] * scale.power == pytest.approx(30.0, abs=1e-4)  # no prediction is rewarded without bound


@pytest.mark.parametrize("b", [1.0, 3.0])
def test_near_the_best_a_deviation_counts_as_much_as_the_campaign_says(b):
    scale = scale_of(b=b)
    deviation = MEASURED.std(0)
    step = 1e-3
    up = scale.power * scale.of_predictions(predictions([10.0 + step * deviation[0]], [50.0]))[0, 0]
    assert up / step == pytest.approx(b, rel=0.01)


def test_units_make_no_difference():
    other = scale_of(MEASURED * [1000.0, 0.01])
    np.testing.assert_allclose(other.of_values(MEASURED * [1000.0, 0.01]), scale_of().of_values(MEASURED), atol=2e-6)
    assert other.power == pytest.approx(scale_of().power)


def test_the_chance_of_keeping_to_a_limit_counts_as_in_the_log_reward():
    scale = scale_of(np.column_stack([MEASURED, MEASURED[:, 0]]), limits=((-INF, INF), (-INF, INF), (4.0, INF)))
    narrow = scale_of(
        np.column_stack([MEASURED, MEASURED[:, 0]]), limits=((-INF, INF), (-INF, INF), (4.0, INF)), improved=(0, 1)
    )
    assert narrow.of_values(np.array([[9.0, 40.0, 9.0]])).shape == (1, 2)
    assert scale.of_values(np.array([[9.0, 40.0, 9.0]])).shape == (1, 3)
    inside, edge = narrow.of_predictions(predictions([9.0, 9.0], [40.0, 40.0], [1e3, 4.0], std=1e-9))
    # A reward of the power `power` of a utility that stands for all falls by b per factor of e in the chance.
    assert (narrow.power * (edge - inside)).tolist() == pytest.approx([2.0 * norm.logcdf(0.0)] * 2, abs=1e-4)


def test_what_breaks_a_limit_or_was_not_measured_has_the_least():
    scale = scale_of(MEASURED, limits=((4.0, INF), (-INF, INF)))
    found = np.exp(scale.of_values(np.array([[3.0, 50.0], [np.nan, 50.0], [5.0, np.nan], [5.0, 50.0]])))
    np.testing.assert_allclose(found[:3], LEAST, atol=1e-6)
    assert found[3].tolist() == pytest.approx([0.5, 1.0], abs=1e-6)


@pytest.mark.parametrize("measured", [np.zeros((1, 2)), np.ones((4, 2)), np.full((3, 2), np.nan)])
def test_measurements_that_do_not_differ_give_finite_utilities(measured):
    scale = scale_of(measured)
    assert np.isfinite(scale.of_values(measured)).all()
    assert np.isfinite(scale.of_predictions(predictions([0.0, 1e6], [-1e6, 0.0]))).all()
    assert 0 < scale.power < 100
