"""Replay of a diverse set."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from models.featurisers.base import Featuriser, featuriser_of
from models.gflownet.environments.base import Environment, NotProvided, States
from models.gflownet.exploration.replay import Replay, ReplayOptions

S = TypeVar("S", bound=States)
Features = Callable[[S], Tensor]
"""Terminal states (n) -> (n, F) rows of 0 and 1."""


class DiverseReplay(Replay[S]):
    """The best objects that are pairwise at least `min_distance` apart, each as likely to be drawn.

    A new object enters if it is better than all that are nearer, and takes their place; then none is nearer, and the
    worst of the buffer goes if it is full. Objects of one batch are offered best first. The distance of k-hot features
    is the number of ones of the one state that the other lacks (the Hamming distance of strings and coordinates); that
    of a featuriser, which reads the keys, is one minus the Tanimoto similarity of what it counts.
    """

    kind: ClassVar[str] = "diverse"
    cites: ClassVar[tuple[str, ...]] = ("lahlou2023torchgfn",)

    _features: Features[Any] | None = None
    _counted: Featuriser | None = None

    class Options(ReplayOptions):
        """Capacity and distance."""

        features: str = Field(
            "k_hot",
            description="k_hot: features of the environment, Hamming. Else a featuriser that counts, Tanimoto: "
            "morgan_counts (or morgan) for molecules.",
        )
        min_distance: float | None = Field(
            None, gt=0, description="Least distance of two objects; by default 2 with k_hot, else 0.3."
        )

    def start(self, env: Environment[S], features: Features[S] | None = None) -> Self:
        """Return an empty buffer; `features` stand in for the k-hot ones of the environment.

        Raises:
            NotProvided: the environment has no k-hot features, and no others were given; or nothing is counted.
            ComponentError: there is no such featuriser.
        """
        if features is None and self.options.features == "k_hot" and not env.n_features:
            raise NotProvided(
                f"The replay 'diverse' tells objects apart by k-hot features, and the environment {env.kind!r} has "
                "none. Use `features: morgan` for molecules, give `start` features, or use another kind of replay."
            )
        buffer = super().start(env)
        buffer._features = features
        named = self.options.features
        if named != "k_hot":
            counted = featuriser_of("morgan_counts" if named == "morgan" else named)
            if not counted([]).counts.shape[1]:
                raise NotProvided(f"The replay 'diverse' needs a featuriser that counts; {named!r} makes coordinates.")
            buffer._counted = counted
        return buffer

    @property
    def min_distance(self) -> float:
        """The least distance of two objects."""
        given: float | None = self.options.min_distance
        return given if given is not None else (2.0 if self.options.features == "k_hot" else 0.3)

    def _reset(self, env: Environment[S]) -> None:
        super()._reset(env)
        self._marks = torch.zeros(0, 0)  # (rows, F) features of the objects
        self._best = torch.zeros(0, dtype=torch.float64)  # (rows,) their log-rewards

    def place(self, worth: float, arrival: int) -> float:
        """Return minus the log-reward: the best first."""
        del arrival
        return -worth

    def choose(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n uniform places (n,)."""
        return torch.randint(len(self), (n,), generator=generator)

    def features(self, terminal: S, keys: Sequence[Hashable]) -> Tensor:
        """Return the features (n, F) of terminal states and of the objects they are, float32 on the CPU."""
        if self._features is not None:
            return self._features(terminal).detach().float().cpu()
        if self._counted is not None:
            return torch.from_numpy((self._counted([str(key) for key in keys]).counts > 0).astype(np.float32))
        places = self._env.k_hot(terminal).cpu()
        return torch.zeros(len(terminal), self._env.n_features + 1).scatter_(1, places, 1.0)[:, :-1]

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distances (n, m) of features (n, F) and (m, F)."""
        common = a @ b.T
        if self.options.features == "k_hot":
            return torch.maximum(a.sum(1)[:, None], b.sum(1)) - common
        union = a.sum(1)[:, None] + b.sum(1) - common
        return 1.0 - common / union.clamp(min=1.0)

    def add(self, terminal: S, log_reward: Tensor, keys: Sequence[Hashable]) -> None:
        """Offer terminal states, best first; see the base class."""
        log_reward = log_reward.detach()
        places = list({key: here for here, key in reversed(list(enumerate(keys))) if key not in self._row_of}.values())
        worths = [self._worth(value, key) for value, key in zip(log_reward.tolist(), keys, strict=True)]
        places.sort(key=lambda here: (-worths[here], here))
        if not places:
            return
        index = torch.tensor(places, device=terminal.done.device)
        names, worth = [keys[here] for here in places], torch.tensor([worths[here] for here in places]).double()
        marks = self.features(terminal[index], names)
        near, left = self._near(marks, worth)
        if not len(left):
            return
        source = self._let_in(worth[left].tolist(), [names[i] for i in left.tolist()], near[left], marks[left])
        if source:
            index, marks, worth = index[left.to(index.device)], marks[left], worth[left]
            self._write(terminal[index], log_reward[index], source)
            rows, taken = torch.tensor(list(source)), torch.tensor(list(source.values()))
            self._marks = _longer(self._marks, marks, len(self._rows)).index_copy_(0, rows, marks[taken])
            self._best = _longer(self._best, worth, len(self._rows)).index_copy_(0, rows, worth[taken])

    def _near(self, marks: Tensor, worth: Tensor) -> tuple[Tensor, Tensor]:
        """Return which rows are too near to each of n new objects (n, rows), and the objects that no row keeps out."""
        if not len(self._marks):
            return torch.zeros(len(marks), 0, dtype=torch.bool), torch.arange(len(marks))
        near = self.distance(marks, self._marks) < self.min_distance
        self._best[self._free] = torch.nan  # no comparison with it is true
        near &= ~self._best.isnan()
        return near, (~(near & (self._best >= worth[:, None])).any(1)).nonzero()[:, 0]

    def _let_in(self, worths: list[float], names: list[Hashable], near: Tensor, marks: Tensor) -> dict[int, int]:
        """Decide on objects in turn; return row -> place among them of those that got one."""
        before = self._arrivals
        stored, among = _pairs(near), _pairs(self.distance(marks, marks) < self.min_distance)
        entered: dict[int, tuple[float, int, int]] = {}  # place in the batch -> entry
        for place, (worth, key) in enumerate(zip(worths, names, strict=True)):
            rivals = [e for row in stored.get(place, ()) if (e := self._entries.get(row)) and e[1] < before]
            rivals += [e for other in among[place] if (e := entered.get(other)) and self._entries.get(e[2]) is e]
            if any(-entry[0] >= worth for entry in rivals):
                continue
            for entry in rivals:
                self._drop(entry[2])
            row = self._admit(worth, key)
            if row is not None:
                entered[place] = self._entries[row]
        return {entry[2]: place for place, entry in entered.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        super().load_state(state)
        if len(self):
            self._marks = self.features(self._rows, self.keys)
            self._best = torch.tensor([-place for place, _, _ in self._order], dtype=torch.float64)


def _pairs(near: Tensor) -> dict[int, list[int]]:
    """Return, for each row of a matrix that has any, the columns that are true."""
    found: dict[int, list[int]] = {}
    for row, column in near.nonzero().tolist():
        found.setdefault(row, []).append(column)
    return found


def _longer(values: Tensor, like: Tensor, rows: int) -> Tensor:
    """Return values with at least so many rows, NaN in the new ones."""
    if len(values) >= rows:
        return values
    blank = like.new_full((rows - len(values), *like.shape[1:]), torch.nan)
    return torch.cat([values, blank]) if len(values) else blank
