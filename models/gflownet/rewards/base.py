"""Rewards of terminal states: what the trainer asks, made from a table, a function of objects, or one of tensors.

Every reward is a callable from B terminal states to their log-rewards (B,) float64 and the objects that they are, None
where an object is outside the space.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

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
    """A function of decoded objects, asked once for each; what is known is not asked, and None has the least reward.

    Args:
        decode: terminal states -> their objects, None outside the space.
        log_reward: of n distinct objects, (n,).
        floor: least log-reward, and that of terminal states that are no object of the space.
        known: log-rewards that are known already.
        dtype: of the log-rewards.
    """

    def __init__(
        self,
        decode: Callable[[Any], Sequence[Any]],
        log_reward: Callable[[list[Any]], Sequence[float] | FloatArray],
        *,
        floor: float,
        known: Mapping[Any, float] | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.decode, self.floor, self.known = decode, floor, dict(known or {})
        self._log_reward, self._dtype = log_reward, dtype
        self._values: dict[Any, float] = dict(self.known)

    def __call__(self, states: Any) -> Judged:
        """Judge terminal states.

        Raises:
            ValueError: as `evaluate`.
        """
        objects = list(self.decode(states))
        self.evaluate([item for item in objects if item is not None])
        values = [self.floor if item is None else self._values[item] for item in objects]
        return torch.tensor(values, dtype=self._dtype, device=states.done.device).clamp(min=self.floor), objects

    def remember(self, values: Mapping[Any, float]) -> None:
        """Take in log-rewards that were evaluated before."""
        self._values = {**values, **self._values}

    def evaluate(self, objects: Sequence[Any]) -> FloatArray:
        """Return the log-rewards (n,) of objects, without the floor.

        Raises:
            ValueError: the function returned another number of values.
        """
        new = [item for item in dict.fromkeys(objects) if item not in self._values]
        if new:
            values = np.asarray(self._log_reward(new), dtype=np.float64)
            if values.shape != (len(new),):
                raise ValueError(
                    f"The reward function returned values of shape {values.shape} for {len(new)} objects; expected one "
                    "value per object."
                )
            self._values.update(zip(new, values.tolist(), strict=True))
        return np.array([self._values[item] for item in objects])


class Decoder(Protocol):
    """What knows the objects of terminal states: an environment, or a construction of a space."""

    def decode(self, states: Any, /) -> Sequence[Any]:
        """Return the objects, None outside the space."""


def object_reward(
    env: Decoder,
    function: Callable[[list[Any]], Sequence[float] | FloatArray],
    *,
    log: bool = False,
    floor: float = 1e-8,
) -> ObjectReward:
    """Return the reward of a function of n distinct objects of an environment, (n,).

    Args:
        env: decodes the states.
        function: of the objects.
        log: whether it returns log-rewards.
        floor: least reward, above 0.

    Raises:
        ValueError: the floor is not above 0; when it is asked, a value is not finite.
    """
    if floor <= 0:
        raise ValueError(f"The floor of a reward of objects must be above 0, got {floor}: its logarithm is taken.")

    def log_reward(objects: list[Any]) -> FloatArray:
        values = np.asarray(function(objects), dtype=np.float64)
        logarithms: FloatArray = _finite(_logarithm(torch.from_numpy(values), log, floor)).numpy()
        return logarithms

    return ObjectReward(env.decode, log_reward, floor=float(np.log(floor)))


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
        shape = (len(env.graph.states), *log_reward.shape[1:])
        self._log_reward = torch.full(shape, -torch.inf, dtype=torch.float64)
        self._log_reward[terminal] = log_reward.to("cpu", torch.float64)
        self._objects: list[Hashable] = [None] * len(self._log_reward)
        for place, item in zip(terminal.tolist(), objects, strict=True):
            self._objects[place] = item

    def __call__(self, states: IndexStates) -> Judged:
        """Judge terminal states."""
        index = states.index
        return self._log_reward.to(index.device).index_select(0, index), [
            self._objects[place] for place in index.tolist()
        ]


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
