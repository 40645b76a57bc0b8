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

KINDS = sorted(kind for kind, cls in kinds("conditioning").items() if not cls.of_objects)
LAWS = {
    "uniform": lambda b: (b - 1.0) / 7.0,
    "log_uniform": lambda b: np.log(b) / math.log(8.0),
    "exponential": lambda b: (1 - np.exp(-(b - 1.0) / 2.0)) / (1 - math.exp(-3.5)),
}


def temperature(**options):
    return build("conditioning", {"kind": "inverse_temperature", **options})


def preference(**options):
    return build("conditioning", {"kind": "preference", **options})


def focus(**options):
    return build("conditioning", {"kind": "focus_region", **options})


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
        (torch.tensor([[0.5, 0.3, 0.2]]), r"has 2 columns \(one per objective\); got shape \(1, 3\)"),
    ],
)
def test_weights_that_are_no_preference_are_refused(raw, message):
    with pytest.raises(ValueError, match=message):
        preference().encode(raw)


WEIGHTS = torch.tensor([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)
REWARDS = torch.tensor([[0.9, 0.4], [0.6, 0.6], [0.3, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("scalarisation", "expected"),
    [
        ("weighted_sum", [0.25 * 0.9 + 0.75 * 0.4, 0.6, 0.3]),
        ("product", [0.9**0.25 * 0.4**0.75, 0.6, 0.3]),
        ("chebyshev", [0.4, 0.6, 0.3]),
    ],
)
def test_rewards_become_one_by_the_scalarisation(scalarisation, expected):
    got = preference(scalarisation=scalarisation, beta=2.0).log_reward(REWARDS.log(), WEIGHTS).exp()
    assert got.tolist() == pytest.approx([value**2 for value in expected])


def test_only_chebyshev_prefers_the_middle_of_a_concave_front():
    front = torch.tensor([[1.0, 0.01], [0.3, 0.3], [0.01, 1.0]], dtype=torch.float64).log()
    even = torch.full((3, 2), 0.5, dtype=torch.float64)
    best = {
        kind: int(preference(scalarisation=kind).log_reward(front, even).argmax())
        for kind in ("weighted_sum", "chebyshev")
    }
    assert best["weighted_sum"] != 1
    assert best["chebyshev"] == 1


@given(
    front=st.lists(st.floats(0.05, 0.95), min_size=2, max_size=6, unique=True),
    power=st.floats(0.3, 3.0),
)
@settings(deadline=None, max_examples=40)
def test_every_member_of_a_front_is_the_best_by_chebyshev_under_some_weights(front, power):
    points = torch.tensor([[x, (1.0 - x) ** power] for x in sorted(front)], dtype=torch.float64)
    for place, point in enumerate(points):
        weights = 1.0 / (1.0 - point)
        raw = (weights / weights.sum()).expand(len(points), -1)
        rewards = preference(scalarisation="chebyshev").log_reward(points.log(), raw)
        assert float(rewards[place]) >= float(rewards.max()) - 1e-9


def test_an_objective_without_weight_does_not_count_in_a_product():
    got = preference(scalarisation="product").log_reward(
        torch.tensor([[0.5, 0.0]], dtype=torch.float64).log(), torch.tensor([[1.0, 0.0]])
    )
    assert got.exp().tolist() == pytest.approx([0.5])


def test_directions_are_spread_over_the_positive_sphere():
    drawn = focus(objectives=3).draw(4000, torch.Generator().manual_seed(0))
    assert bool((drawn >= 0).all())
    assert drawn.norm(dim=1).tolist() == pytest.approx([1.0] * 4000)
    # By Archimedes a coordinate of the sphere in three dimensions is uniform.
    assert kstest(drawn[:, 0].numpy(), "uniform").pvalue > 0.01


def test_a_focus_region_rewards_the_sum_inside_its_cone_and_little_outside():
    conditioning = focus(cosine=0.9, limit=0.1, beta=2.0, outside=-40.0)
    east = torch.tensor([[1.0, 0.0]] * 4, dtype=torch.float64)
    slope = math.tan(math.acos(0.9)) - 1e-9
    rewards = torch.tensor([[0.5, 0.0], [0.5, 0.5 * slope], [0.5, 0.5], [0.0, 0.5]], dtype=torch.float64)
    got = conditioning.log_reward(rewards.log(), east)
    assert got[:2].exp().tolist() == pytest.approx([0.25, (0.1 * 0.5 * (1 + slope)) ** 2])
    assert got[2:].tolist() == [-40.0, -40.0]


def test_in_hindsight_a_share_of_the_replayed_asked_for_where_they_lie():
    conditioning = focus(hindsight=0.5, beta={"low": 1.0, "high": 2.0})
    raw = conditioning.draw(400, torch.Generator().manual_seed(0))
    rewards = torch.tensor([[0.3, 0.4]], dtype=torch.float64).expand(400, -1)
    shown = conditioning.in_hindsight(rewards.log(), raw, torch.Generator().manual_seed(1))
    own = (shown[:, :2] - torch.tensor([0.6, 0.8], dtype=torch.float64)).abs().amax(1) < 1e-9
    assert 160 < int(own.sum()) < 240
    assert torch.equal(shown[~own], raw[~own])
    assert torch.equal(shown[:, 2], raw[:, 2])
    nothing = torch.full((400, 2), -torch.inf, dtype=torch.float64)
    assert torch.equal(conditioning.in_hindsight(nothing, raw, torch.Generator()), raw)
    assert torch.equal(preference().in_hindsight(rewards.log(), WEIGHTS, torch.Generator()), WEIGHTS)


def test_a_direction_that_has_not_length_one_is_refused():
    with pytest.raises(ValueError, match=r"must be of length one; got lengths up to 1\.414"):
        focus().encode(torch.tensor([[1.0, 1.0]]))


@pytest.mark.parametrize(("k", "n", "m"), [(2, 16, 16), (2, 2, 2), (3, 16, 15), (4, 16, 14), (6, 6, 6)])
def test_an_even_grid_of_weights_has_the_corners_and_as_many_as_are_asked_for(k, n, m):
    grid = preference(objectives=k).even(n)
    assert len(torch.unique(grid, dim=0)) == len(grid) == m
    assert grid.sum(1).tolist() == pytest.approx([1.0] * m)
    assert {tuple(row) for row in torch.eye(k).tolist()} <= {tuple(row) for row in grid.tolist()}
    assert grid.mean(0).tolist() == pytest.approx([1 / k] * k)


def test_an_even_grid_is_at_one_beta_the_highest_or_the_one_asked_for():
    conditioning = focus(beta={"low": 1.0, "high": 5.0})
    assert conditioning.even(4)[:, 2].tolist() == [5.0] * 4
    assert conditioning.even(4, beta=2.0)[:, 2].tolist() == [2.0] * 4
    assert conditioning.middle().tolist() == [pytest.approx([0.5**0.5, 0.5**0.5, 5.0])]
    assert conditioning.even(4)[:, :2].norm(dim=1).tolist() == pytest.approx([1.0] * 4)


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
        ({"kind": "preference", "scalarisation": "sum"}, "'weighted_sum', 'product' or 'chebyshev'"),
        ({"kind": "focus_region", "cosine": 1.0}, "less than 1"),
    ],
)
def test_options_out_of_range_are_refused(config, message):
    with pytest.raises(ComponentError, match=message):
        build("conditioning", config)


@pytest.mark.parametrize("kind", ["preference", "focus_region"])
@pytest.mark.parametrize("beta", [3.0, {"law": "log_uniform", "low": 1.0, "high": 5.0}])
def test_a_trade_off_is_rebuilt_from_its_configuration(kind, beta):
    conditioning = build("conditioning", {"kind": kind, "beta": beta})
    again = build("conditioning", conditioning.config())
    assert again.config() == conditioning.config()
    assert again.width == conditioning.width
