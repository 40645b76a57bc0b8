"""Student's t of variance 1, against mpmath and against the normal that it becomes."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from data.records import Prediction
from models.acquisition.constrained import log_within
from models.acquisition.expected_improvement import log_improvement
from models.proxies.evaluation import metrics, reliability
from models.tails import log_density, log_probability, quantile

PLACES = [-1e6, -1000.0, -40.0, -5.0, -1.0, -1e-3, 0.0, 0.5, 3.0, 40.0]


def density(z: mpmath.mpf, v: float) -> mpmath.mpf:
    s = mpmath.sqrt(1 - mpmath.mpf(2) / v)
    u = z / s
    return (1 + u * u / v) ** (-(v + 1) / mpmath.mpf(2)) / (mpmath.sqrt(v) * mpmath.beta(v / 2, 0.5)) / s


@pytest.mark.parametrize("v", [2.5, 7.0, 30.0, 900.0])
@pytest.mark.parametrize("z", PLACES)
def test_probabilities_and_improvements_are_right_however_far_out(z: float, v: float) -> None:
    with mpmath.workdps(40):
        v_ = mpmath.mpf(v)
        s = mpmath.sqrt(1 - 2 / v_)
        u = mpmath.mpf(z) / s
        below = mpmath.betainc(v_ / 2, 0.5, 0, v_ / (v_ + u * u), regularized=True) / 2
        probability = below if u <= 0 else 1 - below
        improvement = s * ((v_ + u * u) / (v_ - 1) * density(mpmath.mpf(z), v) * s + u * probability)
        expected = float(mpmath.log(probability)), float(mpmath.log(improvement))
        dense = float(mpmath.log(density(mpmath.mpf(z), v)))
    at, freedom = np.array([z]), np.array([v])
    assert log_probability(at, freedom)[0] == pytest.approx(expected[0], rel=1e-9, abs=1e-12)
    assert log_improvement(at, freedom)[0] == pytest.approx(expected[1], rel=1e-8, abs=1e-9)
    assert log_density(at, freedom)[0] == pytest.approx(dense, rel=1e-12)


def test_with_many_degrees_of_freedom_it_is_the_normal_to_the_bit() -> None:
    z = np.linspace(-30.0, 30.0, 61)
    many = np.full(len(z), 1e9)
    for function in (log_probability, log_density, log_improvement):
        np.testing.assert_array_equal(function(z, many), function(z, None))
    levels = np.array([0.05, 0.5, 0.95])
    np.testing.assert_array_equal(quantile(levels, many), np.tile(quantile(levels, None), (len(z), 1)))


def test_close_to_that_many_nothing_jumps() -> None:
    z = np.linspace(-6.0, 6.0, 25)
    nearly = np.full(len(z), 9.9e4)
    for function in (log_probability, log_density, log_improvement):
        np.testing.assert_allclose(function(z, nearly), function(z, None), atol=4e-3)


def test_figures_of_a_report_are_those_of_the_distribution_that_is_predicted() -> None:
    rng = np.random.default_rng(0)
    n, v = 40_000, 4.0
    values = 2.0 + 3.0 * rng.standard_t(v, n) * np.sqrt(0.5)
    heavy = Prediction(np.full(n, 2.0), np.full(n, 3.0), np.full(n, v))
    normal = Prediction(heavy.mean, heavy.std)
    assert reliability(heavy, values, [0.5, 0.9, 0.99]) == pytest.approx([0.5, 0.9, 0.99], abs=0.01)
    assert reliability(normal, values, [0.5])[0] > 0.6
    assert metrics(heavy, values)["nll"] < metrics(normal, values)["nll"] - 0.03
    assert metrics(heavy, values)["miscalibration"] < 0.01 < metrics(normal, values)["miscalibration"]


def test_chances_to_lie_within_limits_add_up() -> None:
    one = Prediction(np.zeros(3), np.ones(3), np.full(3, 3.0))
    chances = [np.exp(log_within(one, low, high)) for low, high in ((-np.inf, -1.0), (-1.0, 2.0), (2.0, np.inf))]
    np.testing.assert_allclose(sum(chances), 1.0, atol=1e-12)


def test_a_prediction_refuses_degrees_of_freedom_without_a_deviation() -> None:
    with pytest.raises(ValueError, match="above 2"):
        Prediction(np.zeros(2), np.ones(2), np.array([2.0, 5.0]))
