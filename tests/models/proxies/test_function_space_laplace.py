"""Laplace in function space: Bayesian linear regression to the last digits, and labels taken in without training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from models.proxies.dual import Duals
from models.proxies.function_space_laplace import FunctionSpaceLaplace, kernel, own_kernel
from models.proxies.networks import BatchedMlp
from models.proxies.pending import believing_pending
from models.proxies.warm_start import Fitter
from tests.models.proxies.problems import TEST, TRAIN, Y_TEST, Y, reloaded, rmse

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(30, 4)), RNG.normal(size=(7, 4))
VALUES = X @ np.array([1.0, -2.0, 0.5, 0.0]) + 0.3 * RNG.normal(size=30)
PLACES = X[[1, 4, 7, 11, 15, 20, 25, 28]]
SCALE, NOISE = 0.7, 0.09
SMALL: dict[str, Any] = {"steps": 40, "width": 16}


def linear(rows: np.ndarray, values: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of the function and its covariance by regression with a normal prior of the weights."""
    precision = rows.T @ rows / NOISE + np.eye(rows.shape[1]) / SCALE
    weights = np.linalg.solve(precision, rows.T @ values / NOISE)
    covariance = new @ np.linalg.solve(precision, new.T)
    return new @ weights, covariance.diagonal(), covariance


def empty() -> Duals:
    return Duals.of(PLACES @ PLACES.T, scale=SCALE, noise=NOISE)


def test_of_a_linear_model_it_is_bayesian_linear_regression_with_fewer_points_than_labels() -> None:
    known = empty().given(X @ PLACES.T, VALUES)
    mean, variance = known.predict(NEW @ PLACES.T, np.square(NEW).sum(1))
    _, covariance = known.joint(NEW @ PLACES.T, NEW @ NEW.T)
    expected = linear(X, VALUES, NEW)
    for found, right in zip((mean, variance, covariance), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-12)


def test_labels_one_by_one_are_all_labels_at_once() -> None:
    known = empty()
    for row, value in zip(X, VALUES, strict=True):
        known = known.given(row[None] @ PLACES.T, np.array([value]))
    whole = empty().given(X @ PLACES.T, VALUES)
    at = NEW @ PLACES.T, np.square(NEW).sum(1)
    for one, other in zip(known.predict(*at), whole.predict(*at), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(whole.forgotten().sums, empty().sums)


def test_points_that_become_inducing_with_their_labels_give_the_exact_process() -> None:
    def far(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-0.5 * np.square(a[:, None] - b[None]).sum(2)))

    points, known = X[:10], Duals.of(far(X[:10], X[:10]), scale=SCALE, noise=NOISE)
    known = known.given(far(points, points), VALUES[:10])
    for rows in (slice(10, 11), slice(11, 18), slice(18, 30)):
        known = known.extended(far(X[rows], points), far(X[rows], X[rows]))
        points = np.concatenate([points, X[rows]])
        known = known.given(far(X[rows], points), VALUES[rows])
    k = SCALE * far(X, X) + NOISE * np.eye(30)
    cross = SCALE * far(NEW, X)
    mean, variance = known.predict(far(NEW, points), np.ones(7))
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(k, VALUES), atol=1e-10)
    np.testing.assert_allclose(variance, SCALE - (cross @ np.linalg.solve(k, cross.T)).diagonal(), atol=1e-10)


def test_the_kernel_is_that_of_derivatives_by_all_weights() -> None:
    network = BatchedMlp(1, [4, 5, 3, 1], torch.Generator().manual_seed(0)).double()

    def derivatives(rows: np.ndarray) -> np.ndarray:
        found = []
        for row in torch.from_numpy(rows):
            network.zero_grad()
            network(row[None]).sum().backward()
            found.append(torch.cat([one.grad.flatten() for one in network.parameters()]).numpy())
        return np.array(found)

    a, b = derivatives(X), derivatives(NEW)
    np.testing.assert_allclose(kernel(network, X, NEW), a @ b.T, atol=1e-12)
    np.testing.assert_allclose(own_kernel(network, X), np.square(a).sum(1), atol=1e-12)


def test_a_proxy_without_hidden_layers_is_linear_regression() -> None:
    proxy = FunctionSpaceLaplace(features="identity", depth=0, steps=5)
    proxy.fit(X, VALUES, seed=0)
    fitted = proxy._ready()
    z, y = (X - X.mean(0)) / X.std(0), (VALUES - VALUES.mean()) / VALUES.std()
    rows, new = (np.hstack([one, np.ones((len(one), 1))]) for one in (z, (NEW - X.mean(0)) / X.std(0)))
    precision = rows.T @ rows / proxy.noise + np.eye(5) / fitted.duals.scale
    expected = VALUES.mean() + VALUES.std() * (new @ np.linalg.solve(precision, rows.T @ y / proxy.noise))
    told = proxy.predict(NEW)
    np.testing.assert_allclose(told.mean, expected, atol=1e-6)
    variance = (new @ np.linalg.solve(precision, new.T)).diagonal() + proxy.noise
    np.testing.assert_allclose(told.std, VALUES.std() * np.sqrt(variance), atol=1e-6)


