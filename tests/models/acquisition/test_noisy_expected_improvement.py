from __future__ import annotations

import numpy as np
import pytest

from data.records import Prediction
from models.acquisition.base import is_logarithm
from models.acquisition.expected_improvement import ExpectedImprovement
from models.acquisition.noisy_expected_improvement import NoisyExpectedImprovement
from models.protocols import ScoringContext

PREDICTION = Prediction(np.array([0.0, 1.5, -1.0]), np.array([1.0, 0.5, 2.0]))


@pytest.mark.parametrize("maximise", [True, False])
def test_it_is_the_mean_gain_of_the_function_over_the_best_predicted_mean(maximise):
    context = ScoringContext(best=3.0, maximise=maximise, predicted_best=0.4, noise_std=0.3)
    # A measurement is the function plus noise: the function alone varies less.
    latent = np.sqrt(PREDICTION.std**2 - 0.3**2)
    draws = PREDICTION.mean + latent * np.random.default_rng(0).normal(size=(400_000, 3))
    gain = np.maximum(draws - 0.4 if maximise else 0.4 - draws, 0.0)
    error = gain.std(0) / np.sqrt(len(gain))
    value = NoisyExpectedImprovement(scale="plain").score_in(PREDICTION, context)
    assert (np.abs(value - gain.mean(0)) < 5 * error).all()
    np.testing.assert_allclose(np.exp(NoisyExpectedImprovement().score_in(PREDICTION, context)), value)


def test_without_noise_and_predicted_best_it_is_expected_improvement():
    for scale, margin in (("log", 0.0), ("plain", 0.2)):
        noisy, plain = (
            NoisyExpectedImprovement(scale=scale, margin=margin),
            ExpectedImprovement(scale=scale, margin=margin),
        )
        np.testing.assert_allclose(
            noisy.score(PREDICTION, best=0.7, maximise=True), plain.score(PREDICTION, best=0.7, maximise=True)
        )
        assert is_logarithm(noisy) == (scale == "log")


def test_a_prediction_of_nothing_but_noise_is_scored_by_its_mean():
    context = ScoringContext(best=0.0, maximise=True, noise_std=5.0)
    value = NoisyExpectedImprovement().score_in(PREDICTION, context)
    assert np.isfinite(value).all()
    assert np.argsort(value).tolist() == [2, 0, 1]
    # Nothing is left to be lucky by: the improvement of the second is its own 1.5.
    assert value[1] == pytest.approx(np.log(1.5), abs=1e-3)
