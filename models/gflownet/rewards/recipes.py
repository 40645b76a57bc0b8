"""Rewards by name: the environment's own, a public table, or a function that the user wrote."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator

from data.tables.obtain import load_tfbind8
from data.tables.public_tables import TABLES
from models.gflownet.construction.base import Bound
from models.gflownet.environments.base import Environment
from models.gflownet.environments.sequence import SequenceEnvironment
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.rewards.base import EnvironmentReward, Judged, TableReward, object_reward
from models.gflownet.rewards.user_function import UserFunction, function_name
from models.registry import Component


class RewardRecipe(Component):
    """Makes the reward of terminal states."""

    group: ClassVar[str] = "reward"

    @abstractmethod
    def build(self, env: Environment[Any], *, home: Path, base: Path) -> Callable[[Any], Judged]:
        """Return the reward.

        Args:
            env: the environment of the states.
            home: folder of the workspace, which has the public tables.
            base: folder of the sampler file, where modules of the user are looked for first.

        Raises:
            ValueError: the reward does not fit the environment.
        """

    def of(self, bound: Bound[Any]) -> Self:
        """Return the reward of a space's objects as `bound` builds them; it is built for `bound.env` afterwards."""
        del bound
        return self

    def version(self, base: Path) -> str:
        """Return what, besides the options, makes this reward this reward."""
        del base
        return ""


class EnvironmentRewardRecipe(RewardRecipe):
    """The reward of the benchmark that the environment is known for."""

    kind: ClassVar[str] = "environment"

    def build(self, env: Environment[Any], *, home: Path, base: Path) -> Callable[[Any], Judged]:
        """Return the reward.

        Raises:
            ValueError: the environment has none.
        """
        del home, base
        own = env.base if isinstance(env, Tabulated) else env
        if type(own).log_reward is Environment.log_reward:
            raise ValueError(
                f"The environment {own.kind!r} has no reward of its own. Give one: reward: {{kind: python, function: "
                '"module:function"}, a function from a list of objects to a list of rewards.'
            )
        return EnvironmentReward(env)


class TableRewardRecipe(RewardRecipe):
    """R(x) = max(scale (y / max y)^exponent, floor), y looked up in a public table that `discover data` obtains."""

    kind: ClassVar[str] = "table"
    cites: ClassVar[tuple[str, ...]] = ("shen2023towards",)

    class Options(Component.Options):
        """Which table, and how sharp."""

        name: Literal["tfbind8"] = Field("tfbind8", description="Table, obtained by `discover data NAME`.")
        exponent: float = Field(3.0, gt=0, description="Sharpness.")
        scale: float = Field(10.0, gt=0, description="Largest reward.")
        floor: float = Field(1e-3, gt=0, description="Least reward.")

    def build(self, env: Environment[Any], *, home: Path, base: Path) -> Callable[[Any], Judged]:
        """Return the reward.

        Raises:
            ObtainError: the table is not in the workspace; the message has the command.
            ValueError: the environment does not make the strings of the table.
        """
        del base
        own = env.base if isinstance(env, Tabulated) else env
        letters = own.letters if isinstance(own, SequenceEnvironment) else ""
        if letters != "ACGT" or not isinstance(own, SequenceEnvironment) or {own.min_length, own.max_length} != {8}:
            raise ValueError(
                "The table tfbind8 is of strings of 8 letters out of A, C, G, T, in this order; got the environment "
                f"{own.config()}. Use {{kind: sequence, alphabet: ACGT, max_length: 8}}."
            )
        values = self.options.model_dump(exclude={"name"})
        return TableReward(env, load_tfbind8(home), **values)

    def version(self, base: Path) -> str:
        """Return the sha256 of the table."""
        del base
        return TABLES[self.options.name].table_sha256


class PythonRewardRecipe(RewardRecipe):
    """A function of the user, from a list of distinct objects to a list of their rewards.

    Objects of a space are what a campaign's Python function gets: a text, numbers and words by name, or names.
    The module is looked for beside the sampler file first, then among what is installed. It runs in this process.
    """

    kind: ClassVar[str] = "python"
    _bound: Bound[Any] | None = None

    class Options(Component.Options):
        """Which function, and what it returns."""

        function: str = Field(description="module:function, from a list of objects to a list of rewards.")
        log: bool = Field(False, description="Whether it returns log-rewards.")
        floor: float = Field(1e-8, gt=0, description="Least reward, also of what is no object of the space.")

        @field_validator("function")
        @classmethod
        def _module_and_function(cls, text: str) -> str:
            return function_name(text, "my_reward:reward")

    def of(self, bound: Bound[Any]) -> Self:
        """Return the reward of a space's objects."""
        made = type(self)(self.options)
        made._bound = bound
        return made

    def build(self, env: Environment[Any], *, home: Path, base: Path) -> Callable[[Any], Judged]:
        """Return the reward.

        Raises:
            ValueError: there is no such module or function.
        """
        del home
        function = UserFunction(self.options.function, base, "reward").load()
        asked, bound = self._guarded(function), self._bound
        how = {"log": self.options.log, "floor": self.options.floor}
        if bound is None:
            return object_reward(env, asked, **how)
        return object_reward(bound, lambda texts: asked([bound.space.value(text) for text in texts]), **how)

    def _guarded(self, function: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
        """Return the function; what it raises names it and what it was asked."""

        def asked(objects: list[Any]) -> Any:
            try:
                return function(objects)
            except Exception as error:
                raise ValueError(
                    f"The reward function {self.options.function} raised {type(error).__name__}: {error} for "
                    f"{len(objects)} objects, the first being {objects[0]!r}. It must answer for every object."
                ) from error

        return asked

    def version(self, base: Path) -> str:
        """Return the sha256 of the module's source: a reward that was changed is another reward."""
        return UserFunction(self.options.function, base, "reward").sha256()
