from __future__ import annotations

import numpy as np
import pytest

from data.records import Prediction
from models.acquisition.base import is_logarithm
from models.acquisition.expected_improvement import ExpectedImprovement
from models.acquisition.noisy_expected_improvement import NoisyExpectedImprovement
from models.protocols import Scoring

PREDICTION = Prediction(np.array([0.0, 1.5, -1.0]), np.array([1.0, 0.5, 2.0]))


def test_it_is_the_mean_gain_of_the_function_over_the_best_predicted_mean():
    about = Scoring(measured=np.array([[3.0]]), predicted_best=0.4, noise=0.3)
    # A measurement is the function plus noise: the function alone varies less.
    latent = np.sqrt(PREDICTION.std**2 - 0.3**2)
    draws = PREDICTION.mean + latent * np.random.default_rng(0).normal(size=(400_000, 3))
    gain = np.maximum(draws - 0.4, 0.0)
    error = gain.std(0) / np.sqrt(len(gain))
    value = NoisyExpectedImprovement(scale="plain").score((PREDICTION,), about)
    assert (np.abs(value - gain.mean(0)) < 5 * error).all()
    np.testing.assert_allclose(np.exp(NoisyExpectedImprovement().score((PREDICTION,), about)), value)


def test_without_noise_and_predicted_best_it_is_expected_improvement():
    for scale, margin in (("log", 0.0), ("plain", 0.2)):
        noisy, plain = (
            NoisyExpectedImprovement(scale=scale, margin=margin),
            ExpectedImprovement(scale=scale, margin=margin),
        )
        np.testing.assert_allclose(
            *(one.score((PREDICTION,), Scoring(measured=np.array([[0.7]]))) for one in (noisy, plain))
        )
        assert is_logarithm(noisy) == (scale == "log")


def test_a_prediction_of_nothing_but_noise_is_scored_by_its_mean():
    about = Scoring(measured=np.array([[0.0]]), noise=5.0)
    value = NoisyExpectedImprovement().score((PREDICTION,), about)
    assert np.isfinite(value).all()
    assert np.argsort(value).tolist() == [2, 0, 1]
    # Nothing is left to be lucky by: the improvement of the second is its own 1.5.
    assert value[1] == pytest.approx(np.log(1.5), abs=1e-3)
