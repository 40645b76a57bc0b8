"""What acquisitions share: what each says of itself, what a round tells it, and parts that wrap another acquisition."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np

from data.goals import Goals
from data.records import FloatArray, Prediction
from models.protocols import Acquisition, Drawn, JointProxy, Proxy, Scoring
from models.registry import Component, ComponentError, OptionsT, build
from models.row_protocols import InformingProxy
from models.spaces.base import BaseSpace
from models.spaces.usual import usual_space


class BaseAcquisition(Component[OptionsT]):
    """Base of acquisitions: what each says of itself, with the defaults that hold for one that does not say.

    Attributes:
        objectives: fewest objectives to improve that it makes sense for. One that says 1 takes no more than one.
        most_objectives: most objectives to improve that it is quick enough for; None: any number.
        goals: those of the objectives to improve, by which options that are values of one, in its own unit, are read;
            see `towards`.
    """

    group = "acquisition"
    objectives: int = 1
    most_objectives: int | None = None
    goals: Goals = Goals()

    @property
    def logarithmic(self) -> bool:
        """Whether the scores are logarithms of a positive quantity."""
        return False

    @property
    def positive(self) -> bool:
        """Whether the scores are a positive quantity, an improvement or its probability, that others may multiply."""
        return False

    @property
    def relative(self) -> bool:
        """Whether a score depends on the other candidates, so that it can rank a pool but reward no generator."""
        return False

    @property
    def heeds_limits(self) -> bool:
        """Whether limits of objectives are heeded; for one that does not, `constrained` does it."""
        return False

    @property
    def uses_predicted_best(self) -> bool:
        """Whether the best predicted mean of the measured objects is to be improved on, not the best measured value."""
        return False

    @property
    def uses_draws(self) -> bool:
        """Whether draws of what the functions may truly be at the measured objects are wanted."""
        return False

    @property
    def uses_information(self) -> bool:
        """Whether it is wanted what an answer would tell."""
        return False

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores; see `models.protocols.Acquisition`."""
        raise NotImplementedError

    def towards(self, goals: Goals) -> Self:
        """Return the same acquisition, its options that are values of an objective being read by the goals.

        People write such values, as a reference point, in the objective's own unit; scores see signed ones.
        """
        turned = copy(self)
        turned.goals = goals
        return turned

    def signed(self, values: Sequence[float]) -> FloatArray:
        """Return values of the objectives to improve, in their own units, so that larger is better, shape `(k,)`."""
        return np.array(self.goals.signed(values) if self.goals else values, dtype=np.float64)

    @staticmethod
    def space_of(about: Scoring) -> BaseSpace[Any]:
        """Return the space of the objects that are scored."""
        return usual_space() if about.space is None else about.space

    def lacks(self, what: str, step: str) -> ValueError:
        """Return the error where a part of what may be known is not."""
        return ValueError(f"The acquisition {self.kind!r} needs {what}, which is not known here. {step}")


class Wrapper(BaseAcquisition):
    """Base of acquisitions that add something to another one, the option `inner`; they are otherwise as that one is."""

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.inner: Acquisition = built(self.options.inner)
        self.objectives = fewest_objectives(self.inner)
        self.most_objectives = most_objectives(self.inner)

    @property
    def logarithmic(self) -> bool:
        """Whether the wrapped one's scores are logarithms."""
        return is_logarithm(self.inner)

    @property
    def positive(self) -> bool:
        """Whether the wrapped one's scores are a positive quantity."""
        return is_positive(self.inner)

    @property
    def relative(self) -> bool:
        """Whether the wrapped one's scores depend on the other candidates."""
        return within_a_pool(self.inner)

    @property
    def heeds_limits(self) -> bool:
        """Whether the wrapped one does."""
        return heeds_limits(self.inner)

    @property
    def uses_predicted_best(self) -> bool:
        """Whether the wrapped one does."""
        return wants_predicted_best(self.inner)

    @property
    def uses_draws(self) -> bool:
        """Whether the wrapped one does."""
        return wants_draws(self.inner)

    @property
    def uses_information(self) -> bool:
        """Whether the wrapped one does."""
        return wants_information(self.inner)

    def towards(self, goals: Goals) -> Self:
        """Return the same acquisition, its own options and those of the wrapped one being read by the goals."""
        turned = super().towards(goals)
        turned.inner = towards(self.inner, goals)
        return turned