def test_labels_that_are_taken_in_count_as_if_they_had_been_there_and_the_network_stays() -> None:
    proxy = FunctionSpaceLaplace(**SMALL)
    proxy.fit(TRAIN[:20], Y[:20], seed=0)
    before = proxy.state()
    one_by_one = FunctionSpaceLaplace(**SMALL)
    one_by_one.load_state(reloaded(before))
    proxy.condition(TRAIN[20:], Y[20:])
    for at in range(20, len(TRAIN)):
        one_by_one.condition([TRAIN[at]], Y[at : at + 1])
    np.testing.assert_allclose(one_by_one.predict(TEST).mean, proxy.predict(TEST).mean, atol=1e-6)
    np.testing.assert_allclose(one_by_one.joint(TEST)[1], proxy.joint(TEST)[1], atol=1e-9)
    after = proxy.state()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(("network_", "design_")))
    assert (proxy.predict(TRAIN[20:]).std < 0.9 * _loaded(before).predict(TRAIN[20:]).std).mean() > 0.8
    assert rmse(proxy.predict(TEST), Y_TEST) < rmse(_loaded(before).predict(TEST), Y_TEST)
    assert proxy.trained_on == 20


def _loaded(state: dict[str, Any]) -> FunctionSpaceLaplace:
    proxy = FunctionSpaceLaplace(**SMALL)
    proxy.load_state(state)
    return proxy


def test_to_believe_what_is_pending_is_to_take_its_predictions_in() -> None:
    proxy = FunctionSpaceLaplace(**SMALL)
    proxy.fit(TRAIN, Y, seed=0)
    pending, others = TEST[:4], TEST[4:]
    believing = believing_pending(proxy, pending)
    conditioned = _loaded(proxy.state())
    conditioned.condition(pending, proxy.predict(pending).mean)
    np.testing.assert_allclose(believing.predict(others).mean, conditioned.predict(others).mean, atol=1e-5)
    np.testing.assert_allclose(believing.predict(others).std, conditioned.predict(others).std, atol=1e-5)


def test_a_campaign_goes_on_with_the_network_until_labels_have_grown() -> None:
    def round_of(n: int, previous: Any) -> Fitter:
        fitter = Fitter(lambda: FunctionSpaceLaplace(**SMALL, refit="condition"), seed=0, previous=previous)
        models.append(fitter.fit("whole", [str(i) for i in range(n)], TRAIN[:n], Y[:n]))
        return fitter

    models: list[Any] = []
    first = round_of(12, None)
    second = round_of(20, reloaded(first.state()))
    round_of(24, reloaded(second.state()))
    assert [model.trained_on for model in models] == [12, 12, 24]
    anew = FunctionSpaceLaplace(**SMALL)
    anew.fit(TRAIN[:24], Y[:24], seed=0)
    np.testing.assert_allclose(models[2].predict(TEST).mean, anew.predict(TEST).mean, atol=1e-6)


def test_more_labels_than_inducing_points_are_all_heard() -> None:
    few = FunctionSpaceLaplace(**SMALL, inducing_points=25)
    few.fit(TRAIN, Y, seed=0)
    whole = FunctionSpaceLaplace(**SMALL)
    whole.fit(TRAIN, Y, seed=0)
    assert np.corrcoef(few.predict(TEST).mean, whole.predict(TEST).mean)[0, 1] > 0.98


def test_what_it_cannot_take_in_it_refuses() -> None:
    proxy = FunctionSpaceLaplace(**SMALL)
    with pytest.raises(RuntimeError, match="not trained"):
        proxy.condition(TEST[:1], Y_TEST[:1])
    proxy.fit(TRAIN, Y, seed=0)
    with pytest.raises(ValueError, match="one finite value per object"):
        proxy.condition(TEST[:2], np.array([1.0, np.nan]))
    proxy.condition([], np.zeros(0))


def test_measurements_of_one_object_only_are_learnt() -> None:
    proxy = FunctionSpaceLaplace(**SMALL)
    proxy.fit(["CCO"] * 6, np.arange(6.0), seed=0)
    assert np.isfinite(proxy.predict(TEST).std).all()
    proxy.fit(TRAIN, np.full(len(TRAIN), 3.0), seed=0)
    np.testing.assert_allclose(proxy.predict(TEST).mean, 3.0)
