"""Replays: what they keep, what they draw, and that a resumed one draws the same."""

from __future__ import annotations

import io
import math
from string import ascii_uppercase

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.featurisers.base import Features, Featuriser
from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.fragments import FragmentEnvironment
from models.gflownet.environments.hypergrid import GridStates, HyperGrid
from models.registry import build, kinds


class Letters(Featuriser):
    kind = "letters_of_a_test"

    def __call__(self, objects):
        counts = np.array([[text.count(letter) for letter in ascii_uppercase] for text in objects], dtype=np.int32)
        return Features(np.zeros((len(objects), 0)), counts.reshape(len(objects), 26))


ENV = HyperGrid(dimensions=2, height=10)
KINDS = sorted(kinds("replay"))


def grid(*coordinates):
    place = torch.tensor([[*c, 1] for c in coordinates], dtype=torch.int64)
    return GridStates(torch.ones(len(place), dtype=torch.bool), place)


def replay_of(kind, **options):
    return build("replay", {"kind": kind, **options}).start(ENV)


def offer(replay, objects, log_reward):
    replay.add(grid(*objects), torch.as_tensor(log_reward, dtype=torch.float32), objects)


def random_batch(generator, n=16, height=10):
    objects = [tuple(row) for row in torch.randint(height, (n, 2), generator=generator).tolist()]
    return objects, torch.tensor([float(-abs(a - 4) - 2 * abs(b - 7)) for a, b in objects])


@pytest.mark.parametrize("kind", KINDS)
def test_every_drawn_state_comes_with_its_own_log_reward_and_key(kind):
    replay, generator = replay_of(kind, capacity=20), torch.Generator().manual_seed(0)
    for _ in range(20):
        offer(replay, *random_batch(generator))
        terminal, log_reward = replay.sample(7, generator)
        assert [float(-abs(a - 4) - 2 * abs(b - 7)) for a, b in ENV.decode(terminal)] == log_reward.tolist()
        assert set(ENV.decode(terminal)) <= set(replay.keys)
        assert ENV.decode(replay.terminal) == replay.keys
        assert len(set(replay.keys)) == len(replay) <= 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_replay_goes_on_bit_for_bit(kind):
    first, generator = replay_of(kind, capacity=20), torch.Generator().manual_seed(1)
    for _ in range(10):
        offer(first, *random_batch(generator))
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = replay_of(kind, capacity=20)
    second.load_state(torch.load(file, weights_only=True))
    one, two = torch.Generator().manual_seed(2), torch.Generator().manual_seed(2)
    for _ in range(10):
        objects, values = random_batch(generator)
        offer(first, objects, values)
        offer(second, objects, values)
        for a, b in zip(first.sample(9, one), second.sample(9, two), strict=True):
            assert torch.equal(a.place, b.place) if isinstance(a, GridStates) else torch.equal(a, b)
        assert first.keys == second.keys


