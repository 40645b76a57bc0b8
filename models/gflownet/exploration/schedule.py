"""Values that change over the course of training: epsilon, temperature, learning rates."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from models.registry import Options


class Schedule(Options):
    """A value that goes from `start` to `end` over a share of the steps, and stays there.

    With u the progress from 0 to 1: linear start + (end - start) u; cosine end + (start - end)(1 + cos(pi u)) / 2;
    exponential start (end / start)^u. A constant is `start` throughout.
    """

    shape: Literal["constant", "linear", "cosine", "exponential"] = Field("constant", description="The course.")
    start: float = Field(description="Value at the first step.")
    end: float | None = Field(None, description="Value after `share` of the steps; none for a constant.")
    share: float = Field(1.0, gt=0, le=1, description="Share of the steps after which the end value is reached.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.shape == "constant" and self.end not in (None, self.start):
            raise ValueError(
                f"a constant schedule has no end value; got start {self.start} and end {self.end}. Leave `end` out, or "
                "choose the shape linear, cosine or exponential"
            )
        if self.shape != "constant" and self.end is None:
            raise ValueError(f"a {self.shape} schedule needs `end`, the value it goes to; got none")
        if self.shape == "exponential" and not (self.start > 0 and self.end is not None and self.end > 0):
            raise ValueError(
                f"an exponential schedule never reaches or passes zero; got start {self.start} and end {self.end}, "
                "expected both positive. Choose linear or cosine"
            )
        return self

    @classmethod
    def constant(cls, value: float) -> Self:
        """Return the schedule that is `value` throughout."""
        return cls(start=value)

    def at(self, step: int, steps: int) -> float:
        """Return the value at a step.

        Args:
            step: 0 at the first step.
            steps: of the whole training; the end value is reached at step `share * (steps - 1)`.

        Raises:
            ValueError: there is no such step.
        """
        if step < 0 or steps < 1:
            raise ValueError(f"A schedule needs a step from 0 and at least one step in all; got {step} of {steps}.")
        if self.end is None:
            return self.start
        over = self.share * (steps - 1)
        progress = min(1.0, step / over) if over > 0 else 1.0
        return self._between(progress, self.end)

    def _between(self, progress: float, end: float) -> float:
        if progress in (0.0, 1.0):
            return end if progress else self.start
        if self.shape == "exponential":
            return self.start * math.pow(end / self.start, progress)
        if self.shape == "cosine":
            return end + (self.start - end) * 0.5 * (1.0 + math.cos(math.pi * progress))
        return self.start + (end - self.start) * progress
