"""Complete trajectories: the transitions that a policy is asked about, and what objectives see of the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.gflownet.policies.backward import BackwardWalk
from models.gflownet.policies.base import Policy

S = TypeVar("S", bound=States)


@dataclass(frozen=True)
class Trajectories:
    """What an objective sees: B trajectories of at most T transitions, padded at the end.

    Attributes:
        log_pf: (T, B) log-probability of each transition, 0 where not alive.
        log_pb: (T, B) log of the backward probability of each transition, corrections included, 0 where not alive.
        log_flow: (T, B) log-flow of the state before each transition; row 0 is log Z. The flow of the terminal state
            is its reward.
        alive: (T, B) bool, whether there is such a transition.
        log_reward: (B,).
        condition: (B, C) what the reward depends on besides the object; C = 0 without conditioning.
    """

    log_pf: Tensor
    log_pb: Tensor
    log_flow: Tensor
    alive: Tensor
    log_reward: Tensor
    condition: Tensor

    def __len__(self) -> int:
        return len(self.log_reward)


@dataclass(frozen=True)
class Paths(Generic[S]):
    """The transitions of B complete trajectories, packed: P transitions in all, in any order.

    Attributes:
        before, after: P states each.
        forward, backward: (P,) int64 actions between them.
        time, row: (P,) int64, place of the transition in its trajectory, and the trajectory, 0 .. B - 1.
        terminal: B terminal states.
    """

    before: S
    after: S
    forward: Tensor
    backward: Tensor
    time: Tensor
    row: Tensor
    terminal: S

    def __len__(self) -> int:
        return len(self.terminal)

    @staticmethod
    def cat(parts: list[Paths[S]]) -> Paths[S]:
        """Join batches of trajectories."""
        offsets = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0).tolist()
        first = parts[0]
        return Paths(
            before=type(first.before).cat([part.before for part in parts]),
            after=type(first.after).cat([part.after for part in parts]),
            forward=torch.cat([part.forward for part in parts]),
            backward=torch.cat([part.backward for part in parts]),
            time=torch.cat([part.time for part in parts]),
            row=torch.cat([part.row + offset for part, offset in zip(parts, offsets, strict=False)]),
            terminal=type(first.terminal).cat([part.terminal for part in parts]),
        )

    def pad(self, values: Tensor) -> Tensor:
        """Spread values of the transitions (P,) to (T, B), 0 where there is none."""
        out = values.new_zeros((int(self.time.max()) + 1, len(self)))
        return out.index_put((self.time, self.row), values)


@dataclass(frozen=True)
class _Leg(Generic[S]):
    before: S
    after: S
    forward: Tensor
    backward: Tensor
    row: Tensor


def _pack(legs: list[_Leg[S]], times: list[Tensor], terminal: S) -> Paths[S]:
    return Paths(
        before=type(terminal).cat([leg.before for leg in legs]),
        after=type(terminal).cat([leg.after for leg in legs]),
        forward=torch.cat([leg.forward for leg in legs]),
        backward=torch.cat([leg.backward for leg in legs]),
        time=torch.cat(times),
        row=torch.cat([leg.row for leg in legs]),
        terminal=terminal,
    )


def _collect(parts: list[tuple[Tensor, S]]) -> S:
    """Put states back in the order of their rows."""
    rows = torch.cat([row for row, _ in parts])
    return type(parts[0][1]).cat([states for _, states in parts])[rows.argsort()]


@torch.no_grad()
def sample_forward(
    env: Environment[S], policy: Policy[S], n: int, generator: torch.Generator, *, epsilon: float = 0.0
) -> Paths[S]:
    """Draw n complete trajectories from the source; finished ones leave the batch."""
    states, row = env.source(n), torch.arange(n)
    legs: list[_Leg[S]] = []
    ended: list[tuple[Tensor, S]] = []
    with policy.frozen():
        while len(row):
            actions = policy.sample(states, generator, epsilon)
            after = env.step(states, actions)
            legs.append(_Leg(states, after, actions, env.undo(states, actions), row))
            if bool(after.done.any()):
                ended.append((row[after.done], after[after.done]))
            states, row = after[~after.done], row[~after.done]
    times = [torch.full_like(leg.row, time) for time, leg in enumerate(legs)]
    return _pack(legs, times, _collect(ended))


@torch.no_grad()
def sample_backward(env: Environment[S], walk: BackwardWalk[S], terminal: S, generator: torch.Generator) -> Paths[S]:
    """Draw one trajectory that ends in each terminal state, from its end."""
    states, row = terminal, torch.arange(len(terminal))
    legs: list[_Leg[S]] = []
    while len(row):
        actions = walk.sample(states, generator)
        before = env.backstep(states, actions)
        legs.append(_Leg(before, states, env.redo(states, actions), actions, row))
        going = ~env.is_source(before)
        states, row = before[going], row[going]
    length = torch.zeros(len(terminal), dtype=torch.int64)
    for leg in legs:
        length[leg.row] += 1
    times = [length[leg.row] - 1 - step for step, leg in enumerate(legs)]
    return _pack(legs, times, terminal)
