"""A proxy seen through a goal: the same knowledge, turned so that larger is better."""

from __future__ import annotations

import numpy as np
import pytest

from data.goals import Goal
from models.protocols import EmbeddingProxy, JointProxy, Proxy
from models.proxies.calibration import calibrated
from models.proxies.oriented import oriented
from models.registry import build
from tests.models.proxies.problems import TEST, TRAIN, Y

SMALL = {
    "gaussian_process": {},
    "random_forest": {"members": 10},
    "mlp_ensemble": {"steps": 5, "members": 2, "width": 8},
}


SMALL_IS_GOOD = Goal("one", -1)


def fitted(kind, values=Y):
    proxy = build("proxy", {"kind": kind, **SMALL[kind]})
    proxy.fit(TRAIN, values, seed=1)
    return calibrated(proxy)


@pytest.mark.parametrize("sign", [1, 0])
def test_where_larger_is_better_it_is_the_proxy_itself(sign):
    proxy = fitted("random_forest")
    assert oriented(proxy, Goal("one", sign)) is proxy


@pytest.mark.parametrize("kind", SMALL)
def test_for_a_minimum_the_means_are_negated_and_nothing_else(kind):
    proxy = fitted(kind)
    seen = oriented(proxy, SMALL_IS_GOOD)
    own, turned = proxy.predict(TEST), seen.predict(TEST)
    np.testing.assert_array_equal(turned.mean, -own.mean)
    np.testing.assert_array_equal(turned.std, own.std)
    if isinstance(proxy, JointProxy):
        (mean, covariance), (other, same) = proxy.joint(TEST), seen.joint(TEST)
        np.testing.assert_array_equal(other, -mean)
        np.testing.assert_array_equal(same, covariance)
    if isinstance(proxy, EmbeddingProxy):
        for coordinates in ("last_layer", "gradient"):
            np.testing.assert_array_equal(seen.embed(TEST, coordinates), proxy.embed(TEST, coordinates))


@pytest.mark.parametrize("kind", SMALL)
def test_it_can_do_what_the_proxy_can_and_no_more(kind):
    proxy = fitted(kind)
    seen = oriented(proxy, SMALL_IS_GOOD)
    assert isinstance(seen, Proxy)
    for capability in (JointProxy, EmbeddingProxy):
        assert isinstance(seen, capability) == isinstance(proxy, capability)


def test_training_it_on_signed_values_is_training_the_proxy_on_its_own():
    inner = build("proxy", {"kind": "gaussian_process"})
    seen = oriented(inner, SMALL_IS_GOOD)
    seen.fit(TRAIN, -Y, seed=1)
    expected = fitted("gaussian_process").predict(TEST)
    np.testing.assert_array_equal(inner.predict(TEST).mean, expected.mean)
    again = build("proxy", {"kind": "gaussian_process"})
    oriented(again, SMALL_IS_GOOD).load_state(seen.state())
    np.testing.assert_array_equal(again.predict(TEST).mean, expected.mean)


# Targets

TARGET = Goal("one", target=1.2)


@pytest.mark.parametrize("kind", SMALL)
def test_a_target_predicts_minus_the_distance_with_the_noise_of_predictions(kind):
    proxy = fitted(kind)
    own, seen = proxy.predict(TEST), oriented(proxy, TARGET).predict(TEST)
    draws = own.mean + own.std * np.random.default_rng(0).normal(size=(40_000, len(TEST)))
    distances = -np.abs(draws - 1.2)
    error = 5 * distances.std(0) / np.sqrt(len(draws))
    assert (np.abs(seen.mean - distances.mean(0)) < error).all()
    np.testing.assert_allclose(seen.std, distances.std(0), rtol=0.05)


def test_draws_of_a_target_are_of_the_function_without_noise():
    proxy = fitted("gaussian_process")
    mean, covariance = proxy.joint(TEST)
    draws = -np.abs(np.random.default_rng(0).multivariate_normal(mean, covariance, 40_000, method="eigh") - 1.2)
    found, together = oriented(proxy, TARGET).joint(TEST)
    np.testing.assert_allclose(found, draws.mean(0), atol=5 * draws.std(0).max() / 200)
    np.testing.assert_allclose(together, np.cov(draws.T), atol=0.04 * together.diagonal().max())


def test_minus_the_distance_is_never_expected_to_be_positive_and_mirrors():
    proxy, mirror = fitted("gaussian_process"), fitted("gaussian_process", -Y)
    one, other = oriented(proxy, TARGET), oriented(mirror, Goal("one", target=-1.2))
    assert (one.predict(TEST).mean < 0).all()
    np.testing.assert_array_equal(other.predict(TEST).mean, one.predict(TEST).mean)
    np.testing.assert_array_equal(other.joint(TEST)[1], one.joint(TEST)[1])


@pytest.mark.parametrize("kind", SMALL)
def test_a_target_keeps_what_else_the_proxy_can_do(kind):
    proxy = fitted(kind)
    for capability in (Proxy, JointProxy, EmbeddingProxy):
        assert isinstance(oriented(proxy, TARGET), capability) == isinstance(proxy, capability)


def test_distances_from_a_target_are_no_values_to_fit():
    with pytest.raises(ValueError, match="distance from the target of 'one' does not tell the value"):
        oriented(fitted("random_forest"), TARGET).fit(TRAIN, -np.abs(Y), seed=0)
