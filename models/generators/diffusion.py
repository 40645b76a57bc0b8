"""A diffusion sampler over the variables of vectors: proposes them in proportion to their reward."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from data.objects import NotStandardError
from data.records import Candidate, Making
from models.diffusion.trainer import CITES, DiffusionOptions, DiffusionTrainer
from models.gflownet.training.trainer import TrainingError
from models.protocols import GenerationContext
from models.registry import Component, ComponentError
from models.spaces.base import BaseSpace
from models.spaces.variables import Choice, Integer, Value, Variable
from models.spaces.vectors import Point, Vectors

_EDGE = 1e-6
"""Known values nearer to an end of their range are taken to be so far from it."""
_OUTSIDE = -30.0
"""Log-reward of what the space does not admit."""
_IDLE = 10
"""Batches without a new vector after which sampling ends."""


class DiffusionGenerator(Component["DiffusionGenerator.Options"]):
    """Vectors as ends of chains of Gaussian steps with a learnt drift, trained on the log-reward.

    Variable i is read off Phi(x_i), the place within its range: without a drift and with variance 1 all places are as
    likely, and training starts there. The target in x is R times the density of N(0, I), so log Z is the log of the
    mean of R over places. A choice or a whole number is a stretch of its range. Measured vectors are replayed from the
    first step, with the reward that they have now.

    The reward is known at texts only, so that there is no gradient: drifts have no Langevin term, and a local search is
    a random walk. An objective that looks forward asks for the reward of every position of every chain.

    Training takes seconds and starts anew after a kill.
    """

    group: ClassVar[str] = "generator"
    kind: ClassVar[str] = "diffusion"
    origin: ClassVar[str] = str(Making.BUILT)
    cites: ClassVar[tuple[str, ...]] = CITES
    spaces: ClassVar[tuple[str, ...]] = ("vectors",)

    class Options(DiffusionOptions):
        """Options of the diffusion sampler."""

        steps: int = Field(600, ge=1, description="Gradient steps.")
        batch_size: int = Field(64, ge=2, description="Chains per step.")
        exploration: float = Field(
            0.5, ge=0, description="Standard deviation, per unit of time, that noise has more at first when sampling."
        )
        replay: bool = Field(True, description="Whether every second step is on bridges to ends that were met.")

    def __init__(self, options: DiffusionGenerator.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._trainer: DiffusionTrainer | None = None
        self._space: Vectors | None = None

    def check(self, space: BaseSpace[Any]) -> None:
        """Make what `fit` needs beside its context, and take one small step of training.

        Raises:
            ComponentError: the objective is unknown.
            ValueError: the space has fractions, or the options do not go together.
        """
        options = self.options.model_copy(update={"batch_size": 4})
        try:
            self._assemble(GenerationContext(space, lambda objects: np.zeros(len(objects)), seed=0), options).step()
        except TrainingError as error:
            raise ValueError(f"The diffusion sampler cannot be trained with these options. {error}") from error

    def fit(self, context: GenerationContext) -> None:
        """Train on the log-reward; starts from `context.warm_start`.

        Raises:
            TrainingError: a reward, the loss or a gradient is not finite.
            ValueError: as `check`.
        """
        steps = max(1, round(self.options.steps * context.effort))
        trainer = self._assemble(context, self.options.model_copy(update={"steps": steps}))
        if context.warm_start is not None:
            trainer.network.load_state_dict(torch.load(context.warm_start, weights_only=True)["network"])
        known = [self._place(obj) for obj in context.known]
        if known:
            x = torch.tensor(known, dtype=torch.float64).float()
            trainer.met.add(x, trainer.log_reward(x))
        trainer.train(context.progress)
        self._trainer = trainer

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct candidates, deterministic under `seed`.

        Raises:
            RuntimeError: `fit` was not called.
        """
        if self._trainer is None or self._space is None:
            raise RuntimeError("The diffusion sampler is not trained yet; call `fit` or `load_state` first.")
        generator, found, idle = torch.Generator().manual_seed(seed), dict[str, str](), 0
        while len(found) < n and idle < _IDLE:
            before = len(found)
            for text in _texts(self._space, self._trainer.sample(max(32, n), generator)):
                if text is not None and len(found) < n:
                    found.setdefault(self._space.identity(text), text)
            idle = idle + 1 if len(found) == before else 0
        return [Candidate(name, text, source=self.kind) for name, text in found.items()]

    def state(self) -> dict[str, Any]:
        """Return the network, log Z and the history."""
        if self._trainer is None:
            raise RuntimeError("The diffusion sampler is not trained yet; call `fit` or `load_state` first.")
        trainer = self._trainer
        return {
            "network": trainer.network.state_dict(),
            "log_z": trainer.log_z.detach(),
            "history": trainer.history,
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: as `check`.
            RuntimeError: it is of a network of another shape.
        """
        trainer = self._assemble(context, self.options)
        trainer.network.load_state_dict(state["network"])
        with torch.no_grad():
            trainer.log_z.copy_(state["log_z"])
        trainer.history = list(state["history"])
        self._trainer = trainer

    def history(self) -> list[dict[str, float]]:
        """Return step, loss, log_z and mean log-reward of each training step; the reward is that of places."""
        return [] if self._trainer is None else list(self._trainer.history)

    def _assemble(self, context: GenerationContext, options: DiffusionGenerator.Options) -> DiffusionTrainer:
        space = context.space
        if not isinstance(space, Vectors):
            raise ComponentError(
                f"The generator {self.kind!r} is made for spaces of kind 'vectors'; got {space.kind!r}. Use the "
                "generator 'gflownet'."
            )
        if space.mixture is not None:
            raise ValueError(
                f"The generator {self.kind!r} draws each variable within its range, and the fractions of this space "
                "must sum to one. Use the generator 'gflownet', which builds them share by share."
            )
        self._space = space

        def log_reward(x: Tensor) -> Tensor:
            flat = x.reshape(-1, x.shape[-1])
            texts = _texts(space, flat)
            inside = [text for text in texts if text is not None]
            values = dict(zip(inside, context.log_reward(inside).tolist(), strict=True)) if inside else {}
            worth = torch.tensor([_OUTSIDE if text is None else values[text] for text in texts])
            place = -0.5 * (flat.square() + math.log(2.0 * math.pi)).sum(1)
            return (worth + place).reshape(x.shape[:-1])

        return DiffusionTrainer(len(space.variables), log_reward, options, torch.Generator().manual_seed(context.seed))

    def _place(self, obj: str) -> list[float]:
        """Return the numbers (d) of a vector: of those that stand for it, the middle."""
        assert self._space is not None
        pairs = zip(self._space.variables, self._space.point(obj).values, strict=True)
        u = torch.tensor([_middle(one, value) for one, value in pairs], dtype=torch.float64)
        numbers: list[float] = torch.special.ndtri(u.clamp(_EDGE, 1.0 - _EDGE)).tolist()
        return numbers


def _texts(space: Vectors, x: Tensor) -> list[str | None]:
    """Return the texts of numbers (n, d), None outside the space."""
    out: list[str | None] = []
    for row in torch.special.ndtr(x.double()).clamp(max=1.0 - 1e-12).tolist():
        values = tuple(one.drawn(u) for one, u in zip(space.variables, row, strict=True))
        try:
            out.append(space.admit(space.written(Point(values, ()))))
        except NotStandardError:
            out.append(None)
    return out


def _middle(variable: Variable, value: Value) -> float:
    """Return the place between 0 and 1 that a value of a variable is drawn from."""
    if isinstance(variable, Choice):
        return (variable.choices.index(value) + 0.5) / len(variable.choices)
    if isinstance(variable, Integer) and not variable.log:
        return (int(value) - variable.integer[0] + 0.5) / variable.count
    return float(variable.unit(value))
