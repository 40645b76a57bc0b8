"""Rewards of terminal states: from tables, functions of objects, functions of tensors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.environments.sequence import SequenceEnvironment
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.rewards.base import EnvironmentReward, RememberedReward, TableReward, TensorReward, object_reward

WORDS = SequenceEnvironment(alphabet="ACGT", max_length=3, mode="prepend_append")
TEXTS = ["AAA", "ACT", "TTT", "ACT"]


class Holes(SequenceEnvironment):
    """Strings of which those with a T are no object of the space."""

    kind = ""

    def decode(self, states):
        return [None if "T" in text else text for text in super().decode(states)]


def number(text):
    return sum("ACGT".index(letter) * 4 ** (2 - place) for place, letter in enumerate(text))


def test_table_reward_looks_strings_up_by_their_number_in_the_alphabet():
    table = np.arange(64.0)
    log_reward, objects = TableReward(WORDS, table, exponent=3, scale=10, floor=1e-3)(WORDS.encode(TEXTS))
    assert objects == TEXTS
    expected = [max(10 * (number(text) / 63) ** 3, 1e-3) for text in TEXTS]
    assert log_reward.exp().tolist() == pytest.approx(expected, rel=1e-12)
    assert log_reward.dtype == torch.float64


def test_table_reward_of_a_tabulated_environment_is_the_same():
    table = np.random.default_rng(0).random(64)
    tabulated = Tabulated(WORDS)
    ends = tabulated.graph.terminal
    index = type(tabulated.source(1))(torch.ones_like(ends, dtype=torch.bool), ends)
    direct = TableReward(WORDS, table)
    through = TableReward(tabulated, table)(index)
    assert torch.equal(through[0], direct(tabulated.states(index))[0])
    assert through[1] == tabulated.graph.objects
    remembered = RememberedReward(tabulated, TableReward(tabulated, table))
    some = index[torch.tensor([5, 0, 5, 63])]
    assert torch.equal(remembered(some)[0], direct(tabulated.states(some))[0])
    assert remembered(some)[1] == tabulated.decode(some)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ones(63), r"expected \(64,\)"),
        (np.zeros(64), "not all 0"),
        (np.linspace(-1, 1, 64), "not negative"),
        (np.full(64, np.nan), "finite"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        TableReward(WORDS, table)


def test_a_table_needs_sequences_of_one_length():
    with pytest.raises(ValueError, match="one length"):
        TableReward(SequenceEnvironment(alphabet="AB", min_length=1, max_length=2), np.ones(4))
    with pytest.raises(ValueError, match="one length"):
        TableReward(HyperGrid(), np.ones(64))


def test_scale_and_floor_of_a_table_are_above_zero():
    for values in ({"floor": 0.0}, {"scale": -1.0}):
        with pytest.raises(ValueError, match="above 0"):
            TableReward(WORDS, np.ones(64), **values)


def test_object_reward_judges_each_distinct_object_once():
    asked = []

    def share_of_a(objects):
        asked.extend(objects)
        return np.array([text.count("A") / 3 for text in objects])

    log_reward, objects = object_reward(WORDS, share_of_a, floor=0.01)(WORDS.encode(TEXTS))
    assert asked == ["AAA", "ACT", "TTT"]
    assert log_reward.exp().tolist() == pytest.approx([1.0, 1 / 3, 0.01, 1 / 3])
    assert objects == TEXTS


def test_object_reward_of_log_values_and_lists():
    reward = object_reward(WORDS, lambda objects: [-float(len(set(text))) for text in objects], log=True)
    assert reward(WORDS.encode(TEXTS))[0].tolist() == [-1.0, -3.0, -1.0, -3.0]


def test_terminal_states_outside_the_space_get_the_floor_and_no_name():
    env = Holes(alphabet="ACGT", max_length=3)
    asked = []
    reward = object_reward(env, lambda objects: asked.extend(objects) or [2.0] * len(objects), floor=0.5)
    log_reward, objects = reward(env.encode(TEXTS))
    assert objects == ["AAA", None, None, None]
    assert log_reward.exp().tolist() == pytest.approx([2.0, 0.5, 0.5, 0.5])
    assert asked == ["AAA"]
    nothing = reward(env.encode(["TTT"]))
    assert nothing[0].exp().tolist() == pytest.approx([0.5])


def test_object_reward_of_another_number_of_values_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2,\) for 3 objects"):
        object_reward(WORDS, lambda objects: [1.0, 2.0])(WORDS.encode(TEXTS))


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_value_that_is_no_reward_is_refused(value):
    with pytest.raises(ValueError, match="finite numbers above 0"):
        object_reward(WORDS, lambda objects: [value] * len(objects))(WORDS.encode(TEXTS))


def test_tensor_reward_reads_states():
    env = HyperGrid(dimensions=2, height=4)
    states = env.step(env.step(env.source(2), torch.tensor([0, 1])), torch.tensor([2, 2]))
    reward = TensorReward(env, lambda s: 1.0 + s.place[:, 0].float())
    assert reward(states)[0].exp().tolist() == pytest.approx([2.0, 1.0])
    assert reward(states)[1] == [(1, 0), (0, 1)]
    assert TensorReward(env, lambda s: -s.place[:, 1].float(), log=True)(states)[0].tolist() == [0.0, -1.0]
    zero = TensorReward(env, lambda s: s.place[:, 0].float())
    with pytest.raises(ValueError, match="floor above 0"):
        zero(states)
    floored = TensorReward(env, lambda s: s.place[:, 0].float(), floor=1e-4)
    assert floored(states)[0].exp().tolist() == pytest.approx([1.0, 1e-4])


def test_floors_below_what_they_must_be_are_refused():
    with pytest.raises(ValueError, match="negative"):
        TensorReward(WORDS, lambda s: s.length, floor=-1.0)
    with pytest.raises(ValueError, match="above 0"):
        object_reward(WORDS, len, floor=0.0)


def test_environment_reward_is_the_one_it_is_known_for():
    env = HyperGrid(dimensions=2, height=8)
    states = env.step(env.source(1), torch.tensor([2]))
    log_reward, objects = EnvironmentReward(env)(states)
    assert objects == [(0, 0)]
    assert log_reward.exp().item() == pytest.approx(0.6)
    with pytest.raises(NotProvided, match="give the trainer one"):
        EnvironmentReward(WORDS)(WORDS.encode(TEXTS))
