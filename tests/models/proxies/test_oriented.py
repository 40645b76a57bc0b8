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
