"""What acquisitions share: the call with or without context, and parts that wrap another acquisition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from data.records import FloatArray, Prediction
from models.protocols import Acquisition, InformedAcquisition, JointProxy, Proxy, ScoringContext
from models.registry import Component, ComponentError, build
from models.spaces.base import BaseSpace
from models.spaces.usual import usual_space


def scores(acquisition: Acquisition, prediction: Prediction, context: ScoringContext) -> FloatArray:
    """Return `(n,)` scores of an acquisition of either protocol.

    Raises:
        ValueError: the acquisition needs a part that the context does not have.
    """
    if isinstance(acquisition, InformedAcquisition):
        return acquisition.score_in(prediction, context)
    return acquisition.score(prediction, best=context.best, maximise=context.maximise)


def is_logarithm(acquisition: Acquisition) -> bool:
    """Return whether the scores are logarithms of a positive quantity."""
    return bool(getattr(acquisition, "logarithmic", False))


def within_a_pool(acquisition: Acquisition) -> bool:
    """Return whether a score depends on the other candidates, so that it can rank a pool but reward no generator."""
    return bool(getattr(acquisition, "relative", False))


def round_context(
    acquisition: Acquisition,
    proxy: Proxy,
    objects: Sequence[str],
    values: FloatArray,
    *,
    maximise: bool,
    seed: int,
    space: BaseSpace[Any] | None = None,
) -> ScoringContext:
    """Return what a score may know in a round, about the measured objects; replace `objects` by those to score.

    Args:
        acquisition: says whether the proxy's opinion of the measured objects is wanted.
        proxy: fitted.
        objects: n >= 1 measured objects.
        values: shape `(n,)`, in the unit of the target.
        maximise: goal of the target.
        seed: of the round.
        space: of the objects; None: molecules.
    """
    pick = np.max if maximise else np.min
    context = ScoringContext(
        float(pick(values)),
        maximise,
        objects=tuple(objects),
        seed=seed,
        measured=np.asarray(values)[:, None],
        space=space,
    )
    if not wants_predicted_best(acquisition):
        return context
    mean = proxy.predict(objects).mean
    return replace(context, predicted_best=float(pick(mean)), noise_std=noise_of(proxy, objects))


def wants_predicted_best(acquisition: Acquisition) -> bool:
    """Return whether the acquisition, or the one that it wraps, looks at the predicted best of what was measured."""
    inner = getattr(acquisition, "inner", None)
    return bool(getattr(acquisition, "uses_predicted_best", False)) or (
        inner is not None and wants_predicted_best(inner)
    )


def noise_of(proxy: Proxy, objects: Sequence[str]) -> float:
    """Return the standard deviation of measurement noise that the proxy's predictions include; 0 if it cannot tell.

    The predicted variance less the joint posterior's, which is without noise: their median over 64 objects.
    """
    if not isinstance(proxy, JointProxy):
        return 0.0
    some = list(objects)[:64]
    _, covariance = proxy.joint(some)
    noise = np.square(proxy.predict(some).std) - np.asarray(covariance).diagonal()
    return float(np.sqrt(max(float(np.median(noise)), 0.0)))


class InformedScore(Component):
    """Base of acquisitions that read the context.

    Attributes:
        objectives: fewest objectives that it makes sense for.
    """

    group = "acquisition"
    objectives: ClassVar[int] = 1

    def score(self, prediction: Prediction, *, best: float | None, maximise: bool) -> FloatArray:
        """Return `(n,)` scores if the prediction and the best value suffice.

        Raises:
            ValueError: this acquisition needs more; see `score_in`.
        """
        return self.score_in(prediction, ScoringContext(best, maximise))

    def score_in(self, prediction: Prediction, context: ScoringContext) -> FloatArray:
        """Return `(n,)` scores."""
        raise NotImplementedError

    @staticmethod
    def space_of(context: ScoringContext) -> BaseSpace[Any]:
        """Return the space of the objects that are scored."""
        return usual_space() if context.space is None else context.space

    def lacks(self, what: str, step: str) -> ValueError:
        """Return the error for a context without a part."""
        return ValueError(f"The acquisition {self.kind!r} needs {what}; the context has none. {step}")


class LogWrapper(InformedScore):
    """Base of acquisitions that add something to the logarithm of another one."""

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.inner: Acquisition = build("acquisition", self.options.inner)
        if not is_logarithm(self.inner):
            raise ComponentError(
                f"The acquisition {self.kind!r} adds to the logarithm of another one; got inner "
                f"{dict(self.options.inner)!r}, which is no logarithm. Use expected_improvement, "
                "noisy_expected_improvement or probability_of_improvement with scale: log."
            )

    @property
    def logarithmic(self) -> bool:
        """The scores are logarithms."""
        return True


def rounded(score: FloatArray, acquisition: Acquisition, spread: float) -> FloatArray:
    """Return scores without their last bits, which depend on the objects that were predicted together.

    Args:
        score: shape `(n,)`.
        acquisition: what they are of; logarithms have no unit.
        spread: standard deviation of the measured values, in the unit of scores that are no logarithms.

    Returns:
        Shape `(n,)`: multiples of 1e-9 of the power of two below the spread, so that values in another unit give the
        same choice.
    """
    exponent = 0 if is_logarithm(acquisition) or not spread > 0 else math.frexp(spread)[1]
    return np.asarray(np.ldexp(np.round(np.ldexp(score, -exponent), 9), exponent))


def signed(prediction: Prediction, context: ScoringContext) -> tuple[FloatArray, FloatArray]:
    """Return means and standard deviations of all objectives, each `(n, K)`, larger means being better."""
    predictions = context.objectives or (prediction,)
    goals = context.goals if context.objectives else (context.maximise,)
    if len(goals) != len(predictions):
        raise ValueError(f"Objectives need one goal each; got {len(predictions)} objectives and {len(goals)} goals.")
    signs = np.where(goals, 1.0, -1.0)
    return (
        np.column_stack([one.mean for one in predictions]) * signs,
        np.column_stack([one.std for one in predictions]),
    )


def signed_measured(context: ScoringContext, objectives: int) -> FloatArray:
    """Return the measured values of all objectives, shape `(t, K)`, larger being better; `(0, K)` without any."""
    if context.measured is None:
        return np.zeros((0, objectives))
    measured = np.asarray(context.measured, dtype=np.float64)
    if measured.ndim != 2 or measured.shape[1] != objectives:
        raise ValueError(f"Measured values have shape (t, {objectives}); got {measured.shape}.")
    goals = context.goals if context.objectives else (context.maximise,)
    return np.asarray(measured * np.where(goals, 1.0, -1.0))
