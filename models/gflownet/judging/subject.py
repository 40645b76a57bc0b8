"""What a sampler file trains on: an environment with a network of its own, or the construction of a space."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.sampler_config import SamplerConfig
from models.gflownet.construction.base import Bound, construction_of
from models.gflownet.construction.plain import tabulated
from models.gflownet.environments.base import Environment
from models.gflownet.judging.exact import StateGraph
from models.gflownet.policies.base import Policy
from models.gflownet.policies.recipes import PolicyRecipe
from models.gflownet.rewards.base import Judged
from models.registry import build, located
from models.spaces.base import BaseSpace

LEAST = 1e-8
"""Reward of what is no object of the space, where the reward itself does not know the space."""


@dataclass(frozen=True)
class Subject:
    """The construction of a space as a sampler trains it.

    Attributes:
        own: the environment of the construction.
        bound: the construction, as a table where it was enumerated and its network reads tables.
        graph: all its states; None: there are too many.
        details: what decides what is trained.
    """

    own: Environment[Any]
    bound: Bound[Any]
    graph: StateGraph[Any] | None
    details: dict[str, Any]

    @property
    def recipe(self) -> PolicyRecipe:
        """What makes the network of the construction."""
        return BoundRecipe(self.bound)


class SpaceReward:
    """Another reward, that tells objects by their texts; what is none of the space has a reward of at most `LEAST`.

    Args:
        reward: of terminal states of the construction's environment.
        bound: the construction.
    """

    def __init__(self, reward: Callable[[Any], Judged], bound: Bound[Any]) -> None:
        self.inner, self._bound = reward, bound

    def __call__(self, states: Any) -> Judged:
        """Judge terminal states."""
        values, _ = self.inner(states)
        objects = self._bound.decode(states)
        outside = torch.tensor([obj is None for obj in objects], dtype=torch.bool, device=values.device)
        return torch.where(outside, values.clamp(max=math.log(LEAST)), values), objects


class BoundRecipe(PolicyRecipe):
    """The network that a construction has for its environment."""

    def __init__(self, bound: Bound[Any]) -> None:
        super().__init__()
        self._bound = bound

    def build(self, env: Environment[Any], generator: torch.Generator, conditions: int = 0) -> Policy[Any]:
        """Return an untrained network.

        Raises:
            ValueError: the network is not made for conditions.
        """
        del env  # the construction's
        return self._bound.policy(conditions=conditions, generator=generator)


def subject_of(config: SamplerConfig, base: Path) -> Subject | None:
    """Return the construction of a sampler file's space; None: the file names an environment.

    Args:
        config: the file.
        base: its folder, where relative paths start.

    Raises:
        ComponentError: a component or an option is unknown, or the space names no construction.
        ValueError: none of the space's objects can be built.
    """
    if config.space is None:
        return None
    space: BaseSpace[Any] = build("space", config.space, base=base)
    spec = None if config.construction is None else located("construction", config.construction, base)
    construction = construction_of(spec, space)
    whole = construction.bind(space)
    bound, graph = tabulated(whole, config.evaluation.max_states)
    details = {
        "space": {**space.config(), "key": space.key()},
        "construction": {**construction.config(), "digest": whole.digest()},
    }
    return Subject(whole.env, bound, graph, details)
