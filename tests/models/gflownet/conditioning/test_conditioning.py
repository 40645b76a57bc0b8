"""Conditions: their laws, their encodings, and the rewards under them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import dirichlet, kstest

from models.gflownet.conditioning.thermometer import thermometer
from models.registry import ComponentError, build, kinds

KINDS = sorted(kinds("conditioning"))
LAWS = {
    "uniform": lambda b: (b - 1.0) / 7.0,
    "log_uniform": lambda b: np.log(b) / math.log(8.0),
    "exponential": lambda b: (1 - np.exp(-(b - 1.0) / 2.0)) / (1 - math.exp(-3.5)),
}


def temperature(**options):
    return build("conditioning", {"kind": "inverse_temperature", **options})


def preference(**options):
    return build("conditioning", {"kind": "preference", **options})


@pytest.mark.parametrize("kind", KINDS)
def test_a_conditioning_encodes_what_it_draws_and_repeats_itself(kind):
    conditioning = build("conditioning", {"kind": kind})
    raw = conditioning.draw(50, torch.Generator().manual_seed(3))
    assert torch.equal(raw, conditioning.draw(50, torch.Generator().manual_seed(3)))
    assert not torch.equal(raw, conditioning.draw(50, torch.Generator().manual_seed(4)))
    encoded = conditioning.encode(raw)
    assert encoded.shape == (50, conditioning.width)
    assert encoded.dtype == torch.float32
    assert float(encoded.min()) >= 0
    assert float(encoded.max()) <= 1
    assert len(torch.unique(encoded, dim=0)) == 50


@pytest.mark.parametrize("law", sorted(LAWS))
def test_beta_follows_its_law(law):
    drawn = temperature(law=law, low=1.0, high=8.0, scale=2.0).draw(4000, torch.Generator().manual_seed(0))
    assert drawn.shape == (4000, 1)
    assert kstest(drawn[:, 0].numpy(), LAWS[law]).pvalue > 0.01


def test_the_reward_is_raised_to_beta():
    raw = torch.tensor([[1.0], [2.0], [0.5]], dtype=torch.float64)
    values = torch.tensor([-3.0, 0.25, 4.0])
    assert temperature(low=0.1).log_reward(values, raw).tolist() == [-3.0, 0.5, 2.0]


def test_a_fixed_condition_can_be_encoded():
    conditioning = temperature(low=1.0, high=3.0, bins=4)
    assert conditioning.encode(torch.full((2, 1), 2.25)).tolist() == [[1.0, 1.0, 0.5, 0.0]] * 2
    assert conditioning.encode(torch.tensor([[1.0], [3.0]])).tolist() == [[0.0] * 4, [1.0] * 4]


def test_with_the_log_uniform_law_the_thermometer_is_in_log_beta():
    conditioning = temperature(law="log_uniform", low=1.0, high=16.0, bins=2)
    assert conditioning.encode(torch.tensor([[4.0], [8.0]])).tolist() == [[1.0, 0.0], [1.0, pytest.approx(0.5)]]


@given(
    low=st.floats(-5, 5),
    span=st.floats(0.1, 10),
    bins=st.integers(1, 20),
    u=st.lists(st.floats(0, 1), min_size=2, max_size=8),
)
@settings(deadline=None, max_examples=40)
def test_a_thermometer_rises_with_its_value(low, span, bins, u):
    values = torch.tensor(sorted(low + span * x for x in u), dtype=torch.float64)
    encoded = thermometer(values, low, low + span, bins)
    assert encoded.shape == (len(u), bins)
    assert bool((encoded.diff(dim=0) >= 0).all())
    assert bool((encoded.diff(dim=1) <= 0).all())
    assert torch.allclose(encoded.double().sum(1), (values - low) / span * bins, atol=1e-5)


def test_a_condition_the_policy_has_not_seen_is_refused():
    with pytest.raises(ValueError, match=r"from 1.0 to 3.0.*got values from 4.0 to 4.0"):
        temperature(low=1.0, high=3.0).encode(torch.full((2, 1), 4.0))


def test_an_inverse_temperature_refuses_several_objectives():
    with pytest.raises(ValueError, match=r"got shape \(2, 2\). Use the conditioning `preference`"):
        temperature().log_reward(torch.zeros(2, 2), torch.ones(2, 1))


def test_weights_follow_the_dirichlet_law():
    drawn = preference(objectives=3, concentration=1.5).draw(20_000, torch.Generator().manual_seed(0))
    assert drawn.sum(1).tolist() == pytest.approx([1.0] * 20_000)
    law = dirichlet([1.5, 1.5, 1.5])
    assert drawn.mean(0).tolist() == pytest.approx(law.mean().tolist(), abs=0.01)
    assert drawn.var(0).tolist() == pytest.approx(law.var().tolist(), rel=0.05)


def test_the_reward_is_the_weighted_sum_of_the_objectives_to_the_power_beta():
    raw = torch.tensor([[0.25, 0.75], [1.0, 0.0]], dtype=torch.float64)
    objectives = torch.tensor([[4.0, 2.0], [3.0, 0.0]], dtype=torch.float64)
    got = preference(beta=2.0).log_reward(objectives.log(), raw).exp()
    assert got.tolist() == pytest.approx([2.5**2, 9.0])


def test_a_drawn_beta_is_the_last_column():
    conditioning = preference(bins=2, beta={"low": 1.0, "high": 5.0, "bins": 4})
    raw = torch.tensor([[0.5, 0.5, 3.0]], dtype=torch.float64)
    assert conditioning.encode(raw).tolist() == [[1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0]]
    assert conditioning.log_reward(torch.tensor([[4.0, 2.0]]).log(), raw).exp().tolist() == pytest.approx([27.0])
    drawn = conditioning.draw(100, torch.Generator().manual_seed(0))
    assert drawn.shape == (100, 3)
    assert bool(((drawn[:, 2] >= 1) & (drawn[:, 2] <= 5)).all())


def test_a_reward_of_zero_is_lifted_to_the_floor():
    got = preference(floor=-7.0).log_reward(torch.full((1, 2), -torch.inf), torch.tensor([[0.5, 0.5]]))
    assert got.tolist() == [-7.0]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (torch.tensor([[0.5, 0.6]]), "must sum to one"),
        (torch.tensor([[0.5, 0.3, 0.2]]), r"has 2 columns \(weights\); got shape \(1, 3\)"),
    ],
)
def test_weights_that_are_no_preference_are_refused(raw, message):
    with pytest.raises(ValueError, match=message):
        preference().encode(raw)


@pytest.mark.parametrize("values", [torch.zeros(3), torch.zeros(3, 4)])
def test_a_reward_without_its_objectives_is_refused(values):
    with pytest.raises(ValueError, match="needs the logs of 2 objectives"):
        preference().log_reward(values, torch.full((3, 2), 0.5))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "inverse_temperature", "low": 2.0, "high": 2.0}, "range of beta is empty"),
        ({"kind": "preference", "beta": -1.0}, "greater than 0"),
        ({"kind": "preference", "objectives": 1}, "greater than or equal to 2"),
    ],
)
def test_options_out_of_range_are_refused(config, message):
    with pytest.raises(ComponentError, match=message):
        build("conditioning", config)


@pytest.mark.parametrize("beta", [3.0, {"law": "log_uniform", "low": 1.0, "high": 5.0}])
def test_a_preference_is_rebuilt_from_its_configuration(beta):
    conditioning = preference(beta=beta)
    again = build("conditioning", conditioning.config())
    assert again.config() == conditioning.config()
    assert again.width == conditioning.width
