"""How a GFlowNet builds the objects of a space: an environment, the policy made for it, and known objects as states."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from data.records import FloatArray
from models.gflownet.environments.base import Environment, States
from models.gflownet.policies.base import Policy
from models.registry import Component, ComponentError, OptionsT, build
from models.spaces.base import BaseSpace, require_space

S = TypeVar("S", bound=States)


@dataclass(frozen=True)
class Member:
    """An object that the environment can build.

    Attributes:
        given: text of the object as it was given.
        object: what `decode` says of it; where the environment builds less than the space tells (molecules without
            stereochemistry), several members have one.
        form: how it is built; only its construction can read it.
    """

    given: str
    object: str
    form: Any


class Bound(ABC, Generic[S]):
    """A construction of the objects of one space.

    Attributes:
        space: the space.
        env: the environment whose terminal states are its objects.
        uniform: the policy that knows nothing: uniform over what is legal.
    """

    space: BaseSpace[Any]
    env: Environment[S]
    uniform: Policy[S]
    tabular: bool = False
    """Whether the policy reads nothing but `k_hot` features, so that the environment may be a table of itself."""

    @abstractmethod
    def decode(self, states: S) -> list[str | None]:
        """Return the text of each terminal state's object, in standard form; None outside the space."""

    @abstractmethod
    def members(self, objects: Iterable[str]) -> list[Member]:
        """Return those of the objects that the environment can build, in order."""

    @abstractmethod
    def states(self, members: Sequence[Member], generator: torch.Generator) -> S:
        """Return terminal states of members; where several are one object, `generator` may draw among them."""

    @abstractmethod
    def policy(
        self, *, conditions: int, generator: torch.Generator, env: Environment[Any] | None = None
    ) -> Policy[Any]:
        """Return an untrained network.

        Args:
            conditions: numbers in the encoded condition; 0 without conditioning.
            generator: source of the initial weights.
            env: a table of the environment, where the policy is to read that.

        Raises:
            ValueError: the shape is impossible.
        """

    @abstractmethod
    def digest(self) -> str:
        """Return a hash of what gives the actions their meaning: networks of equal digests can be exchanged."""

    def partial(self, log_reward: Callable[[Sequence[str]], FloatArray]) -> Callable[[S], Tensor] | None:
        """Return a log-reward of unfinished states (S,), for objectives that look forward; None: there is none.

        Args:
            log_reward: of n objects of the space, (n,).
        """
        return None


class Construction(Component[OptionsT]):
    """Base of constructions; `spaces` says whose objects one builds."""

    group: ClassVar[str] = "construction"

    @abstractmethod
    def bind(self, space: BaseSpace[Any]) -> Bound[Any]:
        """Return the construction of a space's objects.

        Raises:
            ValueError: none of the space's objects can be built.
        """


def construction_of(spec: dict[str, Any] | None, space: BaseSpace[Any]) -> Construction:
    """Return a construction by its `{kind, option...}`, the space's own where that is None.

    Raises:
        ComponentError: it is unknown or for other objects, or the space names none.
    """
    chosen = spec or space.construction
    if chosen is None:
        raise ComponentError(
            f"The space {space.kind!r} does not say how a GFlowNet builds its {space.nouns[1]}. Give a "
            "`construction`, such as {kind: plain, environment: {...}} whose environment makes their texts, or use the "
            "generator 'genetic' or 'random'."
        )
    construction: Construction = build("construction", chosen)
    require_space(construction, space)
    return construction


def hash_of(lines: Iterable[str]) -> str:
    """Return the sha256 of lines of text."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
