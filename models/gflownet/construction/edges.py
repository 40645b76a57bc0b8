"""Directed acyclic graphs edge by edge."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, PositiveInt

from data.config import Spec
from models.gflownet.construction.base import Construction, hash_of
from models.gflownet.construction.plain import BoundFlat
from models.gflownet.environments.dag import DagEnvironment, DagStates
from models.gflownet.policies.recipes import MLPRecipe, PolicyRecipe
from models.registry import Component, build
from models.spaces.base import BaseSpace


class EdgesOfGraphs(Construction["EdgesOfGraphs.Options"]):
    """Graphs edge by edge, in any order; what would close a circle is never added, and any graph may be the end.

    Reference: Deleu et al., Bayesian structure learning with generative flow networks, UAI 2022.
    """

    kind = "edges"
    cites = ("deleu2022bayesian",)
    spaces = ("dags",)

    class Options(Component.Options):
        """Shape of the network."""

        hidden: tuple[PositiveInt, ...] = Field((256, 256), min_length=1, description="Widths of the perceptron.")
        policy: Spec | None = Field(None, description="{kind, option...} of the network; null: a perceptron.")

    def bind(self, space: BaseSpace[Any]) -> BoundEdges:
        """Return the graphs of a space."""
        dags: Any = space
        env = DagEnvironment(nodes=len(dags.variables), score="none", max_parents=dags.max_parents)
        chosen = self.options.policy
        recipe: PolicyRecipe = MLPRecipe(hidden=self.options.hidden) if chosen is None else build("policy", chosen)
        recipe.build(env, torch.Generator())  # refuses what does not fit
        return BoundEdges(env, space, recipe)


class BoundEdges(BoundFlat[DagStates]):
    """Graphs that the environment has as matrices."""

    def text(self, item: tuple[int, ...]) -> str:
        """Return the text of a matrix, row by row."""
        dags: Any = self.space
        n = len(dags.variables)
        return str(dags.written(torch.tensor(item, dtype=torch.bool).view(n, n).numpy()))

    def item(self, obj: str) -> tuple[int, ...]:
        """Return the matrix of a graph, row by row."""
        dags: Any = self.space
        return tuple(dags.matrix(obj).astype(int).ravel().tolist())

    def digest(self) -> str:
        """Return a hash of what decides which edges an action adds."""
        return hash_of([self.env.kind, str(self.env.n_actions), str(self.env.config()["max_parents"])])
