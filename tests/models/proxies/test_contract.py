"""What every registered proxy must do, on a smooth target of small molecules."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Crippen

from models.protocols import EmbeddingProxy, JointProxy, Proxy
from models.proxies.base import predictions_per_cpu_second
from models.registry import build, kinds

RINGS = ["c1ccccc1{}", "c1ccncc1{}", "c1ccsc1{}", "C1CCCCC1{}", "c1ccc2ccccc2c1{}"]
TAILS = ["", "C", "O", "CC", "C#N", "C(=O)O", "N", "Cl", "C(F)(F)F", "OC", "C(=O)C", "S(=O)(=O)C"]
MOLECULES = sorted({Chem.CanonSmiles(ring.format(tail)) for ring in RINGS for tail in TAILS})
LOGP = np.array([Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in MOLECULES])
TRAIN, TEST = MOLECULES[::2], MOLECULES[1::2]
Y, Y_TEST = LOGP[::2], LOGP[1::2]
FAR = [
    "BrC(Br)(Br)P(=O)(O)OI",
    "O=S(=O)(O)OO[Si](Br)(Br)Br",
    "IC(I)(I)C(I)(I)I",
    "[O-][N+](=O)C([N+](=O)[O-])[N+](=O)[O-]",
]
QUICK: dict[str, dict[str, Any]] = {
    "random_forest": {"members": 60},
    "mlp_ensemble": {"steps": 150, "members": 5, "width": 32},
    "multi_task": {"steps": 150, "members": 5, "width": 32},
    "gnn_ensemble": {"steps": 60, "members": 3, "width": 24, "layers": 2, "batch": 32},
}
"""Options that make a training take a second; everything else is the default."""
KINDS = list(kinds("proxy"))
ENSEMBLES = [kind for kind in KINDS if kind != "gaussian_process"]
every = pytest.mark.parametrize("kind", KINDS)


def made(kind: str, **options: Any) -> Any:
    return build("proxy", {"kind": kind, **QUICK.get(kind, {}), **options})


def fitted(kind: str, molecules: list[str] = TRAIN, values: np.ndarray = Y, seed: int = 0, **options: Any) -> Any:
    proxy = made(kind, **options)
    proxy.fit(molecules, values, seed=seed)
    return proxy


@cache
def standard(kind: str) -> Any:
    return fitted(kind)


def agree(a: Any, b: Any, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(a.mean, b.mean, rtol=0, atol=atol)
    np.testing.assert_allclose(a.std, b.std, rtol=0, atol=atol)


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
    assert np.sqrt(np.square(prediction.mean - Y_TEST).mean()) < 0.8 * Y_TEST.std()
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
    plain, other = standard(kind).predict(TEST), fitted(kind, values=1000.0 - 250.0 * Y).predict(TEST)
    np.testing.assert_allclose((1000.0 - other.mean) / 250.0, plain.mean, atol=2e-3 * Y.std())
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
    file = io.BytesIO()
    torch.save(standard(kind).state(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    again = build("proxy", standard(kind).config())
    again.load_state(state)
    agree(again.predict(MOLECULES + FAR), standard(kind).predict(MOLECULES + FAR), atol=1e-12)
    assert again.config() == standard(kind).config()
    assert set(again.state()) == set(state)


@every
def test_a_state_that_lacks_something_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"state of a {kind} lacks"):
        made(kind).load_state({"something": torch.zeros(1)})


@every
def test_an_untrained_proxy_says_what_to_do(kind: str) -> None:
    for call in (made(kind).state, lambda: made(kind).predict(["CCO"]), lambda: made(kind).joint(["CCO"])):
        with pytest.raises(RuntimeError, match=f"This {kind} proxy was not trained; call `fit`"):
            call()


@every
def test_too_few_labels_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"A {kind} needs at least 5 measured molecules; got 4"):
        made(kind).fit(MOLECULES[:4], LOGP[:4], seed=0)


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_molecule(kind: str, bad: float) -> None:
    values = Y.copy()
    values[3] = bad
    with pytest.raises(ValueError, match=r"1 of \d+ are not") as error:
        made(kind).fit(TRAIN, values, seed=0)
    assert f"{TRAIN[3]} ({bad})" in str(error.value)


@every
def test_lengths_that_differ_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="one value per molecule"):
        made(kind).fit(TRAIN, Y[:-1], seed=0)


@every
def test_a_text_that_is_no_molecule_is_named(kind: str) -> None:
    with pytest.raises(ValueError, match="'not a molecule' is no valid SMILES"):
        standard(kind).predict(["CCO", "not a molecule"])


@every
def test_five_labels_are_enough(kind: str) -> None:
    prediction = fitted(kind, MOLECULES[:5], LOGP[:5]).predict(TEST)
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std > 0).all()
    assert np.isfinite(prediction.std).all()


@every
@pytest.mark.parametrize("value", [3.25, 0.0, -2e-4])
def test_constant_labels_predict_that_constant(kind: str, value: float) -> None:
    prediction = fitted(kind, values=np.full(len(TRAIN), value)).predict(TEST)
    size = abs(value) or 1.0
    np.testing.assert_allclose(prediction.mean, value, atol=0.1 * size)
    assert (prediction.std > 0).all()
    assert (prediction.std < 2 * size).all()


@every
def test_replicates_that_disagree_are_kept_and_their_noise_is_estimated(kind: str) -> None:
    rng = np.random.default_rng(0)
    clean = fitted(kind, TRAIN * 3, np.tile(Y, 3))
    noisy = fitted(kind, TRAIN * 3, np.tile(Y, 3) + rng.normal(0.0, 0.8, 3 * len(Y)))
    assert noisy.predict(TRAIN).std.mean() > clean.predict(TRAIN).std.mean() + 0.15
    assert noisy.predict(TRAIN).std.mean() > 0.55
    assert np.corrcoef(noisy.predict(TRAIN).mean, Y)[0, 1] > 0.7


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gnn_ensemble"])
def test_features_that_are_all_zero_give_the_mean_and_the_deviation_of_the_labels(kind: str) -> None:
    nothing = np.zeros((20, 3))
    values = np.random.default_rng(0).normal(5.0, 2.0, 20)
    prediction = fitted(kind, nothing, values, features="identity").predict(nothing[:4])
    np.testing.assert_allclose(prediction.mean, values.mean(), atol=0.9)
    np.testing.assert_allclose(prediction.std, values.std(), rtol=0.6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gnn_ensemble"])
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
    error = proxy.predict(objects[1::2]).mean - values[1::2]
    assert np.sqrt(np.square(error).mean()) < 0.75 * values.std()


@every
def test_the_joint_covariance_is_that_of_the_noise_free_function(kind: str) -> None:
    proxy = standard(kind)
    assert isinstance(proxy, JointProxy)
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


@every
def test_the_same_molecule_twice_is_one_function_value(kind: str) -> None:
    _, covariance = standard(kind).joint([TEST[0], TEST[1], TEST[0]])
    assert covariance[0, 2] == pytest.approx(covariance[0, 0], abs=1e-6)
    assert covariance[0, 1] < covariance[0, 0] or covariance[0, 1] < covariance[1, 1]


@every
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
