"""The mixture that GFlowNet-EM is tried on, and its E-steps, against exact values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from models.systems.gflownet_em import (
    BOUND,
    DEVIATION,
    PosteriorSampler,
    least_squares,
    log_joint,
    log_likelihood,
    mean_field,
    mixture,
    posterior,
    truth,
)


def points(n=200, seed=0):
    return mixture(n, np.random.default_rng(seed))


def test_the_true_model_has_the_likelihood_of_petals_that_do_not_overlap():
    assert pytest.approx(-2.838, abs=5e-4) == BOUND
    assert log_likelihood(points(40_000), *truth()) == pytest.approx(BOUND, abs=0.03)


def test_petals_are_at_distance_one_and_superclusters_at_two():
    centres, offsets = truth()
    assert np.linalg.norm(centres, axis=1) == pytest.approx(2.0)
    assert np.linalg.norm(offsets, axis=1) == pytest.approx(1.0)
    assert sorted(np.degrees(np.arctan2(*offsets.T[::-1])) % 360) == pytest.approx([45, 135, 225, 315])


def test_the_joint_probability_is_that_of_a_normal_law_of_each_of_sixteen_values():
    x, (a, b) = points(5), truth()
    for n, s, q in itertools.product(range(5), range(4), range(4)):
        away = x[n] - a[s] - b[q]
        density = np.exp(-away @ away / (2 * DEVIATION**2)) / (2 * np.pi * DEVIATION**2)
        assert log_joint(x, a, b)[n, s, q] == pytest.approx(np.log(density / 16))


def test_least_squares_are_the_stationary_point_of_the_expected_likelihood():
    x, rng = points(), np.random.default_rng(1)
    weights = rng.dirichlet(np.ones(16), len(x)).reshape(-1, 4, 4)
    a, b = least_squares(x, weights)
    away = x[:, None, None] - a[:, None] - b[None]
    pull = weights[..., None] * away
    assert np.abs(pull.sum((0, 2))).max() < 1e-9
    assert np.abs(pull.sum((0, 1))).max() < 1e-9


def test_exact_steps_never_lower_the_likelihood():
    x, rng = points(), np.random.default_rng(2)
    a, b = rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
    course = []
    for _ in range(8):
        a, b = least_squares(x, posterior(x, a, b))
        course.append(log_likelihood(x, a, b))
    assert (np.diff(course) >= -1e-12).all()


def test_mean_field_is_a_product_and_exact_where_the_posterior_is_one():
    x, (a, b) = points(), truth()
    law = mean_field(x, a, b)
    np.testing.assert_allclose(law, law.sum(2, keepdims=True) * law.sum(1, keepdims=True), atol=1e-12)
    flat = np.zeros((4, 2))
    np.testing.assert_allclose(mean_field(x, a, flat), posterior(x, a, flat), atol=1e-12)


def test_the_gflownet_comes_to_the_posterior_of_every_point():
    x, rng = points(), np.random.default_rng(3)
    a, b = 0.3 * rng.normal(size=(4, 2)), 0.3 * rng.normal(size=(4, 2))
    sampler = PosteriorSampler(x, torch.Generator().manual_seed(0))

    def away():
        return 0.5 * np.abs(sampler.law() - posterior(x, a, b)).sum((1, 2)).mean()

    before = away()
    shares = sampler.responsibilities(a, b, 400)
    assert away() < min(0.15, 0.3 * before)
    np.testing.assert_allclose(shares.sum((1, 2)), 1.0)
    assert set(np.unique(4 * shares)) <= {0.0, 1.0, 2.0, 3.0, 4.0}
