"""Sequences: aliased actions merged in every mode, lengths and the stop, counts of trajectories, strings."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.sequence import SequenceEnvironment
from models.gflownet.judging.exact import enumerate_graph
from models.registry import ComponentError, build
from tests.models.gflownet.environments.properties import (
    PROPERTIES,
    Instance,
    distinct_actions_lead_to_distinct_states,
    stays_on_its_device,
    walk_there_and_back,
)

MODES = ("append", "prepend_append", "insert")
SIZES = (
    {"alphabet": "AB", "max_length": 4},
    {"alphabet": "ABC", "max_length": 3, "min_length": 0},
    {"alphabet": "AB", "max_length": 4, "min_length": 2},
    {"alphabet": 1, "max_length": 3},
    {"alphabet": "XY", "max_length": 1},
)


def children(text, letters, mode):
    """All strings one letter longer, by the rule of the mode in words."""
    places = {"append": [len(text)], "prepend_append": [0, len(text)], "insert": range(len(text) + 1)}[mode]
    return {text[:i] + letter + text[i:] for i in places for letter in letters}


def parents(text, mode):
    places = {"append": [len(text) - 1], "prepend_append": [0, len(text) - 1], "insert": range(len(text))}[mode]
    return {text[:i] + text[i + 1 :] for i in places} if text else set()


def unfinished(env, texts):
    """States of strings that are not done."""
    row = [[env.letters.index(c) for c in text] + [env.size] * (env.max_length - len(text)) for text in texts]
    length = torch.tensor([len(text) for text in texts])
    return type(env.source(1))(torch.zeros(len(texts), dtype=torch.bool), torch.tensor(row), length)


def one(env, text):
    return unfinished(env, [text])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("check", [*PROPERTIES, distinct_actions_lead_to_distinct_states], ids=lambda f: f.__name__)
def test_promise_is_kept_in_every_mode(check, mode, size):
    check(Instance(SequenceEnvironment(mode=mode, **size)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("alphabet", ["AB", "ACGT"])
def test_children_and_parents_are_those_of_the_rule_each_once(mode, alphabet):
    env = SequenceEnvironment(alphabet=alphabet, max_length=5, min_length=0, mode=mode)
    texts = ["".join(t) for n in range(5) for t in itertools.product(alphabet, repeat=n)][:200]
    states = unfinished(env, texts)
    legal = env.forward_mask(states)
    assert legal[:, env.stop].all()
    legal[:, env.stop] = False
    row, action = legal.nonzero(as_tuple=True)
    found = {text: [] for text in texts}
    for place, child in zip(row.tolist(), env.decode(env.step(states[row], action)), strict=True):
        found[texts[place]].append(child)
    row, action = env.backward_mask(states).nonzero(as_tuple=True)
    before = {text: [] for text in texts}
    for place, parent in zip(row.tolist(), env.decode(env.backstep(states[row], action)), strict=True):
        before[texts[place]].append(parent)
    for text in texts:
        assert sorted(found[text]) == sorted(children(text, alphabet, mode))
        assert sorted(before[text]) == sorted(parents(text, mode))


def test_equal_letters_have_one_parent_when_prepending():
    env = SequenceEnvironment(alphabet="AB", max_length=6, mode="prepend_append")
    assert env.backward_mask(one(env, "AAA")).tolist() == [[True, False]]
    assert env.backward_mask(one(env, "AAB")).tolist() == [[True, True]]
    # Appending A and prepending it are one action; prepending B is another.
    assert env.forward_mask(one(env, "AAA")).tolist() == [[True, True, False, True]]
    assert env.forward_mask(env.source(1)).tolist() == [[True, True, False, False]]


def test_as_many_parents_as_runs_when_inserting():
    env = SequenceEnvironment(alphabet="AB", max_length=6, mode="insert")
    texts = ["A", "AAAAA", "AABBA", "ABAB"]
    assert env.backward_mask(unfinished(env, texts)).sum(1).tolist() == [1, 1, 3, 4]
    # A string of n letters has n (V - 1) + V strings around it.
    assert env.forward_mask(unfinished(env, texts)).sum(1).tolist() == [3, 7, 7, 6]


def test_eight_letters_of_four_have_the_known_number_of_states():
    env = SequenceEnvironment(mode="prepend_append")
    graph = enumerate_graph(env)
    assert len(graph.states) == 87_381
    assert len(graph.objects) == 65_536
    assert env.stop is None


@pytest.mark.parametrize("mode", MODES)
def test_one_length_ends_without_a_stop_and_several_with_one_only(mode):
    fixed = SequenceEnvironment(alphabet="AB", max_length=3, mode=mode)
    graph = enumerate_graph(fixed)
    assert fixed.stop is None
    assert sorted(graph.objects) == sorted("".join(t) for t in itertools.product("AB", repeat=3))
    several = SequenceEnvironment(alphabet="AB", min_length=1, max_length=3, mode=mode)
    graph = enumerate_graph(several)
    assert sorted(graph.objects) == sorted("".join(t) for n in (1, 2, 3) for t in itertools.product("AB", repeat=n))
    assert several.forward_mask(one(several, "ABA")).nonzero()[:, 1].tolist() == [several.stop]
    assert not several.forward_mask(several.source(1))[0, several.stop]
    assert not several.every_state_stops
    assert SequenceEnvironment(alphabet="AB", min_length=0, max_length=3, mode=mode).every_state_stops


def test_trajectories_are_counted_where_letters_repeat():
    env = SequenceEnvironment(alphabet="AB", max_length=12, mode="prepend_append")
    texts = ["", "A", "AA", "AB", "AAB", "ABA", "A" * 12, "A" * 11 + "B"]
    # AAB: from AB (2 ways) and AA (1); ABA: from AB and BA, 2 ways each; A...AB: one more with each A.
    expected = [1, 1, 1, 2, 3, 4, 1, 12]
    assert env.log_paths(unfinished(env, texts)).exp().tolist() == pytest.approx(expected)
    letters = "ABCDEFGHIJKLMNOPQRST"
    long = SequenceEnvironment(alphabet=letters, max_length=20, mode="prepend_append")
    assert long.log_paths(long.encode([letters])).item() == pytest.approx(19 * math.log(2))


def test_inserting_has_no_count_in_closed_form_and_says_what_to_do():
    env = SequenceEnvironment(mode="insert")
    with pytest.raises(NotProvided, match="tabulate it"):
        env.log_paths(env.source(1))


@pytest.mark.parametrize("mode", MODES)
def test_strings_are_read_back(mode):
    env = SequenceEnvironment(alphabet="ACGT", min_length=2, max_length=5, mode=mode)
    texts = ["AC", "TTTTT", "GAT"]
    states = env.encode(texts)
    assert env.decode(states) == texts
    assert states.done.all()
    assert states.length.tolist() == [2, 5, 3]
    back = env.backstep(states, torch.full((3,), env.n_backward - 1))
    assert env.keys(env.step(back, torch.full((3,), env.stop))) == env.keys(states)
    assert len(env.encode([])) == 0


@pytest.mark.parametrize("text", ["A", "ACGTAC", "ACX"])
def test_a_string_outside_the_space_is_refused(text):
    env = SequenceEnvironment(min_length=2, max_length=5)
    with pytest.raises(ValueError, match="outside the space"):
        env.encode(["ACG", text])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alphabet": "AA"}, "Name each letter once"),
        ({"alphabet": ""}, "Name each letter once"),
        ({"alphabet": 63}, "1 to 62 letters"),
        ({"min_length": 9}, "Lower min_length"),
        ({"mode": "prepend"}, "Option 'mode'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ComponentError, match=message):
        build("environment", {"kind": "sequence", **options})


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(MODES), st.integers(1, 30), st.integers(1, 40), st.data())
def test_walks_of_strings_of_any_length_can_be_taken_back(mode, letters, length, data):
    least = data.draw(st.integers(0, length))
    env = SequenceEnvironment(alphabet=letters, min_length=least, max_length=length, mode=mode)
    walk_there_and_back(env, 5, data.draw(st.integers(0, 1000)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("least", [0, None])
def test_tensors_stay_on_the_device_of_the_environment(mode, least):
    stays_on_its_device(SequenceEnvironment(mode=mode, min_length=least))
