"""What a replay of terminal states promises, and the buffer that all kinds share."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_left, insort
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.base import Environment, States
from models.registry import Component

S = TypeVar("S", bound=States)
_FIRST_ROWS = 64


class ReplayOptions(Component.Options):
    """Options of every replay."""

    capacity: int = Field(1000, ge=1, description="Most objects that are kept.")


class Replay(Component, Generic[S]):
    """Distinct terminal states with their log-rewards, up to a capacity; drawn again during training.

    A trajectory to a drawn state is sampled backwards anew each time. Objects are kept in an order, the first to stay
    longest: `place` says where an object belongs and `choose` which places a draw takes. `start` makes a buffer.
    Log-rewards are stored as they were given, before any condition: (B,), or (B, K) for K objectives.
    """

    group: ClassVar[str] = "replay"

    class Options(ReplayOptions):
        """The capacity."""

    def start(self, env: Environment[S]) -> Self:
        """Return an empty buffer of this kind for terminal states of an environment."""
        buffer = type(self)(self.options)
        buffer._reset(env)
        return buffer

    def _reset(self, env: Environment[S]) -> None:
        self._env = env
        self._rows: S = env.source(0)
        self._values = torch.zeros(0)
        self._order: list[tuple[float, int, int]] = []  # (place, number of the arrival, row), ascending
        self._entries: dict[int, tuple[float, int, int]] = {}  # row -> what stands for it in the order
        self._names: dict[int, Hashable] = {}
        self._row_of: dict[Hashable, int] = {}
        self._free: list[int] = []
        self._arrivals = 0

    @abstractmethod
    def place(self, worth: float, arrival: int) -> float:
        """Return where an object stands in the order: the least come first, the greatest is the first to go.

        Args:
            worth: its log-reward; the log of the sum of the rewards if there are K objectives.
            arrival: how many objects had been let in before it.
        """

    @abstractmethod
    def choose(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n places (n,) int64 in the order, 0 .. len(self) - 1, with replacement."""

    def __len__(self) -> int:
        return len(self._order)

    @property
    def keys(self) -> list[Hashable]:
        """The objects in order."""
        return [self._names[row] for _, _, row in self._order]

    @property
    def log_reward(self) -> Tensor:
        """The log-rewards (n,) or (n, K) in order."""
        return self._values[self._index()]

    @property
    def terminal(self) -> S:
        """The n terminal states in order."""
        return self._rows[self._index()]

    def _index(self) -> Tensor:
        return torch.tensor([row for _, _, row in self._order], dtype=torch.int64, device=self._rows.done.device)

    def add(self, terminal: S, log_reward: Tensor, keys: Sequence[Hashable]) -> None:
        """Offer terminal states; objects that are in the buffer already are passed over.

        Args:
            terminal: B terminal states.
            log_reward: (B,) or (B, K), before any condition.
            keys: the B objects they are: strings, integers or tuples of them, so that `state` can be saved.

        Raises:
            ValueError: a log-reward is NaN.
        """
        log_reward = log_reward.detach()
        source: dict[int, int] = {}  # row -> place in the batch; the last to take a row has it
        for here, (value, key) in enumerate(zip(log_reward.tolist(), keys, strict=True)):
            if key in self._row_of:
                continue
            row = self._admit(self._worth(value, key), key)
            if row is not None:
                source[row] = here
        if source:
            self._write(terminal, log_reward, source)

    @staticmethod
    def _worth(value: float | list[float], key: Hashable) -> float:
        if isinstance(value, list):
            top = max(value)
            value = top + math.log(math.fsum(math.exp(v - top) for v in value)) if top > -math.inf else top
        if math.isnan(value):
            raise ValueError(f"The log-reward of {key!r} is NaN; a replay needs a number, or minus infinity.")
        return value

    def _admit(self, worth: float, key: Hashable) -> int | None:
        """Return the row that a new object gets, None if it is not let in."""
        place = self.place(worth, self._arrivals)
        if len(self._order) >= self.options.capacity:
            if place >= self._order[-1][0]:
                return None
            self._drop(self._order[-1][2])
        row = self._free.pop() if self._free else len(self._order)
        self._entries[row] = (place, self._arrivals, row)
        insort(self._order, self._entries[row])
        self._arrivals += 1
        self._names[row] = key
        self._row_of[key] = row
        return row

    def _drop(self, row: int) -> None:
        del self._order[bisect_left(self._order, self._entries.pop(row))]
        self._free.append(row)
        del self._row_of[self._names.pop(row)]

    def _write(self, terminal: S, log_reward: Tensor, source: dict[int, int]) -> None:
        device = terminal.done.device
        rows, index = torch.tensor(list(source), device=device), torch.tensor(list(source.values()), device=device)
        self._reserve(terminal, log_reward, max(source) + 1)
        new = terminal[index].tensors()
        for name, field in self._rows.tensors().items():
            field.index_copy_(0, rows, new[name])
        self._values.index_copy_(0, rows, log_reward[index].to(self._values.dtype))

    def _reserve(self, terminal: S, log_reward: Tensor, n: int) -> None:
        """Make room for n rows, twice as many each time; the contents of rows not in use do not matter."""
        if not len(self._rows):
            blank = torch.zeros(min(self.options.capacity, _FIRST_ROWS), dtype=torch.int64, device=terminal.done.device)
            self._rows, self._values = terminal[blank], log_reward[blank]
        while len(self._rows) < n:
            self._rows = type(terminal).cat([self._rows, self._rows])[: self.options.capacity]
            self._values = torch.cat([self._values, self._values])[: self.options.capacity]

    def sample(self, n: int, generator: torch.Generator) -> tuple[S, Tensor]:
        """Draw n terminal states with their log-rewards, (n,) or (n, K), with replacement.

        Raises:
            ValueError: the replay is empty.
        """
        if not len(self):
            raise ValueError("The replay is empty: nothing can be drawn. Add terminal states first.")
        order = self._order
        rows = [order[place][2] for place in self.choose(n, generator).tolist()]
        index = torch.tensor(rows, dtype=torch.int64, device=self._rows.done.device)
        return self._rows[index], self._values[index]

    def state(self) -> dict[str, Any]:
        """Return tensors and keys from which `load_state` restores the buffer: later draws are the same bit for bit."""
        return {
            "terminal": self.terminal.tensors(),
            "log_reward": self.log_reward,
            "keys": self.keys,
            "arrivals": [number for _, number, _ in self._order],
            "arrived": self._arrivals,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: it has more objects than the capacity.
        """
        keys, values = list(state["keys"]), state["log_reward"]
        if len(keys) > self.options.capacity:
            raise ValueError(
                f"The saved replay has {len(keys)} objects, more than the capacity {self.options.capacity}. "
                "Go on with the capacity it was made with."
            )
        self._reset(self._env)
        copies = {name: field.clone() for name, field in state["terminal"].items()}
        self._rows, self._values = type(self._rows)(**copies), values.clone()
        for row, (value, key, number) in enumerate(zip(values.tolist(), keys, state["arrivals"], strict=True)):
            self._order.append((self.place(self._worth(value, key), number), number, row))
        self._entries = {entry[2]: entry for entry in self._order}
        self._names = dict(enumerate(keys))
        self._row_of = {key: row for row, key in enumerate(keys)}
        self._arrivals = state["arrived"]
