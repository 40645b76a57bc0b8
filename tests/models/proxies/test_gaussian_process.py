from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import Crippen

from data.chemistry.descriptors import NAMES
from models.protocols import Proxy
from models.proxies.checks import canonical_order
from models.proxies.gaussian_process import GaussianProcess
from models.proxies.kriging import covariance
from models.registry import ComponentError, build

RINGS = ["c1ccccc1{}", "c1ccncc1{}", "c1ccsc1{}", "C1CCCCC1{}", "c1ccc2ccccc2c1{}"]
TAILS = ["", "C", "O", "CC", "C#N", "C(=O)O", "N", "Cl", "C(F)(F)F", "OC", "C(=O)C", "S(=O)(=O)C"]
MOLECULES = sorted({Chem.CanonSmiles(ring.format(tail)) for ring in RINGS for tail in TAILS})
LOGP = np.array([Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in MOLECULES])
TRAIN = list(range(0, len(MOLECULES), 2))
TEST = list(range(1, len(MOLECULES), 2))
KERNELS = ["sum", "descriptors", "tanimoto"]


def some(rows: list[int]) -> list[str]:
    return [MOLECULES[i] for i in rows]


def trained(values: np.ndarray | None = None, seed: int = 0, **options: Any) -> GaussianProcess:
    proxy = GaussianProcess(**options)
    proxy.fit(some(TRAIN), (LOGP if values is None else values)[TRAIN], seed=seed)
    return proxy


@pytest.mark.parametrize("kernel", KERNELS)
def test_it_predicts_what_it_has_not_seen_and_knows_how_well(kernel: str) -> None:
    prediction = trained(kernel=kernel).predict(some(TEST))
    error = prediction.mean - LOGP[TEST]
    assert np.sqrt(np.square(error).mean()) < 0.55 * LOGP[TEST].std()
    assert (prediction.std > 0).all()
    assert (np.abs(error) < 2.5 * prediction.std).mean() > 0.85


def test_it_is_found_by_name_and_is_a_proxy() -> None:
    proxy = build("proxy", {"kind": "gaussian_process", "kernel": "tanimoto"})
    assert isinstance(proxy, GaussianProcess)
    assert isinstance(proxy, Proxy)
    assert proxy.config() == GaussianProcess.from_config(proxy.config()).config()
    with pytest.raises(ComponentError, match="kernel"):
        build("proxy", {"kind": "gaussian_process", "kernel": "rbf"})


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_prediction_does_not_depend_on_the_company(kernel: str) -> None:
    proxy = trained(kernel=kernel)
    together = proxy.predict(MOLECULES)
    alone = [proxy.predict([smiles]) for smiles in MOLECULES]
    np.testing.assert_array_equal(together.mean, np.concatenate([one.mean for one in alone]))
    np.testing.assert_array_equal(together.std, np.concatenate([one.std for one in alone]))


@given(st.lists(st.sampled_from(range(len(MOLECULES))), min_size=1, max_size=150))
@settings(max_examples=30, deadline=None)
def test_any_batch_gives_the_same_bits(rows: list[int]) -> None:
    whole, part = BATCH_PROXY.predict(MOLECULES), BATCH_PROXY.predict(some(rows))
    np.testing.assert_array_equal(part.mean, whole.mean[rows])
    np.testing.assert_array_equal(part.std, whole.std[rows])


BATCH_PROXY = trained()


def test_the_order_of_the_training_rows_does_not_matter() -> None:
    order = np.random.default_rng(1).permutation(len(TRAIN))
    proxy = GaussianProcess()
    proxy.fit([some(TRAIN)[i] for i in order], LOGP[TRAIN][order], seed=0)
    a, b = trained().predict(some(TEST)), proxy.predict(some(TEST))
    np.testing.assert_allclose(a.mean, b.mean, atol=2e-3 * LOGP.std())
    np.testing.assert_allclose(a.std, b.std, atol=2e-3 * LOGP.std())


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
@settings(max_examples=10, deadline=None)
def test_values_in_other_units_give_predictions_in_those_units(scale: float, shift: float) -> None:
    plain, other = BATCH_PROXY.predict(some(TEST)), trained(LOGP * scale + shift).predict(some(TEST))
    np.testing.assert_allclose(other.mean, plain.mean * scale + shift, atol=5e-4 * scale * LOGP.std())
    np.testing.assert_allclose(other.std, plain.std * scale, atol=5e-4 * scale * LOGP.std())


