"""What an environment promises: batched states, flat actions, masks, and steps in both directions.

The states of an environment form a directed acyclic graph from one source to the terminal states, whose `done` is set.
Where an object may end at several points of a trajectory, an action of its own ("stop") leads to its terminal state;
where all objects have one length, the last building action may do so itself. S is the number of states of a batch.

Actions are integers (S,) int64; in an environment that is `continuous` they are numbers (S,) float64, or rows of m
numbers (S, m), and what a policy says of them are densities. Backward actions are integers, but where the environment
says that they are numbers too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import torch
from torch import Tensor

from models.registry import Component


@dataclass(frozen=True)
class States:
    """A batch of S states: every field is a tensor with first dimension S.

    Attributes:
        done: (S,) bool, whether the state is terminal.
    """

    done: Tensor

    def __len__(self) -> int:
        return len(self.done)

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states by a boolean or integer index `(S',)`, or a slice."""
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """Join batches; an empty sequence is an error."""
        if not parts:
            raise ValueError("There is nothing to join: got no batch of states, expected at least one.")
        return cls(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def tensors(self) -> dict[str, Tensor]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


S = TypeVar("S", bound=States)


class NotProvided(TypeError):
    """The environment does not have what was asked of it; the message says what could be used instead."""


class Environment(Component, Generic[S]):
    """A graph of states with flat integer actions. Subclasses set `n_actions` and `n_backward`."""

    group: ClassVar[str] = "environment"
    n_actions: int
    """Forward actions; 0 .. n_actions - 1."""
    n_backward: int
    """Backward actions; 0 .. n_backward - 1."""
    stop: int | None = None
    """The forward action that ends a trajectory where it stands; None where there is none."""
    every_state_stops: bool = False
    """Whether `stop` is legal in every state that is not terminal."""
    n_features: int = 0
    """Values of `k_hot`; 0 where the environment has no such features."""
    distance: ClassVar[Literal["tanimoto", "hamming", "overlap", "angular"]] = "hamming"
    """How far apart its objects are: of molecules, by place, by what they have in common, whatever its order, or of
    angles."""
    continuous: bool = False
    """Whether actions are float64 numbers with densities: there is no forward mask, and nothing can be enumerated."""
    continuous_backward: bool = False
    """Whether backward actions are numbers with densities too: a backward policy then has a law of them, not logits,
    and there is no backward mask."""
    log_partition: float | None = None
    """Log of the sum or integral of the environment's own reward, where it is known."""
    small: ClassVar[Mapping[str, Any]] = {}
    """Options of an instance small enough to enumerate, for the exact test matrix."""

    def to(self, device: torch.device | str) -> Self:
        """Move the tables of the environment to a device, in place; its states then start there."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    @abstractmethod
    def source(self, n: int) -> S:
        """Return n copies of the source state."""

    @abstractmethod
    def forward_mask(self, states: S) -> Tensor:
        """Return (S, n_actions) bool: the legal actions; all false exactly where `done`."""

    @abstractmethod
    def backward_mask(self, states: S) -> Tensor:
        """Return (S, n_backward) bool: one true entry per true parent edge; all false exactly at the source."""

    @abstractmethod
    def step(self, states: S, actions: Tensor) -> S:
        """Take legal forward actions (S,) int64."""

    @abstractmethod
    def backstep(self, states: S, actions: Tensor) -> S:
        """Take legal backward actions (S,) int64."""

    @abstractmethod
    def undo(self, states: S, actions: Tensor) -> Tensor:
        """Return the backward actions (S,) that lead from `step(states, actions)` back to `states`."""

    @abstractmethod
    def redo(self, states: S, actions: Tensor) -> Tensor:
        """Return the forward actions (S,) that lead from `backstep(states, actions)` to `states`."""

    @abstractmethod
    def keys(self, states: S) -> list[Hashable]:
        """Return the identity of each state: equal exactly for states with the same future and past."""

    @abstractmethod
    def decode(self, states: S) -> list[Any]:
        """Return the object of each terminal state; None for an object that is not in the space."""

    def states_of(self, objects: Sequence[Any], generator: torch.Generator) -> S:
        """Return terminal states of objects, as `decode` gives them; of several states of one, `generator` draws.

        Raises:
            NotProvided: the environment cannot say how an object is built.
            ValueError: it does not build one of them.
        """
        raise NotProvided(f"The environment {self.kind!r} cannot say how an object is built.")

    def grid(self, cells: int) -> S | None:
        """Return terminal states at the midpoints of up to `cells` equal cells of the space; None: there is no grid."""
        del cells
        return None

    def codes(self, states: S) -> Tensor:
        """Return (S,) int64 that are equal exactly where `keys` are equal, within this call."""
        number: dict[Hashable, int] = {}
        values = [number.setdefault(key, len(number)) for key in self.keys(states)]
        return torch.tensor(values, dtype=torch.int64, device=states.done.device)

    def k_hot(self, states: S) -> Tensor:
        """Return (S, K) int64: the places of the ones in the 0/1 features of a state, `n_features` where fewer than K.

        Raises:
            NotProvided: states have no such features; use a policy that reads the states themselves.
        """
        raise NotProvided(f"The environment {self.kind!r} has no k-hot features; use a policy made for its states.")

    def log_paths(self, states: S) -> Tensor:
        """Return (S,) float64: the log of the number of trajectories from the source to each state.

        Raises:
            NotProvided: there is no closed form; tabulate the environment if it is small.
        """
        raise NotProvided(
            f"The environment {self.kind!r} cannot count the trajectories to a state in closed form; tabulate it "
            "(`Tabulated`) if it is small enough to enumerate, or use another backward policy."
        )

    def log_reward(self, states: S) -> Tensor:
        """Return (S,): the log-reward of the benchmark that the environment is known for.

        Raises:
            NotProvided: there is none; give the trainer a reward.
        """
        raise NotProvided(f"The environment {self.kind!r} has no reward of its own; give the trainer one.")

    def log_partial(self, states: S) -> Tensor:
        """Return (S,): a log-reward of states that are not terminal, for forward-looking objectives.

        Raises:
            NotProvided: there is none; give the trainer one (any function of the state is sound).
        """
        raise NotProvided(
            f"The environment {self.kind!r} has no reward of unfinished states; give the trainer `partial`, any "
            "function of the state, or use an objective that does not look forward."
        )

    def log_correction(self, states: S, actions: Tensor, following: S) -> Tensor:
        """Return (S,): what to add to log P_B of the edges `states -> following` where states stand for many.

        Zero for environments whose states are the objects themselves. Where several terminal states are the same
        object, the corrections make the weights of all complete trajectories of one object sum to one.
        """
        del actions, following
        return torch.zeros(len(states), device=states.done.device)

    def is_source(self, states: S) -> Tensor:
        """Return (S,) bool: no backward action is left."""
        return ~self.backward_mask(states).any(1)
