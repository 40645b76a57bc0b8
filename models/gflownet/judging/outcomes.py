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
from models.gflownet.training.trainer import Trainer


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
