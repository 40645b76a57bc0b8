from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.records import Prediction
from models.acquisition.expected_improvement import ExpectedImprovement, log_h
from models.acquisition.mean import Mean
from models.acquisition.upper_confidence_bound import UpperConfidenceBound
from models.protocols import Acquisition, Scoring
from models.registry import ComponentError, build

numbers = st.floats(-100, 100)
deviations = st.floats(1e-3, 100)
one = st.tuples(numbers, deviations)


def prediction(rows: list[tuple[float, float]]) -> Prediction:
    return Prediction(np.array([mean for mean, _ in rows]), np.array([std for _, std in rows]))


def test_each_kind_is_found_by_name_and_is_an_acquisition() -> None:
    for kind in ("upper_confidence_bound", "mean", "expected_improvement"):
        assert isinstance(build("acquisition", {"kind": kind}), Acquisition)
    with pytest.raises(ComponentError, match="beta"):
        build("acquisition", {"kind": "upper_confidence_bound", "beta": -1})


@given(st.lists(one, min_size=1, max_size=8), st.floats(0, 5))
def test_the_bound_is_beta_deviations_above_the_mean(rows: list[tuple[float, float]], beta: float) -> None:
    p = prediction(rows)
    bound = UpperConfidenceBound(beta=beta)
    np.testing.assert_allclose(bound.score((p,), Scoring()), p.mean + beta * p.std)


def test_expected_improvement_is_the_mean_gain_over_draws() -> None:
    p = prediction([(0.0, 1.0), (1.5, 0.5), (-1.0, 2.0)])
    draws = p.mean + p.std * np.random.default_rng(0).normal(size=(400_000, 3))
    about = Scoring(measured=np.array([[1.0], [np.nan], [0.3]]))
    expected = np.maximum(draws - 1.2, 0.0).mean(0)
    plain = ExpectedImprovement(scale="plain").score((p,), about)
    with_margin = ExpectedImprovement(scale="plain", margin=0.2).score((p,), about)
    np.testing.assert_allclose(with_margin, expected, rtol=0.02)
    assert (plain > with_margin).all()
    np.testing.assert_allclose(np.exp(ExpectedImprovement().score((p,), about)), plain)


def test_nothing_measured_yet_leaves_the_mean() -> None:
    p = prediction([(1.0, 3.0), (2.0, 0.1)])
    np.testing.assert_array_equal(ExpectedImprovement().score((p,), Scoring()), p.mean)
    np.testing.assert_array_equal(Mean().score((p,), Scoring()), p.mean)


@pytest.mark.parametrize(
    "z", [5.0, 0.0, -0.5, -0.9999, -1.0001, -3.0, -8.5, -30.0, -99.9, -100.1, -5e3, -9.9e3, -2e4, -1e7]
)
def test_the_logarithm_is_right_where_the_improvement_underflows(z: float) -> None:
    with mpmath.workdps(60):
        exact = float(mpmath.log(mpmath.npdf(z) + mpmath.mpf(z) * mpmath.ncdf(z)))
    # The digits that a double has left beside z^2 / 2: it is the rest that orders two such molecules.
    assert log_h(np.array([z]))[0] == pytest.approx(exact, rel=1e-15, abs=2e-8)
