"""The noisy expected hypervolume improvement: exact over each draw, the plain one without noise, and in a round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.goals import Goal, Goals
from data.records import Prediction
from models.acquisition.base import DRAWS, about_round
from models.acquisition.constrained import Constrained
from models.acquisition.expected_hypervolume_improvement import ExpectedHypervolumeImprovement
from models.acquisition.noisy_expected_hypervolume_improvement import NoisyExpectedHypervolumeImprovement
from models.protocols import Drawn, Scoring
from models.selectors.choice import believing

REFERENCE = (-2.0, -2.0)
MEASURED = np.array([[0.5, -0.5], [-0.5, 0.6], [-1.0, -1.0]])
PREDICTED = tuple(
    Prediction(np.array(mean), np.array(std))
    for mean, std in (([0.4, 0.0, -1.5], [0.8, 0.5, 0.6]), ([0.3, 0.9, -1.5], [0.6, 0.7, 0.4]))
)


def scores(about, **options):
    return NoisyExpectedHypervolumeImprovement(reference_point=REFERENCE, **options).score(PREDICTED, about)


def gain(value, front):
    """Return how much area above the reference a point adds to those of a front."""
    edges = [np.unique([REFERENCE[k], value[k], *front[:, k].clip(REFERENCE[k])]) for k in range(2)]

    def area(points):
        total = 0.0
        for x0, x1 in zip(edges[0][:-1], edges[0][1:], strict=True):
            for y0, y1 in zip(edges[1][:-1], edges[1][1:], strict=True):
                total += (x1 - x0) * (y1 - y0) * any(p[0] >= x1 and p[1] >= y1 for p in points)
        return total

    if (value <= REFERENCE).any():
        return 0.0
    return area([*front, value]) - area(front)


def test_it_is_the_mean_gain_of_the_function_over_the_fronts_that_are_drawn():
    rng = np.random.default_rng(0)
    values, noise = MEASURED + 0.4 * rng.normal(size=(4, 3, 2)), (0.3, 0.2)
    found = np.exp(scores(Scoring(measured=MEASURED, drawn=Drawn(values, noise))))
    draws = 4000
    for i in range(3):
        latent = [np.sqrt(one.std[i] ** 2 - own**2) for one, own in zip(PREDICTED, noise, strict=True)]
        mean = [one.mean[i] for one in PREDICTED]
        points = mean + latent * rng.normal(size=(draws, 2))
        told = np.array([gain(point, values[j % 4]) for j, point in enumerate(points)])
        assert abs(found[i] - told.mean()) < 5 * told.std() / np.sqrt(draws) + 1e-9


def test_without_noise_it_is_the_expected_hypervolume_improvement():
    exact = Drawn(np.repeat(MEASURED[None], 5, axis=0), (0.0, 0.0))
    plain = ExpectedHypervolumeImprovement(reference_point=REFERENCE).score(PREDICTED, Scoring(measured=MEASURED))
    np.testing.assert_allclose(scores(Scoring(measured=MEASURED, drawn=exact)), plain, rtol=1e-12)
    np.testing.assert_allclose(scores(Scoring(measured=MEASURED)), plain, rtol=1e-12)


def test_what_breaks_a_limit_or_was_not_measured_is_no_front():
    values = MEASURED + np.random.default_rng(1).normal(size=(3, 3, 2))
    lucky = np.concatenate([values, np.full((3, 1, 2), 50.0)], axis=1)
    measured = np.vstack([MEASURED, [[50.0, 50.0]]])
    about = Scoring(measured=measured, drawn=Drawn(lucky, (0.0, 0.0)), allowed=np.array([True, True, True, False]))
    np.testing.assert_allclose(scores(about), scores(Scoring(measured=MEASURED, drawn=Drawn(values, (0.0, 0.0)))))


def test_what_is_believed_to_be_measured_joins_every_front():
    values = MEASURED + np.random.default_rng(2).normal(size=(3, 3, 2))
    about = Scoring(measured=MEASURED, drawn=Drawn(values, (0.1, 0.1)))
    believed = believing(about, np.array([[0.4, 0.3]]))
    assert believed.drawn.values.shape == (3, 4, 2)
    assert scores(believed)[0] < scores(about)[0]


class Noisy:
    """A proxy that knows n objects by name: what it was told, shrunk, with noise of 0.5."""

    def __init__(self, values):
        self.values = values

    def predict(self, objects):
        return Prediction(np.array([self.values[o] for o in objects]), np.full(len(objects), np.sqrt(0.5**2 + 0.1**2)))

    def joint(self, objects):
        return np.array([self.values[o] for o in objects]), 0.1**2 * np.eye(len(objects))


def test_a_round_draws_from_the_proxies_and_takes_the_noise_out():
    goals = Goals([Goal("a", 1), Goal("b", 1), Goal("c", 0, at_least=0.0)])
    names = ["x", "y", "z"]
    believed = np.array([[0.0, 0.1, 0.2], [0.3, 0.1, -0.2], [1.0, 1.0, 1.0]])
    proxies = tuple(Noisy(dict(zip(names, row, strict=True))) for row in believed)
    values = believed.T + np.array([[0.9, 0.9, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    acquisition = Constrained(inner={"kind": NoisyExpectedHypervolumeImprovement.kind})
    about = about_round(acquisition, proxies, names, values, seed=3, goals=goals)
    assert about.drawn.values.shape == (DRAWS, 3, 3)
    assert about.drawn.noise == pytest.approx((0.5, 0.5, 0.5))
    assert np.abs(about.drawn.values.mean(0) - believed.T).max() < 0.1
    predicted = tuple(proxy.predict(names) for proxy in proxies)
    # The first object was lucky: its value asks more of the others than what is believed of it does.
    plain = Constrained(inner={"kind": ExpectedHypervolumeImprovement.kind})
    noisy, lucky = (one.score(predicted, replace(about, objects=tuple(names))) for one in (acquisition, plain))
    assert np.isfinite(noisy).all()
    assert (noisy > lucky).all()
