"""Selections of items: all sets without an excluded pair, each with all its orders."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gflownet.environments.selection import SelectionEnvironment
from models.gflownet.judging.exact import enumerate_graph
from models.registry import ComponentError, build
from tests.models.gflownet.environments.properties import (
    PROPERTIES,
    Instance,
    distinct_actions_lead_to_distinct_states,
    stays_on_its_device,
)

PAIRS = st.sets(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda pair: pair[0] < pair[1]), max_size=8)


def sets_without(excluded, n, smallest, largest):
    every = (set_ for k in range(smallest, largest + 1) for set_ in itertools.combinations(range(n), k))
    return {set_ for set_ in every if not any(a in set_ and b in set_ for a, b in excluded)}


@settings(deadline=None, max_examples=40)
@given(PAIRS, st.integers(0, 3), st.integers(1, 5))
def test_objects_are_all_sets_of_the_sizes_without_an_excluded_pair(excluded, smallest, largest):
    if smallest > largest:
        smallest, largest = largest, smallest
    largest = max(largest, 1)
    env = SelectionEnvironment(items=5, min_size=smallest, max_size=largest, excluded=tuple(excluded))
    objects = [item for item in enumerate_graph(env).objects if item is not None]
    assert len(objects) == len(set(objects))
    assert set(objects) == sets_without(excluded, 5, smallest, largest)


@settings(deadline=None, max_examples=20)
@given(PAIRS, st.integers(1, 5))
def test_maximal_sets_are_those_to_which_nothing_can_be_added(excluded, largest):
    env = SelectionEnvironment(items=5, max_size=largest, excluded=tuple(excluded), maximal=True)
    every = sets_without(excluded, 5, 0, largest)
    grows = {set_ for set_ in every for other in every if set(set_) < set(other)}
    objects = enumerate_graph(env).objects
    assert len(objects) == len(set(objects))
    assert set(objects) == every - grows


def test_a_set_that_is_not_maximal_is_refused_where_only_maximal_ones_are_objects():
    env = SelectionEnvironment(items=3, excluded=((0, 1),), maximal=True)
    assert env.states_of([(0, 2)], torch.Generator()).done.all()
    with pytest.raises(ValueError, match="is not maximal"):
        env.states_of([(0,)], torch.Generator())


def test_sets_are_encoded_as_what_they_decode_to():
    env = SelectionEnvironment(items=6, max_size=4, excluded=((0, 1),))
    sets = [(), (0,), (1, 2, 5), (2, 3, 4, 5)]
    states = env.states_of(sets, torch.Generator())
    assert states.done.all()
    assert env.decode(states) == sets


@pytest.mark.parametrize(
    ("set_", "message"), [((0, 1), "exclude each other"), ((0, 6), "from 0 to 5"), ((0, 2, 3, 4, 5), "0 to 4")]
)
def test_a_set_outside_is_refused(set_, message):
    with pytest.raises(ValueError, match=message):
        SelectionEnvironment(items=6, max_size=4, excluded=((0, 1),)).states_of([set_], torch.Generator())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"items": 3, "max_size": 4}, "at most max_size of the items: got 0, 4 and 3 items"),
        ({"items": 3, "min_size": 3, "max_size": 2}, "got 3, 2 and 3"),
        ({"items": 3, "excluded": [[0, 3]]}, r"from 0 to 2: got \[0, 3\]"),
        ({"items": 3, "excluded": [[1, 1]]}, r"got \[1, 1\]"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ComponentError, match=message):
        build("environment", {"kind": "selection", **options})


@pytest.mark.parametrize(
    "options",
    [
        {"items": 4},
        {"items": 5, "excluded": ((0, 1), (1, 2)), "maximal": True},
        {"items": 5, "min_size": 2, "excluded": ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2))},
    ],
)
@pytest.mark.parametrize("check", [*PROPERTIES, distinct_actions_lead_to_distinct_states], ids=lambda f: f.__name__)
def test_promise_is_kept_by_other_sizes(check, options):
    check(Instance(SelectionEnvironment(**options)))


def test_tensors_stay_on_the_device_of_the_environment():
    stays_on_its_device(SelectionEnvironment(items=5, excluded=((0, 1),)))
