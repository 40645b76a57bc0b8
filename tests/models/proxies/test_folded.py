"""Distances of normal values from zero, against draws and many digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.proxies.folded import folded, folded_covariance

seeds = st.integers(0, 2**32 - 1)


@given(mean=st.floats(-30, 30), std=st.floats(1e-3, 30))
@settings(max_examples=40, deadline=None)
def test_mean_and_deviation_are_those_of_the_absolute_value(mean, std):
    found, width = folded(np.array([mean]), np.array([std]))
    with mpmath.workdps(60):
        m, s = mpmath.mpf(mean), mpmath.mpf(std)
        first = s * mpmath.sqrt(2 / mpmath.pi) * mpmath.exp(-((m / s) ** 2) / 2) + m * mpmath.erf(
            m / s / mpmath.sqrt(2)
        )
        variance = float(m**2 + s**2 - first**2)
    assert found[0] == pytest.approx(float(first), rel=1e-12)
    assert width[0] ** 2 == pytest.approx(variance, rel=1e-12)


def test_far_from_zero_it_is_the_value_itself_and_without_deviation_the_distance():
    mean, std = np.array([1e6, -1e6, 3.0, 0.0]), np.array([2.0, 1e-3, 0.0, 0.0])
    found, width = folded(mean, std)
    np.testing.assert_allclose(found, np.abs(mean), rtol=1e-12)
    np.testing.assert_allclose(width, std, rtol=1e-12)


def problem(seed, n=5):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n)) * rng.uniform(0.1, 2.0, n)[:, None]
    return rng.normal(0.0, 1.5, n), root @ root.T


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_the_covariance_is_that_of_draws(seed):
    mean, covariance = problem(seed)
    draws = np.abs(np.random.default_rng(1).multivariate_normal(mean, covariance, 100_000, method="eigh"))
    found = folded_covariance(mean, covariance)
    scale = np.sqrt(np.outer(found.diagonal(), found.diagonal()))
    np.testing.assert_allclose(found / scale, np.cov(draws.T) / scale, atol=0.035)


@given(seed=seeds, copies=st.booleans(), scale=st.sampled_from([1e-12, 1.0, 1e9]))
@settings(max_examples=40, deadline=None)
def test_it_is_symmetric_positive_semi_definite_and_has_the_exact_variances(seed, copies, scale):
    mean, covariance = problem(seed, 6)
    if copies:
        rows = [0, 0, 1, 1, 1, 2]
        mean, covariance = mean[rows], covariance[np.ix_(rows, rows)]
    found = folded_covariance(scale * mean, scale**2 * covariance)
    np.testing.assert_array_equal(found, found.T)
    variances = np.square(folded(scale * mean, scale * np.sqrt(covariance.diagonal()))[1])
    np.testing.assert_allclose(found.diagonal(), variances, rtol=1e-9)
    assert np.linalg.eigvalsh(found).min() >= -1e-9 * found.diagonal().max()
    np.testing.assert_allclose(found, scale**2 * folded_covariance(mean, covariance), rtol=1e-9, atol=1e-12 * scale**2)


def test_far_on_one_side_it_is_the_covariance_and_on_two_sides_its_opposite():
    mean, covariance = np.array([90.0, 80.0, -70.0]), np.array([[1.0, 0.6, 0.3], [0.6, 2.0, 0.1], [0.3, 0.1, 0.5]])
    sides = np.sign(mean)
    np.testing.assert_allclose(folded_covariance(mean, covariance), covariance * sides[:, None] * sides, rtol=1e-9)


def test_two_copies_at_the_target_have_nearly_all_of_their_variance_in_common():
    found = folded_covariance(np.zeros(2), np.ones((2, 2)))
    assert found[0, 0] == pytest.approx(1 - 2 / np.pi)
    assert 0.97 < found[0, 1] / found[0, 0] < 1.0


def test_a_value_that_is_known_has_no_covariance():
    found = folded_covariance(np.array([1.0, 0.5]), np.array([[0.0, 0.0], [0.0, 1.0]]))
    assert found[0].tolist() == [0.0, 0.0]
    assert np.isfinite(found).all()
