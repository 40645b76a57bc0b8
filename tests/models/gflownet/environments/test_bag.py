"""Bags: published counts of multisets, the rule of modes, rewards."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gflownet.environments.bag import BagEnvironment
from models.gflownet.judging.exact import enumerate_graph
from tests.models.gflownet.environments.properties import (
    PROPERTIES,
    Instance,
    distinct_actions_lead_to_distinct_states,
    stays_on_its_device,
    walk_there_and_back,
)


@cache
def bags(letters, size):
    chosen = torch.tensor(list(itertools.combinations_with_replacement(range(letters), size)))
    return torch.stack([(chosen == letter).sum(1) for letter in range(letters)], 1)


def terminal(env):
    count = bags(env.options.letters, env.total)
    return type(env.source(1))(torch.ones(len(count), dtype=torch.bool), count)


def test_published_size_has_the_published_number_of_bags_and_of_rewarded_ones():
    env = BagEnvironment()
    states = terminal(env)
    assert len(states) == 27_132
    # At most one of 7 letters can be in 13 places 7 times, and then 6 places are free: 7 * C(12, 6).
    assert int(env.frequent(states).sum()) == 7 * math.comb(12, 6) == 3_160 + 3_308


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_in_four_rewarded_bags_is_a_mode(seed):
    env = BagEnvironment(seed=seed)
    states = terminal(env)
    modes = env.mode(states)
    assert not (modes & ~env.frequent(states)).any()
    # Binomial with 6,468 draws: a standard deviation of 35 around 1,617.
    assert abs(int(modes.sum()) - 1617) < 4 * 35


def test_mode_rule_follows_its_formula():
    env = BagEnvironment(seed=3)
    states = terminal(env)[torch.arange(0, 27_132, 50)]
    prime = 2**31 - 1
    a = [pow(48271, 3 * 7 + i + 1, prime) for i in range(7)]
    for counts, mode in zip(states.count.tolist(), env.mode(states).tolist(), strict=True):
        h = pow(sum(x * y for x, y in zip(a, counts, strict=True)), 2, prime)
        assert mode == (max(counts) >= 7 and h % 4 == 0)


def test_modes_differ_between_seeds_only():
    states = terminal(BagEnvironment())
    assert torch.equal(BagEnvironment().mode(states), BagEnvironment().mode(states))
    assert not torch.equal(BagEnvironment().mode(states), BagEnvironment(seed=1).mode(states))


def test_rewards_are_base_frequent_and_mode():
    env = BagEnvironment(letters=4, size=6, threshold=4)
    states = terminal(env)
    expected = [
        30.0 if mode else 10.0 if max(counts) >= 4 else 0.01
        for counts, mode in zip(states.count.tolist(), env.mode(states).tolist(), strict=True)
    ]
    assert env.log_reward(states).exp().tolist() == pytest.approx(expected)
    assert set(Counter(round(value, 6) for value in expected)) == {30.0, 10.0, 0.01}


def test_partial_reward_leaves_modes_out():
    env = BagEnvironment(letters=2, size=6, threshold=3, mode_every=1)
    states = env.source(1)
    for expected in (0.01, 0.01, 0.01, 10.0, 10.0):
        assert env.log_partial(states).exp().item() == pytest.approx(expected)
        states = env.step(states, torch.tensor([1]))
    assert env.log_reward(env.step(states, torch.tensor([0]))).exp().item() == pytest.approx(30.0)


def test_a_bag_has_one_parent_per_letter_in_it():
    env = BagEnvironment()
    states = terminal(env)
    assert torch.equal(env.backward_mask(states).sum(1), (states.count > 0).sum(1))
    assert env.decode(states[:1]) == [(13, 0, 0, 0, 0, 0, 0)]


def test_objects_are_all_bags():
    env = BagEnvironment(letters=3, size=4, threshold=3)
    assert sorted(enumerate_graph(env).objects) == sorted(env.decode(terminal(env)))


@pytest.mark.parametrize("options", [{"letters": 2, "size": 1, "threshold": 1}, {"letters": 3, "size": 5}])
@pytest.mark.parametrize("check", [*PROPERTIES, distinct_actions_lead_to_distinct_states], ids=lambda f: f.__name__)
def test_promise_is_kept_by_other_sizes(check, options):
    check(Instance(BagEnvironment(**options)))


@settings(deadline=None, max_examples=10)
@given(st.integers(2, 30), st.integers(1, 30), st.integers(0, 1000))
def test_walks_of_bags_of_any_size_can_be_taken_back(letters, size, seed):
    walk_there_and_back(BagEnvironment(letters=letters, size=size), 6, seed)


def test_tensors_stay_on_the_device_of_the_environment():
    stays_on_its_device(BagEnvironment())
