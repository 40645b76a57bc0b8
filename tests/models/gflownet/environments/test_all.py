"""Every registered environment keeps every promise, on the small instance that its class names."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from models.registry import build, kinds
from tests.models.gflownet.environments.properties import PROPERTIES, Instance, walk_there_and_back

KINDS = kinds("environment")


@cache
def instance(kind):
    return Instance(build("environment", {"kind": kind, **KINDS[kind].small}))


@pytest.mark.parametrize("kind", KINDS)
def test_every_environment_names_an_instance_that_can_be_enumerated(kind):
    case = instance(kind)
    assert len(case.graph.terminal) > 1
    assert KINDS[kind].reference


@pytest.mark.parametrize("check", PROPERTIES, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_promise_is_kept(kind, check):
    check(instance(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_configuration_makes_an_equal_environment(kind):
    case = instance(kind)
    again = build("environment", case.env.config())
    assert again.config() == case.env.config()
    assert torch.equal(again.forward_mask(case.states), case.env.forward_mask(case.states))
    assert torch.equal(again.backward_mask(case.states), case.env.backward_mask(case.states))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_random_walks_of_the_small_instance_can_be_taken_back(kind, seed):
    case = instance(kind)
    walk_there_and_back(case.env, 20, seed, exact=case.one_state_per_thing)


@pytest.mark.parametrize("kind", KINDS)
def test_states_can_be_selected_joined_and_rebuilt_from_their_tensors(kind):
    case = instance(kind)
    states, cls = case.states, type(case.states)
    whole = cls.cat([states[:4], states[4:]])
    assert case.env.keys(whole) == case.env.keys(states)
    assert case.env.keys(cls(**states.tensors())) == case.env.keys(states)
    assert case.env.keys(states[states.done]) == case.env.keys(states[case.graph.terminal])
