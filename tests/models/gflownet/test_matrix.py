"""Every environment x objective x backward policy of the registries, exactly: a new class enters by being registered.

The tables of the fixed point (F, P_F, P_B of a reward) must give the target law over objects, and every objective must
be at its optimum there. Sampled averages would not see a wrong parent count, an action that is counted twice, or a wrong
term at the boundary; these figures do.

For losses that are zero at the optimum that is a number. For the divergences it is an expected gradient, and this is how
it is made exact: all trajectories of the space are one batch, which is what a uniform law q = 1 / N over trajectories
would give on average, so `log_behaviour` is -log N. The mean of P_F / q times anything is then its expectation under
P_F, and the normalised weights R P_B / q are the target law itself.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch

from models.gflownet.environments.base import Environment
from models.gflownet.environments.tabulated import IndexStates, Tabulated
from models.gflownet.judging.exact import (
    StateGraph,
    backward_log_probs,
    enumerate_graph,
    fixed_point,
    merge,
    relative_fixed_point,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.judging.tabular import Table, backward_policy, edge_numbers, every_trajectory, forward_policy
from models.gflownet.policies.backward import LearnedBackward
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.gflownet.training.trajectories import sample_forward
from models.registry import build, kinds

ENVIRONMENTS, OBJECTIVES, BACKWARD = (kinds(group) for group in ("environment", "objective", "backward_policy"))
LIMIT = 20_000


def log_reward(objects):
    """A log-reward between -2 and 2 of each object, that depends on nothing but the object."""
    return np.array([zlib.crc32(repr(thing).encode()) % 4001 / 1000 - 2 for thing in objects])


class RandomTable(FlatPolicy):
    """A network of numbers: forward logits zero, backward logits (V, n_backward)."""

    def __init__(self, env, backward):
        super().__init__(env)
        self.values = backward

    def network(self, states, condition=None):
        zeros = self.values.new_zeros((len(states), self.env.n_actions))
        return Outputs(zeros, self.values[states.index], zeros[:, 0])


def colours(graph, row, parent):
    """Number the states so that those which no structure tells apart have one number: by colour refinement.

    Two states have one colour if their parents have the same colours, and their children too; a terminal state starts
    with its object.
    """
    objects = dict(zip(graph.terminal.tolist(), map(repr, graph.objects), strict=True))
    colour, known = [objects.get(state, "") for state in range(len(graph.states))], 0
    while len(set(colour)) > known:
        known, names = len(set(colour)), {}
        around = [(here, [], []) for here in colour]
        for state, before in zip(row.tolist(), parent.tolist(), strict=True):
            around[state][1].append(colour[before])
        for state, after in zip(graph.origin.tolist(), graph.target.tolist(), strict=True):
            around[state][2].append(colour[after])
        marks = [(here, tuple(sorted(before)), tuple(sorted(after))) for here, before, after in around]
        colour = [names.setdefault(mark, len(names)) for mark in marks]
    return torch.tensor(colour)


def backward_slots(env, graph):
    """Number the free logits of a backward policy, (V, n_backward) int64: one for each edge.

    Where states are orders of building the same thing there are backward actions that take back no edge of the graph,
    and the corrections hold for backward policies that see the thing only: their logits are those of its colours.
    """
    mask = env.backward_mask(graph.states)
    row, action = mask.nonzero(as_tuple=True)
    number = torch.arange(len(row))
    if len(row) != len(graph.origin):
        parent = env.backstep(graph.states[row], action).index
        colour = colours(graph, row, parent)
        number = torch.unique(torch.stack([colour[row], colour[parent]]), dim=1, return_inverse=True)[1]
    return torch.zeros(mask.shape, dtype=torch.int64).index_put((row, action), number)


@dataclass(frozen=True)
class Space:
    env: Tabulated
    graph: StateGraph
    log_reward: np.ndarray
    sampled: torch.Tensor
    every: torch.Tensor
    slots: torch.Tensor
    network: RandomTable


@cache
def space(kind):
    cls = ENVIRONMENTS[kind]
    base = build("environment", {"kind": kind, **getattr(cls, "small", {})})
    env = Tabulated(base, enumerate_graph(base, limit=LIMIT))
    graph = replace(env.graph, states=IndexStates(env.graph.states.done, torch.arange(len(env.graph.states))))
    slots, generator = backward_slots(env, graph), torch.Generator().manual_seed(7)
    logits = torch.randn(int(slots.max()) + 1, generator=generator, dtype=torch.float64)
    network = RandomTable(env, logits[slots])
    paths = sample_forward(env, network, 64, generator)
    return Space(
        env=env,
        graph=graph,
        log_reward=log_reward(graph.objects),
        sampled=edge_numbers(env, graph, paths),
        every=every_trajectory(graph, limit=LIMIT),
        slots=slots,
        network=network,
    )


def backward_of(kind):
    return build("backward_policy", {"kind": kind})


@cache
def table(environment, backward):
    """The fixed point of a space under a backward policy, which is asked for random logits if it wants some."""
    at = space(environment)
    log_pb = backward_log_probs(at.env, at.graph, backward_of(backward), at.network)
    point = fixed_point(at.graph, at.log_reward, log_pb)
    return Table(at.graph, point.log_pf, log_pb, point.log_flow, torch.tensor(at.log_reward), at.env.stop)


@cache
def relative_table(environment):
    """The fixed point of a space under a random prior: the reward is weighted by what the prior makes of objects."""
    at = space(environment)
    noise = torch.randn(len(at.graph.origin), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    log_prior = forward_policy(at.graph, 0.7 * noise)
    point = relative_fixed_point(at.graph, at.log_reward, log_prior)
    return Table(
        at.graph,
        point.log_pf,
        backward_log_probs(at.env, at.graph, backward_of("uniform"), at.network),
        point.log_flow,
        torch.tensor(at.log_reward),
        at.env.stop,
        log_prior,
    )


def fixed_of(environment, objective, backward):
    return relative_table(environment) if OBJECTIVES[objective]().relative else table(environment, backward)


def variants(cls):
    """The options of an objective: the default ones, and each value of each choice by name."""
    out = [{}]
    for name, field in cls.Options.model_fields.items():
        out += [{name: value} for value in get_args(field.annotation) if value != field.default]
    return out


def made(objective):
    return [build("objective", {"kind": objective, **options}) for options in variants(OBJECTIVES[objective])]


def largest_gradient(loss, at, table, backward):
    """The largest entry of the exact expected gradient in the logits of P_F, one for each edge, and of P_B."""
    states = at.graph.states
    log_prob = backward_of(backward).log_prob(at.env, states, at.network.backward_logits(states))
    slots = at.slots[at.env.backward_mask(states)]
    values = log_prob.new_zeros(int(slots.max()) + 1).index_put((slots,), log_prob[at.env.backward_mask(states)])
    logits = [values.requires_grad_(), table.log_pf.clone().requires_grad_()]
    moving = replace(
        table,
        log_pb=backward_policy(at.env, at.graph, LearnedBackward().log_prob(at.env, states, values[at.slots])),
        log_pf=forward_policy(at.graph, logits[1]),
    )
    assert torch.allclose(moving.log_pb, table.log_pb, rtol=0, atol=1e-12)
    n = at.every.shape[1]
    uniform = torch.full((n,), -np.log(n), dtype=torch.float64)
    gradients = torch.autograd.grad(loss.loss(moving.trajectories(at.every, uniform)), logits)
    return max(gradient.abs().max().item() for gradient in gradients)


@pytest.mark.parametrize("backward", BACKWARD)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_fixed_point_has_the_target_law_over_objects(environment, backward):
    at, fixed = space(environment), table(environment, backward)
    merged = merge(at.graph.objects, terminal_law(at.graph, fixed.log_pf))
    law, target = np.array(list(merged.values())), target_law(log_reward(merged))
    assert total_variation(law, target) < 1e-10
    assert np.abs(np.log(law / target)).max() < 1e-10
    assert fixed.log_flow[0].item() == pytest.approx(np.log(np.exp(log_reward(merged)).sum()), abs=1e-10)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_fixed_point_under_a_prior_has_the_law_of_the_prior_times_the_reward(environment):
    at, fixed = space(environment), relative_table(environment)
    prior = merge(at.graph.objects, terminal_law(at.graph, fixed.log_prior))
    merged = merge(at.graph.objects, terminal_law(at.graph, fixed.log_pf))
    weights = np.array([prior[thing] * np.exp(log_reward([thing])[0]) for thing in merged])
    law = np.array(list(merged.values()))
    assert np.abs(np.log(law / (weights / weights.sum()))).max() < 1e-10
    assert fixed.log_flow[0].item() == pytest.approx(np.log(weights.sum()), abs=1e-10)
    assert total_variation(law, target_law(log_reward(merged))) > 1e-3 or len(merged) == 1


@pytest.mark.parametrize("backward", BACKWARD)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_objective_is_at_its_optimum_in_the_fixed_point(environment, objective, backward):
    at, fixed = space(environment), fixed_of(environment, objective, backward)
    for loss in made(objective):
        if (refusal := loss.refusal(at.env.base)) is not None:
            assert repr(objective) in refusal
            assert repr(environment) in refusal
        elif loss.zero_at_optimum:
            assert loss.loss(fixed.trajectories(at.sampled)).item() < 1e-10, loss.config()
            assert loss.loss(fixed.trajectories(at.every)).item() < 1e-10, loss.config()
        else:
            assert largest_gradient(loss, at, fixed, backward) < 1e-10, loss.config()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_objective_leaves_the_optimum_with_the_forward_policy(environment, objective):
    at, fixed = space(environment), fixed_of(environment, objective, "uniform")
    noise = torch.randn(len(fixed.log_pf), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    wrong = replace(fixed, log_pf=forward_policy(at.graph, fixed.log_pf + 0.3 * noise))
    for loss in made(objective):
        if loss.refusal(at.env.base) is not None:
            continue
        if loss.zero_at_optimum:
            assert loss.loss(wrong.trajectories(at.every)).item() > 1e-3, loss.config()
        else:
            assert largest_gradient(loss, at, wrong, "uniform") > 1e-4, loss.config()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_objective_that_needs_the_stop_is_refused_exactly_where_a_state_may_not_stop(environment, objective):
    at = space(environment)
    source_to_end = at.graph.action[at.graph.target.unsqueeze(1).eq(at.graph.terminal).any(1)]
    open_states = int((~at.graph.states.done).sum())
    every_state_stops = at.env.stop is not None and int((source_to_end == at.env.stop).sum()) == open_states
    refused, needs = OBJECTIVES[objective]().refusal(at.env.base) is not None, OBJECTIVES[objective].needs
    if "log_guide" in needs:
        merges = type(at.env.base).log_correction is not Environment.log_correction
        assert refused == merges, "a guide knows no objects of several states"
    else:
        assert refused == ("log_stop" in needs and not every_state_stops)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_wrong_count_of_parents_is_found_out(environment):
    """One parent too many for some states: losses are zero all the same, the law is not the target."""
    at = space(environment)
    log_pb = table(environment, "uniform").log_pb - 0.1 * (at.graph.target % 3 == 0)
    point = fixed_point(at.graph, at.log_reward, log_pb)
    merged = merge(at.graph.objects, terminal_law(at.graph, point.log_pf))
    assert total_variation(np.array(list(merged.values())), target_law(log_reward(merged))) > 1e-3
