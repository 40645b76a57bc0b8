"""What every environment promises, checked on all states and edges of a small instance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, NotProvided
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.judging.exact import StateGraph, backward_log_probs, enumerate_graph, merge, terminal_law
from models.gflownet.policies.backward import UniformBackward
from models.gflownet.policies.base import draw


class Instance:
    """An environment, its enumerated graph and the two ends of every edge."""

    def __init__(self, env: Environment[Any]) -> None:
        self.env = env
        self.graph: StateGraph[Any] = enumerate_graph(env, limit=20_000)
        self.states = self.graph.states
        self.before, self.after = self.states[self.graph.origin], self.states[self.graph.target]
        self.forward = self.graph.action
        self.backward = env.undo(self.before, self.forward)
        legal = env.backward_mask(self.states)
        corrected = bool(env.log_correction(self.before, self.forward, self.after).any())
        # Only corrections can make up for states that have more legal backward actions than edges.
        self.one_state_per_thing = not corrected or int(legal.sum()) == len(self.forward)


def same_states(env, a, b):
    return env.keys(a) == env.keys(b)


def masks_are_consistent_with_ends(case: Instance):
    env, states = case.env, case.states
    forward, backward = env.forward_mask(states), env.backward_mask(states)
    assert forward.dtype == backward.dtype == torch.bool
    assert forward.shape == (len(states), env.n_actions)
    assert backward.shape == (len(states), env.n_backward)
    assert torch.equal(~forward.any(1), states.done)
    source = torch.arange(len(states)) == 0
    assert torch.equal(~backward.any(1), source)
    assert torch.equal(env.is_source(states), source)
    assert not env.source(3).done.any()
    assert len(set(env.keys(env.source(3)))) == 1


def forward_steps_are_taken_back(case: Instance):
    env = case.env
    stepped = env.step(case.before, case.forward)
    assert same_states(env, stepped, case.after)
    assert torch.equal(stepped.done, case.after.done)
    legal = env.backward_mask(case.after).gather(1, case.backward[:, None])
    assert legal.all()
    back = env.backstep(case.after, case.backward)
    assert same_states(env, back, case.before)
    assert not back.done.any()
    assert torch.equal(env.redo(case.after, case.backward), case.forward)


def backward_steps_are_taken_again(case: Instance):
    """Where a state is one of several orders of building a thing, the way forward may lead to another order of it."""
    env = case.env
    row, backward = env.backward_mask(case.states).nonzero(as_tuple=True)
    after = case.states[row]
    before = env.backstep(after, backward)
    assert not before.done.any()
    assert set(env.keys(before)) <= set(env.keys(case.states))
    forward = env.redo(after, backward)
    assert env.forward_mask(before).gather(1, forward[:, None]).all()
    again = env.step(before, forward)
    if case.one_state_per_thing:
        assert same_states(env, again, after)
        assert torch.equal(env.undo(before, forward), backward)
        return
    assert torch.equal(again.done, after.done)
    assert env.decode(again[again.done]) == env.decode(after[after.done])
    assert torch.equal(env.forward_mask(again).sum(1), env.forward_mask(after).sum(1))
    assert torch.equal(env.backward_mask(again).sum(1), env.backward_mask(after).sum(1))


def edges_forward_and_backward_correspond(case: Instance):
    """One legal backward action per edge, so that a law over backward actions is one over parents."""
    env, graph = case.env, case.graph
    pairs = torch.unique(torch.stack([graph.target, case.backward], 1), dim=0)
    assert len(pairs) == len(graph.origin), "two edges are taken back by one backward action"
    if case.one_state_per_thing:
        parents = torch.bincount(graph.target, minlength=len(graph.states))
        assert torch.equal(env.backward_mask(graph.states).sum(1), parents)


def weights_of_all_trajectories_of_an_object_sum_to_one(case: Instance):
    """The test of parent counts and corrections that no choice of states can evade."""
    log_weight = backward_log_probs(case.env, case.graph, UniformBackward())
    weights = merge(case.graph.objects, terminal_law(case.graph, log_weight))
    weights.pop(None, None)
    torch.testing.assert_close(list(weights.values()), [1.0] * len(weights), rtol=0, atol=1e-9)


def distinct_actions_lead_to_distinct_states(case: Instance):
    """Stronger than a correspondence of edges; true where aliased actions are merged."""
    edges = list(zip(case.graph.origin.tolist(), case.graph.target.tolist(), strict=True))
    assert len(set(edges)) == len(edges), "two legal actions of one state lead to the same state"


def identities_agree(case: Instance):
    env, states = case.env, case.states
    number = {key: place for place, key in enumerate(env.keys(states))}
    assert len(number) == len(states)
    # Every state with its repeats, out of order: codes must tell apart exactly what keys tell apart.
    joint = torch.cat([case.graph.target.flip(0), torch.arange(len(states))])
    codes = env.codes(states[joint])
    assert codes.shape == joint.shape
    assert codes.dtype == torch.int64
    place = torch.tensor([number[key] for key in env.keys(states[joint])])
    pairs = torch.unique(torch.stack([codes, place], 1), dim=0)
    assert len(pairs) == len(torch.unique(codes)) == len(torch.unique(place))


def decode_is_a_function_of_the_state(case: Instance):
    env, graph = case.env, case.graph
    ends = graph.states[graph.terminal]
    order = torch.randperm(len(ends), generator=torch.Generator().manual_seed(3))
    shuffled = env.decode(ends[order])
    assert shuffled == [graph.objects[place] for place in order.tolist()]
    single = [env.decode(ends[place : place + 1])[0] for place in order[:20].tolist()]
    assert single == shuffled[:20]
    assert env.decode(ends[:0]) == []


def features_distinguish_what_can_go_on(case: Instance):
    """The done flag may be left out: a terminal state is never asked for a forward action."""
    env = case.env
    if not env.n_features:
        return
    hot = env.k_hot(case.states)
    assert hot.dtype == torch.int64
    assert ((hot >= 0) & (hot <= env.n_features)).all()
    ones = hot.sort(1).values
    repeated = (ones[:, 1:] == ones[:, :-1]) & (ones[:, 1:] < env.n_features)
    assert not repeated.any()
    for part in (~case.states.done, case.states.done):
        assert len(torch.unique(ones[part], dim=0)) == int(part.sum())
    assert torch.equal(env.k_hot(case.states[:5]), hot[:5])


def the_stop_is_what_it_says(case: Instance):
    env = case.env
    going = case.states[~case.states.done]
    if env.stop is None:
        assert not env.every_state_stops
        return
    legal = env.forward_mask(going)[:, env.stop]
    assert env.every_state_stops == bool(legal.all())
    stopping = case.forward == env.stop
    assert torch.equal(stopping, case.after.done)


def trajectories_are_counted(case: Instance):
    try:
        counted = case.env.log_paths(case.states)
    except NotProvided:
        return
    assert counted.dtype == torch.float64
    torch.testing.assert_close(counted, case.graph.log_paths(), rtol=0, atol=1e-9)


def rewards_are_finite_numbers_of_the_state(case: Instance):
    env, ends = case.env, case.states[case.graph.terminal]
    for function, states in ((env.log_reward, ends), (env.log_partial, case.states)):
        try:
            values = function(states)
        except NotProvided:
            continue
        assert values.shape == (len(states),)
        assert values.isfinite().all()
        assert torch.equal(function(states[:7]), values[:7])


def its_table_agrees(case: Instance):
    env, graph = case.env, case.graph
    table = Tabulated(env, graph)
    index = torch.arange(len(graph.states))
    states = type(table.source(1))(graph.states.done, index)
    assert torch.equal(table.forward_mask(states), env.forward_mask(graph.states))
    assert torch.equal(table.backward_mask(states), env.backward_mask(graph.states))
    before, after = states[graph.origin], states[graph.target]
    assert torch.equal(table.step(before, case.forward).index, graph.target)
    assert torch.equal(table.undo(before, case.forward), case.backward)
    assert torch.equal(table.backstep(after, case.backward).index, graph.origin)
    assert torch.equal(table.redo(after, case.backward), case.forward)
    row, backward = env.backward_mask(graph.states).nonzero(as_tuple=True)
    assert same_states(
        env, table.states(table.backstep(states[row], backward)), env.backstep(graph.states[row], backward)
    )
    assert torch.equal(table.redo(states[row], backward), env.redo(graph.states[row], backward))
    assert table.decode(states[graph.terminal]) == graph.objects
    correction = env.log_correction(case.before, case.forward, case.after).double()
    assert torch.equal(table.log_correction(before, case.forward, after).double(), correction)


PROPERTIES = (
    masks_are_consistent_with_ends,
    forward_steps_are_taken_back,
    backward_steps_are_taken_again,
    edges_forward_and_backward_correspond,
    weights_of_all_trajectories_of_an_object_sum_to_one,
    identities_agree,
    decode_is_a_function_of_the_state,
    features_distinguish_what_can_go_on,
    the_stop_is_what_it_says,
    trajectories_are_counted,
    rewards_are_finite_numbers_of_the_state,
    its_table_agrees,
)
"""Promises of every environment."""


def walk_there_and_back(env: Environment[Any], n: int, seed: int, *, exact: bool = True) -> None:
    """Take n random trajectories to their ends, and back step by step: a check for instances of any size.

    With `exact` false, redoing a backward step may lead to another order of building the same thing.
    """
    generator = torch.Generator().manual_seed(seed)
    states, trail = env.source(n), []
    while len(states):
        mask = env.forward_mask(states)
        assert mask.any(1).all()
        actions = draw(_uniform(mask), generator)
        after = env.step(states, actions)
        backward = env.undo(states, actions)
        assert env.backward_mask(after).gather(1, backward[:, None]).all()
        assert torch.equal(env.redo(after, backward), actions)
        assert same_states(env, env.backstep(after, backward), states)
        trail.append(after[after.done])
        states = after[~after.done]
    states = type(trail[0]).cat(trail)
    assert len(states) == n
    assert torch.equal(env.codes(states)[:, None] == env.codes(states), _equal(env.keys(states)))
    while len(states):
        actions = draw(_uniform(env.backward_mask(states)), generator)
        before = env.backstep(states, actions)
        forward = env.redo(states, actions)
        assert env.forward_mask(before).gather(1, forward[:, None]).all()
        if exact:
            assert torch.equal(env.undo(before, forward), actions)
            assert same_states(env, env.step(before, forward), states)
        states = before[~env.is_source(before)]


def _uniform(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)


def _equal(keys: list[Any]) -> Tensor:
    return torch.tensor([[a == b for b in keys] for a in keys])


def stays_on_its_device(env: Environment[Any]) -> None:
    """Move to torch's `meta` device, where any tensor left behind is an error, and take the steps there."""
    env.to("meta")
    states = env.source(3)
    actions = torch.zeros(3, dtype=torch.int64, device="meta")
    after = env.step(states, actions)
    for value in (
        env.forward_mask(states),
        env.backward_mask(after),
        env.undo(states, actions),
        env.redo(after, actions),
        env.backstep(after, actions).done,
        after.done,
        env.k_hot(after),
    ):
        assert value.device.type == "meta"
