"""Exact quantities of policies on environments small enough to enumerate: facts, not samples.

The state graph is walked once; then the terminal law of a policy is a sum over edges in topological order, and the
flows that a reward and a backward policy imply are the same sum backwards (Bengio et al., GFlowNet Foundations, 2023).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from data.records import FloatArray
from models.gflownet.environments.base import Environment, States
from models.gflownet.policies.backward import BackwardPolicy
from models.gflownet.policies.base import Policy

S = TypeVar("S", bound=States)
_CHUNK = 4096
_PIECE = 256


class TooManyStates(ValueError):
    """The environment is too large to be enumerated."""


@dataclass(frozen=True)
class StateGraph(Generic[S]):
    """All states and edges of an environment.

    Attributes:
        states: V states; number 0 is the source.
        origin, target, action: (E,) int64, edges, with the action that takes them, by ascending `level` of the origin.
        level: (V,) int64, length of the longest path from the source: every edge goes to a higher level.
        terminal: (X,) int64, numbers of the terminal states.
        objects: the X decoded objects.
    """

    states: S
    origin: Tensor
    target: Tensor
    action: Tensor
    level: Tensor
    terminal: Tensor
    objects: list[Any]

    def edges(self) -> Tensor:
        """Return the boundaries of the levels in the list of edges, (L + 1,)."""
        counts = torch.bincount(self.level[self.origin])
        return torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])

    def log_paths(self) -> Tensor:
        """Return (V,) float64: the log of the number of trajectories from the source to each state."""
        log_n = torch.full((len(self.states),), -torch.inf, dtype=torch.float64)
        log_n[0] = 0.0
        for a, b in pairwise(self.edges().tolist()):
            origin, target = self.origin[a:b], self.target[a:b]
            top = log_n.scatter_reduce(0, target, log_n[origin], "amax")
            total = (log_n - top).exp().nan_to_num(0.0).index_add_(0, target, (log_n[origin] - top[target]).exp())
            log_n = torch.where(total > 0, top + total.log(), log_n)
        return log_n


def enumerate_graph(env: Environment[S], *, limit: int = 200_000) -> StateGraph[S]:
    """Walk an environment from its source.

    Raises:
        TooManyStates: there are more than `limit` states; infinitely many if a variable is real.
    """
    if env.continuous:
        raise TooManyStates(
            f"The environment {env.kind!r} has real variables: its states cannot be enumerated, and are judged from "
            "samples."
        )
    frontier = env.source(1)
    number: dict[Hashable, int] = {env.keys(frontier)[0]: 0}
    ids, parts = torch.zeros(1, dtype=torch.int64), [frontier]
    edges: list[tuple[Tensor, Tensor, Tensor]] = []
    while len(frontier):
        following, numbers = [], []
        # In pieces, so that a space that is far too large is refused before a whole level of it is made.
        for start in range(0, len(frontier), _PIECE):
            here, own = frontier[start : start + _PIECE], ids[start : start + _PIECE]
            row, action = env.forward_mask(here).nonzero(as_tuple=True)
            after = env.step(here[row], action)
            fresh, target = _numbered(env.keys(after), number)
            if len(number) > limit:
                raise TooManyStates(
                    f"The environment has more than {limit} states; the exact evaluator is for smaller ones."
                )
            edges.append((own[row], target, action))
            following.append(after[fresh])
            numbers.append(target[fresh])
        frontier, ids = type(frontier).cat(following), torch.cat(numbers)
        parts.append(frontier)
    states = type(parts[0]).cat(parts)
    origin, target, action = (torch.cat(values) for values in zip(*edges, strict=True))
    level = _levels(len(states), origin, target)
    order = level[origin].argsort(stable=True)
    terminal = states.done.nonzero()[:, 0]
    return StateGraph(
        states, origin[order], target[order], action[order], level, terminal, env.decode(states[terminal])
    )


def _numbered(keys: Sequence[Hashable], number: dict[Hashable, int]) -> tuple[Tensor, Tensor]:
    """Number keys, new ones from the next number on; return the places of new ones, and the numbers of all (n,)."""
    fresh, target = [], torch.zeros(len(keys), dtype=torch.int64)
    for place, key in enumerate(keys):
        if key not in number:
            number[key] = len(number)
            fresh.append(place)
        target[place] = number[key]
    return torch.tensor(fresh, dtype=torch.int64), target


def _levels(n: int, origin: Tensor, target: Tensor) -> Tensor:
    """Longest distance from the source, by relaxation; a cycle would never settle."""
    level = torch.zeros(n, dtype=torch.int64)
    for _ in range(n + 1):
        raised = level.scatter_reduce(0, target, level[origin] + 1, "amax")
        if torch.equal(raised, level):
            return level
        level = raised
    raise ValueError("The environment has a cycle: its states are no directed acyclic graph, and no flow is defined.")


@torch.no_grad()
def forward_log_probs(graph: StateGraph[S], policy: Policy[S], condition: Tensor | None = None) -> Tensor:
    """Return the policy's log-probability of every edge, (E,) float64; `condition` (C,) is the same for all."""
    parts = []
    with policy.frozen():
        for a in range(0, len(graph.origin), _CHUNK):
            origin, action = graph.origin[a : a + _CHUNK], graph.action[a : a + _CHUNK]
            given = None if condition is None else condition.expand(len(origin), -1)
            parts.append(policy.score(graph.states[origin], action, None, given).log_pf)
    return torch.cat(parts).double()


