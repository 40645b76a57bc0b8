"""Calibration of deviations: one factor or an increasing map, learnt on held-out predictions, and who applies it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import FloatArray, Prediction
from models.protocols import EmbeddingProxy, JointProxy, Proxy
from models.proxies.calibration import (
    BIN,
    NOTHING,
    PRIOR,
    STATE_KEY,
    Calibration,
    calibrate_across,
    calibrated,
    fit_calibration,
)
from models.proxies.evaluation import metrics, reliability
from models.registry import build
from tests.models.proxies.problems import FAR, KINDS, MOLECULES, TEST, TRAIN, Y, every, made, reloaded, standard

LEVELS = np.array([0.5, 0.8, 0.9, 0.95])
ONE = Calibration(np.array([[1.0, 1.7]]))
"""One factor."""
BENT = Calibration(np.array([[0.2, 0.5], [0.4, 0.6], [0.9, 2.5]]))
"""A map whose factor goes down and up."""


def held_out(n: int, seed: int, std: FloatArray | float, true: Any = lambda std: std) -> tuple[Prediction, FloatArray]:
    """Predictions with deviations `std` of values that in truth deviate by `true(std)`."""
    rng = np.random.default_rng(seed)
    std, mean = np.broadcast_to(std, n).astype(np.float64), rng.normal(0.0, 5.0, n)
    return Prediction(mean, std), mean + true(std) * rng.normal(size=n)


def spread(n: int, seed: int = 9) -> FloatArray:
    return np.exp(np.random.default_rng(seed).uniform(np.log(0.1), np.log(2.0), n))


def rms_z(prediction: Prediction, values: FloatArray) -> float:
    return float(np.sqrt(np.square((values - prediction.mean) / prediction.std).mean()))


# One factor


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_one_factor_brings_the_standardised_errors_to_one(true: float) -> None:
    prediction, values = held_out(2000, 0, spread(2000), lambda std: true * std)
    learnt = fit_calibration("variance", prediction, values)(prediction)
    assert rms_z(prediction, values) == pytest.approx(true, rel=0.1)
    assert rms_z(learnt, values) == pytest.approx(1.0, abs=0.02)


def test_the_factor_is_the_root_mean_square_with_five_observations_of_one_added() -> None:
    prediction, values = held_out(30, 1, spread(30), lambda std: 3.0 * std)
    z = (values - prediction.mean) / prediction.std
    expected = np.sqrt((np.square(z).sum() + 5.0) / 35.0)
    np.testing.assert_allclose(fit_calibration("variance", prediction, values).factor(prediction.std), expected)
    assert PRIOR == 5.0


def test_one_wild_error_is_not_taken_at_its_word() -> None:
    factor = fit_calibration("variance", Prediction(np.zeros(1), np.ones(1)), np.array([10.0])).factor(np.ones(1))[0]
    assert 1.0 < factor < 5.0


def test_errors_of_zero_leave_some_deviation() -> None:
    for method in ("variance", "isotonic"):
        prediction = Prediction(np.arange(200.0), spread(200))
        learnt = fit_calibration(method, prediction, prediction.mean)(prediction)
        assert (learnt.std > 0).all()
        assert learnt.std.mean() < 0.5 * prediction.std.mean()


def test_errors_that_are_all_one_number_give_deviations_of_that_size() -> None:
    prediction = Prediction(np.arange(400.0), np.full(400, 0.1))
    for method in ("variance", "isotonic"):
        learnt = fit_calibration(method, prediction, prediction.mean + 0.7)(prediction)
        np.testing.assert_allclose(learnt.std, 0.7, rtol=0.03)


# The increasing map


def bent(std: FloatArray) -> FloatArray:
    """Errors 1.4 times as large as predicted where the proxy is surest, 0.4 times where it is least sure."""
    return np.asarray(0.3 * (std / 0.4) ** 0.55)


def test_the_map_covers_as_it_says_wherever_the_proxy_is_too_sure_or_too_cautious() -> None:
    prediction, values = held_out(8000, 2, spread(8000), bent)
    new, new_values = held_out(9000, 3, spread(9000, seed=4), bent)
    mapped = fit_calibration("isotonic", prediction, values)(new)
    scaled = fit_calibration("variance", prediction, values)(new)
    worst = 0.0
    for rows in np.array_split(np.argsort(new.std), 3):
        part = Prediction(mapped.mean[rows], mapped.std[rows])
        np.testing.assert_allclose(reliability(part, new_values[rows], LEVELS), LEVELS, atol=0.05)
        same = Prediction(scaled.mean[rows], scaled.std[rows])
        worst = max(worst, np.abs(reliability(same, new_values[rows], LEVELS) - LEVELS).max())
    assert worst > 0.2  # which one factor for all cannot


def test_with_more_molecules_the_map_comes_nearer_to_the_truth() -> None:
    off = []
    for n in (160, 1600, 16000):
        prediction, values = held_out(n, 5, spread(n), bent)
        ladder = spread(500, seed=6)
        learnt = fit_calibration("isotonic", prediction, values)(Prediction(np.zeros(500), ladder))
        off.append(np.abs(np.log(learnt.std / bent(ladder))).mean())
    assert off[0] > off[1] > off[2]
    assert off[2] < 0.1


@given(st.integers(0, 2**32 - 1), st.integers(80, 500), st.sampled_from(["spread", "two values", "almost one value"]))
@settings(max_examples=60, deadline=None)
def test_the_map_is_strictly_increasing_whatever_the_errors(seed: int, n: int, sort: str) -> None:
    rng = np.random.default_rng(seed)
    std = {
        "spread": rng.lognormal(0.0, 1.0, n),
        "two values": rng.choice([0.3, 0.8], n),
        "almost one value": 0.3 * (1.0 + 1e-15 * rng.normal(size=n)),
    }[sort]
    prediction = Prediction(np.zeros(n), std)
    calibration = fit_calibration("isotonic", prediction, rng.standard_cauchy(n))
    ladder = np.geomspace(std.min() / 50.0, std.max() * 50.0, 400)
    mapped = calibration(Prediction(np.zeros(400), ladder)).std
    assert (np.diff(mapped) > 0).all()
    assert (mapped > 0).all()
    np.testing.assert_array_equal(calibration(prediction).mean, prediction.mean)


def test_beyond_what_was_held_out_the_factor_stays() -> None:
    prediction, values = held_out(800, 5, spread(800), bent)
    calibration = fit_calibration("isotonic", prediction, values)
    assert len(calibration.knots) > 2
    low, high = calibration.knots[0], calibration.knots[-1]
    np.testing.assert_allclose(calibration.factor(low[0] / np.array([2.0, 50.0])), low[1] / low[0])
    np.testing.assert_allclose(calibration.factor(high[0] * np.array([2.0, 50.0])), high[1] / high[0])
    np.testing.assert_allclose(
        calibration.factor(calibration.knots[:, 0]) * calibration.knots[:, 0], calibration.knots[:, 1]
    )


def test_deviations_that_are_all_one_number_get_one_factor_whatever_the_order_of_the_rows() -> None:
    factors = []
    for seed in range(20):
        prediction, values = held_out(200 + seed, seed, 2.4, lambda std: 3.0 * std)
        calibration = fit_calibration("isotonic", prediction, values)
        assert len(calibration.knots) == 1
        factors.append(calibration.factor(prediction.std)[0] / rms_z(prediction, values))
        order = np.random.default_rng(seed).permutation(len(values))
        again = fit_calibration("isotonic", Prediction(prediction.mean[order], prediction.std[order]), values[order])
        np.testing.assert_allclose(again.knots, calibration.knots)
    np.testing.assert_allclose(factors, 1.0, atol=0.01)


def test_the_order_of_the_rows_does_not_matter_where_some_deviations_are_alike() -> None:
    rng = np.random.default_rng(6)
    std = np.concatenate([np.full(150, 0.5), spread(150)])
    values = std * rng.normal(size=300)
    order = rng.permutation(300)
    a = fit_calibration("isotonic", Prediction(np.zeros(300), std), values)
    b = fit_calibration("isotonic", Prediction(np.zeros(300), std[order]), values[order])
    np.testing.assert_allclose(a.knots, b.knots, rtol=1e-12)


def test_a_few_lucky_molecules_do_not_claim_certainty() -> None:
    prediction, values = held_out(400, 7, np.sort(spread(400)))
    values[:20] = prediction.mean[:20]
    mapped = fit_calibration("isotonic", prediction, values)(prediction)
    assert mapped.std[:20].min() > 0.5 * prediction.std[:20].min()


def test_below_two_bins_the_map_is_one_factor() -> None:
    prediction, values = held_out(2 * BIN - 1, 8, spread(2 * BIN - 1), bent)
    few = fit_calibration("isotonic", prediction, values)
    np.testing.assert_array_equal(few.knots, fit_calibration("variance", prediction, values).knots)
    prediction, values = held_out(4 * BIN, 8, spread(4 * BIN), bent)
    assert len(fit_calibration("isotonic", prediction, values).knots) > 1


# No calibration, and what is refused


def test_none_is_the_identity() -> None:
    prediction, values = held_out(300, 10, spread(300), bent)
    calibration = fit_calibration("none", prediction, values)
    assert calibration is NOTHING
    np.testing.assert_array_equal(calibration(prediction).std, prediction.std)
    np.testing.assert_array_equal(calibration(prediction).mean, prediction.mean)


@pytest.mark.parametrize("method", ["none", "variance", "isotonic"])
def test_no_prediction_is_calibrated_to_none(method: Any) -> None:
    calibration = fit_calibration(method, *held_out(200, 11, spread(200)))
    assert len(calibration(Prediction(np.zeros(0), np.zeros(0)))) == 0


@pytest.mark.parametrize("method", ["variance", "isotonic"])
@pytest.mark.parametrize(
    ("row", "part", "bad"),
    [(3, "value", np.nan), (4, "value", np.inf), (5, "std", 0.0), (6, "std", np.nan), (7, "mean", -np.inf)],
)
def test_what_is_not_finite_or_not_positive_is_refused_with_its_position(
    method: Any, row: int, part: str, bad: float
) -> None:
    prediction, values = held_out(100, 12, spread(100))
    {"value": values, "std": prediction.std, "mean": prediction.mean}[part][row] = bad
    with pytest.raises(ValueError, match=rf"1 of 100 are not, the first at position {row}\. Leave failed"):
        fit_calibration(method, prediction, values)


def test_lengths_that_differ_and_nothing_at_all_are_refused() -> None:
    prediction, values = held_out(10, 13, 1.0)
    with pytest.raises(ValueError, match=r"got 10 predictions and values of shape \(9,\)"):
        fit_calibration("variance", prediction, values[:9])
    with pytest.raises(ValueError, match="at least one; got 0"):
        fit_calibration("variance", Prediction(np.zeros(0), np.zeros(0)), np.zeros(0))


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    method: Any = "platt"
    with pytest.raises(ValueError, match="no calibration 'platt'; expected one of none, variance, isotonic"):
        fit_calibration(method, *held_out(10, 14, 1.0))


@pytest.mark.parametrize(
    "knots",
    [
        [[1.0, 0.0]],
        [[-1.0, 1.0]],
        [[1.0, np.inf]],
        [[1.0, 2.0], [1.0, 3.0]],
        [[1.0, 2.0], [2.0, 2.0]],
        [[2.0, 2.0], [1.0, 3.0]],
        [[1.0, 2.0, 3.0]],
        [1.0, 2.0],
    ],
)
def test_knots_that_make_no_increasing_map_are_refused(knots: Any) -> None:
    with pytest.raises(ValueError, match="both increasing; got"):
        Calibration(np.array(knots))


# Across folds


@pytest.mark.parametrize("method", ["variance", "isotonic"])
def test_a_fold_is_calibrated_by_the_other_folds_alone(method: Any) -> None:
    prediction, values = held_out(600, 15, spread(600), bent)
    fold = np.arange(600) % 3
    before = calibrate_across(method, prediction, values, fold.tolist())
    changed = values.copy()
    changed[fold == 1] = prediction.mean[fold == 1] + 1000.0
    after = calibrate_across(method, prediction, changed, fold.tolist())
    np.testing.assert_array_equal(after.std[fold == 1], before.std[fold == 1])
    assert (after.std[fold != 1] > 2.0 * before.std[fold != 1]).all()
    np.testing.assert_array_equal(after.mean, prediction.mean)
    for k in range(3):
        other = fold != k
        learnt = fit_calibration(method, Prediction(prediction.mean[other], prediction.std[other]), values[other])
        np.testing.assert_allclose(before.std[~other], learnt(prediction).std[~other])


@pytest.mark.parametrize("method", ["variance", "isotonic"])
def test_figures_across_folds_are_those_of_a_calibrated_proxy(method: Any) -> None:
    prediction, values = held_out(2000, 16, spread(2000), lambda std: 3.0 * std)
    assert metrics(prediction, values)["coverage_90"] < 0.5
    across = metrics(calibrate_across(method, prediction, values, (np.arange(2000) % 5).tolist()), values)
    assert across["coverage_90"] == pytest.approx(0.9, abs=0.03)
    assert across["rms_z"] == pytest.approx(1.0, abs=0.05)


def test_folds_need_no_numbers_in_a_row_and_no_equal_sizes() -> None:
    prediction, values = held_out(50, 17, spread(50))
    named = np.where(np.arange(50) < 3, 41, 7)
    across = calibrate_across("variance", prediction, values, named.tolist())
    learnt = fit_calibration("variance", Prediction(prediction.mean[:3], prediction.std[:3]), values[:3])
    np.testing.assert_allclose(across.std[3:], learnt(prediction).std[3:])


def test_nothing_is_changed_across_folds_without_a_method() -> None:
    prediction, values = held_out(50, 18, spread(50), bent)
    across = calibrate_across("none", prediction, values, (np.arange(50) % 2).tolist())
    np.testing.assert_array_equal(across.std, prediction.std)


@pytest.mark.parametrize("fold", [[0] * 50, [0, 1] * 20])
def test_one_fold_and_folds_of_another_length_are_refused(fold: list[int]) -> None:
    prediction, values = held_out(50, 19, 1.0)
    with pytest.raises(ValueError, match="needs the fold of each of 50 predictions and at least 2 folds"):
        calibrate_across("variance", prediction, values, fold)


# The proxy that applies it


class Plain:
    """A proxy without joint posterior or embedding."""

    def fit(self, molecules: Sequence[str], values: FloatArray, *, seed: int) -> None:
        self.seed = seed

    def predict(self, molecules: Sequence[str]) -> Prediction:
        return Prediction(np.zeros(len(molecules)), np.full(len(molecules), 0.5))

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Any) -> None:
        assert STATE_KEY not in state


@every
@pytest.mark.parametrize("calibration", [NOTHING, ONE, BENT], ids=["none", "one factor", "map"])
def test_it_keeps_the_means_and_calibrates_the_deviations(kind: str, calibration: Calibration) -> None:
    raw, wrapped = standard(kind).predict(MOLECULES + FAR), calibrated(standard(kind), calibration)
    prediction = wrapped.predict(MOLECULES + FAR)
    np.testing.assert_array_equal(prediction.mean, raw.mean)
    np.testing.assert_allclose(prediction.std, raw.std * calibration.factor(raw.std))
    assert (calibration is NOTHING) == np.array_equal(prediction.std, raw.std)
    assert len(wrapped.predict([])) == 0


@every
@pytest.mark.parametrize("calibration", [NOTHING, ONE, BENT], ids=["none", "one factor", "map"])
def test_it_is_restored_from_configuration_and_state(kind: str, calibration: Calibration) -> None:
    wrapped = calibrated(standard(kind), calibration)
    again = calibrated(build("proxy", wrapped.config()), ONE)
    again.load_state(reloaded(wrapped.state()))
    np.testing.assert_array_equal(again.calibration.knots, calibration.knots)
    before, after = wrapped.predict(TEST + FAR), again.predict(TEST + FAR)
    np.testing.assert_allclose(after.mean, before.mean, atol=1e-12)
    np.testing.assert_allclose(after.std, before.std, atol=1e-12)
    assert wrapped.config() == standard(kind).config() == again.config()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if isinstance(made(kind), JointProxy)])
@pytest.mark.parametrize("calibration", [NOTHING, ONE, BENT], ids=["none", "one factor", "map"])
def test_the_joint_covariance_is_scaled_as_the_deviations_are(kind: str, calibration: Calibration) -> None:
    wrapped: Any = calibrated(standard(kind), calibration)
    molecules = TEST + FAR
    (mean, covariance), (raw_mean, raw) = wrapped.joint(molecules), standard(kind).joint(molecules)
    factor = wrapped.predict(molecules).std / standard(kind).predict(molecules).std
    np.testing.assert_array_equal(mean, raw_mean)
    np.testing.assert_allclose(covariance, raw * np.outer(factor, factor))
    # The noise is scaled with the rest: what a measurement deviates by is the function's deviation and the noise.
    noise = np.square(standard(kind).predict(molecules).std) - raw.diagonal()
    np.testing.assert_allclose(
        np.square(wrapped.predict(molecules).std) - covariance.diagonal(), noise * factor**2, atol=1e-9
    )
    assert np.linalg.eigvalsh(covariance).min() > -1e-8 * covariance.max()
    assert wrapped.joint([])[1].shape == (0, 0)


@every
def test_it_can_what_the_proxy_within_can(kind: str) -> None:
    inner, wrapped = standard(kind), calibrated(standard(kind), ONE)
    assert isinstance(wrapped, Proxy)
    assert isinstance(wrapped, JointProxy) == isinstance(inner, JointProxy)
    assert isinstance(wrapped, EmbeddingProxy) == isinstance(inner, EmbeddingProxy)
    if isinstance(wrapped, EmbeddingProxy):
        for sort in ("last_layer", "gradient"):
            np.testing.assert_array_equal(wrapped.embed(TEST, kind=sort), inner.embed(TEST, kind=sort))


def test_it_claims_nothing_that_a_plain_proxy_cannot() -> None:
    wrapped = calibrated(Plain(), ONE)
    assert not isinstance(wrapped, JointProxy)
    assert not isinstance(wrapped, EmbeddingProxy)
    np.testing.assert_allclose(wrapped.predict(["C", "N"]).std, 0.5 * 1.7)
    wrapped.load_state(reloaded(wrapped.state()))


def test_training_again_keeps_the_calibration() -> None:
    proxy = calibrated(made(KINDS[0]), ONE)
    proxy.fit(TRAIN, Y, seed=0)
    np.testing.assert_allclose(proxy.predict(TEST).std, 1.7 * standard(KINDS[0]).predict(TEST).std)


def test_a_state_of_before_there_was_calibration_is_not_calibrated() -> None:
    again = calibrated(made(KINDS[0]), BENT)
    again.load_state(reloaded(standard(KINDS[0]).state()))
    np.testing.assert_array_equal(again.predict(TEST).std, standard(KINDS[0]).predict(TEST).std)


def test_a_state_with_knots_that_make_no_map_is_refused() -> None:
    state = calibrated(standard(KINDS[0]), ONE).state()
    state[STATE_KEY] = -state[STATE_KEY]
    with pytest.raises(ValueError, match="knots of a calibration"):
        calibrated(made(KINDS[0])).load_state(state)
