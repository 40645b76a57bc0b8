"""Sequences letter by letter."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from models.gflownet.construction.base import Construction
from models.gflownet.construction.plain import BoundFlat
from models.gflownet.environments.sequence import SequenceEnvironment, SequenceStates
from models.gflownet.policies.recipes import MLPRecipe
from models.registry import Component
from models.spaces.base import BaseSpace


class Letters(Construction["Letters.Options"]):
    """Sequences letter by letter, by a perceptron; a pattern of the space is judged when a sequence is whole."""

    kind = "letters"
    cites = ("shen2023towards",)
    spaces = ("sequences",)

    class Options(Component.Options):
        """Where letters are put, and the shape of the network."""

        mode: Literal["append", "prepend_append", "insert"] = Field("append", description="Where letters are put.")
        hidden: tuple[PositiveInt, ...] = Field((256, 256), min_length=1, description="Widths of the hidden layers.")

    def bind(self, space: BaseSpace[Any]) -> BoundFlat[SequenceStates]:
        """Return the sequences of a space."""
        env = SequenceEnvironment(
            alphabet=space.letters,  # type: ignore[attr-defined]  # what the space 'sequences' has
            min_length=space.min_length,  # type: ignore[attr-defined]
            max_length=space.max_length,  # type: ignore[attr-defined]
            mode=self.options.mode,
        )
        return BoundFlat(env, space, MLPRecipe(hidden=self.options.hidden))
