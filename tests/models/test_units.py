"""The unit of a measurement says nothing about molecules: values times any factor, plus any shift, buy the same ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from data.goals import Goal, Goals
from models.acquisition.base import about_round, fewest_objectives, rounded, within_a_pool
from models.acquisition.log_reward import AcquisitionReward
from models.proxies.calibration import calibrated
from models.proxies.oriented import oriented
from models.registry import build, kinds
from models.selectors.choice import choose
from models.spaces.molecules import Molecules
from tests.models.proxies.problems import FAR, TEST, TRAIN, Y

SHAPES = {
    "gaussian_process": {"kind": "gaussian_process"},
    "random_forest": {"kind": "random_forest", "members": 30},
    "mlp_ensemble": {"kind": "mlp_ensemble", "steps": 30, "members": 2, "width": 8},
    "egnn": {"kind": "egnn", "steps": 3, "members": 2, "width": 4, "layers": 1},
    "function_space_laplace": {"kind": "function_space_laplace", "steps": 20, "width": 8},
    "prior_fitted": {"kind": "prior_fitted", "components": 6},
    "greedy_ensemble": {
        "kind": "greedy_ensemble",
        "pool": [{"kind": "gaussian_process"}, {"kind": "random_forest", "members": 10}],
        "folds": 2,
    },
    "gnn_ensemble": {"kind": "gnn_ensemble", "steps": 3, "members": 2, "width": 8},
    "autoregressive": {"kind": "autoregressive"},
    "random_decomposition": {"kind": "random_decomposition", "restarts": 1},
}
"""Small proxies of every kind that learns one target."""

POOL = [*TEST, *FAR, *TRAIN]

UNITS = {
    "mol/l": (1e-12, 0.0),
    "J": (1e-19, 0.0),
    "1e-15": (1e-15, 1.0),
    "power of two": (2.0**-50, 0.0),
    "large power of two": (2.0**40, 0.0),
    "1e15": (1e15, -3.0),
    "far from zero": (0.3, 1e3),
    "small and far from zero": (1e-9, -1e3),
}
"""Factor, and shift in standard deviations."""

FACTORS_OF_TWO = [name for name, (factor, shift) in UNITS.items() if np.frexp(factor)[0] == 0.5 and not shift]

ACQUISITIONS = [
    name
    for name, cls in kinds("acquisition").items()
    if fewest_objectives(cls) == 1 and not cls.__module__.startswith("tests")
]
SELECTORS = [
    name
    for name, cls in kinds("selector").items()
    if not cls.__module__.startswith("tests") and not build("selector", {"kind": name}).wants_information
]
"""Those that choose by value."""


def values_in(unit: str) -> np.ndarray:
    factor, shift = UNITS[unit]
    return factor * (Y + shift * Y.std())


@cache
def proxy_of(kind: str, unit: str | None):
    """A calibrated proxy of the values as they are, or in a unit."""
    proxy = calibrated(build("proxy", SHAPES[kind]))
    proxy.fit(TRAIN, Y if unit is None else values_in(unit), seed=1)
    return proxy


def batch_of(kind: str, acquisition_kind: str, selector: str, unit: str | None, *, minimise: bool = False):
    """The molecules that a round buys; to minimise, the measured values are negative."""
    values = Y if unit is None else values_in(unit)
    proxy = oriented(negative(kind), Goal("one", -1)) if minimise else proxy_of(kind, unit)
    acquisition = build("acquisition", {"kind": acquisition_kind})
    about = about_round(acquisition, (proxy,), TRAIN, values[:, None], seed=5)
    prediction = proxy.predict(TEST)
    scored = acquisition.score((prediction,), replace(about, objects=tuple(TEST)))
    scored = rounded(scored, acquisition, float(values.std(ddof=1)))
    chosen = choose(
        build("selector", {"kind": selector}),
        acquisition,
        (proxy,),
        about,
        TEST,
        (prediction,),
        scored,
        6,
        space=Molecules(),
        seed=2,
    )
    return [TEST[i] for i in chosen]


@cache
def negative(kind: str):
    proxy = calibrated(build("proxy", SHAPES[kind]))
    proxy.fit(TRAIN, -Y, seed=1)
    return proxy


def test_every_proxy_of_one_target_is_tried():
    assert set(SHAPES) | {"multi_task", "causal_graphs", "neural_process"} == {
        name for name, cls in kinds("proxy").items() if not cls.__module__.startswith("tests")
    }


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", SHAPES)
def test_predictions_in_another_unit_are_the_predictions_in_that_unit(kind, unit):
    factor, shift = UNITS[unit]
    plain, other = proxy_of(kind, None).predict(TEST), proxy_of(kind, unit).predict(TEST)
    scale = factor * Y.std()
    np.testing.assert_allclose(other.mean / scale - shift, plain.mean / Y.std(), rtol=0, atol=2e-6)
    np.testing.assert_allclose(other.std / scale, plain.std / Y.std(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("unit", FACTORS_OF_TWO)
@pytest.mark.parametrize("kind", SHAPES)
def test_a_power_of_two_changes_no_bit(kind, unit):
    factor, _ = UNITS[unit]
    plain, other = proxy_of(kind, None).predict(TEST), proxy_of(kind, unit).predict(TEST)
    np.testing.assert_array_equal(other.mean, factor * plain.mean)
    np.testing.assert_array_equal(other.std, factor * plain.std)


@pytest.mark.parametrize("kind", ["gaussian_process", "random_forest"])
@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_the_same_molecules_are_bought_in_every_unit(acquisition, selector, kind):
    expected = batch_of(kind, acquisition, selector, None)
    assert len(set(expected)) == 6
    assert {unit: batch_of(kind, acquisition, selector, unit) for unit in UNITS} == dict.fromkeys(UNITS, expected)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_the_generator_follows_the_same_reward_in_every_unit(acquisition, unit):
    part = build("acquisition", {"kind": acquisition})
    if within_a_pool(part):
        return

    def reward(values, proxy):
        about = about_round(part, (proxy,), TRAIN, values[:, None], seed=5)
        return AcquisitionReward((proxy,), part, [], values[:, None], inverse_temperature=3.0, about=about)

    plain = reward(Y, proxy_of("gaussian_process", None))
    other = reward(values_in(unit), proxy_of("gaussian_process", unit))
    np.testing.assert_allclose(other(POOL), plain(POOL), rtol=0, atol=3e-5)
    np.testing.assert_allclose(
        other.of_values(values_in(unit)[:, None]), plain.of_values(Y[:, None]), rtol=0, atol=1.1e-6
    )
    assert np.ptp(other(POOL)) > 0.1


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("acquisition", ACQUISITIONS)
def test_minimising_the_negative_buys_what_maximising_buys(acquisition, selector):
    expected = batch_of("gaussian_process", acquisition, selector, None)
    assert batch_of("gaussian_process", acquisition, selector, None, minimise=True) == expected


def test_values_that_are_all_equal_have_a_reward_without_noise():
    for size in (1e-12, 0.1 + 0.2, 1e12):
        values = np.full(len(TRAIN), size)
        proxy = calibrated(build("proxy", SHAPES["gaussian_process"]))
        proxy.fit(TRAIN, values, seed=1)
        part = build("acquisition", {"kind": "mean"})
        reward = AcquisitionReward((proxy,), part, [], values[:, None], inverse_temperature=3.0)
        np.testing.assert_allclose(reward(TEST), 0.0, atol=1e-5)
        np.testing.assert_allclose(reward.of_values(values[:, None]), 0.0, atol=1e-5)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("acquisition", ["expected_hypervolume_improvement", "weighted_sum", "chebyshev"])
@pytest.mark.parametrize("selector", ["kriging_believer", "thompson"])
def test_the_units_of_several_objectives_and_of_their_limits_do_not_matter(acquisition, selector, unit):
    factor, shift = UNITS[unit]

    def course(moved):
        values = np.column_stack([Y, moved(Y[::-1]), moved(Y[::-1])])
        backward = calibrated(build("proxy", SHAPES["gaussian_process"]))
        backward.fit(TRAIN, values[:, 1], seed=1)
        proxies = (proxy_of("gaussian_process", None), backward, backward)
        limits = Goal("limit", 0, at_least=float(moved(np.quantile(Y, 0.3))))
        goals = Goals([Goal("one"), Goal("other"), limits])
        part = build("acquisition", {"kind": "constrained", "inner": {"kind": acquisition}})
        about = about_round(part, proxies, TRAIN, values, seed=5, goals=goals)
        predictions = tuple(proxy.predict(TEST) for proxy in proxies)
        scored = rounded(part.score(predictions, replace(about, objects=tuple(TEST))), part, 1.0)
        given = proxies, about, TEST, predictions, scored, 5
        chosen = choose(build("selector", {"kind": selector}), part, *given, space=Molecules(), seed=2)
        return [TEST[i] for i in chosen]

    expected = course(lambda values: values)
    assert len(set(expected)) == 5
    assert course(lambda values: factor * (values + shift * Y.std())) == expected
