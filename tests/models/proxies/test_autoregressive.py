"""A proxy of several levels, from cheap to true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.protocols import JointProxy, LevelProxy
from models.proxies.autoregressive import Autoregressive
from models.registry import build
from tests.models.proxies.problems import reloaded

INNER = {"kind": "gaussian_process", "features": "identity"}
RNG = np.random.default_rng(0)
CHEAP, TRUE = RNG.uniform(0, 1, (60, 1)), RNG.uniform(0, 1, (8, 1))
NEW = np.linspace(0.02, 0.98, 40)[:, None]


def low(x: Any) -> Any:
    return np.sin(9 * x[:, 0]) + 0.3 * x[:, 0]


def high(x: Any) -> Any:
    return 2.0 * low(x) + 1.0 - x[:, 0]


@pytest.fixture(scope="module")
def two() -> Any:
    """Sixty cheap values and eight true ones, all of which are among the cheap."""
    proxy = Autoregressive(inner=INNER)
    nested = np.vstack([TRUE, CHEAP])
    proxy.fit_levels([nested, TRUE], [low(nested), high(TRUE)], seed=0)
    return proxy


def test_cheap_values_make_true_predictions_much_better(two: Any) -> None:
    alone = Autoregressive(inner=INNER)
    alone.fit(TRUE, high(TRUE), seed=0)
    errors = [np.abs(proxy.predict(NEW).mean - high(NEW)).mean() for proxy in (two, alone)]
    assert errors[0] < 0.1 * errors[1]
    assert two.rho[1] == pytest.approx(2.0, abs=0.3)


def test_a_level_that_says_nothing_of_the_truth_is_not_believed() -> None:
    noise = np.random.default_rng(3).normal(size=len(CHEAP) + len(TRUE))
    proxy = Autoregressive(inner=INNER)
    proxy.fit_levels([np.vstack([TRUE, CHEAP]), TRUE], [noise, 3.0 * TRUE[:, 0]], seed=0)
    assert proxy.rho[1] == 0.0
    np.testing.assert_allclose(proxy.predict(NEW).mean, 3.0 * NEW[:, 0], atol=0.2)


def test_of_one_level_it_is_the_inner_proxy() -> None:
    inner = build("proxy", INNER)
    inner.fit(CHEAP, low(CHEAP), seed=0)
    proxy = Autoregressive(inner=INNER)
    proxy.fit(CHEAP, low(CHEAP), seed=0)
    np.testing.assert_allclose(proxy.predict(NEW).mean, inner.predict(NEW).mean, atol=1e-12)
    np.testing.assert_allclose(proxy.predict(NEW).std, inner.predict(NEW).std, atol=1e-9)


def test_means_and_variances_add_up_as_those_of_independent_gaussians_do(two: Any) -> None:
    (mean, covariance), predicted = two.joint_levels(NEW), two.predict(NEW)
    n, rho = len(NEW), two.rho[1]
    below, above, between = covariance[:n, :n], covariance[n:, n:], covariance[:n, n:]
    np.testing.assert_allclose(between, rho * below, atol=1e-12)
    difference = above - rho**2 * below  # the covariance of the difference alone
    assert np.linalg.eigvalsh((difference + difference.T) / 2).min() > -1e-9
    np.testing.assert_allclose(mean[1], predicted.mean, atol=1e-6)
    np.testing.assert_allclose(above.diagonal() + two.level_noise()[1], np.square(predicted.std), atol=1e-6)
    np.testing.assert_allclose(two.joint(NEW)[1], above, atol=1e-12)
    assert np.linalg.eigvalsh((covariance + covariance.T) / 2).min() > -1e-9


def test_a_level_of_too_few_values_is_left_out_and_goes_with_nothing(two: Any) -> None:
    proxy = Autoregressive(inner=INNER)
    objects = [np.vstack([TRUE, CHEAP]), TRUE[:3], TRUE]
    proxy.fit_levels(objects, [low(objects[0]), high(TRUE[:3]), high(TRUE)], seed=0)
    np.testing.assert_allclose(proxy.predict(NEW).mean, two.predict(NEW).mean)
    n = len(NEW)
    covariance = proxy.joint_levels(NEW)[1]
    assert not covariance[n : 2 * n].any()
    assert proxy.level_noise()[1] == np.inf


def test_true_values_without_cheap_ones_take_what_is_predicted_there() -> None:
    proxy = Autoregressive(inner=INNER)
    proxy.fit_levels([CHEAP, TRUE], [low(CHEAP), high(TRUE)], seed=0)
    assert np.abs(proxy.predict(NEW).mean - high(NEW)).mean() < 0.2


def test_it_is_restored_with_all_levels(two: Any) -> None:
    again = build("proxy", two.config())
    again.load_state(reloaded(two.state()))
    for one, other in zip(again.joint_levels(NEW), two.joint_levels(NEW), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    np.testing.assert_array_equal(again.level_noise(), two.level_noise())


def test_it_has_a_joint_posterior_where_the_inner_proxy_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(Autoregressive(inner=INNER), JointProxy)
    assert isinstance(Autoregressive(inner=INNER), LevelProxy)

    class Plain:
        """A proxy that says nothing of how its errors go together."""

    monkeypatch.setattr("models.proxies.autoregressive.build", lambda group, spec: Plain())
    assert not isinstance(Autoregressive(inner=INNER), JointProxy)
