"""Flows towards each object, and what they make of any reward: no training, where the backward policy is fixed.

Reference: Pan et al., Pre-training and fine-tuning generative flow networks, ICLR 2024, arXiv:2310.03419. An
outcome-conditioned GFlowNet has the reward 1[x = y]. With a fixed backward policy its flows have a closed form, which
the paper does not use: F(s | y) is the probability that the backward chain from y passes s. A reward r then has the
flows sum_y r(y) F(s | y), and the policy

    P(s' | s) = sum_y r(y) F(s | y) P(s' | s, y) / sum_y r(y) F(s | y).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from data.records import FloatArray
from models.gflownet.conditioning.outcome import Outcome
from models.gflownet.judging.exact import FixedPoint, StateGraph
from models.gflownet.policies.flat import FlatPolicy
from models.gflownet.training.trainer import Trainer

_PAIRS = 20_000
"""Pairs of a state and an object that are judged at a time."""


def outcome_flows(graph: StateGraph[Any], log_pb: Tensor) -> Tensor:
    """Return F(s | y), (V, X) float64: the flow through each state towards each terminal state, of reward 1.

    Args:
        graph: the state graph; V X numbers must fit into memory.
        log_pb: (E,) of the edges, from `exact.backward_log_probs`.
    """
    flow = torch.zeros((len(graph.states), len(graph.terminal)), dtype=torch.float64)
    flow[graph.terminal, torch.arange(len(graph.terminal))] = 1.0
    pb = log_pb.exp()[:, None]
    for a, b in reversed(list(pairwise(graph.edges().tolist()))):
        flow.index_add_(0, graph.origin[a:b], flow[graph.target[a:b]] * pb[a:b])
    return flow


def outcome_policy(graph: StateGraph[Any], flow: Tensor, log_pb: Tensor) -> Tensor:
    """Return P(s' | s, y), (E, X): of the edges, towards each terminal state; 0 where y cannot be reached from s."""
    edge = flow[graph.target] * log_pb.exp()[:, None]
    return torch.where(edge > 0, edge / flow[graph.origin], 0.0)


@torch.no_grad()
def learnt_flows(graph: StateGraph[Any], trainer: Trainer[Any]) -> tuple[Tensor, Tensor]:
    """Return F(s | y) (V, X) and P(s' | s, y) (E, X) as a trainer conditioned on outcomes has learnt them.

    The flow of the source is that of log Z, and of a terminal state 1[x = y].

    Raises:
        ValueError: the trainer is not conditioned on outcomes.
    """
    conditioning = trainer.conditioning
    if not isinstance(conditioning, Outcome):
        raise ValueError(
            "Flows towards each object are learnt under the conditioning 'outcome'; this training has "
            f"{'none' if conditioning is None else repr(conditioning.kind)}. Train with `{{kind: outcome}}`."
        )
    flow = torch.zeros((len(graph.states), len(graph.terminal)), dtype=torch.float64)
    edge = torch.zeros((len(graph.origin), len(graph.terminal)), dtype=torch.float64)
    conditions = conditioning.encode(conditioning.numbers(graph.objects))
    before = graph.states[graph.origin]
    with trainer.policy.frozen():
        for y in range(len(graph.terminal)):
            given = conditions[y].expand(len(graph.origin), -1)
            answer = trainer.policy.score(before, graph.action, None, given)
            flow[graph.origin, y] = answer.log_flow.double().exp()
            edge[:, y] = answer.log_pf.double().exp()
    flow[0] = trainer.partition(conditions, len(conditions)).double().exp()
    flow[graph.terminal, torch.arange(len(graph.terminal))] = 1.0
    return flow, edge


def converted(graph: StateGraph[Any], flow: Tensor, policy: Tensor, log_reward: FloatArray) -> FixedPoint:
    """Return the flows and the policy that samples a reward, made of those towards each terminal state.

    It is exact where the flow is: where it is learnt, the error is that of the network.

    Args:
        graph: the state graph.
        flow: (V, X), F(s | y).
        policy: (E, X), P(s' | s, y).
        log_reward: (X,) of the terminal states.
    """
    values = torch.as_tensor(log_reward, dtype=torch.float64)
    top = values.max()
    weights = (values - top).exp()
    log_edge = ((flow[graph.origin] * policy) @ weights).log()
    log_flow = (flow @ weights).log()
    return FixedPoint(log_flow + top, log_edge - log_flow[graph.origin])


def reachable(graph: StateGraph[Any]) -> tuple[Tensor, Tensor]:
    """Return the pairs of a state and a terminal state y that it can become, as numbers (P,) and places of y (P,).

    These alone have F(s | y) > 0: of large spaces they are few, where V X are too many.
    """
    width = len(graph.terminal)
    state, place = graph.terminal.clone(), torch.arange(width)
    for a, b in reversed(list(pairwise(graph.edges().tolist()))):
        order = state.argsort()
        state, place = state[order], place[order]
        low = torch.searchsorted(state, graph.target[a:b])
        count = torch.searchsorted(state, graph.target[a:b], right=True) - low
        edge = torch.arange(b - a).repeat_interleave(count)
        at = low[edge] + torch.arange(len(edge)) - (count.cumsum(0) - count)[edge]
        codes = torch.unique(graph.origin[a:b][edge] * width + place[at])
        state, place = torch.cat([state, codes // width]), torch.cat([place, codes % width])
    return state, place


@torch.no_grad()
def summed(
    graph: StateGraph[Any], policy: FlatPolicy[Any], conditions: Tensor, log_rewards: FloatArray
) -> list[FixedPoint]:
    """Return what `converted` does for each of K rewards, of spaces too large for tables of all states and objects.

    A state is summed over the objects that it can become. Towards the others a learnt flow is small, but not 0; it is
    left out.

    Args:
        graph: the state graph.
        policy: towards each object, with flows.
        conditions: (X, C) encoded, what the policy sees of each object.
        log_rewards: (K, X) of the objects.
    """
    values = torch.as_tensor(log_rewards, dtype=torch.float64)
    top = values.max(1).values
    weights = (values - top[:, None]).exp().T
    state, place = reachable(graph)
    going = ~graph.states.done[state]
    state, place = state[going], place[going]
    total = torch.zeros((len(graph.states), policy.env.n_actions, len(values)), dtype=torch.float64)
    for a in range(0, len(state), _PAIRS):
        at, y = state[a : a + _PAIRS], place[a : a + _PAIRS]
        here = graph.states[at]
        answer = policy.network(here, conditions[y])
        log_flow = torch.where(policy.env.is_source(here), 0.0, answer.log_flow.double())
        term = (policy.log_probs(here, answer.forward).double() + log_flow[:, None]).exp()
        total.index_add_(0, at, term[:, :, None] * weights[y][:, None])
    edge, flow = total[graph.origin, graph.action].log(), total.sum(1).log()
    flow[graph.terminal] = weights.log()
    return [FixedPoint(flow[:, k] + top[k], edge[:, k] - flow[graph.origin, k]) for k in range(len(values))]
