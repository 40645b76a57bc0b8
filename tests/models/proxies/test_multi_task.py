"""Several targets at once: a table with gaps goes in, a prediction per target comes out, and a dense target helps."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from data.records import FloatArray
from models.proxies.multi_task import MultiTargetProxy
from models.registry import build
from tests.models.proxies.problems import (
    LOGP,
    MOLECULES,
    TEST,
    TRAIN,
    Y_TEST,
    Y,
    agree,
    fitted,
    made,
    reloaded,
    rmse,
    standard,
)

WEIGHT = np.array([float(len(smiles)) for smiles in MOLECULES])
BOTH = np.column_stack([Y, 1000.0 + 50.0 * WEIGHT[::2]])
"""Two targets in units that have nothing in common."""


def with_gaps(table: FloatArray, every: int = 3) -> FloatArray:
    """Rows in turn lack the first target, the second, and none."""
    out = table.copy()
    out[::every, 0] = np.nan
    out[1::every, 1] = np.nan
    return out


def fitted_targets(values: FloatArray, molecules: Any = TRAIN, seed: int = 0, **options: Any) -> Any:
    proxy = made("multi_task", **options)
    proxy.fit_targets(molecules, values, seed=seed)
    return proxy


@cache
def gappy() -> Any:
    return fitted_targets(with_gaps(BOTH))


def test_it_predicts_each_target_in_its_own_unit() -> None:
    proxy = fitted_targets(BOTH)
    assert isinstance(proxy, MultiTargetProxy)
    predictions = proxy.predict_targets(TEST)
    assert len(predictions) == 2
    for prediction, true in zip(predictions, (Y_TEST, 1000.0 + 50.0 * WEIGHT[1::2]), strict=True):
        assert prediction.mean.shape == prediction.std.shape == (len(TEST),)
        assert rmse(prediction, true) < 0.75 * true.std()
        assert 0.0 < prediction.std.min() <= prediction.std.mean() < 1.5 * true.std()


def test_labels_may_be_missing_and_what_is_there_is_learnt() -> None:
    for prediction, true in zip(gappy().predict_targets(TEST), (Y_TEST, 1000.0 + 50.0 * WEIGHT[1::2]), strict=True):
        assert np.isfinite(prediction.mean).all()
        assert np.isfinite(prediction.std).all()
        assert rmse(prediction, true) < 0.85 * true.std()


def test_a_missing_label_has_no_part_whatever_stands_in_its_place() -> None:
    # A row with one label of two gives the target that it lacks nothing: neither location and scale nor noise.
    table = with_gaps(BOTH)
    known = ~np.isnan(table)
    target = gappy().state()["target"].numpy()
    for column in range(2):
        assert target[0, column] == pytest.approx(table[known[:, column], column].mean())
        assert target[1, column] == pytest.approx(table[known[:, column], column].std())


def test_each_target_has_its_own_noise() -> None:
    rng = np.random.default_rng(0)
    table = np.column_stack([np.tile(Y, 3), np.tile(Y, 3) + rng.normal(0.0, 1.5 * Y.std(), 3 * len(Y))])
    quiet, noisy = fitted_targets(table, TRAIN * 3).predict_targets(TRAIN)
    assert noisy.std.mean() > 1.5 * quiet.std.mean()
    assert noisy.std.mean() > 0.9 * Y.std()


def test_the_first_target_is_the_one_of_a_plain_proxy() -> None:
    first = gappy().predict_targets(TEST)[0]
    agree(gappy().predict(TEST), first, atol=0.0)
    mean, covariance = gappy().joint(TEST)
    np.testing.assert_allclose(mean, first.mean, atol=1e-6)
    noise = np.square(first.std) - covariance.diagonal()
    np.testing.assert_allclose(noise, noise.mean(), atol=1e-5)


def test_one_target_is_a_plain_training() -> None:
    agree(fitted_targets(Y[:, None]).predict(TEST), standard("multi_task").predict(TEST), atol=1e-12)
    assert len(standard("multi_task").predict_targets(TEST)) == 1


def test_the_order_of_the_rows_does_not_matter_and_no_molecule_has_company() -> None:
    table, order = with_gaps(BOTH), np.random.default_rng(1).permutation(len(TRAIN))
    shuffled = fitted_targets(table[order], [TRAIN[i] for i in order])
    for a, b, scale in zip(shuffled.predict_targets(TEST), gappy().predict_targets(TEST), (1.0, 500.0), strict=True):
        agree(a, b, atol=1e-6 * scale)
    for column, scale in ((0, 1.0), (1, 500.0)):
        alone = [gappy().predict_targets([smiles])[column].mean[0] for smiles in TEST[:5]]
        np.testing.assert_allclose(alone, gappy().predict_targets(TEST)[column].mean[:5], atol=1e-6 * scale)


def test_no_molecule_gives_an_empty_prediction_for_each_target() -> None:
    assert [len(prediction) for prediction in gappy().predict_targets([])] == [0, 0]


def test_configuration_and_state_restore_every_target() -> None:
    again = build("proxy", gappy().config())
    again.load_state(reloaded(gappy().state()))
    for a, b in zip(again.predict_targets(TEST), gappy().predict_targets(TEST), strict=True):
        agree(a, b, atol=1e-9)


def test_a_dense_target_that_goes_with_it_helps_one_with_few_labels() -> None:
    """Twelve labels do not show along which of ten directions the target changes; those of its dense twin do."""
    errors = np.array([_errors(seed) for seed in range(4)])
    twin, stranger, alone = errors.mean(0)
    assert twin < 0.85 * alone
    assert twin < 0.85 * stranger
    assert (errors[:, 0] < errors[:, 2]).all()


def _errors(seed: int, n: int = 160, few: int = 12) -> list[float]:
    rng = np.random.default_rng(seed)
    x, direction = rng.uniform(-1.5, 1.5, (n + 200, 10)), rng.normal(size=10) / np.sqrt(10.0)
    hidden = np.sin(1.5 * x @ direction)
    twin, stranger = 100.0 + 20.0 * hidden, rng.normal(size=n + 200)
    sparse = 0.5 * hidden - 3.0 + 0.03 * rng.normal(size=n + 200)
    rows, test = rng.permutation(n)[:few], slice(n, None)
    column = np.full(n, np.nan)
    column[rows] = sparse[rows]
    out = []
    for dense in (twin, stranger):
        proxy = fitted_targets(np.column_stack([dense[:n], column]), x[:n], seed, features="identity")
        out.append(rmse(proxy.predict_targets(x[test])[1], sparse[test]) / sparse[test].std())
    plain = fitted("multi_task", x[rows], sparse[rows], seed, features="identity")
    return [*out, rmse(plain.predict(x[test]), sparse[test]) / sparse[test].std()]


def test_a_refit_goes_on_with_every_target() -> None:
    old = np.arange(len(TRAIN)) < 20
    before = fitted_targets(BOTH[old], TRAIN[:20])
    replay = made("multi_task", refit="replay", refit_steps=60)
    replay.refit_targets(before.state(), TRAIN, with_gaps(BOTH, 4), ~old, seed=0)
    np.testing.assert_array_equal(replay.state()["target"], before.state()["target"])
    for column in range(2):
        after, earlier = (proxy.predict_targets(TRAIN[20:])[column] for proxy in (replay, before))
        assert rmse(after, BOTH[20:, column]) < rmse(earlier, BOTH[20:, column])
    scratch = made("multi_task")
    scratch.refit_targets(before.state(), TRAIN, BOTH, ~old, seed=0)
    agree(scratch.predict(TEST), fitted_targets(BOTH).predict(TEST), atol=1e-12)


def test_a_state_of_another_number_of_targets_is_not_gone_on_with() -> None:
    proxy = made("multi_task", refit="replay")
    with pytest.raises(ValueError, match="previous state has 2 targets, the values 1"):
        proxy.refit(gappy().state(), TRAIN, Y, np.zeros(len(TRAIN), dtype=bool), seed=0)


# What is refused


def test_a_target_with_fewer_than_five_labels_is_named() -> None:
    table = BOTH.copy()
    table[4:, 1] = np.nan
    with pytest.raises(ValueError, match="at least 5 measured objects; got 4 with a value of target 1"):
        fitted_targets(table)


def test_a_molecule_without_any_label_is_named() -> None:
    table = BOTH.copy()
    table[[6, 8]] = np.nan
    with pytest.raises(ValueError, match=r"2 of \d+ objects have no value of any target, the first is") as error:
        fitted_targets(table)
    assert f"the first is {TRAIN[6]}." in str(error.value)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_an_infinite_label_is_named_and_is_not_a_missing_one(bad: float) -> None:
    table = with_gaps(BOTH)
    table[2, 1] = bad
    with pytest.raises(ValueError, match=r"1 of \d+ are not") as error:
        fitted_targets(table)
    assert f"{TRAIN[2]} ({bad})" in str(error.value)


@pytest.mark.parametrize("values", [Y, BOTH[:-1], BOTH[:, :0], BOTH[None]])
def test_what_is_no_table_of_a_row_per_molecule_is_refused(values: FloatArray) -> None:
    with pytest.raises(ValueError, match=f"one column per target; got {len(TRAIN)} objects and values of shape"):
        fitted_targets(values)


def test_a_missing_label_is_refused_where_there_is_one_target() -> None:
    with pytest.raises(ValueError, match="Leave failed measurements out"):
        fitted("multi_task", values=with_gaps(BOTH)[:, 0])


def test_a_constant_target_beside_another_is_predicted_as_that_constant() -> None:
    first, second = fitted_targets(np.column_stack([Y, np.full(len(Y), 7.0)])).predict_targets(TEST)
    np.testing.assert_allclose(second.mean, 7.0, atol=0.7)
    assert (second.std > 0).all()
    assert rmse(first, Y_TEST) < 0.8 * LOGP.std()
