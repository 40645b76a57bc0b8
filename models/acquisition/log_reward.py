"""The log-reward that a generator follows: the acquisition, scaled to the measured values, inside the screens.

log R(x) = b (score(x) - m) / s with b the inverse temperature and m, s the mean and standard deviation of the measured
values: the average measured object has log R = 0 whatever the unit. Values and predictions are signed, larger being
better. Of several objectives m and s are those of the scores that the measured objects would have if their values were
predicted for certain. A score that is a logarithm, as of expected improvement, has no unit to divide by:
log R(x) = b (score(x) - c), with c the score of an object that is predicted to be N(m_k, s_k^2) in every objective k.
Under limits m, s and c are those of the score without them: log R then falls by b for each factor of e in the
probability that an object keeps to all limits.
What the space, a screen or the acquisition refuses gets the floor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from data.records import FloatArray, Prediction
from models.acquisition.base import is_logarithm, within_a_pool
from models.acquisition.constrained import Constrained
from models.acquisition.measured import centre_and_spread, certain_scores, narrowed
from models.acquisition.standing import standing
from models.acquisition.utilities import UtilityScale
from models.protocols import Acquisition, Proxy, Scoring, Screen, Utilities
from models.registry import Component, ComponentError
from models.screens.space import InSpace

LIMIT = 30.0
"""|log R| never exceeds this: one extrapolated prediction must not swamp the loss."""

CACHE_SIZE = 500_000


class AcquisitionReward:
    """Log-reward of objects, cached by standard text."""

    def __init__(
        self,
        proxies: tuple[Proxy, ...],
        acquisition: Acquisition,
        screens: Sequence[Screen],
        measured: FloatArray,
        *,
        inverse_temperature: float,
        about: Scoring | None = None,
    ) -> None:
        """Prepare the reward.

        Args:
            proxies: K fitted ones, seen through the goals (`models.proxies.oriented`).
            acquisition: scores their predictions.
            screens: each may refuse an object.
            measured: shape `(t, K)`, t >= 1, signed measured values in the units of the objectives.
            inverse_temperature: b > 0.
            about: what is known in the round, its `objects` being the measured ones; None: the measured values alone.

        Raises:
            ComponentError: the acquisition ranks a pool, so that one object alone has no score.
        """
        require_rewarding(acquisition)
        self.proxies, self.acquisition, self.screens = proxies, acquisition, tuple(screens)
        measured = np.asarray(measured, dtype=np.float64)
        self.about = about or Scoring(measured=measured)
        self.inverse_temperature = inverse_temperature
        self.centre, spread = centre_and_spread(measured[:, self.about.main])
        self.scale = inverse_temperature / spread
        self._score_centre, self._score_scale = self._law_of_scores(measured)
        self.floor = -2.0 * inverse_temperature - 4.0
        self._measured = measured
        self.met = 0
        """Objects that were scored, each once as long as they fit into the memory of scores."""
        self.refused_by: Counter[str] = Counter()
        """What screens are counted as -> such objects that they refused."""
        self._cache: dict[str, float] = {}
        self._utilities: dict[str, FloatArray] = {}

    def __call__(self, objects: Sequence[str]) -> FloatArray:
        """Return the log-reward of n objects, shape `(n,)`."""
        new = [obj for obj in dict.fromkeys(objects) if obj not in self._cache]
        if len(self._cache) + len(new) > CACHE_SIZE:
            self._cache.clear()
            new = list(dict.fromkeys(objects))
        if new:
            self._cache.update(zip(new, self._evaluate(new).tolist(), strict=True))
        return np.array([self._cache[obj] for obj in objects], dtype=np.float64)

    def utilities(self, values: FloatArray) -> Utilities:
        """Return how good objects are in each objective to improve; objects are predicted and screened once for both.

        Args:
            values: signed ones of the n known objects, shape `(n, K)`, nan where an objective was not measured.
        """
        scale = self._scale
        return Utilities(self.log_utilities, scale.of_values(values), scale.power)

    def log_utilities(self, objects: Sequence[str]) -> FloatArray:
        """Return the logs of utilities of n objects, shape `(n, K)` of the K objectives to improve."""
        new = [obj for obj in dict.fromkeys(objects) if obj not in self._utilities]
        if len(self._utilities) + len(new) > CACHE_SIZE:
            self._utilities.clear()
            new = list(dict.fromkeys(objects))
        if new:
            out = self._scale.nothing(len(new))
            passed, predicted = self._predicted(new)
            if passed:
                out[passed] = self._scale.of_predictions(predicted)
                asked = [new[i] for i in passed]
                self._cache.update(zip(asked, self._rewards(asked, predicted).tolist(), strict=True))
            self._cache.update({obj: self.floor for obj in new if obj not in self._cache})
            self._utilities.update(zip(new, out, strict=True))
        return np.array([self._utilities[obj] for obj in objects]).reshape(-1, len(self._scale.columns))

    @cached_property
    def _scale(self) -> UtilityScale:
        return UtilityScale.of(self._measured, self.about, inverse_temperature=self.inverse_temperature, limit=LIMIT)

    def _law_of_scores(self, measured: FloatArray) -> tuple[float, float]:
        """Return what scores are centred on and multiplied by.

        Under limits it is the score without them: of an average object that keeps to all, most others being below it.
        Before any such object was measured, nothing but the chance of one counts, and that of an average one is 0.
        """
        acquisition, about = self.acquisition, self.about
        centre, scale = self.centre, self.scale
        logarithm, laws = is_logarithm(acquisition), [centre_and_spread(column) for column in measured.T]
        searching = isinstance(acquisition, Constrained) and about.limited and not acquisition.found(about)
        inner = acquisition.inner if isinstance(acquisition, Constrained) else acquisition
        if logarithm:
            scale = self.inverse_temperature
        elif self._several:
            centre, spread = centre_and_spread(certain_scores(inner, narrowed(about), about.objects))
            scale = self.inverse_temperature / spread
        if isinstance(acquisition, Constrained) and not searching:
            acquisition, laws = inner, [laws[k] for k in about.improved or range(len(laws))]
            about = narrowed(about)
        if logarithm or searching:
            n = max(1, len(about.objects))
            average = tuple(Prediction(np.full(n, mean), np.full(n, deviation)) for mean, deviation in laws)
            centre = float(acquisition.score(average, about).mean())
        return centre, scale

    @property
    def _several(self) -> bool:
        return len(self.about.improved or self.proxies) > 1

    @property
    def _plain(self) -> bool:
        return not self._several and not self.about.limited

    def standing(self, values: FloatArray) -> FloatArray:
        """Return how good n objects of measured values are among each other, shape `(n,)`, larger being better.

        Of one objective without limits it is the value.

        Args:
            values: signed, shape `(n, K)`, nan where an objective was not measured.
        """
        return values[:, self.about.main] if self._plain else standing(values, self.about)

    def of_values(self, values: FloatArray) -> FloatArray:
        """Return the log-reward of objects of measured values, shape `(n,)`, whatever the acquisition.

        Of one objective without limits it is b (value - m) / s, else b times the standing
        (`models.acquisition.standing`), which is in deviations too: what keeps to all limits comes first.
        Rounded to 1e-9: values in another unit differ in their last bits only.

        Args:
            values: signed, shape `(n, K)`, nan where an objective was not measured.
        """
        good = self.standing(values)
        scaled = self.scale * (good - self.centre) if self._plain else self.inverse_temperature * good
        return np.asarray(np.clip(scaled, self.floor, LIMIT).round(9) + 0.0)

    def _evaluate(self, objects: list[str]) -> FloatArray:
        out = np.full(len(objects), self.floor)
        passed, predicted = self._predicted(objects)
        if passed:
            out[passed] = self._rewards([objects[i] for i in passed], predicted)
        return out

    def _predicted(self, objects: list[str]) -> tuple[list[int], tuple[Prediction, ...]]:
        """Return the places of objects that no screen refuses, and predictions of those; none of nothing."""
        refused = refusals(self.screens, objects)
        new = [obj not in self._cache for obj in objects]
        self.met += sum(new)
        self.refused_by.update(one[0] for one, first in zip(refused, new, strict=True) if one is not None and first)
        passed = [i for i, refusal in enumerate(refused) if refusal is None]
        asked = [objects[i] for i in passed]
        return passed, tuple(proxy.predict(asked) for proxy in self.proxies) if asked else ()

    def _rewards(self, objects: list[str], predicted: tuple[Prediction, ...]) -> FloatArray:
        score = self.acquisition.score(predicted, replace(self.about, objects=tuple(objects)))
        # Rounded: the last bits of a prediction depend on which objects share its matrix product, and training
        # that is killed and continued must see the very same rewards as training that was not.
        return np.asarray(np.round(np.clip(self._score_scale * (score - self._score_centre), self.floor, LIMIT), 6))


def require_rewarding(acquisition: Acquisition) -> None:
    """Refuse an acquisition that cannot reward a generator.

    Raises:
        ComponentError: it ranks the members of a pool among each other.
    """
    if within_a_pool(acquisition):
        name = acquisition.kind if isinstance(acquisition, Component) else type(acquisition).__name__
        raise ComponentError(
            f"The acquisition {name!r} ranks the members of a pool among each other; it cannot reward a generator. "
            "Use another one, or a variant that compares with what was measured."
        )


def first_refusal(screens: Sequence[Screen], objects: Sequence[str]) -> list[str | None]:
    """Return, per object, the first screen's reason for refusing it, or None."""
    return [None if refusal is None else refusal[1] for refusal in refusals(screens, objects)]


def refusals(screens: Sequence[Screen], objects: Sequence[str]) -> list[tuple[str, str] | None]:
    """Return, per object, what the first screen that refuses it is counted as and its reason, or None."""
    refused: list[tuple[str, str] | None] = [None] * len(objects)
    for screen in screens:
        left = [i for i, refusal in enumerate(refused) if refusal is None]
        for i, reason in zip(left, screen.refuse([objects[i] for i in left]), strict=True):
            refused[i] = None if reason is None else (_counted_as(screen, objects[i]), reason)
    return refused


def _counted_as(screen: Screen, obj: str) -> str:
    if isinstance(screen, InSpace):
        return screen.counted_as(obj)
    return str(getattr(screen, "kind", type(screen).__name__))
