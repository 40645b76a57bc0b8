"""The numerics of the Gaussian process against the textbook, on matrices small enough to invert by hand."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from models.proxies.kriging import (
    COARSE,
    Hyperparameters,
    Pairs,
    cholesky,
    covariance,
    fit_hyperparameters,
    log_marginal_likelihood,
    matern52,
    posterior,
)

seeds = st.integers(0, 2**32 - 1)


def problem(seed: int, n: int = 12, m: int = 5) -> tuple[Pairs, Pairs, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, new = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    # Gram matrices of unit vectors stand for two kinds of similarities.
    f, g = rng.normal(size=(2, n, 20)), rng.normal(size=(2, m, 20))
    f, g = (v / np.linalg.norm(v, axis=2, keepdims=True) for v in (f, g))
    train, cross = (tuple(one @ two.T for one, two in zip(v, f, strict=True)) for v in (f, g))
    return Pairs(cdist(x, x), train), Pairs(cdist(new, x), cross), rng.normal(size=n)


def hyperparameters(seed: int) -> Hyperparameters:
    return Hyperparameters.of(np.exp(np.random.default_rng(seed).normal(0.0, 0.5, 5)).tolist())


def test_the_matern_covariance_has_its_textbook_values() -> None:
    assert matern52(np.array([0.0]), 2.0) == 1.0
    # r = l: (1 + sqrt5 + 5/3) exp(-sqrt5)
    np.testing.assert_allclose(matern52(np.array([2.0]), 2.0), 0.52399411, rtol=1e-7)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_predictions_are_those_of_universal_kriging(seed: int) -> None:
    train, new, y = problem(seed)
    h = hyperparameters(seed)
    mean, variance = posterior(train, y, h).predict(new)
    # A constant under a flat prior is the limit of a kernel term of huge variance; solve the bordered system instead.
    k = covariance(train, h) + h.noise_variance * np.eye(len(y))
    bordered = np.block([[k, np.ones((len(y), 1))], [np.ones((1, len(y))), np.zeros((1, 1))]])
    cross = np.column_stack([covariance(new, h), np.ones(len(mean))])
    prior = h.descriptor_variance + sum(h.similarity_variances) + h.noise_variance
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(bordered, np.append(y, 0.0)), rtol=1e-8, atol=1e-10)
    expected = prior - np.einsum("ij,ji->i", cross, np.linalg.solve(bordered, cross.T))
    np.testing.assert_allclose(variance, expected, rtol=1e-8)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_the_marginal_likelihood_is_the_density_of_contrasts(seed: int) -> None:
    train, _, y = problem(seed, n=8)
    h = hyperparameters(seed)
    k = covariance(train, h) + h.noise_variance * np.eye(8)
    # The values without their mean are contrasts A y, with rows of A orthonormal and orthogonal to 1. Their density
    # is that of the data under the flat prior, up to the factor sqrt(n) of the constant's direction.
    contrasts = np.linalg.svd(np.ones((1, 8)))[2][1:]
    expected = multivariate_normal(cov=contrasts @ k @ contrasts.T).logpdf(contrasts @ y)
    value, _ = log_marginal_likelihood(train, y, h)
    np.testing.assert_allclose(value, expected - 0.5 * np.log(8), rtol=1e-9)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_the_gradient_is_the_slope_of_the_marginal_likelihood(seed: int) -> None:
    train, _, y = problem(seed)
    h = hyperparameters(seed)
    _, gradient = log_marginal_likelihood(train, y, h)
    step = 1e-5
    for name, slope in gradient.items():
        moved = [log_marginal_likelihood(train, y, _scaled(h, name, np.exp(sign * step)))[0] for sign in (1.0, -1.0)]
        np.testing.assert_allclose((moved[0] - moved[1]) / (2 * step), slope, rtol=1e-5, atol=1e-6)
    variances = {"descriptor_variance", "similarity_variance_0", "similarity_variance_1", "noise_variance"}
    assert set(gradient) == variances | {"length_scale"}


def _scaled(h: Hyperparameters, name: str, factor: float) -> Hyperparameters:
    if not name.startswith("similarity"):
        return replace(h, **{name: float(getattr(h, name) * factor)})
    variances = [v * (factor if name.endswith(str(i)) else 1.0) for i, v in enumerate(h.similarity_variances)]
    return replace(h, similarity_variances=tuple(variances))


@pytest.mark.parametrize("term", ["distance", "similarity"])
def test_a_term_that_is_switched_off_has_no_part(term: str) -> None:
    both, new, y = problem(3)
    one = Pairs(both.distance) if term == "distance" else Pairs(None, both.similarities)
    cross = Pairs(new.distance) if term == "distance" else Pairs(None, new.similarities)
    h = Hyperparameters(0.7, (0.9, 0.4), 1.3, 0.1)
    off = replace(h, similarity_variances=(0.0, 0.0)) if term == "distance" else replace(h, descriptor_variance=0.0)
    with_one, with_both = posterior(one, y, h).predict(cross), posterior(both, y, off).predict(cross)
    np.testing.assert_allclose(with_one[0], with_both[0], rtol=1e-10)
    _, gradient = log_marginal_likelihood(one, y, h)
    assert ("length_scale" in gradient) == (term == "distance")
    assert ("similarity_variance_1" in gradient) == (term == "similarity")


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_hyperparameters_survive_being_written_in_a_row(seed: int) -> None:
    h = hyperparameters(seed)
    assert Hyperparameters.of(h.numbers()) == h


def test_the_likelihood_finds_the_similarity_that_the_values_follow() -> None:
    rng = np.random.default_rng(1)
    near, far = (x @ x.T / 40 for x in rng.normal(size=(2, 120, 40)))
    y = np.linalg.cholesky(near + 0.01 * np.eye(120)) @ rng.normal(size=120)
    h = fit_hyperparameters(Pairs(None, (far, near)), y, scale=1.0, restarts=2, min_noise=1e-4, seed=0)
    assert h.similarity_variances[1] > 20 * h.similarity_variances[0]


def test_hyperparameters_of_a_drawn_function_are_found_again() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 20, size=(200, 1))
    true = Hyperparameters(1.0, (), 2.0, 0.05)
    pairs = Pairs(cdist(x, x))
    k = covariance(pairs, true) + true.noise_variance * np.eye(200)
    y = np.linalg.cholesky(k) @ rng.normal(size=200)
    found = fit_hyperparameters(pairs, y, scale=1.0, restarts=3, min_noise=1e-6, seed=0)
    assert found.length_scale == pytest.approx(2.0, rel=0.4)
    assert found.noise_variance == pytest.approx(0.05, rel=0.4)
    value, gradient = log_marginal_likelihood(pairs, y, found)
    assert value >= log_marginal_likelihood(pairs, y, true)[0]
    assert max(abs(slope) for slope in gradient.values()) < 0.05


def test_a_singular_covariance_gets_a_jitter_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        factor, jitter = cholesky(np.ones((6, 6)))
    assert 0 < jitter <= 1e-8
    np.testing.assert_allclose(factor @ factor.T, np.ones((6, 6)), atol=1e-7)
    assert "jitter" in caplog.text


def test_a_matrix_that_is_no_covariance_is_refused() -> None:
    with pytest.raises(ValueError, match="not positive definite"):
        cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_a_regular_covariance_needs_no_jitter() -> None:
    assert cholesky(np.array([[2.0, 1.0], [1.0, 2.0]]))[1] == 0.0


def test_a_point_is_predicted_alike_in_any_company() -> None:
    train, new, y = problem(5, n=200, m=150)
    fitted = posterior(train, y, Hyperparameters(0.7, (0.9, 0.4), 1.3, 0.1))
    mean, variance = fitted.predict(new)
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 7, 64, 65, 129):
        rows = rng.choice(150, size, replace=False)
        part = fitted.predict(Pairs(new.distance[rows], tuple(s[rows] for s in new.similarities)))
        np.testing.assert_array_equal(part[0], mean[rows])
        np.testing.assert_array_equal(part[1], variance[rows])


def test_of_many_values_a_part_chooses_the_start_and_all_of_them_the_hyperparameters() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(0.0, 6.0, (COARSE + 60, 1))
    pairs, y = Pairs(cdist(x, x)), np.sin(2.0 * x[:, 0]) + 0.1 * rng.normal(size=len(x))
    y = (y - y.mean()) / y.std()
    found = fit_hyperparameters(pairs, y, scale=1.0, restarts=2, min_noise=1e-4, seed=0)
    _, gradient = log_marginal_likelihood(pairs, y, found)
    assert max(abs(slope) for slope in gradient.values()) < 0.05  # of all values: nats per factor of e
    # The noise is 0.1 of a sine whose variance is near a half.
    assert found.noise_variance == pytest.approx(0.01 / 0.5, rel=0.3)
