"""A guide through what an object is made of: of the ways to build it, those over parts that good objects share."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from models.gflownet.environments.base import Environment, NotProvided, States
from models.gflownet.training.trajectories import Paths

S = TypeVar("S", bound=States)

LEAST = 1e-5
"""Worth of a part that no other object has."""
MOST_PARTS = 100_000
"""Most states from which an object can be built."""


class Guide(Generic[S]):
    """A law over the trajectories to an object, from the rewards of the others that have its parts.

    A part of x is a state from which x can be built. Its worth is the mean reward of the objects met so far, x left
    out, of which it is a part too. From a state on the way to x the next part c comes with probability proportional to
    worth(c)^sharpness; with equal probability where no part is in any other object.

    Args:
        env: an environment without real variables.
        sharpness: see above.

    Raises:
        NotProvided: the environment has real variables.

    Reference: Shen et al., Towards understanding and improving GFlowNet training, ICML 2023, arXiv:2305.07170.
    """

    def __init__(self, env: Environment[S], sharpness: float = 1.0) -> None:
        if env.continuous:
            raise NotProvided(
                f"The environment {env.kind!r} has real variables: no two objects share a part. Use trajectory_balance."
            )
        self.env, self.sharpness = env, sharpness
        self._terminal: S = env.source(0)
        self._rewards: dict[Hashable, float] = {}
        self._parts: dict[Hashable, frozenset[Hashable]] = {}
        self._sums: dict[Hashable, tuple[float, int]] = {}
        self._children: dict[Hashable, tuple[Hashable, ...]] = {}

    def __len__(self) -> int:
        return len(self._rewards)

    def add(self, terminal: S, log_reward: Tensor) -> None:
        """Take in objects that were met; those that are known are passed over.

        Args:
            terminal: B terminal states.
            log_reward: (B,).
        """
        keys = self.env.keys(terminal)
        first = {key: place for place, key in reversed(list(enumerate(keys))) if key not in self._rewards}
        if not first:
            return
        new = sorted(first.values())
        values = log_reward.detach().double().exp()
        for place in new:
            key, reward = keys[place], float(values[place])
            self._rewards[key] = reward
            for part in self._parts_of(key, terminal[place : place + 1]):
                total, count = self._sums.get(part, (0.0, 0))
                self._sums[part] = (total + reward, count + 1)
        self._terminal = type(terminal).cat([self._terminal, terminal[torch.tensor(new)]])

    def log_prob(self, paths: Paths[S]) -> Tensor:
        """Return (P,) float64: the log-probability of each transition on the way to the end of its trajectory."""
        env = self.env
        ends = env.keys(paths.terminal)
        parts = [self._parts_of(key, paths.terminal[place : place + 1]) for place, key in enumerate(ends)]
        before, after, rows = env.keys(paths.before), env.keys(paths.after), paths.row.tolist()
        out = [
            self._step(self._children_of(before[i], paths.before[i : i + 1]), after[i], ends[row], parts[row])
            for i, row in enumerate(rows)
        ]
        return torch.tensor(out, dtype=torch.float64).log()

    def state(self) -> dict[str, Any]:
        """Return the objects with their rewards."""
        return {"terminal": self._terminal.tensors(), "rewards": list(self._rewards.values())}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self._rewards, self._parts, self._sums = {}, {}, {}
        terminal = type(self._terminal)(**state["terminal"])
        self._terminal = self.env.source(0)
        if state["rewards"]:
            self.add(terminal, torch.tensor(state["rewards"], dtype=torch.float64).log())

    def _step(self, children: Sequence[Hashable], taken: Hashable, end: Hashable, parts: frozenset[Hashable]) -> float:
        """Return the probability of a child among those that are parts of the object at the end."""
        worth = {child: self._worth(child, end) for child in children if child in parts}
        if not any(worth.values()):
            return 1.0 / len(worth)
        scores = {child: math.pow(max(value, LEAST), self.sharpness) for child, value in worth.items()}
        return scores[taken] / math.fsum(scores.values())

    def _worth(self, part: Hashable, end: Hashable) -> float:
        total, count = self._sums.get(part, (0.0, 0))
        if end in self._rewards:  # it has the part too, and is left out
            total, count = total - self._rewards[end], count - 1
        return max(total, 0.0) / count if count > 0 else 0.0

    def _parts_of(self, key: Hashable, terminal: S) -> frozenset[Hashable]:
        known = self._parts.get(key)
        if known is not None:
            return known
        env, front, found = self.env, terminal, {key}
        while len(front):
            row, action = env.backward_mask(front).nonzero(as_tuple=True)
            if not len(row):
                break
            parents = env.backstep(front[row], action)
            new: dict[Hashable, int] = {}
            for place, name in enumerate(env.keys(parents)):
                if name not in found:
                    new.setdefault(name, place)
            found |= new.keys()
            if len(found) > MOST_PARTS:
                raise NotProvided(
                    f"An object of the environment {env.kind!r} can be built from more than {MOST_PARTS:,} states, too "
                    "many for a guide. Use trajectory_balance."
                )
            front = parents[torch.tensor(sorted(new.values()), dtype=torch.int64)]
        self._parts[key] = frozenset(found)
        return self._parts[key]

    def _children_of(self, key: Hashable, state: S) -> tuple[Hashable, ...]:
        known = self._children.get(key)
        if known is None:
            action = self.env.forward_mask(state)[0].nonzero()[:, 0]
            children = self.env.step(state[torch.zeros_like(action)], action)
            known = self._children[key] = tuple(dict.fromkeys(self.env.keys(children)))
        return known
