"""Random members of the space: what would be found with no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from data.records import Candidate, Making
from models.protocols import GenerationContext
from models.registry import Component, FolderPath
from models.spaces.base import BaseSpace

if TYPE_CHECKING:
    from models.gflownet.construction.base import Bound


class RandomGenerator(Component["RandomGenerator.Options"]):
    """Random members of the space; nothing is trained.

    Of a space that draws by itself they are its draws; of others, such as molecules, uniform random trajectories of
    their construction.
    """

    group: ClassVar[str] = "generator"
    kind: ClassVar[str] = "random"
    origin: ClassVar[str] = str(Making.DRAWN)

    class Options(Component.Options):
        """Options of the random generator."""

        vocabulary: FolderPath | None = Field(
            None, description="Vocabulary file of the construction 'fragments'; null: the shipped one."
        )
        max_fragments: int | None = Field(None, ge=1, le=64, description="Fragments of the largest molecule; null: 9.")

    def __init__(self, options: RandomGenerator.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._space: BaseSpace[Any] | None = None

    def check(self, space: BaseSpace[Any]) -> None:
        """Make what `fit` needs beside its context.

        Raises:
            ComponentError: nothing says how objects of the space are drawn.
            ValueError: the space is empty, or a file cannot be read.
        """
        if space.random(1, 0) is None:
            self._bound(space)

    def fit(self, context: GenerationContext) -> None:
        """Keep the space.

        Raises:
            ComponentError, ValueError: as `check`.
        """
        self.check(context.space)
        self._space = context.space

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct random members of the space, deterministic under `seed`.

        Raises:
            RuntimeError: `fit` was not called.
        """
        space = self._space
        if space is None:
            raise RuntimeError("The random generator has no space yet; call `fit` or `load_state` before `sample`.")
        drawn = space.random(n, seed)
        if drawn is not None:
            return [Candidate(space.identity(obj), obj, source=self.kind) for obj in drawn]
        import torch

        from models.gflownet.construction.drawing import candidates, draw_objects

        bound = self._bound(space)
        return candidates(draw_objects(bound, bound.uniform, n, torch.Generator().manual_seed(seed)), self.kind)

    def _bound(self, space: BaseSpace[Any]) -> Bound[Any]:
        # Constructions load torch, some seconds, which spaces that draw by themselves need not spend.
        from models.gflownet.construction.base import construction_of

        named = self.options.model_dump(exclude_none=True)
        return construction_of({"kind": "fragments", **named} if named else None, space).bind(space)

    def state(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Keep the space."""
        del state
        self.fit(context)

    def history(self) -> list[dict[str, float]]:
        """Return nothing: nothing is trained."""
        return []


def random_objects(space: BaseSpace[Any], n: int, seed: int) -> list[str]:
    """Return up to n distinct random members of a space, as the generator draws them.

    Raises:
        ComponentError, ValueError: as `RandomGenerator.check`.
    """
    generator = RandomGenerator()
    generator.fit(GenerationContext(space, lambda objects: np.zeros(len(objects)), seed=seed))
    return [candidate.object for candidate in generator.sample(n, seed=seed)]
