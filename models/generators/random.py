"""Random members of the space: what would be found with no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from data.records import Candidate
from models.gflownet.policies.uniform import UniformFragments
from models.gflownet.rewards.molecules import candidates, draw_molecules, space_environment
from models.protocols import GenerationContext
from models.registry import Component, FolderPath
from models.spaces.base import BaseSpace
from models.spaces.molecules import of_molecules


class RandomGenerator(Component["RandomGenerator.Options"]):
    """Random members of the space; nothing is trained.

    Of a space that draws by itself they are draws of it. Molecules are uniform random trajectories in the environment
    of fragments.
    """

    group: ClassVar[str] = "generator"
    kind: ClassVar[str] = "random"

    class Options(Component.Options):
        """Options of the random generator."""

        vocabulary: FolderPath | None = Field(None, description="Vocabulary file of molecules; null: the shipped one.")
        max_fragments: int = Field(9, ge=1, le=64, description="Fragments of the largest molecule.")

    def __init__(self, options: RandomGenerator.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._context: GenerationContext | None = None

    def check(self, space: BaseSpace[Any]) -> None:
        """Make what `fit` needs beside its context.

        Raises:
            VocabularyError: the vocabulary cannot be read.
            ValueError: the space is empty.
        """
        if space.random(1, 0) is None:
            space_environment(of_molecules(space), self.options.vocabulary, self.options.max_fragments)

    def fit(self, context: GenerationContext) -> None:
        """Keep the context.

        Raises:
            ValueError: the space is empty.
        """
        self.check(context.space)
        self._context = context

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct random members of the space, deterministic under `seed`.

        Raises:
            RuntimeError: `fit` was not called.
        """
        if self._context is None:
            raise RuntimeError("The random generator has no space yet; call `fit` or `load_state` before `sample`.")
        space = self._context.space
        drawn = space.random(n, seed)
        if drawn is not None:
            return [Candidate(id=space.identity(obj), object=obj, source=self.kind) for obj in drawn]
        env = space_environment(of_molecules(space), self.options.vocabulary, self.options.max_fragments)
        generator = torch.Generator().manual_seed(seed)
        return candidates(draw_molecules(env, UniformFragments(env), n, generator), self.kind)

    def state(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Keep the context."""
        del state
        self.fit(context)

    def history(self) -> list[dict[str, float]]:
        """Return nothing: nothing is trained."""
        return []


def random_objects(space: BaseSpace[Any], n: int, seed: int) -> list[str]:
    """Return up to n distinct random members of a space, as the generator draws them.

    Raises:
        ValueError: the space is empty.
    """
    generator = RandomGenerator()
    generator.fit(GenerationContext(space, lambda objects: np.zeros(len(objects)), seed=seed))
    return [candidate.object for candidate in generator.sample(n, seed=seed)]
