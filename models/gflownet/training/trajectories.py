"""Complete trajectories: the transitions that a policy is asked about, and what objectives see of the answers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from models.gflownet.environments.base import Environment, States
from models.gflownet.policies.backward import BackwardWalk
from models.gflownet.policies.base import ON_POLICY, Exploration, Policy

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
        log_behaviour: (B,) log-probability of each trajectory under the law it was drawn from, no gradient; NaN where
            that is not known (replay).
        log_stop: (T, B) log P_F(stop | state before each transition), 0 where not alive; None if not asked for.
        log_state_reward: (T, B) log-reward of the state before each transition, were it to stop there; None likewise.
        log_inflow: (T, B) log of the flow into the state after each transition: sum over its parents p of F(p) P_F,
            which equals the flow of that state in the fixed point; None likewise.
        log_prior: (T, B) log-probability of each transition under the prior policy, 0 where not alive; None likewise.
        log_guide: (T, B) log-probability of each transition on the way to the object under a guide; None likewise.
    """

    log_pf: Tensor
    log_pb: Tensor
    log_flow: Tensor
    alive: Tensor
    log_reward: Tensor
    condition: Tensor
    log_behaviour: Tensor
    log_stop: Tensor | None = None
    log_state_reward: Tensor | None = None
    log_inflow: Tensor | None = None
    log_prior: Tensor | None = None
    log_guide: Tensor | None = None

    def __len__(self) -> int:
        return len(self.log_reward)

    @property
    def next_flow(self) -> Tensor:
        """(T, B) log-flow of the state after each transition: the reward where it is terminal, 0 where not alive."""
        last = self.alive & ~torch.cat([self.alive[1:], torch.zeros_like(self.alive[:1])])
        ahead = torch.cat([self.log_flow[1:], torch.zeros_like(self.log_flow[:1])])
        return torch.where(last, self.log_reward.to(ahead.dtype), ahead) * self.alive


@dataclass(frozen=True)
class Scores:
    """What policies say of B trajectories of at most T transitions, each (T, B) and 0 where not alive.

    Attributes:
        log_pf: log-probability of each transition.
        log_pb: log of its backward probability, corrections included.
        log_flow: the network's log-flow of the state before it.
        alive: (T, B) bool, whether there is such a transition.
    """

    log_pf: Tensor
    log_pb: Tensor
    log_flow: Tensor
    alive: Tensor

    @staticmethod
    def join(parts: list[Scores]) -> Scores:
        """Put batches of trajectories side by side."""
        longest = max(len(part.alive) for part in parts)

        def side_by_side(name: str) -> Tensor:
            values = [getattr(part, name) for part in parts]
            return torch.cat([functional.pad(value, (0, 0, 0, longest - len(value))) for value in values], 1)

        return Scores(*(side_by_side(field.name) for field in fields(Scores)))


@dataclass(frozen=True)
class Paths(Generic[S]):
    """The transitions of B complete trajectories, packed: P transitions in all, in any order.

    Attributes:
        before, after: P states each.
        forward, backward: (P,) int64 actions between them; (P,) or (P, m) float64 where they are numbers.
        time, row: (P,) int64, place of the transition in its trajectory, and the trajectory, 0 .. B - 1.
        terminal: B terminal states.
        log_behaviour: (B,) log-probability of each trajectory when it was drawn; NaN where not known.
        condition: (B, C), or None without conditioning.
    """

    before: S
    after: S
    forward: Tensor
    backward: Tensor
    time: Tensor
    row: Tensor
    terminal: S
    log_behaviour: Tensor
    condition: Tensor | None = None

    def __len__(self) -> int:
        return len(self.terminal)

    @property
    def conditions(self) -> Tensor | None:
        """(P, C) the condition of each transition, or None."""
        return None if self.condition is None else self.condition[self.row]

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
            log_behaviour=torch.cat([part.log_behaviour for part in parts]),
            condition=None if first.condition is None else torch.cat([part.condition for part in parts]),  # type: ignore[misc]
        )

    def pad(self, values: Tensor) -> Tensor:
        """Spread values of the transitions (P,) to (T, B), 0 where there is none."""
        out = values.new_zeros((int(self.time.max()) + 1, len(self)))
        return out.index_put((self.time, self.row), values)


@dataclass(frozen=True)
class Leg(Generic[S]):
    """One step of some trajectories: `row` (P,) says which."""

    before: S
    after: S
    forward: Tensor
    backward: Tensor
    row: Tensor


def pack(
    legs: list[Leg[S]], times: list[Tensor], terminal: S, log_behaviour: Tensor, condition: Tensor | None = None
) -> Paths[S]:
    """Join steps into trajectories; `times` has the place of each step in its trajectory."""
    return Paths(
        before=type(terminal).cat([leg.before for leg in legs]),
        after=type(terminal).cat([leg.after for leg in legs]),
        forward=torch.cat([leg.forward for leg in legs]),
        backward=torch.cat([leg.backward for leg in legs]),
        time=torch.cat(times),
        row=torch.cat([leg.row for leg in legs]),
        terminal=terminal,
        log_behaviour=log_behaviour,
        condition=condition,
    )


def _collect(parts: list[tuple[Tensor, S]]) -> S:
    """Put states back in the order of their rows."""
    rows = torch.cat([row for row, _ in parts])
    return type(parts[0][1]).cat([states for _, states in parts])[rows.argsort()]


@torch.no_grad()
def sample_forward(
    env: Environment[S],
    policy: Policy[S],
    n: int,
    generator: torch.Generator,
    *,
    exploration: Exploration = ON_POLICY,
    condition: Tensor | None = None,
    start: S | None = None,
) -> Paths[S]:
    """Draw n complete trajectories from the source, or from n states to start at; finished ones leave the batch."""
    states = env.source(n) if start is None else start
    row = torch.arange(n, device=states.done.device)
    log_behaviour = torch.zeros(n, dtype=torch.float64, device=row.device)
    legs: list[Leg[S]] = []
    ended: list[tuple[Tensor, S]] = []
    with policy.frozen():
        while len(row):
            here = None if condition is None else condition[row]
            actions, log_prob = policy.sample(states, generator, exploration, here)
            log_behaviour[row] += log_prob
            after = env.step(states, actions)
            legs.append(Leg(states, after, actions, env.undo(states, actions), row))
            if bool(after.done.any()):
                ended.append((row[after.done], after[after.done]))
            states, row = after[~after.done], row[~after.done]
    times = [torch.full_like(leg.row, time) for time, leg in enumerate(legs)]
    return pack(legs, times, _collect(ended), log_behaviour, condition)


@torch.no_grad()
def sample_backward(
    env: Environment[S],
    walk: BackwardWalk[S],
    terminal: S,
    generator: torch.Generator,
    *,
    condition: Tensor | None = None,
) -> Paths[S]:
    """Draw one trajectory that ends in each terminal state, from its end."""
    states, row = terminal, torch.arange(len(terminal), device=terminal.done.device)
    legs: list[Leg[S]] = []
    while len(row):
        actions = walk.sample(states, generator, None if condition is None else condition[row])
        before = env.backstep(states, actions)
        legs.append(Leg(before, states, env.redo(states, actions), actions, row))
        going = ~env.is_source(before)
        states, row = before[going], row[going]
    length = torch.zeros(len(terminal), dtype=torch.int64, device=terminal.done.device)
    for leg in legs:
        length[leg.row] += 1
    times = [length[leg.row] - 1 - step for step, leg in enumerate(legs)]
    unknown = torch.full((len(terminal),), torch.nan, dtype=torch.float64, device=length.device)
    return pack(legs, times, terminal, unknown, condition)
