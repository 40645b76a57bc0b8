"""Back-and-forth local search: undo the last steps of good objects and take others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.policies.backward import BackwardWalk
from models.gflownet.policies.base import ON_POLICY, Policy
from models.gflownet.training.trajectories import Leg, Paths, pack, sample_backward
from models.registry import Options

S = TypeVar("S", bound=States)
Accept = Literal["greedy", "metropolis_hastings", "barker"]


class LocalSearchOptions(Options):
    """How much to search; the arguments of `local_search` by name."""

    iterations: int = Field(7, ge=1, description="Proposals per trajectory.")
    depth: int | float = Field(3, gt=0, description="Steps back: a whole number, or a share of the length below 1.")
    accept: Accept = Field("greedy", description="greedy, metropolis_hastings or barker.")


@dataclass(frozen=True)
class Proposal(Generic[S]):
    """One tried trajectory per chain: training data whether accepted or not.

    Attributes:
        paths: B complete trajectories; `log_behaviour` is NaN.
        log_reward: (B,) of their ends.
        keys: the B objects, as the reward named them.
        accepted: (B,) bool, whether the chain moved there.
    """

    paths: Paths[S]
    log_reward: Tensor
    keys: Sequence[Hashable]
    accepted: Tensor


@dataclass(frozen=True)
class LocalSearch(Generic[S]):
    """What a search did: every proposal in turn, and where the B chains ended, with log-rewards (B,)."""

    proposals: list[Proposal[S]]
    terminal: S
    log_reward: Tensor


@torch.no_grad()
def local_search(
    env: Environment[S],
    policy: Policy[S],
    walk: BackwardWalk[S],
    paths: Paths[S],
    log_reward: Tensor,
    reward: Callable[[S], tuple[Tensor, Sequence[Hashable]]],
    generator: torch.Generator,
    *,
    iterations: int = 7,
    depth: int | float = 3,
    accept: Accept = "greedy",
) -> LocalSearch[S]:
    """Improve trajectories: K steps back with P_B, forward again with P_F, accept or stay, and again.

    Kim et al., Local search GFlowNets, ICLR 2024, arXiv:2310.02710. With q(x -> x') = P_B(old end | x) P_F(new end):
    `greedy` accepts if R' > R; `metropolis_hastings` with probability min(1, r), r = R' q(x' -> x) / (R q(x -> x'));
    `barker` with r / (1 + r), the rule of the authors' code. The last two leave the law R / Z unchanged. A proposal
    whose way back would have another depth (lengths may vary) has q(x' -> x) = 0 and is refused by these two. Where the
    environment corrects P_B for symmetry, r contains the corrections; the law is then exact if the sum of corrections
    is the same for all trajectories to a state.

    The start of a trajectory is drawn anew from P_B with the steps back, so that it is distributed as the end demands.

    Args:
        env: the environment.
        policy: P_F; no exploration is added.
        walk: P_B.
        paths: B trajectories whose ends the chains start from; their condition, if any, stays with them.
        log_reward: (B,) of these ends, under the condition.
        reward: terminal states (B) -> log-rewards (B,) under the conditions of the chains, and objects.
        generator: source of all randomness.
        iterations: proposals per trajectory.
        depth: steps back, at most to the source; a number below 1 is a share of the length, rounded up.
        accept: the rule.

    Raises:
        ValueError: no iteration, or no step back.
    """
    if iterations < 1 or depth <= 0 or (depth > 1 and depth != int(depth)):
        raise ValueError(
            f"A local search needs at least one iteration and a depth that is a whole number of steps or a share below "
            f"1; got {iterations} iterations and depth {depth}."
        )
    terminal, proposals = paths.terminal, []
    with policy.frozen():
        for _ in range(iterations):
            old = sample_backward(env, walk, terminal, generator, condition=paths.condition)
            cut = _cut(old, depth)
            new = _retake(env, policy, old, cut, generator)
            value, keys = reward(new.terminal)
            value = value.to(log_reward.dtype)
            accepted = value > log_reward
            if accept != "greedy":
                odds = value.double() - log_reward.double() + _log_ratio(env, policy, walk, old, new, cut)
                odds = odds.masked_fill(_cut(new, depth) != cut, -torch.inf)
                accepted = _decide(odds, accept, generator)
            proposals.append(Proposal(new, value, keys, accepted))
            here = torch.arange(len(terminal), device=accepted.device)
            terminal = type(terminal).cat([terminal, new.terminal])[here + len(here) * accepted]
            log_reward = torch.where(accepted, value, log_reward)
    return LocalSearch(proposals, terminal, log_reward)


def _cut(paths: Paths[S], depth: int | float) -> Tensor:
    """Return (B,) the time of the first transition that is undone."""
    length = torch.zeros(len(paths), dtype=torch.int64, device=paths.row.device)
    length.index_add_(0, paths.row, torch.ones_like(paths.row))
    # A share such as 0.1 of 10 must not be rounded up to 2.
    back = (length * depth - 1e-9).ceil().long() if depth < 1 else torch.full_like(length, int(depth))
    return (length - back.clamp(min=1)).clamp(min=0)


def _retake(env: Environment[S], policy: Policy[S], old: Paths[S], cut: Tensor, generator: torch.Generator) -> Paths[S]:
    """Follow trajectories up to the cut and then the policy to the end."""
    kept = old.time < cut[old.row]
    legs = [Leg(old.before[kept], old.after[kept], old.forward[kept], old.backward[kept], old.row[kept])]
    times = [old.time[kept]]
    at = (old.time == cut[old.row]).nonzero()[:, 0]
    states, row = old.before[at], old.row[at]
    ended: list[tuple[Tensor, S]] = []
    step = 0
    while len(row):
        here = None if old.condition is None else old.condition[row]
        actions, _ = policy.sample(states, generator, ON_POLICY, here)
        after = env.step(states, actions)
        legs.append(Leg(states, after, actions, env.undo(states, actions), row))
        times.append(cut[row] + step)
        ended.append((row[after.done], after[after.done]))
        states, row, step = after[~after.done], row[~after.done], step + 1
    order = torch.cat([rows for rows, _ in ended]).argsort()
    terminal = type(states).cat([done for _, done in ended])[order]
    return pack(legs, times, terminal, torch.full_like(old.log_behaviour, torch.nan), old.condition)


def _log_ratio(
    env: Environment[S], policy: Policy[S], walk: BackwardWalk[S], old: Paths[S], new: Paths[S], cut: Tensor
) -> Tensor:
    """Return (B,) log q(x' -> x) - log q(x -> x'), float64."""
    balance = torch.zeros(len(cut), dtype=torch.float64, device=cut.device)
    for paths, sign in ((new, 1.0), (old, -1.0)):
        end = paths.time >= cut[paths.row]
        before, after, row = paths.before[end], paths.after[end], paths.row[end]
        condition = None if paths.condition is None else paths.condition[row]
        log_pf = policy.score(before, paths.forward[end], None, condition).log_pf.double()
        log_pb = walk.chosen(after, paths.backward[end], condition).double()
        log_pb = log_pb + env.log_correction(before, paths.forward[end], after).double()
        balance.index_add_(0, row, sign * (log_pb - log_pf))
    return balance


def _decide(odds: Tensor, accept: Accept, generator: torch.Generator) -> Tensor:
    """Return (B,) bool, true with probability min(1, r) or r / (1 + r) of log-ratios (B,)."""
    chance = odds.sigmoid() if accept == "barker" else odds.clamp(max=0.0).exp()
    return torch.rand(len(odds), generator=generator, dtype=torch.float64).to(chance.device) < chance
