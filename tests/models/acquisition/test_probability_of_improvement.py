from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from data.records import Prediction
from models.acquisition.base import is_logarithm
from models.acquisition.probability_of_improvement import ProbabilityOfImprovement
from models.protocols import Scoring

numbers = st.floats(-10, 10)


@given(mean=numbers, std=st.floats(0.01, 10), best=numbers, margin=st.floats(0, 3))
def test_it_is_the_normal_probability_to_beat_the_best_by_the_margin(mean, std, best, margin):
    prediction = Prediction(np.array([mean]), np.array([std]))
    about = Scoring(predicted_best=best)
    exact = norm(mean, std).sf(best + margin)
    plain = ProbabilityOfImprovement(scale="plain", margin=margin).score((prediction,), about)
    assert plain[0] == pytest.approx(exact, rel=1e-9, abs=1e-300)
    log = ProbabilityOfImprovement(margin=margin).score((prediction,), about)
    np.testing.assert_allclose(np.exp(log), plain, rtol=1e-12)


@pytest.mark.parametrize("z", [8.0, 3.0, 0.0, -3.0, -10.0, -37.0, -40.0, -1e3, -1e6])
def test_its_logarithm_is_right_where_the_probability_is_one_or_underflows(z):
    with mpmath.workdps(60):
        # Of one: log(1 - q) with q of the other tail, which mpmath gives without loss.
        exact = float(mpmath.log1p(-mpmath.ncdf(-z)) if z > 0 else mpmath.log(mpmath.ncdf(z)))
    prediction = Prediction(np.array([2.0 + 0.5 * z]), np.array([0.5]))
    assert ProbabilityOfImprovement().score((prediction,), Scoring(predicted_best=2.0))[0] == pytest.approx(
        exact, rel=1e-12
    )


def test_before_anything_is_measured_it_is_the_mean():
    prediction = Prediction(np.array([1.0, 2.0]), np.array([3.0, 0.1]))
    assert ProbabilityOfImprovement().score((prediction,), Scoring()).tolist() == [1.0, 2.0]


def test_only_its_logarithm_says_that_it_is_one():
    assert is_logarithm(ProbabilityOfImprovement())
    assert not is_logarithm(ProbabilityOfImprovement(scale="plain"))