class LogWrapper(Wrapper):
    """Base of acquisitions that add something to the logarithm of another one."""

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        if not is_logarithm(self.inner):
            raise ComponentError(
                f"The acquisition {self.kind!r} adds to the logarithm of another one; got inner "
                f"{dict(self.options.inner)!r}, which is no logarithm. Use expected_improvement, "
                "noisy_expected_improvement or probability_of_improvement with scale: log."
            )


def built(spec: Mapping[str, Any], goals: Goals | None = None) -> Acquisition:
    """Return the acquisition that `{kind: name, option: value, ...}` describes.

    Args:
        spec: of the acquisition.
        goals: those of the campaign's objectives to improve; none: every objective is maximised.

    Raises:
        ComponentError: as `models.registry.build`, or a plugin's acquisition is called in another way.
    """
    acquisition: Acquisition = build("acquisition", spec)
    score = getattr(acquisition, "score", None)
    if score is None or not _takes_predictions(score):
        got = "no method `score`" if score is None else f"`score{inspect.signature(score)}`"
        raise ComponentError(
            f"The acquisition {spec['kind']!r}, class {type(acquisition).__qualname__} of the module "
            f"{type(acquisition).__module__}, has {got}; expected `score(predicted, about)` with a tuple of one "
            "prediction per objective, larger values being better whatever the goal, and a `Scoring`. Take the best "
            "value from `about.best`, leave the goal out, and see `Acquisition` in models/protocols.py."
        )
    return towards(acquisition, goals or Goals())


def _takes_predictions(score: Any) -> bool:
    """Return whether a method is called with predictions and what is known, and nothing else, as it once was."""
    signature = inspect.signature(score)
    try:
        signature.bind((), Scoring())
    except TypeError:
        return False
    return not {"best", "maximise"} & set(signature.parameters)


def towards(acquisition: Acquisition, goals: Goals) -> Acquisition:
    """Return an acquisition with its options read by goals, if it derives from the base that has some."""
    turned: Acquisition = acquisition.towards(goals) if isinstance(acquisition, BaseAcquisition) else acquisition
    return turned


def is_logarithm(acquisition: Acquisition) -> bool:
    """Return whether the scores are logarithms of a positive quantity."""
    return bool(getattr(acquisition, "logarithmic", False))


def is_positive(acquisition: Acquisition) -> bool:
    """Return whether the scores are a positive quantity, and not its logarithm, that others may multiply."""
    return bool(getattr(acquisition, "positive", False))


def within_a_pool(acquisition: Acquisition) -> bool:
    """Return whether a score depends on the other candidates, so that it can rank a pool but reward no generator."""
    return bool(getattr(acquisition, "relative", False))


def wants_predicted_best(acquisition: Acquisition) -> bool:
    """Return whether the acquisition, or the one that it wraps, looks at the predicted best of what was measured."""
    return bool(getattr(acquisition, "uses_predicted_best", False))


def wants_draws(acquisition: Acquisition) -> bool:
    """Return whether the acquisition, or the one that it wraps, looks at draws at the measured objects."""
    return bool(getattr(acquisition, "uses_draws", False))


def wants_information(acquisition: Acquisition) -> bool:
    """Return whether the acquisition, or the one that it wraps, looks at what an answer would tell."""
    return bool(getattr(acquisition, "uses_information", False))


def heeds_limits(acquisition: Acquisition) -> bool:
    """Return whether the acquisition, or the one that it wraps, heeds the limits of objectives itself."""
    return bool(getattr(acquisition, "heeds_limits", False))


def fewest_objectives(acquisition: Acquisition | type[Component[Any]]) -> int:
    """Return how many objectives to improve an acquisition, or a class of them, needs at least."""
    return int(getattr(acquisition, "objectives", 1))


