"""Any registered environment with a network over its flat actions, and the table of a small one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from data.config import Spec
from data.objects import NotStandardError
from data.records import FloatArray
from models.gflownet.construction.base import Bound, Construction, Member, hash_of
from models.gflownet.environments.base import Environment, NotProvided, States
from models.gflownet.environments.tabulated import IndexStates, Tabulated
from models.gflownet.judging.exact import StateGraph, TooManyStates, enumerate_graph
from models.gflownet.policies.base import Policy
from models.gflownet.policies.recipes import PolicyRecipe
from models.gflownet.policies.uniform import UniformFlat
from models.registry import Component, build
from models.spaces.base import BaseSpace

S = TypeVar("S", bound=States)


class Plain(Construction["Plain.Options"]):
    """Objects that are the texts, or the values, of a registered environment; of any space."""

    kind = "plain"

    class Options(Component.Options):
        """The environment and its network."""

        environment: Spec = Field(description="{kind, option...} of the environment, as in a sampler file.")
        policy: Spec = Field(default={"kind": "mlp"}, description="{kind, option...} of the network.")

    def bind(self, space: BaseSpace[Any]) -> BoundFlat[Any]:
        """Return the environment as it is; objects outside the space have the least reward."""
        env: Environment[Any] = build("environment", self.options.environment)
        recipe: PolicyRecipe = build("policy", self.options.policy)
        if type(env).states_of is Environment.states_of:
            raise ValueError(
                f"The environment {env.kind!r} cannot say how a known object is built, which a campaign needs. "
                "Give it `states_of`, or use another environment."
            )
        return BoundFlat(env, space, recipe)


class BoundFlat(Bound[S], Generic[S]):
    """Objects of an environment with flat actions.

    Args:
        env: the environment; its objects are what `space.value` makes of their texts.
        space: the space.
        recipe: makes the network.
    """

    def __init__(self, env: Environment[S], space: BaseSpace[Any], recipe: PolicyRecipe) -> None:
        self.env, self.space, self._recipe = env, space, recipe
        self.uniform: Policy[S] = UniformFlat(env)
        self.tabular = recipe.reads_tables

    def decode(self, states: S) -> list[str | None]:
        """Return the objects in standard form, None outside the space."""
        return [None if item is None else self._admitted(item) for item in self.env.decode(states)]

    def _admitted(self, item: Any) -> str | None:
        try:
            return self.space.admit(self.text(item))
        except NotStandardError:
            return None

    def text(self, item: Any) -> str:
        """Return the text of an object of the environment.

        Raises:
            NotStandardError: it is no object of the space.
        """
        return self.space.text(item)

    def item(self, obj: str) -> Any:
        """Return an object as the environment has it.

        Raises:
            ValueError: the environment has no such object.
        """
        return self.space.value(obj)

    def members(self, objects: Iterable[str]) -> list[Member]:
        """Return the objects that the environment builds."""
        members, generator = [], torch.Generator().manual_seed(0)
        for obj in objects:
            try:
                state = self.env.states_of([self.item(obj)], generator)
            except ValueError:
                continue
            (name,) = self.decode(state)
            if name is not None:
                members.append(Member(obj, name, state))
        return members

    def states(self, members: Sequence[Member], generator: torch.Generator) -> S:
        """Return terminal states; nothing is drawn here."""
        del generator
        return type(self.env.source(0)).cat([self.env.source(0), *(member.form for member in members)])

    def policy(
        self, *, conditions: int, generator: torch.Generator, env: Environment[Any] | None = None
    ) -> Policy[Any]:
        """Return an untrained network.

        Raises:
            ValueError: the network is not made for this environment, or for conditions.
        """
        return self._recipe.build(self.env if env is None else env, generator, conditions)

    def digest(self) -> str:
        """Return a hash of the environment's options."""
        return hash_of([str(self.env.config())])

    def partial(self, log_reward: Callable[[Sequence[str]], FloatArray]) -> Callable[[S], Tensor] | None:
        """Return the log-reward of unfinished states as objects, 0 where they are none; None where none can stop."""
        if self.env.stop is None:
            return None

        def judged(states: S) -> Tensor:
            names = self.decode(states)
            inside = [name for name in names if name is not None]
            values = dict(zip(inside, log_reward(inside).tolist(), strict=True))
            return torch.tensor(
                [0.0 if name is None else values[name] for name in names],
                dtype=torch.float64,
                device=states.done.device,
            )

        return judged


class BoundTable(Bound[IndexStates]):
    """A construction whose environment is a table of all its states.

    Args:
        bound: the construction itself.
        graph: all its states.
    """

    tabular = True

    def __init__(self, bound: Bound[Any], graph: StateGraph[Any]) -> None:
        self.bound, self.space = bound, bound.space
        self.env: Tabulated = Tabulated(bound.env, graph)
        self.uniform: Policy[IndexStates] = UniformFlat(self.env)
        terminal = graph.terminal
        self._texts: dict[int, str | None] = dict(
            zip(terminal.tolist(), bound.decode(graph.states[terminal]), strict=True)
        )
        self._number: dict[Hashable, int] = {key: place for place, key in enumerate(bound.env.keys(graph.states))}

    def decode(self, states: IndexStates) -> list[str | None]:
        """Return the objects of terminal states."""
        return [self._texts[place] for place in states.index.tolist()]

    def members(self, objects: Iterable[str]) -> list[Member]:
        """Return the objects that the environment builds."""
        return self.bound.members(objects)

    def states(self, members: Sequence[Member], generator: torch.Generator) -> IndexStates:
        """Return terminal states."""
        states = self.bound.states(members, generator)
        index = torch.tensor([self._number[key] for key in self.bound.env.keys(states)], dtype=torch.int64)
        return IndexStates(torch.ones_like(index, dtype=torch.bool), index)

    def policy(
        self, *, conditions: int, generator: torch.Generator, env: Environment[Any] | None = None
    ) -> Policy[Any]:
        """Return an untrained network that reads the table."""
        return self.bound.policy(conditions=conditions, generator=generator, env=env or self.env)

    def digest(self) -> str:
        """Return the hash of the construction itself."""
        return self.bound.digest()

    def partial(self, log_reward: Callable[[Sequence[str]], FloatArray]) -> Callable[[IndexStates], Tensor] | None:
        """Return the log-reward of unfinished states, that of the construction itself."""
        judged = self.bound.partial(log_reward)
        return None if judged is None else lambda states: judged(self.env.states(states))


def tabulated(bound: Bound[Any], limit: int) -> tuple[Bound[Any], StateGraph[Any] | None]:
    """Return a construction as a table with all its states, if there are no more than `limit`; else itself and None.

    A network that reads the states themselves is left with them; it is then only judged on the graph.
    """
    if not limit:
        return bound, None
    try:
        graph = enumerate_graph(bound.env, limit=limit)
    except (TooManyStates, NotProvided):
        return bound, None
    if not bound.tabular:
        return bound, graph
    table = BoundTable(bound, graph)
    return table, table.env.indexed()
