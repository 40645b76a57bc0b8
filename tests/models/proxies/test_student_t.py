"""Student-t processes: closed forms against integrals over the scale, and the Gaussian process that they become."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gammaln

from models.acquisition.expected_improvement import ExpectedImprovement
from models.protocols import Scoring
from models.proxies.calibration import calibrated, fit_calibration
from models.proxies.evaluation import out_of_fold
from models.proxies.gaussian_process import GaussianProcess
from models.proxies.kriging import Hyperparameters, Pairs, log_marginal_likelihood, posterior
from models.proxies.student_t import Scaling
from tests.models.proxies.problems import TEST, TRAIN, Y, reloaded

RNG = np.random.default_rng(0)
X = RNG.uniform(0.0, 10.0, (12, 1))
VALUES = np.sin(X[:, 0]) + 0.1 * RNG.standard_normal(12)
OWN = Pairs(np.abs(X - X.T))
H = Hyperparameters(0.8, (), 2.0, 0.05)


def arrays(n: int = 12, **options: object) -> GaussianProcess:
    proxy = GaussianProcess(features="identity", **options)
    proxy.fit(X[:n], VALUES[:n], seed=0)
    return proxy


def inverse_gamma(s: float, v: float) -> float:
    return float(0.5 * v * np.log(0.5 * (v - 2)) - gammaln(0.5 * v) - (0.5 * v + 1) * np.log(s) - 0.5 * (v - 2) / s)


@pytest.mark.parametrize("prior", [2.5, 5.0, 40.0])
def test_the_likelihood_is_that_of_gaussian_processes_averaged_over_the_scale(prior: float) -> None:
    def of_scale(s: float) -> float:
        scaled = Hyperparameters(s * H.descriptor_variance, (), H.length_scale, s * H.noise_variance)
        return log_marginal_likelihood(OWN, VALUES, scaled)[0]

    told, _ = log_marginal_likelihood(OWN, VALUES, H, prior)
    # The flat prior of the mean is per unit of the value: the scale leaves it as it is.
    integral, _ = quad(lambda t: np.exp(of_scale(np.exp(t)) + inverse_gamma(np.exp(t), prior) + t - told), -8, 8)
    assert integral == pytest.approx(1.0, abs=1e-6)


def test_its_derivatives_are_those_of_the_likelihood() -> None:
    _, gradient = log_marginal_likelihood(OWN, VALUES, H, 5.0)

    def moved(name: str, by: float) -> float:
        numbers = {"descriptor_variance": 0.8, "length_scale": 2.0, "noise_variance": 0.05}
        numbers[name] *= np.exp(by)
        h = Hyperparameters(numbers["descriptor_variance"], (), numbers["length_scale"], numbers["noise_variance"])
        return log_marginal_likelihood(OWN, VALUES, h, 5.0)[0]

    for name, slope in gradient.items():
        assert (moved(name, 1e-5) - moved(name, -1e-5)) / 2e-5 == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_a_new_measurement_is_that_of_gaussian_processes_averaged_over_the_posterior_of_the_scale() -> None:
    prior, known = 5.0, posterior(OWN, VALUES, H)
    mean, variance = (side[0] for side in known.predict(Pairs(np.abs(np.array([[3.3]]) - X.T))))
    scaling = Scaling.of(float((VALUES - known.mean) @ known.weights), len(X) - 1, prior)

    def weight(s: float) -> float:
        return float(np.exp(-0.5 * (prior + 11) * np.log(s) - 0.5 * (prior - 2 + scaling.square) / s)) / s

    total = quad(weight, 0, np.inf)[0]
    assert quad(lambda s: s * weight(s), 0, np.inf)[0] / total == pytest.approx(scaling.factor, rel=1e-6)
    told = np.sqrt(variance * scaling.factor * (1 - 2 / scaling.freedom))
    y = mean + 1.7 * told
    normal = quad(lambda s: weight(s) * np.exp(-0.5 * (y - mean) ** 2 / (s * variance)) / np.sqrt(s), 0, np.inf)[0]
    normal /= total * np.sqrt(2 * np.pi * variance)
    v = scaling.freedom
    student = np.exp(gammaln(0.5 * v + 0.5) - gammaln(0.5 * v)) / np.sqrt(np.pi * v) / told
    assert normal == pytest.approx(student * (1 + 1.7**2 / v) ** (-0.5 * (v + 1)), rel=1e-6)


def test_with_very_many_degrees_of_freedom_it_is_the_gaussian_process() -> None:
    for features in ("both", "identity"):
        made = {}
        for tails in ("normal", "student_t"):
            proxy = GaussianProcess(features=features, tails=tails, freedom=1e9)
            proxy.fit(*((X, VALUES) if features == "identity" else (TRAIN, Y)), seed=0)
            made[tails] = proxy.predict(X + 0.3 if features == "identity" else TEST)
        np.testing.assert_allclose(made["student_t"].mean, made["normal"].mean, atol=2e-5)
        np.testing.assert_allclose(made["student_t"].std, made["normal"].std, atol=2e-5)


def test_where_its_likelihood_chooses_the_size_it_is_a_gaussian_process_with_wider_intervals() -> None:
    x = np.linspace(0.0, 10.0, 30)[:, None]
    y, at = np.sin(x[:, 0]) + 0.3 * np.random.default_rng(1).standard_normal(30), x + 0.1
    found = {}
    for tails in ("normal", "student_t"):
        proxy = GaussianProcess(features="identity", tails=tails)
        proxy.fit(x, y, seed=0)
        found[tails] = proxy.predict(at)
    np.testing.assert_allclose(found["student_t"].mean, found["normal"].mean, atol=5e-3)  # L-BFGS ends nearby
    ratio = np.square(found["student_t"].std / found["normal"].std)
    np.testing.assert_allclose(ratio, 1 + 2 / (5 + 29 - 2), rtol=1e-2)
    assert found["student_t"].freedom == pytest.approx(np.full(30, 34.0))


def test_what_it_predicts_without_a_fold_is_what_it_predicts_when_it_is_left_out() -> None:
    proxy = arrays(tails="student_t")
    fold = np.arange(12) % 3
    told = proxy.held_out(X, VALUES, fold.tolist())
    assert told is not None
    assert told.freedom is not None
    location, scale = VALUES.mean(), VALUES.std()
    z, y = (X - X.mean()) / X.std(), (VALUES - location) / scale
    for k in range(3):
        rest = fold != k
        known = posterior(Pairs(np.abs(z[rest] - z[rest].T)), y[rest], proxy.hyperparameters)
        scaling = Scaling.of(float((y[rest] - known.mean) @ known.weights), int(rest.sum()) - 1, 5.0)
        mean, variance = known.predict(Pairs(np.abs(z[~rest] - z[rest].T)))
        np.testing.assert_allclose(told.mean[~rest], location + scale * mean, atol=1e-6)
        np.testing.assert_allclose(told.std[~rest], scale * np.sqrt(variance * scaling.factor), atol=1e-6)
        np.testing.assert_array_equal(told.freedom[~rest], scaling.freedom)


def test_a_state_keeps_the_tails() -> None:
    for options in ({}, {"exact_points": 8, "inducing_points": 10}):
        proxy = arrays(tails="student_t", **options)
        again = GaussianProcess.from_config(proxy.config())
        again.load_state(reloaded(proxy.state()))
        a, b = again.predict(X + 0.3), proxy.predict(X + 0.3)
        np.testing.assert_allclose(a.std, b.std, atol=1e-12)
        np.testing.assert_array_equal(a.freedom, b.freedom)
        np.testing.assert_allclose(again.joint(X)[1], proxy.joint(X)[1], atol=1e-12)


def test_many_labels_through_inducing_points_have_the_scale_of_the_exact_process() -> None:
    exact, through = arrays(tails="student_t"), arrays(tails="student_t", exact_points=11, inducing_points=12)
    np.testing.assert_allclose(through.predict(X + 0.3).std, exact.predict(X + 0.3).std, rtol=1e-3)


def test_calibration_folds_and_acquisition_see_the_same_distribution() -> None:
    def train(k: int, rows: list[int]) -> GaussianProcess:
        proxy = GaussianProcess(features="identity", tails="student_t")
        proxy.fit(X[rows], VALUES[rows], seed=0)
        return proxy

    held = out_of_fold(train, X, [0] * 5 + [1] * 7)
    assert held.freedom is not None
    assert held.freedom.tolist() == [5.0 + 7 - 1] * 5 + [5.0 + 5 - 1] * 7
    shown = calibrated(arrays(tails="student_t"), fit_calibration("variance", held, VALUES)).predict(X + 0.3)
    assert shown.freedom is not None
    best = float(VALUES.max()) + 5.0
    about = Scoring(measured=np.array([[best]]))
    heavy = ExpectedImprovement().score((shown,), about)
    normal = ExpectedImprovement().score((shown.__class__(shown.mean, shown.std),), about)
    assert (heavy > normal + 1.0).all()  # far out heavy tails promise more
