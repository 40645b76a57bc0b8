"""Rewards of terminal states: what the trainer asks, made from a table, a function of objects, or one of tensors.

Every reward is a callable from B terminal states to their log-rewards (B,) float64 and the objects that they are, None
where an object is outside the space.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.records import FloatArray
from models.gflownet.environments.base import Environment
from models.gflownet.environments.sequence import SequenceEnvironment
from models.gflownet.environments.tabulated import IndexStates, Tabulated

Judged = tuple[Tensor, Sequence[Hashable]]
"""Log-rewards (B,) float64 and the objects."""


class EnvironmentReward:
    """The reward that an environment is known for."""

    def __init__(self, env: Environment[Any]) -> None:
        self.env = env

    def __call__(self, states: Any) -> Judged:
        """Judge terminal states.

        Raises:
            NotProvided: the environment has no reward of its own.
        """
        return self.env.log_reward(states).double(), self.env.decode(states)


class TensorReward:
    """A function of the state tensors.

    Args:
        env: the environment of the states.
        function: B terminal states -> (B,) rewards.
        log: whether it returns log-rewards.
        floor: least reward; must be positive where rewards may be 0.
    """

    def __init__(
        self, env: Environment[Any], function: Callable[[Any], Tensor], *, log: bool = False, floor: float = 0.0
    ) -> None:
        self.env, self.function, self.log, self.floor = env, function, log, _checked_floor(floor)

    def __call__(self, states: Any) -> Judged:
        """Judge terminal states.

        Raises:
            ValueError: a reward is not a finite number above 0.
        """
        values = self.function(states).to(states.done.device, torch.float64)
        return _finite(_logarithm(values, self.log, self.floor)), self.env.decode(states)


class ObjectReward:
    """A function of decoded objects; equal objects of a batch are judged once, None never.

    Args:
        env: the environment of the states.
        function: n distinct objects -> (n,) rewards.
        log: whether it returns log-rewards.
        floor: least reward, and the reward of terminal states that are no object of the space.
    """

    def __init__(
        self,
        env: Environment[Any],
        function: Callable[[list[Any]], Sequence[float] | FloatArray],
        *,
        log: bool = False,
        floor: float = 1e-8,
    ) -> None:
        if floor <= 0:
            raise ValueError(f"The floor of a reward of objects must be above 0, got {floor}: its logarithm is taken.")
        self.env, self.function, self.log, self.floor = env, function, log, floor

    def __call__(self, states: Any) -> Judged:
        """Judge terminal states.

        Raises:
            ValueError: the function returned another number of values, or one that is not finite.
        """
        objects = self.env.decode(states)
        known = list(dict.fromkeys(item for item in objects if item is not None))
        values = np.asarray(self.function(known), dtype=np.float64) if known else np.zeros(0)
        if values.shape != (len(known),):
            raise ValueError(
                f"The reward function returned values of shape {values.shape} for {len(known)} objects; expected one "
                "value per object."
            )
        judged = _finite(_logarithm(torch.from_numpy(values), self.log, self.floor)).tolist()
        log_reward = dict(zip(known, judged, strict=True))
        lowest = float(np.log(self.floor))
        out = [lowest if item is None else log_reward[item] for item in objects]
        return torch.tensor(out, dtype=torch.float64, device=states.done.device), objects


class TableReward:
    """R(x) = max(scale (y / max y)^exponent, floor) of strings of one length, y looked up by the number of the string.

    The defaults are those of the TFBind8 task of Shen et al., ICML 2023.

    Args:
        env: sequences of one length, or a table of them.
        table: (V^L,) values, not negative and not all 0; entry number sum_i letter_i V^(L - 1 - i).
        exponent: sharpness.
        scale: largest reward.
        floor: least reward, above 0.

    Raises:
        ValueError: the environment has several lengths, or the table another size or values than expected.
    """

    def __init__(
        self,
        env: Environment[Any],
        table: FloatArray,
        *,
        exponent: float = 3.0,
        scale: float = 10.0,
        floor: float = 1e-3,
    ) -> None:
        self.env = env
        self._base = _sequences(env)
        n = self._base.size**self._base.max_length
        if table.shape != (n,):
            raise ValueError(
                f"The table has the shape {table.shape}; expected ({n},): one value for each of the strings of "
                f"{self._base.max_length} letters of {self._base.letters!r}, in the order of the alphabet."
            )
        if not np.isfinite(table).all() or table.min() < 0 or table.max() <= 0:
            raise ValueError(
                f"Values of a table reward are finite, not negative and not all 0; got {table.min()} to {table.max()}. "
                "Shift or rank them first."
            )
        if scale <= 0 or floor <= 0:
            raise ValueError(f"Scale and floor of a reward must be above 0; got {scale} and {floor}.")
        values = np.maximum(scale * (table / table.max()) ** exponent, floor)
        self.table = torch.from_numpy(np.log(values.astype(np.float64)))

    def number(self, states: Any) -> Tensor:
        """Return (B,) int64: the number of each string in the base of the alphabet."""
        letter: Tensor = own_states(self.env, states).letter
        powers = self._base.size ** torch.arange(letter.shape[1] - 1, -1, -1, device=letter.device)
        return (letter * powers).sum(1)

    def __call__(self, states: Any) -> Judged:
        """Judge terminal states."""
        return self.table.to(states.done.device)[self.number(states)], self.env.decode(states)


class RememberedReward:
    """Another reward, asked once for every terminal state of a table: afterwards a batch is one look-up.

    Args:
        env: the tabulated environment.
        reward: a reward of its states.
    """

    def __init__(self, env: Tabulated, reward: Callable[[IndexStates], Judged]) -> None:
        terminal = env.graph.terminal
        log_reward, objects = reward(IndexStates(torch.ones_like(terminal, dtype=torch.bool), terminal))
        self._log_reward = torch.full((len(env.graph.states),), -torch.inf, dtype=torch.float64)
        self._log_reward[terminal] = log_reward.to("cpu", torch.float64)
        self._objects: list[Hashable] = [None] * len(self._log_reward)
        for place, item in zip(terminal.tolist(), objects, strict=True):
            self._objects[place] = item

    def __call__(self, states: IndexStates) -> Judged:
        """Judge terminal states."""
        index = states.index
        return self._log_reward.to(index.device).take(index), [self._objects[place] for place in index.tolist()]


def own_states(env: Environment[Any], states: Any) -> Any:
    """Return the states themselves; those of the environment behind a table."""
    return env.states(states) if isinstance(env, Tabulated) else states


def _sequences(env: Environment[Any]) -> SequenceEnvironment:
    base = env.base if isinstance(env, Tabulated) else env
    if not isinstance(base, SequenceEnvironment) or base.min_length < base.max_length:
        raise ValueError(
            f"A table reward needs sequences of one length; got {base.config()}. Use the environment 'sequence' with "
            "min_length left out, or a reward of objects."
        )
    return base


def _logarithm(values: Tensor, log: bool, floor: float) -> Tensor:
    lowest = np.log(floor) if floor > 0 else -np.inf
    return (values if log else values.log()).clamp(min=lowest)


def _finite(log_reward: Tensor) -> Tensor:
    if bool(log_reward.isfinite().all()):
        return log_reward
    worst = log_reward[~log_reward.isfinite()][0].item()
    raise ValueError(
        f"A reward has the logarithm {worst}; rewards must be finite numbers above 0. Give a floor above 0, or return "
        "log-rewards (`log=True`)."
    )


def _checked_floor(floor: float) -> float:
    if floor < 0:
        raise ValueError(f"The floor of a reward cannot be negative; got {floor}.")
    return floor
