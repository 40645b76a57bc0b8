"""The Gaussian process with more labels than it takes exactly: it says so, and stays near the exact one."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from models.proxies.gaussian_process import GaussianProcess
from models.proxies.inducing import inducing_posterior, left_out
from models.proxies.kriging import Hyperparameters, Pairs, covariance
from tests.models.proxies.problems import LOGP, MOLECULES, reloaded

_DRAW = np.random.default_rng(0)
X = _DRAW.uniform(-2, 2, size=(300, 2))
VALUES = 10.0 + np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] ** 2 + _DRAW.normal(0.0, 0.1, 300)
NEW = _DRAW.uniform(-2, 2, size=(70, 2))
TRUE = 10.0 + np.sin(2 * NEW[:, 0]) + 0.5 * NEW[:, 1] ** 2
AWAY = np.array([[30.0, 30.0], [-40.0, 25.0]])


@cache
def trained(exact: int = 5000, inducing: int = 1000, seed: int = 0) -> GaussianProcess:
    proxy = GaussianProcess(features="identity", exact_points=exact, inducing_points=inducing)
    proxy.fit(X, VALUES, seed=seed)
    return proxy


def test_up_to_its_limit_it_is_exact_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    proxy = GaussianProcess(features="identity", exact_points=300, restarts=1)
    proxy.fit(X, VALUES, seed=0)
    assert proxy.approximation == "none"
    assert "inducing" not in proxy.state()
    assert caplog.records == []


def test_beyond_its_limit_it_says_that_it_goes_through_inducing_points(caplog: pytest.LogCaptureFixture) -> None:
    proxy = GaussianProcess(features="identity", exact_points=299, inducing_points=50, restarts=1)
    with caplog.at_level(logging.WARNING):
        proxy.fit(X, VALUES, seed=0)
    assert proxy.approximation == "inducing points"
    assert "300 labels, more than its `exact_points` 299: it goes through 50 inducing points" in caplog.text
    assert len(proxy.state()["z"]) == 50
    assert "inducing" in proxy.state()


def test_an_untrained_process_cannot_say_whether_it_is_exact() -> None:
    with pytest.raises(RuntimeError, match="call `fit`"):
        _ = GaussianProcess().approximation


def test_with_every_label_as_inducing_point_it_is_the_exact_process() -> None:
    exact, through = trained().predict(NEW), trained(exact=100, inducing=300).predict(NEW)
    assert trained(exact=100, inducing=300).hyperparameters == trained().hyperparameters
    np.testing.assert_allclose(through.mean, exact.mean, atol=2e-4 * VALUES.std())
    np.testing.assert_allclose(through.std, exact.std, atol=2e-4 * VALUES.std())
    for a, b in zip(trained(exact=100, inducing=300).joint(NEW), trained().joint(NEW), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_with_a_quarter_of_them_its_predictions_are_near_the_exact_ones() -> None:
    exact, through = trained().predict(NEW), trained(exact=100, inducing=75).predict(NEW)
    assert np.abs(through.mean - exact.mean).max() < 0.1 * VALUES.std()
    ratio = through.std / exact.std  # what the inducing points do not cover it is less sure of, never surer
    assert 0.9 < ratio.min() <= ratio.mean() < 1.2
    assert ratio.max() < 2.0
    assert np.sqrt(np.square(through.mean - TRUE).mean()) < 1.5 * np.sqrt(np.square(exact.mean - TRUE).mean())


def test_more_inducing_points_come_nearer() -> None:
    exact = trained().predict(NEW).mean
    off = [np.abs(trained(exact=100, inducing=m).predict(NEW).mean - exact).mean() for m in (10, 40, 160)]
    assert off[0] > off[1] > off[2]


def test_it_learns_from_every_label_not_from_the_inducing_points_alone() -> None:
    through = trained(exact=100, inducing=40)
    rows = np.sort(np.random.default_rng(0).choice(300, 40, replace=False))
    few = GaussianProcess(features="identity")
    few.fit(X[rows], VALUES[rows], seed=0)
    errors = [np.sqrt(np.square(proxy.predict(NEW).mean - TRUE).mean()) for proxy in (through, few)]
    assert errors[0] < 0.8 * errors[1]


def test_far_from_the_data_it_is_as_unsure_as_the_exact_process() -> None:
    exact, through = trained().predict(AWAY), trained(exact=100, inducing=75).predict(AWAY)
    np.testing.assert_allclose(through.std, exact.std, rtol=0.15)
    assert through.std.min() > 3 * trained(exact=100, inducing=75).predict(NEW).std.mean()


def test_intervals_hold_what_they_should() -> None:
    proxy = trained(exact=100, inducing=75)
    prediction = proxy.predict(NEW)
    values = TRUE + np.random.default_rng(1).normal(0.0, 0.1, len(TRUE))
    assert 0.8 < (np.abs(values - prediction.mean) < 1.645 * prediction.std).mean() <= 1.0


def test_the_joint_covariance_has_the_variance_of_the_prediction_less_the_noise() -> None:
    proxy = trained(exact=100, inducing=75)
    mean, joint = proxy.joint(NEW)
    prediction = proxy.predict(NEW)
    noise = proxy.hyperparameters.noise_variance * VALUES.std() ** 2
    np.testing.assert_allclose(mean, prediction.mean, atol=1e-6)
    np.testing.assert_allclose(joint.diagonal() + noise, np.square(prediction.std), rtol=1e-4)
    np.testing.assert_array_equal(joint, joint.T)
    assert np.linalg.eigvalsh(joint).min() > -1e-8 * joint.max()


def test_a_point_is_predicted_alike_in_any_company() -> None:
    proxy = trained(exact=100, inducing=75)
    together = proxy.predict(NEW)
    for row in (0, 33, 69):
        alone = proxy.predict(NEW[row : row + 1])
        assert alone.mean[0] == together.mean[row]
        assert alone.std[0] == together.std[row]


def test_state_and_configuration_restore_it_to_the_bit() -> None:
    proxy = trained(exact=100, inducing=75)
    again = GaussianProcess.from_config(proxy.config())
    again.load_state(reloaded(proxy.state()))
    assert again.approximation == "inducing points"
    assert again.hyperparameters == proxy.hyperparameters
    assert again.jitter == proxy.jitter
    before, after = proxy.predict(NEW), again.predict(NEW)
    np.testing.assert_array_equal(after.mean, before.mean)
    np.testing.assert_array_equal(after.std, before.std)
    np.testing.assert_array_equal(again.joint(NEW)[1], proxy.joint(NEW)[1])


def test_the_seed_draws_the_inducing_points() -> None:
    same, other = GaussianProcess(features="identity", exact_points=100, inducing_points=75), trained(100, 75, 1)
    same.fit(X, VALUES, seed=0)
    np.testing.assert_array_equal(same.state()["z"], trained(100, 75).state()["z"])
    assert not np.array_equal(other.state()["z"], trained(100, 75).state()["z"])


def test_molecules_go_through_inducing_points_too() -> None:
    exact = GaussianProcess()
    through = GaussianProcess(exact_points=20, inducing_points=30)
    for proxy in (exact, through):
        proxy.fit(MOLECULES[::2] + MOLECULES[1::4], np.concatenate([LOGP[::2], LOGP[1::4]]), seed=0)
    assert through.approximation == "inducing points"
    a, b = exact.predict(MOLECULES[3::4]), through.predict(MOLECULES[3::4])
    assert np.corrcoef(a.mean, b.mean)[0, 1] > 0.95
    assert np.abs(a.mean - b.mean).mean() < 0.3 * LOGP.std()


def test_repeated_labels_among_the_inducing_points_do_no_harm() -> None:
    x = np.repeat(X[:20], 5, axis=0)
    proxy = GaussianProcess(features="identity", exact_points=50, inducing_points=60)
    proxy.fit(x, np.repeat(VALUES[:20], 5) + np.tile([-0.2, -0.1, 0.0, 0.1, 0.2], 20), seed=0)
    prediction = proxy.predict(X[:20])
    np.testing.assert_allclose(prediction.mean, VALUES[:20], atol=0.3)
    assert (prediction.std > 0.05).all()


# The numbers, against the textbook


def problem(seed: int, n: int = 15, m: int = 5, q: int = 4) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x, new = rng.normal(size=(n, 3)), rng.normal(size=(q, 3))
    few = x[rng.choice(n, m, replace=False)]
    h = Hyperparameters(1.3, (), 1.5, float(rng.uniform(0.05, 0.5)))

    def k(a: np.ndarray, b: np.ndarray) -> Pairs:
        return Pairs(cdist(a, b))

    return {
        "own": k(few, few),
        "pairs": k(x, few),
        "new": k(new, few),
        "news": k(new, new),
        "y": rng.normal(size=n),
        "h": h,
    }


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_posterior_is_that_of_the_fully_independent_training_conditional(seed: int) -> None:
    p = problem(seed)
    h, y = p["h"], p["y"]
    found, _ = inducing_posterior(p["own"], p["pairs"], y, h)
    kuu, knu, kqu = (covariance(p[name], h) for name in ("own", "pairs", "new"))
    q_nn, q_qn = knu @ np.linalg.solve(kuu, knu.T), kqu @ np.linalg.solve(kuu, knu.T)
    c = q_nn + np.diag(h.descriptor_variance - q_nn.diagonal()) + h.noise_variance * np.eye(len(y))
    # The unknown constant: the bordered system of universal kriging.
    bordered = np.block([[c, np.ones((len(y), 1))], [np.ones((1, len(y))), np.zeros((1, 1))]])
    cross = np.column_stack([q_qn, np.ones(len(q_qn))])
    mean, variance = found.predict(p["new"])
    expected = covariance(p["news"], h) - cross @ np.linalg.solve(bordered, cross.T)
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(bordered, np.append(y, 0.0)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, expected.diagonal() + h.noise_variance, rtol=1e-5)
    joint_mean, joint = found.joint(p["new"], p["news"])
    np.testing.assert_allclose(joint_mean, mean, atol=1e-9)
    np.testing.assert_allclose(joint, expected, rtol=1e-5, atol=1e-6)


def test_what_it_predicts_without_a_fold_is_the_posterior_of_the_others_through_the_same_points() -> None:
    rng = np.random.default_rng(3)
    x, values, fold = rng.normal(size=(60, 2)), rng.normal(size=60), np.arange(60) % 5
    h = Hyperparameters(1.3, (), 1.1, 0.2)

    def between(a: Any, b: Any) -> Pairs:
        return Pairs(cdist(a, b))

    inducing = x[:15]
    own = between(inducing, inducing)
    mean, variance = left_out(*inducing_posterior(own, between(x, inducing), values, h), fold)
    for k in range(5):
        rest, here = fold != k, fold == k
        others, _ = inducing_posterior(own, between(x[rest], inducing), values[rest], h)
        expected_mean, expected_variance = others.predict(between(x[here], inducing))
        np.testing.assert_allclose(mean[here], expected_mean, atol=1e-9)
        np.testing.assert_allclose(variance[here], expected_variance, atol=1e-9)
