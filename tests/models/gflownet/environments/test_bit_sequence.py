"""Bit sequences: modes of published blocks, the reward by its formula, words of bits."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gflownet.environments.bit_sequence import BLOCKS, BitSequence
from models.gflownet.judging.exact import enumerate_graph
from models.registry import ComponentError, build
from tests.models.gflownet.environments.properties import (
    PROPERTIES,
    Instance,
    distinct_actions_lead_to_distinct_states,
    stays_on_its_device,
    walk_there_and_back,
)


def distance(a, b):
    return sum(x != y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("word", [1, 2, 4, 8])
def test_objects_are_all_strings_whatever_the_words(word):
    graph = enumerate_graph(BitSequence(bits=8, word=word, modes=3))
    assert sorted(graph.objects) == ["".join(bits) for bits in itertools.product("01", repeat=8)]
    assert len(graph.states) == sum(2 ** (word * i) for i in range(8 // word + 1))


@pytest.mark.parametrize(("bits", "word", "beta"), [(8, 2, 3.0), (16, 4, 1.5)])
def test_reward_falls_with_the_distance_to_the_nearest_mode(bits, word, beta):
    env = BitSequence(bits=bits, word=word, modes=4, beta=beta)
    states = env.source(200)
    generator = torch.Generator().manual_seed(0)
    for _ in range(bits // word):
        states = env.step(states, torch.randint(env.n_actions, (200,), generator=generator))
    assert states.done.all()
    for text, value in zip(env.decode(states), env.log_reward(states).tolist(), strict=True):
        nearest = min(distance(text, mode) for mode in env.modes)
        assert value == pytest.approx(-beta * nearest / bits, abs=1e-12)


def test_a_mode_has_reward_one_and_its_prefixes_partial_reward_one():
    env = BitSequence(bits=16, word=4, modes=5)
    mode = env.modes[2]
    states = env.source(1)
    for place in range(0, 16, 4):
        assert env.log_partial(states).item() == 0.0
        states = env.step(states, torch.tensor([int(mode[place : place + 4], 2)]))
    assert env.decode(states) == [mode]
    assert env.log_reward(states).item() == 0.0


def test_partial_reward_is_the_distance_to_the_nearest_prefix():
    env = BitSequence(bits=16, word=4, modes=5, beta=2.0)
    for word in range(16):
        states = env.step(env.source(1), torch.tensor([word]))
        nearest = min(distance(f"{word:04b}", mode[:4]) for mode in env.modes)
        assert env.log_partial(states).item() == pytest.approx(-2.0 * nearest / 16)


def test_modes_are_distinct_strings_of_the_blocks_fixed_by_the_seed():
    env, other = BitSequence(), BitSequence(seed=1)
    assert len(set(env.modes)) == 60
    assert {mode[i : i + 8] for mode in env.modes for i in range(0, 120, 8)} == set(BLOCKS)
    assert env.modes == BitSequence().modes
    assert env.modes != other.modes


def test_published_size_has_a_tree_of_states():
    env = BitSequence(bits=120, word=10)
    assert env.n_actions == 1024
    assert env.n_backward == 1
    assert env.k_hot(env.source(2)).tolist() == [[env.n_features] * 12] * 2
    walk_there_and_back(env, 30, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 16, "word": 5}, "got 16 bits in words of 5"),
        ({"bits": 8, "modes": 6}, "only 5 strings"),
        ({"bits": 12, "modes": 1}, "multiple of 8"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ComponentError, match=message):
        build("environment", {"kind": "bit_sequence", **options})


@pytest.mark.parametrize("options", [{"bits": 8, "word": 8, "modes": 1}, {"bits": 8, "word": 1, "modes": 5}])
@pytest.mark.parametrize("check", [*PROPERTIES, distinct_actions_lead_to_distinct_states], ids=lambda f: f.__name__)
def test_promise_is_kept_by_other_words(check, options):
    check(Instance(BitSequence(**options)))


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 16), st.sampled_from([1, 2, 4, 8]), st.integers(0, 1000))
def test_walks_of_strings_of_any_length_can_be_taken_back(blocks, word, seed):
    walk_there_and_back(BitSequence(bits=8 * blocks, word=word, modes=min(5, 5**blocks)), 6, seed)


def test_normaliser_of_one_mode_is_a_binomial_sum():
    env = BitSequence(bits=8, word=4, modes=1, beta=8.0)
    graph = enumerate_graph(env)
    total = env.log_reward(graph.states[graph.terminal]).exp().sum().item()
    # One mode: binomial distances, so Z = (1 + exp(-beta / n))^n.
    assert total == pytest.approx((1 + math.exp(-1.0)) ** 8)


def test_tensors_stay_on_the_device_of_the_environment():
    stays_on_its_device(BitSequence())