def test_it_is_surer_near_the_data_than_far_from_it() -> None:
    proxy = trained()
    seen, near, far = (proxy.predict(m).std for m in (some(TRAIN), some(TEST), ["BrC(Br)(Br)P(=O)(O)OI", "[Xe]"]))
    assert seen.mean() < near.mean() < far.min()


def test_a_molecule_far_outside_predicts_no_farther_than_the_clip() -> None:
    giant, larger = "C" * 60, "C" * 90
    # Descriptors beyond the clip are the clip: the two are one point to the descriptor kernel but for bounded shares.
    proxy = trained(kernel="descriptors")
    prediction = proxy.predict([giant, larger])
    span = LOGP[TRAIN].max() - LOGP[TRAIN].min()
    assert abs(prediction.mean[0] - prediction.mean[1]) < 0.2 * span
    assert np.abs(prediction.mean - LOGP[TRAIN].mean()).max() < 3 * span


def test_the_state_restores_the_predictions_to_the_bit() -> None:
    proxy = trained()
    file = io.BytesIO()
    torch.save(proxy.state(), file)
    file.seek(0)
    again = GaussianProcess.from_config(proxy.config())
    again.load_state(torch.load(file, weights_only=True))
    before, after = proxy.predict(MOLECULES), again.predict(MOLECULES)
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.std, after.std)
    assert again.hyperparameters == proxy.hyperparameters


def test_the_same_seed_gives_the_same_bits() -> None:
    a, b = (trained(seed=7, restarts=4).predict(some(TEST)) for _ in range(2))
    np.testing.assert_array_equal(a.mean, b.mean)
    np.testing.assert_array_equal(a.std, b.std)


def test_more_labels_than_the_likelihood_sees_are_still_all_conditioned_on() -> None:
    capped = trained(likelihood_points=12)
    error = capped.predict(some(TRAIN)).mean - LOGP[TRAIN]
    assert np.abs(error).max() < 0.5 * LOGP.std()
    blind = GaussianProcess()
    blind.fit(some(TRAIN)[:12], LOGP[TRAIN][:12], seed=0)
    assert np.abs(error).max() < np.abs(blind.predict(some(TRAIN)).mean - LOGP[TRAIN]).max()


def test_beyond_the_cap_the_seed_draws_who_chooses_the_hyperparameters() -> None:
    capped = {trained(seed=seed, likelihood_points=12, restarts=1).hyperparameters for seed in range(4)}
    whole = {trained(seed=seed, likelihood_points=len(TRAIN), restarts=1).hyperparameters for seed in range(4)}
    assert len(capped) > 1
    assert len(whole) == 1


def test_a_descriptor_that_never_varied_in_training_has_no_say() -> None:
    chains = ["C" * n for n in range(2, 12)]
    proxy = GaussianProcess(kernel="descriptors")
    proxy.fit(chains, np.arange(10.0), seed=0)
    state = proxy.state()
    nitro = NAMES.index("fr_nitro")
    assert state["descriptor_scale"][nitro] == 0
    assert state["z"].shape[1] == int((state["descriptor_scale"] > 0).sum()) < len(NAMES)
    # Nitro groups change descriptors that did vary, by bounded amounts, and the one that did not by none.
    assert np.isfinite(proxy.predict(["CC[N+](=O)[O-]"]).mean).all()


@pytest.mark.parametrize("value", [3.25, 0.0, -2.0])
def test_constant_labels_predict_that_constant(value: float) -> None:
    prediction = trained(np.full(len(MOLECULES), value)).predict(some(TEST))
    np.testing.assert_allclose(prediction.mean, value, atol=1e-6 * max(1.0, abs(value)))
    assert (prediction.std > 0).all()
    assert (prediction.std < 2 * max(1.0, abs(value))).all()


def test_an_empty_list_gives_an_empty_prediction() -> None:
    assert len(trained().predict([])) == 0


def test_repeated_molecules_with_different_values_are_averaged() -> None:
    proxy = GaussianProcess()
    molecules, values = some(TRAIN) * 2, np.concatenate([LOGP[TRAIN] - 0.5, LOGP[TRAIN] + 0.5])
    proxy.fit(molecules, values, seed=0)
    np.testing.assert_allclose(proxy.predict(some(TRAIN)).mean.mean(), LOGP[TRAIN].mean(), atol=0.02)
    assert proxy.predict(some(TRAIN)).std.mean() > 0.35


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 measured objects; got 4"):
        GaussianProcess().fit(MOLECULES[:4], LOGP[:4], seed=0)


