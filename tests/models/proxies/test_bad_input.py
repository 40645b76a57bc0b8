"""What every registered proxy does with labels and objects that are odd: it copes, or says which row and what to do."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.models.proxies.problems import (
    FAR,
    LOGP,
    MOLECULES,
    TEST,
    TRAIN,
    Y,
    agree,
    every,
    fitted,
    made,
    of_any_object,
    rmse,
    standard,
)


def hasty(kind: str) -> dict[str, Any]:
    """Options of a training that is too short to learn, where only what goes in is in question."""
    return {"steps": 10} if "steps" in made(kind).config() else {}


@cache
def hastily(kind: str) -> Any:
    return fitted(kind, **hasty(kind))


# Labels


@every
@pytest.mark.parametrize("n", [0, 1, 4])
def test_fewer_than_five_labels_are_refused(kind: str, n: int) -> None:
    with pytest.raises(ValueError, match=f"A {kind} needs at least 5 measured objects; got {n}"):
        made(kind).fit(MOLECULES[:n], LOGP[:n], seed=0)


@every
def test_five_labels_are_enough(kind: str) -> None:
    prediction = fitted(kind, MOLECULES[:5], LOGP[:5]).predict(TEST)
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std > 0).all()
    assert np.isfinite(prediction.std).all()


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_molecule(kind: str, bad: float) -> None:
    values = Y.copy()
    values[3] = bad
    with pytest.raises(ValueError, match=rf"1 of {len(Y)} are not.*Leave failed measurements out") as error:
        made(kind).fit(TRAIN, values, seed=0)
    assert f"{TRAIN[3]} ({bad})" in str(error.value)
    assert TRAIN[2] not in str(error.value).split()


@every
def test_of_many_values_that_are_not_finite_the_first_three_are_named(kind: str) -> None:
    values = Y.copy()
    values[[1, 4, 6, 9]] = [np.nan, np.inf, np.nan, -np.inf]
    with pytest.raises(ValueError, match=rf"4 of {len(Y)} are not") as error:
        made(kind).fit(TRAIN, values, seed=0)
    for row in (1, 4, 6):
        assert f"{TRAIN[row]} ({values[row]})" in str(error.value)
    assert f"{TRAIN[9]} (" not in str(error.value)
    assert " ..." in str(error.value)


@every
@pytest.mark.parametrize("values", [Y[:-1], np.append(Y, 0.0), Y[:, None], np.zeros((0,))])
def test_values_that_are_not_one_per_molecule_are_refused(kind: str, values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=f"one value per object; got {len(TRAIN)} objects and values of shape"):
        made(kind).fit(TRAIN, values, seed=0)


@every
def test_values_may_be_a_list_of_whole_numbers(kind: str) -> None:
    whole = np.round(100.0 * Y).astype(np.int64)
    listed: Any = whole.tolist()
    a, b = (fitted(kind, values=values, **hasty(kind)).predict(TEST) for values in (listed, whole.astype(np.float64)))
    agree(a, b, atol=1e-12)


@every
@pytest.mark.parametrize("value", [0.0, -2e-4, 1e12])
def test_constant_labels_predict_that_constant(kind: str, value: float) -> None:
    prediction = fitted(kind, values=np.full(len(TRAIN), value)).predict(TEST + FAR)
    size = abs(value) or 1.0
    np.testing.assert_allclose(prediction.mean, value, atol=0.1 * size)
    assert (prediction.std > 0).all()
    assert (prediction.std < 2 * size).all()


@every
@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_values_may_be_of_any_size(kind: str, scale: float) -> None:
    plain, other = hastily(kind).predict(TEST), fitted(kind, values=scale * Y, **hasty(kind)).predict(TEST)
    np.testing.assert_allclose(other.mean / scale, plain.mean, atol=1e-3)
    np.testing.assert_allclose(other.std / scale, plain.std, atol=1e-3)


@every
def test_one_outlier_does_not_make_a_prediction_infinite(kind: str) -> None:
    values = Y.copy()
    values[0] = 1e6
    prediction = fitted(kind, values=values).predict(TEST + FAR)
    assert np.isfinite(prediction.mean).all()
    assert np.isfinite(prediction.std).all()
    assert np.abs(prediction.mean).max() < 1e7
    assert prediction.std.max() > 1e3


@every
def test_a_refused_training_leaves_the_trained_proxy_as_it_was(kind: str) -> None:
    proxy = fitted(kind, **hasty(kind))
    with pytest.raises(ValueError, match="Leave failed measurements out"):
        proxy.fit(TRAIN, np.where(np.arange(len(Y)) == 2, np.nan, Y), seed=1)
    agree(proxy.predict(TEST), hastily(kind).predict(TEST), atol=1e-12)


# Replicates

NOISE = 0.6


def replicates(noise: float, copies: int = 3, seed: int = 0) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    return TRAIN * copies, np.tile(Y, copies) + rng.normal(0.0, noise, copies * len(Y))


@every
def test_replicates_are_kept_and_their_noise_is_what_is_predicted(kind: str) -> None:
    noisy, clean = fitted(kind, *replicates(NOISE)), fitted(kind, *replicates(0.0))
    prediction = noisy.predict(TRAIN)
    # The deviation is that of another measurement: at a molecule measured three times it is about the noise.
    assert 0.75 * NOISE < np.median(prediction.std) < 1.6 * NOISE
    assert clean.predict(TRAIN).std.mean() < prediction.std.mean() - 0.25 * NOISE
    # And the replicates are averaged: the mean is nearer to the truth than one measurement is.
    assert rmse(prediction, Y) < 0.8 * NOISE


@every
def test_the_order_of_replicates_does_not_matter(kind: str) -> None:
    molecules, values = replicates(NOISE)
    order = np.random.default_rng(4).permutation(len(values))
    a = fitted(kind, [molecules[i] for i in order], values[order], **hasty(kind))
    agree(a.predict(TEST), fitted(kind, molecules, values, **hasty(kind)).predict(TEST), atol=1e-6)


@every
def test_five_measurements_of_one_molecule_are_its_mean_and_their_noise(kind: str) -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    prediction = fitted(kind, ["CCO"] * 5, values).predict(["CCO", "c1ccccc1"])
    assert prediction.mean[0] == pytest.approx(3.0, abs=1.0)
    assert 0.5 * values.std() < prediction.std[0] < 2.5 * values.std()
    assert np.isfinite(prediction.mean).all()
    assert np.isfinite(prediction.std).all()
    assert prediction.std[1] >= prediction.std[0]


# Objects


@every
def test_a_text_that_is_no_molecule_is_named_in_prediction(kind: str) -> None:
    for call in filter(None, (standard(kind).predict, getattr(standard(kind), "joint", None))):
        with pytest.raises(ValueError, match="'not a molecule' is no valid SMILES"):
            call(["CCO", "not a molecule"])


@every
def test_a_text_that_is_no_molecule_is_named_in_training(kind: str) -> None:
    with pytest.raises(ValueError, match=r"'C1CC' is no valid SMILES"):
        made(kind).fit(["C1CC", *TRAIN[1:]], Y, seed=0)


@every
def test_atoms_alone_salts_and_giants_are_predicted(kind: str) -> None:
    odd = ["C", "[Xe]", "[H][H]", "[Na+].[Cl-]", "C" * 80, "[O-][N+](=O)c1ccccc1.CCO"]
    prediction = standard(kind).predict(odd)
    assert np.isfinite(prediction.mean).all()
    assert np.isfinite(prediction.std).all()
    # Nothing is extrapolated without bound, and an atom alone is no safer than what is like the data.
    assert np.abs(prediction.mean - Y.mean()).max() < 40 * Y.std()
    assert prediction.std.min() > 0


@of_any_object
def test_features_that_are_all_zero_give_the_mean_and_the_deviation_of_the_labels(kind: str) -> None:
    nothing = np.zeros((20, 3))
    values = np.random.default_rng(0).normal(5.0, 2.0, 20)
    prediction = fitted(kind, nothing, values, features="identity").predict(nothing[:4])
    np.testing.assert_allclose(prediction.mean, values.mean(), atol=0.9)
    np.testing.assert_allclose(prediction.std, values.std(), rtol=0.6)
    assert np.ptp(prediction.mean) == np.ptp(prediction.std) == 0.0


@of_any_object
def test_one_sequence_measured_again_and_again_gives_the_mean_and_the_deviation_of_the_labels(kind: str) -> None:
    values = np.random.default_rng(1).normal(-3.0, 0.5, 12)
    proxy = fitted(kind, ["ACGT"] * 12, values, features={"kind": "one_hot", "length": 4})
    same, other = proxy.predict(["ACGT"]), proxy.predict(["TTTT"])
    np.testing.assert_allclose(same.mean, values.mean(), atol=0.3)
    np.testing.assert_allclose(same.std, values.std(), rtol=0.7)
    assert np.isfinite(other.mean).all()
    assert other.std[0] >= same.std[0]


@of_any_object
def test_a_feature_that_is_always_the_same_has_no_say(kind: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 2))
    values = x[:, 0] - x[:, 1]
    plain = fitted(kind, x, values, features="identity").predict(x[:8])
    padded = np.column_stack([x, np.full(40, 7.0)])
    agree(fitted(kind, padded, values, features="identity").predict(padded[:8]), plain, atol=0.35 * values.std())
    np.testing.assert_array_equal(np.isfinite(plain.std), True)


@of_any_object
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_feature_that_is_not_finite_is_refused_with_its_row(kind: str, bad: float) -> None:
    x = np.random.default_rng(3).normal(size=(20, 2))
    proxy = fitted(kind, x, x[:, 0], features="identity")
    broken = x.copy()
    broken[4, 1] = bad
    for call in (lambda: proxy.predict(broken), lambda: proxy.fit(broken, x[:, 0], seed=0)):
        with pytest.raises(ValueError, match="1 of 20 rows have others, the first is row 4"):
            call()


@of_any_object
def test_rows_of_another_width_than_in_training_are_refused(kind: str) -> None:
    x = np.random.default_rng(3).normal(size=(20, 2))
    with pytest.raises(ValueError, match=r"trained on 2 dense features; got 3"):
        fitted(kind, x, x[:, 0], features="identity").predict(np.zeros((4, 3)))


@of_any_object
def test_a_sequence_with_a_foreign_letter_is_named(kind: str) -> None:
    sequences = ["ACGT", "AAAA", "CCCC", "GGGG", "TTTT", "ACCA"]
    proxy = fitted(kind, sequences, np.arange(6.0), features={"kind": "one_hot", "length": 4})
    with pytest.raises(ValueError, match="got 'X' in 'ACXT'"):
        proxy.predict(["ACGT", "ACXT"])
