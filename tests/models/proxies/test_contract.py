"""What every registered proxy must do, on a smooth target of small molecules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from models.protocols import EmbeddingProxy, JointProxy, Proxy
from models.proxies.base import predictions_per_cpu_second
from models.registry import build
from tests.models.proxies.problems import (
    FAR,
    KINDS,
    MOLECULES,
    TEST,
    TRAIN,
    Y_TEST,
    Y,
    agree,
    every,
    fitted,
    made,
    of_any_object,
    reloaded,
    rmse,
    standard,
)

ENSEMBLES = [kind for kind in KINDS if kind not in ("gaussian_process", "autoregressive", "prior_fitted")]
JOINT = [kind for kind in KINDS if isinstance(made(kind), JointProxy)]
joint = pytest.mark.parametrize("kind", JOINT)


@every
def test_it_predicts_a_finite_mean_and_a_positive_deviation_for_each_molecule(kind: str) -> None:
    assert isinstance(standard(kind), Proxy)
    prediction = standard(kind).predict(MOLECULES + FAR)
    assert prediction.mean.shape == prediction.std.shape == (len(MOLECULES) + len(FAR),)
    assert prediction.mean.dtype == prediction.std.dtype == np.float64
    assert np.isfinite(prediction.mean).all()
    assert np.isfinite(prediction.std).all()
    assert (prediction.std > 0).all()
    assert len(standard(kind).predict([])) == 0


@every
def test_it_learns_something(kind: str) -> None:
    prediction = standard(kind).predict(TEST)
    assert rmse(prediction, Y_TEST) < 0.8 * Y_TEST.std()
    assert np.corrcoef(prediction.mean, Y_TEST)[0, 1] > 0.6


@every
def test_its_intervals_hold_most_of_what_it_has_not_seen(kind: str) -> None:
    prediction = standard(kind).predict(TEST)
    assert (np.abs(prediction.mean - Y_TEST) < 1.645 * prediction.std).mean() >= 0.75
    assert prediction.std.mean() < 1.5 * Y_TEST.std()


@every
def test_its_deviation_grows_away_from_the_data(kind: str) -> None:
    seen, near, far = (standard(kind).predict(molecules).std for molecules in (TRAIN, TEST, FAR))
    assert seen.mean() < near.mean() < far.mean()
    # What resembles nothing that was measured is about as uncertain as the target itself.
    assert far.mean() > 0.6 * Y.std()


@every
def test_values_in_other_units_give_predictions_in_those_units(kind: str) -> None:
    plain, other = standard(kind).predict(TEST), fitted(kind, values=1000.0 + 250.0 * Y).predict(TEST)
    np.testing.assert_allclose((other.mean - 1000.0) / 250.0, plain.mean, atol=2e-3 * Y.std())
    np.testing.assert_allclose(other.std / 250.0, plain.std, atol=2e-3 * Y.std())


@every
def test_the_same_seed_gives_the_same_bits(kind: str) -> None:
    a, b = standard(kind).predict(TEST), fitted(kind).predict(TEST)
    np.testing.assert_array_equal(a.mean, b.mean)
    np.testing.assert_array_equal(a.std, b.std)


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_another_seed_gives_another_ensemble(kind: str) -> None:
    assert np.abs(standard(kind).predict(TEST).mean - fitted(kind, seed=1).predict(TEST).mean).max() > 1e-6


@every
def test_training_leaves_the_global_random_state_alone(kind: str) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  # the legacy generator is the global state in question
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fitted(kind)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


@every
def test_the_order_of_the_training_rows_does_not_matter(kind: str) -> None:
    order = np.random.default_rng(1).permutation(len(TRAIN))
    shuffled = fitted(kind, [TRAIN[i] for i in order], Y[order])
    agree(shuffled.predict(TEST), standard(kind).predict(TEST))


@every
def test_a_prediction_does_not_depend_on_its_company(kind: str) -> None:
    together = standard(kind).predict(MOLECULES)
    order = np.random.default_rng(2).permutation(len(MOLECULES))
    shuffled = standard(kind).predict([MOLECULES[i] for i in order])
    np.testing.assert_allclose(shuffled.mean, together.mean[order], rtol=0, atol=1e-6)
    np.testing.assert_allclose(shuffled.std, together.std[order], rtol=0, atol=1e-6)
    for row in (0, 7, len(MOLECULES) - 1):
        alone = standard(kind).predict([MOLECULES[row]])
        np.testing.assert_allclose([alone.mean[0], alone.std[0]], [together.mean[row], together.std[row]], atol=1e-6)


@every
def test_configuration_and_state_restore_the_predictions(kind: str) -> None:
    state = reloaded(standard(kind).state())
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    again = build("proxy", standard(kind).config())
    again.load_state(state)
    agree(again.predict(MOLECULES + FAR), standard(kind).predict(MOLECULES + FAR), atol=1e-12)
    if kind in JOINT:
        for a, b in zip(again.joint(TEST), standard(kind).joint(TEST), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    if isinstance(again, EmbeddingProxy):
        for sort in ("last_layer", "gradient"):
            np.testing.assert_allclose(again.embed(TEST, kind=sort), standard(kind).embed(TEST, kind=sort), atol=1e-9)
    assert again.config() == standard(kind).config()
    assert set(again.state()) == set(state)


@every
def test_a_state_that_lacks_something_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"state of a {kind} lacks"):
        made(kind).load_state({"something": torch.zeros(1)})


@every
def test_an_untrained_proxy_says_what_to_do(kind: str) -> None:
    calls = [made(kind).state, lambda: made(kind).predict(["CCO"])]
    for call in [*calls, *([lambda: made(kind).joint(["CCO"])] if kind in JOINT else [])]:
        with pytest.raises(RuntimeError, match=f"This {kind} proxy was not trained; call `fit`"):
            call()


@of_any_object
@pytest.mark.parametrize("sort", ["sequences", "arrays"])
def test_sequences_and_arrays_are_learnt_as_molecules_are(kind: str, sort: str) -> None:
    rng = np.random.default_rng(3)
    if sort == "sequences":
        objects: Any = sorted({"".join(rng.choice(list("ACGT"), 6)) for _ in range(120)})
        values = np.array([2.0 * one.count("G") - one[0:2].count("A") for one in objects])
        features: Any = {"kind": "one_hot", "length": 6}
    else:
        objects, features = rng.uniform(-1, 1, size=(120, 2)), "identity"
        values = np.sin(2 * objects[:, 0]) + objects[:, 1]
    proxy = fitted(
        kind, objects[::2], values[::2], features=features, **({"steps": 300} if kind.startswith("m") else {})
    )
    prediction = proxy.predict(objects[1::2])
    assert rmse(prediction, values[1::2]) < 0.75 * values.std()
    again = build("proxy", proxy.config())
    again.load_state(reloaded(proxy.state()))
    agree(again.predict(objects[1::2]), prediction, atol=1e-12)


def test_only_a_network_that_gives_densities_cannot_say_how_errors_go_together() -> None:
    assert set(KINDS) - set(JOINT) == {"prior_fitted"}


@joint
def test_the_joint_covariance_is_that_of_the_noise_free_function(kind: str) -> None:
    proxy = standard(kind)
    mean, covariance = proxy.joint(TEST)
    prediction = proxy.predict(TEST)
    np.testing.assert_allclose(mean, prediction.mean, atol=1e-6)
    np.testing.assert_array_equal(covariance, covariance.T)
    eigenvalues = np.linalg.eigvalsh(covariance)
    assert eigenvalues.min() > -1e-9 * eigenvalues.max()
    noise = np.square(prediction.std) - covariance.diagonal()
    assert (noise > -1e-6).all()
    np.testing.assert_allclose(noise, noise.mean(), atol=1e-5)
    assert proxy.joint([])[1].shape == (0, 0)


@joint
def test_the_same_molecule_twice_is_one_function_value(kind: str) -> None:
    _, covariance = standard(kind).joint([TEST[0], TEST[1], TEST[0]])
    assert covariance[0, 2] == pytest.approx(covariance[0, 0], abs=1e-6)
    assert covariance[0, 1] < covariance[0, 0] or covariance[0, 1] < covariance[1, 1]


@joint
def test_the_joint_covariance_is_in_the_squared_unit(kind: str) -> None:
    covariance = standard(kind).joint(TEST[:6])[1]
    other = fitted(kind, values=10.0 * Y).joint(TEST[:6])[1]
    np.testing.assert_allclose(other / 100.0, covariance, atol=1e-3 * covariance.max())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if isinstance(made(kind), EmbeddingProxy)])
@pytest.mark.parametrize("sort", ["last_layer", "gradient"])
def test_embeddings_are_finite_and_the_same_in_any_company(kind: str, sort: str) -> None:
    proxy = standard(kind)
    together = proxy.embed(TEST, kind=sort)
    assert together.shape[0] == len(TEST)
    assert 1 < together.shape[1] <= 512
    assert together.dtype == np.float64
    assert np.isfinite(together).all()
    np.testing.assert_allclose(proxy.embed([TEST[3]], kind=sort)[0], together[3], atol=1e-6)
    assert np.linalg.matrix_rank(together) > 5
    with pytest.raises(ValueError, match="got 'first_layer'"):
        proxy.embed(TEST, kind="first_layer")


@every
def test_it_says_how_many_predictions_a_cpu_second_buys(kind: str) -> None:
    assert predictions_per_cpu_second(standard(kind), TEST) > 10
