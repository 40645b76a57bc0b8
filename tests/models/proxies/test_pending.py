"""What is asked and not answered is believed to be as predicted."""

import numpy as np
import pytest

from models.proxies.pending import believing_pending
from models.registry import build

OBJECTS = ["CCO", "CCN", "CCC", "CCCC", "CCCO", "CCCN", "CC(C)O", "CCOC", "CCCCO", "CCCCN"]


@pytest.fixture(scope="module")
def fitted():
    proxy = build("proxy", {"kind": "gaussian_process"})
    proxy.fit(OBJECTS, np.array([float(len(text)) for text in OBJECTS]), seed=0)
    return proxy


NEW, PENDING = ["CCCCCO", "CCCCCN", "c1ccccc1"], ["CCCCCCO", "CCCCCC"]


def test_means_stay_and_deviations_fall_where_something_is_pending(fitted):
    before, after = fitted.predict(NEW), believing_pending(fitted, PENDING).predict(NEW)
    np.testing.assert_array_equal(after.mean, before.mean)
    assert (after.std < before.std).all()
    assert after.std[0] / before.std[0] < after.std[2] / before.std[2]  # the alcohol knows the pending alcohol


def test_believing_is_conditioning_on_the_predicted_means(fitted):
    both = [*NEW, *PENDING]
    mean, covariance = fitted.joint(both)
    n = len(NEW)
    noise = np.square(fitted.predict(PENDING).std) - covariance.diagonal()[n:]
    gain = covariance[:n, n:] @ np.linalg.inv(covariance[n:, n:] + np.diag(noise))
    told, left = believing_pending(fitted, PENDING).joint(NEW)
    np.testing.assert_allclose(told, mean[:n])
    np.testing.assert_allclose(left, covariance[:n, :n] - gain @ covariance[n:, :n], atol=1e-9)
    assert np.linalg.eigvalsh(left).min() > -1e-9


def test_what_is_pending_is_hardly_worth_asking_again(fitted):
    before, after = fitted.predict(PENDING), believing_pending(fitted, PENDING).predict(PENDING)
    assert (after.std < before.std).all()


class Simple:
    """A proxy that does not say how its errors go together."""

    def fit(self, objects, values, *, seed):
        """Learn nothing."""

    def predict(self, objects):
        raise AssertionError("nobody asks")

    def state(self):
        return {}

    def load_state(self, state):
        """Have none."""


def test_where_nothing_is_pending_or_known_to_go_together_it_is_the_very_proxy(fitted):
    assert believing_pending(fitted, []) is fitted
    simple = Simple()
    assert believing_pending(simple, PENDING) is simple
