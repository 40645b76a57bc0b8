"""The hypergrid: rewards by their formulas, counts, features, steps."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.judging.exact import enumerate_graph
from models.registry import ComponentError, build
from tests.models.gflownet.environments.properties import (
    PROPERTIES,
    Instance,
    distinct_actions_lead_to_distinct_states,
    stays_on_its_device,
    walk_there_and_back,
)


def rewards(env):
    graph = enumerate_graph(env)
    values = env.log_reward(graph.states[graph.terminal]).exp().tolist()
    return dict(zip(graph.objects, values, strict=True))


def by_formula(kind, x, height, r0=0.1, r1=0.5, r2=2.0):
    a = [abs(value / (height - 1) - 0.5) for value in x]
    if kind == "cosine":
        density = [math.exp(-((5 * b) ** 2) / 2) / math.sqrt(2 * math.pi) for b in a]
        return r0 + r1 * math.prod((math.cos(50 * b) + 1) * p for b, p in zip(a, density, strict=True))
    return r0 + r1 * all(b > 0.25 for b in a) + r2 * all(0.3 < b < 0.4 for b in a)


@pytest.mark.parametrize("kind", ["original", "dense", "cosine"])
@pytest.mark.parametrize(("dimensions", "height"), [(1, 8), (2, 8), (3, 7), (2, 20)])
def test_reward_is_that_of_its_formula(kind, dimensions, height):
    found = rewards(HyperGrid(dimensions=dimensions, height=height, reward=kind))
    assert set(found) == set(itertools.product(range(height), repeat=dimensions))
    for x, value in found.items():
        assert value == pytest.approx(by_formula(kind, x, height), rel=1e-12)


def test_eight_by_eight_has_four_modes_of_two_point_six():
    found = rewards(HyperGrid(dimensions=2, height=8))
    assert sorted(x for x, value in found.items() if value > 2.5) == [(1, 1), (1, 6), (6, 1), (6, 6)]
    assert max(found.values()) == pytest.approx(2.6)
    assert sum(found.values()) == pytest.approx(64 * 0.1 + 16 * 0.5 + 4 * 2.0)


def test_a_coordinate_on_a_threshold_is_outside_it():
    # |x / 20 - 0.5| is exactly 0.3 at x = 4 and 0.4 at x = 2, which rounding would decide by chance.
    found = rewards(HyperGrid(dimensions=1, height=21))
    assert [x for (x,), value in found.items() if value > 2.5] == [3, 17]
    # Likewise |x / 4 - 0.5| = 0.25.
    assert [x for (x,), value in rewards(HyperGrid(dimensions=1, height=5)).items() if value > 0.5] == [0, 4]


def test_sparse_goals_in_two_dimensions_are_the_published_three():
    found = rewards(HyperGrid(dimensions=2, height=16, reward="sparse"))
    assert sorted(x for x, value in found.items() if value > 0.5) == [(1, 14), (14, 1), (14, 14)]
    assert sorted(set(found.values())) == pytest.approx([1e-8, 1.0])


def test_sparse_goals_in_any_dimension_are_all_corners_but_one():
    found = rewards(HyperGrid(dimensions=3, height=5, reward="sparse", floor=1e-3))
    expected = set(itertools.product((1, 3), repeat=3)) - {(1, 1, 1)}
    assert {x for x, value in found.items() if value > 0.5} == expected


def test_sparse_reward_of_a_low_grid_is_refused_with_a_way_out():
    with pytest.raises(ComponentError, match="got height 3, expected at least 4"):
        build("environment", {"kind": "hypergrid", "height": 3, "reward": "sparse"})


def test_every_place_is_an_object_with_one_stop():
    env = HyperGrid(dimensions=3, height=4)
    graph = enumerate_graph(env)
    assert len(graph.states) == 2 * 4**3
    assert sorted(graph.objects) == sorted(itertools.product(range(4), repeat=3))
    assert env.stop == 3
    assert env.every_state_stops


def test_partial_reward_is_that_of_stopping_there():
    env = HyperGrid(dimensions=2, height=8)
    states = enumerate_graph(env).states
    going = states[~states.done]
    stopped = env.step(going, torch.full((len(going),), env.stop))
    assert torch.equal(env.log_partial(going), env.log_reward(stopped))


@pytest.mark.parametrize("options", [{"dimensions": 1, "height": 2}, {"dimensions": 2, "height": 6}])
@pytest.mark.parametrize("check", [*PROPERTIES, distinct_actions_lead_to_distinct_states], ids=lambda f: f.__name__)
def test_promise_is_kept_by_other_grids(check, options):
    check(Instance(HyperGrid(**options)))


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 12), st.integers(2, 40), st.integers(0, 1000))
def test_walks_of_grids_of_any_size_can_be_taken_back(dimensions, height, seed):
    walk_there_and_back(HyperGrid(dimensions=dimensions, height=height), 8, seed)


def test_codes_of_grids_too_large_for_one_integer_are_distinct():
    env = HyperGrid(dimensions=64, height=100)
    states = env.source(3)
    moved = env.step(states, torch.tensor([0, 63, 63]))
    codes = env.codes(moved)
    assert codes[1] == codes[2] != codes[0]


def test_tensors_stay_on_the_device_of_the_environment():
    stays_on_its_device(HyperGrid())