@pytest.mark.parametrize("kind", KINDS)
def test_loading_copies_the_state(kind):
    replay = replay_of(kind, capacity=2)
    offer(replay, [(0, 0), (5, 5)], [1.0, 2.0])
    state = replay.state()
    other = replay_of(kind, capacity=2)
    other.load_state(state)
    offer(other, [(9, 9), (3, 7)], [5.0, 6.0])
    assert sorted(state["log_reward"].tolist()) == [1.0, 2.0]
    assert set(replay.keys) == {(0, 0), (5, 5)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_replay_refuses_to_draw_and_survives_a_round_trip(kind):
    replay = replay_of(kind)
    with pytest.raises(ValueError, match="The replay is empty"):
        replay.sample(1, torch.Generator())
    replay.load_state(replay.state())
    offer(replay, [(1, 2)], [0.5])
    assert replay.keys == [(1, 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_starting_twice_gives_two_buffers(kind):
    component = build("replay", {"kind": kind})
    one, two = component.start(ENV), component.start(ENV)
    offer(one, [(1, 2)], [0.5])
    assert (len(one), len(two)) == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_rewards_of_several_objectives_are_kept_as_they_are(kind):
    replay = replay_of(kind, capacity=2)
    values = torch.tensor([[0.0, -3.0], [-1.0, -1.0], [-9.0, -math.inf]])
    offer(replay, [(0, 0), (4, 4), (8, 8)], values)
    kept = {key: tuple(row) for key, row in zip(replay.keys, replay.log_reward.tolist(), strict=True)}
    expected = {(0, 0): (0.0, -3.0), (4, 4): (-1.0, -1.0), (8, 8): (-9.0, -math.inf)}
    assert len(kept) == 2
    assert all(expected[key] == row for key, row in kept.items())
    assert replay.sample(5, torch.Generator())[1].shape == (5, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reward_that_is_not_a_number_is_refused(kind):
    with pytest.raises(ValueError, match=r"log-reward of \(1, 1\) is NaN"):
        offer(replay_of(kind), [(1, 1)], [math.nan])


def test_a_state_larger_than_the_capacity_is_refused():
    replay = replay_of("rank", capacity=3)
    offer(replay, [(1, 1), (5, 5)], [0.0, 1.0])
    with pytest.raises(ValueError, match="2 objects, more than the capacity 1"):
        replay_of("rank", capacity=1).load_state(replay.state())


@pytest.mark.parametrize("kind", ["prioritised", "rank"])
@given(data=st.data())
@settings(deadline=None, max_examples=20)
def test_the_best_distinct_objects_are_kept(kind, data):
    replay = replay_of(kind, capacity=5)
    best: dict[tuple[int, int], float] = {}
    for _ in range(data.draw(st.integers(1, 5))):
        objects = data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
        values = [float(10 * a + b) for a, b in objects]
        offer(replay, objects, values)
        best.update(zip(objects, values, strict=True))
        assert replay.log_reward.tolist() == sorted(best.values(), reverse=True)[:5]


def test_of_equal_rewards_the_older_object_stays():
    replay = replay_of("prioritised", capacity=2)
    offer(replay, [(0, 0), (1, 1), (2, 2)], [1.0, 1.0, 1.0])
    assert replay.keys == [(0, 0), (1, 1)]


def test_uniform_replay_keeps_the_latest_objects_and_draws_each_as_often():
    replay, generator = replay_of("uniform", capacity=4), torch.Generator().manual_seed(3)
    offer(replay, [(k, k) for k in range(7)], [float(-k) for k in range(7)])
    assert replay.keys == [(6, 6), (5, 5), (4, 4), (3, 3)]
    drawn = replay.sample(8000, generator)[1]
    assert torch.bincount(-drawn.long(), minlength=7)[3:].tolist() == pytest.approx([2000] * 4, abs=150)


def test_half_of_a_prioritised_draw_comes_from_the_top_tenth():
    replay, generator = replay_of("prioritised"), torch.Generator().manual_seed(4)
    offer(replay, [(a, b) for a in range(10) for b in range(10)], list(range(100)))
    drawn = replay.sample(4000, generator)[1]
    assert float((drawn >= 90).float().mean()) == pytest.approx(0.55, abs=0.02)
    assert bool((drawn[:2000] >= 90).all())


def test_rank_replay_draws_with_weight_one_over_k_n_plus_rank():
    replay, generator = replay_of("rank", k=0.25), torch.Generator().manual_seed(5)
    offer(replay, [(k, k) for k in range(4)], [0.0, 3.0, 1.0, 2.0])
    drawn = replay.sample(20000, generator)[1]
    counts = torch.bincount(drawn.long(), minlength=4).flip(0) / 20000
    weights = torch.tensor([1.0, 1 / 2, 1 / 3, 1 / 4])
    assert counts.tolist() == pytest.approx((weights / weights.sum()).tolist(), abs=0.01)


def hamming(a, b):
    return sum(x != y for x, y in zip(a, b, strict=True))


@given(seed=st.integers(0, 10**6), capacity=st.integers(1, 12))
@settings(deadline=None, max_examples=20)
def test_objects_of_a_diverse_replay_are_far_apart(seed, capacity):
    replay, generator = replay_of("diverse", capacity=capacity, min_distance=2), torch.Generator().manual_seed(seed)
    top = -math.inf
    for _ in range(6):
        objects, values = random_batch(generator)
        offer(replay, objects, values)
        top = max(top, float(values.max()))
        names = replay.keys
        assert all(hamming(a, b) >= 2 for i, a in enumerate(names) for b in names[:i])
        assert float(replay.log_reward.max()) == top


def test_a_diverse_replay_takes_a_near_object_only_in_place_of_a_worse_one():
    replay = replay_of("diverse", capacity=10, min_distance=2)
    offer(replay, [(0, 0)], [1.0])
    offer(replay, [(0, 5)], [1.0])
    assert replay.keys == [(0, 0)]
    offer(replay, [(5, 5)], [0.5])
    assert replay.keys == [(0, 0), (5, 5)]
    offer(replay, [(0, 5)], [2.0])
    assert replay.keys == [(0, 5)]


def test_a_diverse_replay_takes_given_features():
    component = build("replay", {"kind": "diverse", "min_distance": 3})
    replay = component.start(ENV, features=lambda states: (torch.arange(9) < states.place[:, :1]).float())
    offer(replay, [(0, 0), (2, 0), (3, 0), (9, 0)], [0.0, 1.0, 2.0, 3.0])
    assert replay.keys == [(9, 0), (3, 0), (0, 0)]


def test_a_diverse_replay_of_molecules_tells_them_apart_by_fingerprints():
    fragments = FragmentEnvironment(only=("c1ccccc1", "C#N", "O"), max_heavy_atoms=10, max_fragments=3)
    replay = build("replay", {"kind": "diverse", "features": "morgan", "min_distance": 0.5}).start(fragments)
    states = fragments.source(3)
    replay.add(states, torch.tensor([1.0, 2.0, 3.0]), ["CCCCCCCC", "CCCCCCCCC", "c1ccncc1"])
    assert replay.keys == ["c1ccncc1", "CCCCCCCCC"]


def test_a_diverse_replay_tells_objects_apart_by_any_featuriser_that_counts():
    letters = build("replay", {"kind": "diverse", "features": "letters_of_a_test", "min_distance": 0.6}).start(ENV)
    letters.add(grid((0, 0), (2, 0), (3, 0)), torch.tensor([1.0, 2.0, 3.0]), ["ABC", "ABD", "XYZ"])
    assert letters.keys == ["XYZ", "ABD"]  # ABC and ABD have two letters of four in common: a distance of a half
    with pytest.raises(NotProvided, match="needs a featuriser that counts; 'one_hot' makes coordinates"):
        build("replay", {"kind": "diverse", "features": "one_hot"}).start(ENV)


def test_a_diverse_replay_says_what_to_use_where_states_have_no_features():
    bare = HyperGrid(dimensions=2, height=4)
    bare.n_features = 0
    with pytest.raises(NotProvided, match="features: morgan"):
        build("replay", {"kind": "diverse"}).start(bare)