def test_a_value_that_is_not_finite_is_named_with_its_molecule() -> None:
    values = LOGP.copy()
    values[TRAIN[3]] = np.nan
    with pytest.raises(ValueError, match=r"1 of \d+ are not") as error:
        trained(values)
    assert f"{MOLECULES[TRAIN[3]]} (nan)" in str(error.value)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="one value per object"):
        GaussianProcess().fit(MOLECULES, LOGP[:-1], seed=0)


def test_an_untrained_proxy_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="call `fit`"):
        GaussianProcess().predict(["CCO"])


def test_a_foreign_state_is_refused() -> None:
    state = trained().state()
    del state["weights"]
    with pytest.raises(ValueError, match="lacks weights"):
        GaussianProcess().load_state(state)
    state = trained().state() | {"descriptor_mean": torch.zeros(3)}
    with pytest.raises(ValueError, match="made of 3 descriptors"):
        GaussianProcess().load_state(state)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_it_predicts_without_a_fold_is_what_the_same_hyperparameters_predict_from_the_others(kernel: str) -> None:
    objects, values, fold = some(TRAIN), LOGP[TRAIN], np.arange(len(TRAIN)) % 4
    proxy = GaussianProcess(kernel=kernel)
    proxy.fit(objects, values, seed=0)
    told = proxy.held_out(objects, values, fold.tolist())
    assert told is not None
    # Conditioned by hand, without the shortcut: K of the other folds solved, the constant mean estimated from them.
    noise = proxy.hyperparameters.noise_variance
    fitted = proxy._ready()
    pairs = proxy._pairs(fitted.z, fitted.counts, fitted.z, fitted.counts)
    k = covariance(pairs, proxy.hyperparameters)
    order = canonical_order(objects, values)
    y = values[order]
    for j in range(4):
        test, rest = fold[order] == j, fold[order] != j
        inverse = np.linalg.inv(k[np.ix_(rest, rest)] + noise * np.eye(rest.sum()))
        cross = k[np.ix_(test, rest)]
        mean = inverse.sum(0) @ y[rest] / inverse.sum()
        left = 1.0 - cross @ inverse.sum(1)
        variance = k.diagonal()[test] + noise - np.einsum("ij,jk,ik->i", cross, inverse, cross)
        variance += np.square(left) / inverse.sum()
        np.testing.assert_allclose(told.mean[order][test], mean + cross @ inverse @ (y[rest] - mean), atol=2e-6)
        np.testing.assert_allclose(told.std[order][test], fitted.scale * np.sqrt(variance), atol=2e-6)


def test_folds_of_other_objects_than_it_was_trained_on_are_refused() -> None:
    with pytest.raises(ValueError, match=r"30 objects .* got 20 objects and 2 folds"):
        trained().held_out(some(TRAIN)[:20], LOGP[TRAIN][:20], [0, 1] * 10)
    with pytest.raises(ValueError, match="at least 2 folds"):
        trained().held_out(some(TRAIN), LOGP[TRAIN], [0] * len(TRAIN))


def test_without_a_fold_through_every_label_as_inducing_point_is_the_exact_answer() -> None:
    objects, values, fold = some(TRAIN), LOGP[TRAIN], (np.arange(len(TRAIN)) % 4).tolist()
    exact, through = (
        trained(**limits).held_out(objects, values, fold)
        for limits in ({}, {"exact_points": 20, "inducing_points": 30})
    )
    assert exact is not None
    assert through is not None
    np.testing.assert_allclose(through.mean, exact.mean, atol=2e-5)
    np.testing.assert_allclose(through.std, exact.std, atol=2e-5)


def test_a_loaded_state_with_inducing_points_cannot_tell_what_a_fold_adds() -> None:
    proxy = trained(exact_points=20, inducing_points=10)
    assert proxy.held_out(some(TRAIN), LOGP[TRAIN], [0, 1] * 15) is not None
    proxy.load_state(proxy.state())
    assert proxy.held_out(some(TRAIN), LOGP[TRAIN], [0, 1] * 15) is None
