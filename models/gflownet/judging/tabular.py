"""Policies as tables over an enumerated state graph: any trajectories of it, judged by the tables, differentiably.

What objectives see is then exact: at the fixed point of the tables a balance loss is zero, and with all trajectories of
the graph in one batch an expectation is a sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.judging.exact import StateGraph
from models.gflownet.training.trajectories import Paths, Trajectories

S = TypeVar("S", bound=States)


def segment_logsumexp(values: Tensor, index: Tensor, n: int) -> Tensor:
    """Return (n,): the log of the sum of exp(values) (E,) that have the same index (E,); -inf where there is none."""
    top = values.detach().new_full((n,), -torch.inf).scatter_reduce(0, index, values.detach(), "amax")
    some = top > -torch.inf
    total = values.new_zeros(n).index_add(0, index, (values - top[index]).exp())
    return torch.where(some, top + torch.where(some, total, 1.0).log(), -torch.inf)


def forward_policy(graph: StateGraph[Any], logits: Tensor) -> Tensor:
    """Return log P_F of the edges (E,): the softmax of logits (E,) over the edges out of each state."""
    return logits - segment_logsumexp(logits, graph.origin, len(graph.states))[graph.origin]


def backward_policy(env: Environment[S], graph: StateGraph[S], log_prob: Tensor) -> Tensor:
    """Return log P_B of the edges (E,), corrections included, of log-probabilities (V, n_backward) of its states."""
    before = graph.states[graph.origin]
    taken = log_prob[graph.target, env.undo(before, graph.action)]
    return taken + env.log_correction(before, graph.action, graph.states[graph.target]).to(log_prob.dtype)


def edge_numbers(env: Environment[S], graph: StateGraph[S], paths: Paths[S]) -> Tensor:
    """Return (T, B) int64: the number of the edge of each transition, -1 where there is none.

    Raises:
        KeyError: a path leaves the graph.
    """
    number = {key: place for place, key in enumerate(env.keys(graph.states))}
    edge = {pair: e for e, pair in enumerate(zip(graph.origin.tolist(), graph.action.tolist(), strict=True))}
    origin = [number[key] for key in env.keys(paths.before)]
    taken = [edge[pair] for pair in zip(origin, paths.forward.tolist(), strict=True)]
    return paths.pad(torch.tensor(taken) + 1) - 1


def count_trajectories(graph: StateGraph[Any]) -> float:
    """Return the number of complete trajectories."""
    return float(graph.log_paths()[graph.terminal].exp().sum())


def every_trajectory(graph: StateGraph[Any], *, limit: int = 100_000) -> Tensor:
    """Return all complete trajectories, (T, N) int64 numbers of edges, -1 at the end of the shorter ones.

    Raises:
        ValueError: there are more than `limit`.
    """
    n = count_trajectories(graph)
    if n > limit + 0.5:
        raise ValueError(f"The graph has {n:.0f} trajectories; got a limit of {limit}. Take a smaller environment.")
    out: list[list[int]] = [[] for _ in range(len(graph.states))]
    for e, origin in enumerate(graph.origin.tolist()):
        out[origin].append(e)
    target = graph.target.tolist()
    done: list[list[int]] = []
    going: list[tuple[int, list[int]]] = [(0, [])]
    while going:
        state, path = going.pop()
        if path and not out[state]:
            done.append(path)
        going.extend((target[e], [*path, e]) for e in out[state])
    longest = max(len(path) for path in done)
    return torch.tensor([path + [-1] * (longest - len(path)) for path in done]).T.contiguous()


@dataclass(frozen=True)
class Table:
    """A forward policy, a backward policy, flows and a reward on a state graph.

    Attributes:
        graph: the state graph.
        log_pf, log_pb: (E,) of the edges; corrections included in the second.
        log_flow: (V,) of the states; only those of states that are not terminal are read.
        log_reward: (X,) of the terminal states.
        stop: the forward action that stops, if there is one.
        log_prior: (E,) of a prior policy, for objectives that are relative to one.
    """

    graph: StateGraph[Any]
    log_pf: Tensor
    log_pb: Tensor
    log_flow: Tensor
    log_reward: Tensor
    stop: int | None = None
    log_prior: Tensor | None = None

    def trajectories(self, edges: Tensor, log_behaviour: Tensor | None = None) -> Trajectories:
        """Return what objectives see of trajectories, differentiable in the tables; with all fields made.

        `log_stop` and `log_state_reward` are None without a stop action; where a state has no stop they are zero.

        Args:
            edges: (T, B) numbers of edges, -1 at the end of the shorter trajectories.
            log_behaviour: (B,); by default the log-probability under the table's own forward policy.
        """
        alive = edges >= 0
        taken = edges.clamp(min=0)
        origin, target = self.graph.origin[taken], self.graph.target[taken]
        last = taken.gather(0, alive.sum(0, keepdim=True) - 1)[0]
        reward = self.log_reward.new_zeros(len(self.graph.states)).index_put((self.graph.terminal,), self.log_reward)
        log_pf = torch.where(alive, self.log_pf[taken], 0.0)
        stops = self._stops() if self.stop is not None else None
        log_reward = reward[self.graph.target[last]]
        return Trajectories(
            log_pf=log_pf,
            log_pb=torch.where(alive, self.log_pb[taken], 0.0),
            log_flow=torch.where(alive, self.log_flow[origin], 0.0),
            alive=alive,
            log_reward=log_reward,
            condition=log_reward.new_zeros((len(log_reward), 0)),
            log_behaviour=log_pf.detach().sum(0) if log_behaviour is None else log_behaviour,
            log_stop=None if stops is None else torch.where(alive, stops[0][origin], 0.0),
            log_state_reward=None if stops is None else torch.where(alive, stops[1][origin], 0.0),
            log_inflow=torch.where(alive, self.log_inflow()[target], 0.0),
            log_prior=None if self.log_prior is None else torch.where(alive, self.log_prior[taken], 0.0),
            log_guide=torch.where(alive, self.log_pb[taken], 0.0).detach(),
        )

    def log_inflow(self) -> Tensor:
        """Return (V,): log sum F(p) P_F - log sum P_B over the edges into each state; -inf at the source.

        The second term is zero unless corrections are at work: then the inflow of the fixed point is F sum P_B.
        """
        n, target = len(self.graph.states), self.graph.target
        inflow = segment_logsumexp(self.log_flow[self.graph.origin] + self.log_pf, target, n)
        share = segment_logsumexp(self.log_pb, target, n)
        return inflow - torch.where(share > -torch.inf, share, 0.0)

    def _stops(self) -> tuple[Tensor, Tensor]:
        """Return (V,) log P_F(stop | s) and (V,) log R P_B of the edge that stops in s; zero where none does."""
        edge = self.graph.action.eq(-1 if self.stop is None else self.stop).nonzero()[:, 0]
        origin, target = self.graph.origin[edge], self.graph.target[edge]
        reward = self.log_reward.new_zeros(len(self.graph.states)).index_put((self.graph.terminal,), self.log_reward)
        nothing = self.log_pf.new_zeros(len(self.graph.states))
        log_stop = nothing.index_put((origin,), self.log_pf[edge])
        return log_stop, nothing.index_put((origin,), reward[target] + self.log_pb[edge])