def most_objectives(acquisition: Acquisition | type[Component[Any]]) -> int | None:
    """Return how many objectives to improve an acquisition, or a class of them, takes at most; None: any number."""
    most: int | None = getattr(acquisition, "most_objectives", None)
    return most


def takes(acquisition: Acquisition | type[Component[Any]], k: int) -> bool:
    """Return whether an acquisition, or a class of them, makes sense for k objectives to improve.

    Those of one objective look at the first prediction only, and would forget the others.
    """
    fewest = fewest_objectives(acquisition)
    most = most_objectives(acquisition)
    return k == 1 if fewest == 1 else fewest <= k <= (k if most is None else most)


def about_round(
    acquisition: Acquisition,
    proxies: tuple[Proxy, ...],
    objects: Sequence[str],
    values: FloatArray,
    *,
    seed: int,
    goals: Goals | None = None,
    space: BaseSpace[Any] | None = None,
) -> Scoring:
    """Return what a score may know in a round, about the measured objects; replace `objects` by those to score.

    Args:
        acquisition: says whether the proxies' opinion of the measured objects is wanted.
        proxies: K fitted ones, seen through the goals (`models.proxies.oriented`).
        objects: t >= 1 measured objects.
        values: signed, shape `(t, K)`, nan where an objective was not measured.
        seed: of the round.
        goals: of the K objectives; None: each is improved, without limits.
        space: of the objects; None: molecules.
    """
    goals = goals or Goals()
    about = Scoring(
        tuple(objects),
        seed,
        np.asarray(values, dtype=np.float64),
        limits=goals.limits() if any(goal.limited for goal in goals) else (),
        improved=goals.improved if 0 in goals.signs else (),
        space=space,
    )
    if wants_information(acquisition):
        about = replace(about, informing=_informing(proxies))
    if wants_draws(acquisition):
        about = replace(about, drawn=_drawn(proxies, objects, about.measured, seed))
    if not wants_predicted_best(acquisition):
        return about
    main = proxies[about.main]
    believed = main.predict(objects).mean[about.feasible & ~np.isnan(about.measured[:, about.main])]
    best = float(believed.max()) if len(believed) else None
    return replace(about, predicted_best=best, noise=noise_of(main, objects))


def _informing(proxies: tuple[Proxy, ...]) -> InformingProxy | None:
    """Return the first proxy that knows what an answer would tell, whatever wraps it."""
    for proxy in proxies:
        within: Any = proxy
        while within is not None:
            if isinstance(within, InformingProxy):
                return within
            within = getattr(within, "proxy", None)
    return None


DRAWS = 32
"""Draws at the measured objects; the mean of 32 fronts is near that of many (Daulton et al. take 128 and fewer)."""


def _drawn(proxies: tuple[Proxy, ...], objects: Sequence[str], measured: FloatArray, seed: int) -> Drawn | None:
    """Return draws at the t measured objects, None where a proxy cannot draw."""
    values = np.full((DRAWS, *measured.shape), np.nan)
    for k, proxy in enumerate(proxies):
        if not isinstance(proxy, JointProxy):
            return None
        own = np.flatnonzero(~np.isnan(measured[:, k]))
        if len(own):
            mean, covariance = proxy.joint([objects[int(i)] for i in own])
            normal = np.random.default_rng([seed, k]).standard_normal((DRAWS, len(own)))
            values[:, own, k] = mean + normal @ _root(np.asarray(covariance)).T
    return Drawn(values, tuple(noise_of(proxy, objects) for proxy in proxies))


def _root(covariance: FloatArray) -> FloatArray:
    """Return a matrix whose product with its transpose is a covariance `(t, t)` that is definite but for rounding."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(values.clip(0.0)))


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


def stacked(predicted: tuple[Prediction, ...]) -> tuple[FloatArray, FloatArray]:
    """Return means and standard deviations of K objectives, each `(n, K)`."""
    return np.column_stack([one.mean for one in predicted]), np.column_stack([one.std for one in predicted])