@torch.no_grad()
def backward_log_probs(
    env: Environment[S], graph: StateGraph[S], backward: BackwardPolicy, policy: Policy[S] | None = None
) -> Tensor:
    """Return log P_B of every edge, corrections included, (E,) float64; `policy` gives the logits if needed."""
    before, after = graph.states[graph.origin], graph.states[graph.target]
    logits = policy.backward_logits(after) if policy is not None and backward.needs_logits else None
    log_pb = backward.log_prob(env, after, logits).double()
    taken = log_pb.gather(1, env.undo(before, graph.action)[:, None])[:, 0]
    return taken + env.log_correction(before, graph.action, after).double()


def terminal_law(graph: StateGraph[S], log_pf: Tensor) -> FloatArray:
    """Return the probability of each terminal state, (X,), under edge log-probabilities (E,)."""
    reach = torch.zeros(len(graph.states), dtype=torch.float64)
    reach[0] = 1.0
    bounds = graph.edges().tolist()
    for a, b in pairwise(bounds):
        reach.index_add_(0, graph.target[a:b], reach[graph.origin[a:b]] * log_pf[a:b].exp())
    out: FloatArray = reach[graph.terminal].numpy()
    return out


@dataclass(frozen=True)
class FixedPoint:
    """The flows of a reward: log F of the states (V,), log P_F of the edges (E,), float64."""

    log_flow: Tensor
    log_pf: Tensor

    @property
    def log_z(self) -> float:
        """Log-flow of the source."""
        return float(self.log_flow[0])


def fixed_point(graph: StateGraph[S], log_reward: FloatArray, log_pb: Tensor) -> FixedPoint:
    """Return F(s) = sum over children of F(s') P_B(s | s') and P_F = F(s') P_B / F(s).

    Args:
        graph: the state graph.
        log_reward: (X,) of the terminal states.
        log_pb: (E,) from `backward_log_probs`.
    """
    flow = torch.full((len(graph.states),), -torch.inf, dtype=torch.float64)
    flow[graph.terminal] = torch.as_tensor(log_reward, dtype=torch.float64)
    bounds = graph.edges().tolist()
    for a, b in reversed(list(pairwise(bounds))):
        origin, value = graph.origin[a:b], flow[graph.target[a:b]] + log_pb[a:b]
        top = torch.full_like(flow, -torch.inf).scatter_reduce(0, origin, value, "amax")
        total = torch.zeros_like(flow).index_add_(0, origin, (value - top[origin]).exp())
        flow = torch.where(total > 0, top + total.log(), flow)
    return FixedPoint(flow, flow[graph.target] + log_pb - flow[graph.origin])


def relative_fixed_point(graph: StateGraph[S], log_reward: FloatArray, log_prior: Tensor) -> FixedPoint:
    """Return the flows of a prior policy times a reward: F(s) = E_prior[R | s], and P_F = P_prior F(s') / F(s).

    Args:
        graph: the state graph.
        log_reward: (X,) of the terminal states.
        log_prior: (E,) of the edges, such as `forward_log_probs` of the prior.
    """
    return fixed_point(graph, log_reward, log_prior)


def merge(objects: Sequence[Any], values: FloatArray) -> dict[Any, float]:
    """Add up values (X,) of terminal states that are the same object."""
    out: dict[Any, float] = {}
    for key, value in zip(objects, values.tolist(), strict=True):
        out[key] = out.get(key, 0.0) + value
    return out


def target_law(log_reward: FloatArray) -> FloatArray:
    """Return R / Z, (X,), of log-rewards of distinct objects."""
    weights = np.exp(log_reward - log_reward.max())
    out: FloatArray = weights / weights.sum()
    return out


def l1_sum(p: FloatArray, q: FloatArray) -> float:
    """Return sum |p - q|, between 0 and 2 (not divided by the number of objects, as some libraries do)."""
    return float(np.abs(p - q).sum())


def total_variation(p: FloatArray, q: FloatArray) -> float:
    """Return half of sum |p - q|, between 0 and 1."""
    return 0.5 * l1_sum(p, q)


def kl_divergence(p: FloatArray, q: FloatArray) -> float:
    """Return KL(p || q) in nats, 0 log 0 = 0; infinite if q misses a part of p."""
    some = p > 0
    with np.errstate(divide="ignore"):
        return float((p[some] * (np.log(p[some]) - np.log(q[some]))).sum())


def jensen_shannon(p: FloatArray, q: FloatArray) -> float:
    """Return the Jensen-Shannon divergence in nats, between 0 and log 2."""
    middle: FloatArray = 0.5 * (p + q)
    return 0.5 * (kl_divergence(p, middle) + kl_divergence(q, middle))


def expected_reward(p: FloatArray, log_reward: FloatArray) -> float:
    """Return E_p[R], R = exp(log_reward)."""
    return float((p * np.exp(log_reward)).sum())
