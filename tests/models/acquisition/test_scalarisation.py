from __future__ import annotations

import numpy as np
import pytest

from data.records import Prediction
from models.acquisition.scalarisation import Chebyshev, WeightedSum
from models.protocols import Scoring
from models.registry import ComponentError, build

# Measured from 10 to 30 and from -5 to -1: in ranges the candidates are at
# (0.5, 0.75), (1.5, 0) and (0, 1), with deviations (0.1, 0.25), (0.2, 0.5) and (0, 0) or hardly any.
FIRST = Prediction(np.array([20.0, 40.0, 10.0]), np.array([2.0, 4.0, 1e-9]))
SECOND = Prediction(np.array([-2.0, -5.0, -1.0]), np.array([1.0, 2.0, 1e-9]))
BOTH = (FIRST, SECOND)
ABOUT = Scoring(measured=np.array([[10.0, -5.0], [30.0, -4.0], [15.0, -1.0]]))


def test_the_weighted_sum_is_a_mean_in_measured_ranges_with_the_deviation_of_the_sum():
    equal = WeightedSum(beta=0.0).score(BOTH, ABOUT)
    np.testing.assert_allclose(equal, [0.625, 0.75, 0.5])
    # (3 x 0.5 + 1 x 0.75) / 4, and so on; weights count by their ratio.
    for weights in ([3.0, 1.0], [0.75, 0.25]):
        np.testing.assert_allclose(WeightedSum(weights=weights, beta=0.0).score(BOTH, ABOUT), [0.5625, 1.125, 0.25])
    bound = WeightedSum(beta=2.0).score(BOTH, ABOUT)
    # sqrt((0.1 / 2)^2 + (0.25 / 2)^2), twice that for the second.
    one = np.sqrt(0.05**2 + 0.125**2)
    np.testing.assert_allclose(bound - equal, [2 * one, 4 * one, 0.0], atol=1e-8)


def test_the_bound_of_the_sum_is_its_mean_and_deviation_over_draws():
    rng = np.random.default_rng(0)
    weights = np.array([0.7, 0.3])
    first = (FIRST.mean[0] + FIRST.std[0] * rng.normal(size=200_000) - 10.0) / 20.0
    second = (5.0 + SECOND.mean[0] + SECOND.std[0] * rng.normal(size=200_000)) / 4.0
    total = weights[0] * first + weights[1] * second
    value = WeightedSum(weights=weights.tolist(), beta=1.5).score(BOTH, ABOUT)[0]
    assert value == pytest.approx(total.mean() + 1.5 * total.std(), abs=5 * total.std() * np.sqrt(3 / 200_000))


def test_chebyshev_is_the_shortfall_of_the_worst_and_a_little_of_the_sum():
    # Short of 1 by (-0.5, -0.25), (0.5, -1) and (-1, 0), each halved by the weights.
    value = Chebyshev(beta=0.0, rho=0.1).score(BOTH, ABOUT)
    np.testing.assert_allclose(value, [-0.25 - 0.0375, -0.5 - 0.025, -0.5 - 0.05])
    # With one deviation of optimism: (-0.4, 0), (0.7, -0.5) and (-1, 0).
    optimistic = Chebyshev(beta=1.0, rho=0.0).score(BOTH, ABOUT)
    np.testing.assert_allclose(optimistic, [-0.2, -0.25, -0.5], atol=1e-8)


def test_chebyshev_finds_the_middle_of_a_front_that_is_not_convex_and_a_sum_does_not():
    first = Prediction(np.array([1.0, 0.4, 0.0]), np.full(3, 1e-9))
    second = Prediction(np.array([0.0, 0.4, 1.0]), np.full(3, 1e-9))
    about = Scoring(measured=np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert np.argmax(Chebyshev().score((first, second), about)) == 1
    for share in np.linspace(0.0, 1.0, 11):
        assert np.argmax(WeightedSum(weights=[share, 1.0 - share]).score((first, second), about)) != 1


def test_chebyshev_does_not_look_at_what_has_no_weight():
    value = Chebyshev(weights=[2.0, 0.0], beta=0.0, rho=0.0).score(BOTH, ABOUT)
    np.testing.assert_allclose(value, [-0.5, 0.5, -1.0])


def test_a_constant_objective_and_no_measurement_leave_the_unit():
    constant = Scoring(measured=np.array([[10.0, -5.0], [30.0, -5.0]]))
    np.testing.assert_allclose(WeightedSum(beta=0.0).score(BOTH, constant), [(0.5 + 3) / 2, 0.75, 2.0])
    np.testing.assert_allclose(WeightedSum(beta=0.0).score(BOTH, Scoring()), [9.0, 17.5, 4.5])


@pytest.mark.parametrize("kind", ["weighted_sum", "chebyshev"])
@pytest.mark.parametrize("weights", [[-1.0, 2.0], [0.0, 0.0]])
def test_weights_that_weigh_nothing_are_refused(kind, weights):
    with pytest.raises(ComponentError, match="weights must be >= 0, and one of them positive"):
        build("acquisition", {"kind": kind, "weights": weights})


@pytest.mark.parametrize("kind", ["weighted_sum", "chebyshev"])
def test_there_is_one_weight_for_each_objective(kind):
    with pytest.raises(ValueError, match=f"'{kind}' has 3 weights; there are 2 objectives"):
        build("acquisition", {"kind": kind, "weights": [1.0, 1.0, 1.0]}).score(BOTH, ABOUT)
