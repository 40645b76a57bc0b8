"""A measurement at several levels from cheap to true, each learnt from the one below, over any other proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.protocols import JointProxy, Proxy, SelfTestingProxy
from models.proxies.checks import FEWEST_LABELS, checked_labels, checked_state
from models.proxies.tensors import as_tensors
from models.registry import Component, build

_PRIOR = 1.0
"""Pairs of values of two levels for which it counts that a level in the same unit is expected to go with factor 1."""


class Autoregressive(Component["Autoregressive.Options"]):
    """`f_l(x) = rho_l f_(l-1)(x) + delta_l(x)`: a proxy of the cheapest level, and one of each level's difference.

    Recursive, as Le Gratiet: `delta_l` is trained on `y_l - rho_l f_(l-1)` at the objects of level l, with the value
    measured below where there is one and the mean predicted there where there is none. rho_l is 0, 1 or their
    regression, by the density of values that are left out where the inner proxy tells it. Predictions add up as those
    of independent Gaussians do: mean `rho m + d`, variance `rho^2 v + s`, with v the variance of the function below
    without noise. Where an object has no value below, that v stays in its prediction: give nested levels.

    A level of fewer than five values is left out. Trained on one level it is the inner proxy.

    References: Kennedy and O'Hagan, Biometrika 87, 1 (2000); Le Gratiet and Garnier, Int. J. Uncertainty Quantification
    4, 365 (2014).
    """

    group = "proxy"
    kind = "autoregressive"
    cites = ("kennedy2000predicting", "legratiet2014recursive")

    class Options(Component.Options):
        """Options of the proxy of several levels."""

        inner: dict[str, Any] = Field({"kind": "gaussian_process"}, description="proxy of each level's difference")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.inner: Proxy = build("proxy", self.options.inner)
        if isinstance(self.inner, JointProxy):
            self.joint = self._joint  # which there is only then, so that protocols see it
        self._steps: tuple[Proxy, ...] = ()
        self._rho = np.ones(0)
        self._noise = np.zeros(0)
        self._levels = np.zeros(0, dtype=np.int64)
        self._count = 0

    @property
    def levels(self) -> int:
        """How many levels it was trained on, those that were left out among them."""
        return self._count

    @property
    def rho(self) -> FloatArray:
        """Factor of each level on the one below, 0 of the cheapest; of the levels that were not left out."""
        return self._rho.copy()

    def level_noise(self) -> FloatArray:
        """Return the noise variance at each level, shape `(L,)`; infinite where a level was left out."""
        self._ready()
        found = np.full(self._count, np.inf)
        found[self._levels] = self._noise
        return found

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train on one level, from nothing: n >= 5 finite values, shape `(n,)`."""
        self.fit_levels([objects], [values], seed=seed)

    def fit_levels(self, objects: Sequence[Sequence[str]], values: Sequence[FloatArray], *, seed: int) -> None:
        """Train from nothing on the values of L levels, from cheap to true.

        Args:
            objects: of each level; the last has at least 5.
            values: of each level, finite; repeated objects are repeated measurements.
            seed: of every inner training.

        Raises:
            ValueError: the last level has too few values, or what the inner proxy refuses.
        """
        kept = [level for level, some in enumerate(values) if len(some) >= FEWEST_LABELS or level == len(values) - 1]
        for level in kept:
            checked_labels(self.kind, objects[level], values[level])
        steps: list[Proxy] = []
        rho, noise = np.zeros(len(kept)), np.zeros(len(kept))
        for at, level in enumerate(kept):
            mine, target = list(objects[level]), np.asarray(values[level], dtype=np.float64)
            below = np.zeros(len(target))
            if at:
                below = self._below(steps, rho, mine, objects[kept[at - 1]], values[kept[at - 1]])
            rho[at], step = self._step(
                mine, target, below, seed=seed, factors=_factors(below, target) if at else (0.0,)
            )
            steps.append(step)
            noise[at] = _noise_of(step, min(mine, key=_key))  # whatever the order of the rows
        self._steps, self._rho, self._noise = tuple(steps), rho, noise
        self._levels, self._count = np.array(kept, dtype=np.int64), len(values)

    def _step(
        self, objects: Sequence[str], values: FloatArray, below: FloatArray, *, seed: int, factors: Sequence[float]
    ) -> tuple[float, Proxy]:
        """Return a level's factor and the proxy of its difference: of those, what predicts it best when it is left out.

        Where the inner proxy cannot tell what it would predict without a value, the last factor is taken.
        """
        found: list[tuple[float, float, Proxy]] = []
        for factor in factors if isinstance(self.inner, SelfTestingProxy) else factors[-1:]:
            step: Proxy = build("proxy", self.options.inner)
            step.fit(objects, values - factor * below, seed=seed)
            found.append((_left_out(step, objects, values - factor * below), factor, step))
        _, factor, step = max(found, key=lambda one: one[0])
        return factor, step

    def _below(
        self,
        steps: Sequence[Proxy],
        rho: FloatArray,
        objects: Sequence[str],
        measured: Sequence[str],
        values: FloatArray,
    ) -> FloatArray:
        """Return the values of objects one level below: as measured, else as predicted."""
        told: dict[str, list[float]] = {}
        for obj, value in zip(measured, np.asarray(values).tolist(), strict=True):
            told.setdefault(_key(obj), []).append(value)
        found = _chain(steps, rho, np.zeros(len(steps)), objects)[0]
        known = [told.get(_key(obj)) for obj in objects]
        return np.array([mean if own is None else np.mean(own) for mean, own in zip(found, known, strict=True)])

    def _ready(self) -> None:
        if not self._steps:
            raise RuntimeError(
                f"This {self.kind} proxy was not trained; call `fit`, or `load_state` with a saved state."
            )

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict the true values of n objects."""
        self._ready()
        mean, variance = _chain(self._steps, self._rho, self._noise, objects)
        return Prediction(mean, np.sqrt(variance + self._noise[-1]))

    def _joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the true function at n objects, without noise."""
        self._ready()
        n = len(objects)
        mean, covariance = np.zeros(n), np.zeros((n, n))
        for step, rho in zip(self._steps, self._rho, strict=True):
            own_mean, own = step.joint(objects)  # type: ignore[attr-defined]  # else nobody asks
            mean, covariance = rho * mean + own_mean, rho**2 * covariance + own
        return mean, covariance

    def joint_levels(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(L, n)` and covariance `(L n, L n)` of all levels' functions, level by level, without noise.

        A level that was left out has the mean of the next one and no covariance with any other.
        """
        self._ready()
        n, count = len(objects), self._count
        mean, covariance = np.zeros((count, n)), np.zeros((count, n, count, n))
        now, square = np.zeros(n), np.zeros((n, n))
        for at, (step, rho) in enumerate(zip(self._steps, self._rho, strict=True)):
            own_mean, own = step.joint(objects)  # type: ignore[attr-defined]  # else nobody asks
            now, square = rho * now + own_mean, rho**2 * square + own
            level = self._levels[at]
            mean[(0 if at == 0 else self._levels[at - 1] + 1) : level + 1] = now
            covariance[level, :, level, :] = square
            for earlier, before in enumerate(self._levels[:at]):
                factor = float(np.prod(self._rho[earlier + 1 : at + 1]))
                shared = factor * covariance[before, :, before, :]
                covariance[before, :, level, :] = shared
                covariance[level, :, before, :] = shared.T
        return mean, covariance.reshape(count * n, count * n)

    def state(self) -> dict[str, Any]:
        """Return the fitted state: tensors, those of level l's proxy under `l/`."""
        self._ready()
        arrays = {"rho": self._rho, "noise": self._noise, "levels": self._levels, "count": np.array([self._count])}
        own = {f"{at}/{name}": value for at, step in enumerate(self._steps) for name, value in step.state().items()}
        return {**as_tensors(arrays), **own}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; predictions are then the same.

        Raises:
            ValueError: the state lacks an entry.
        """
        checked_state(self.kind, state, {"rho", "noise", "levels", "count"})
        arrays = {name: state[name].detach().cpu().numpy().copy() for name in ("rho", "noise", "levels", "count")}
        steps = []
        for at in range(len(arrays["rho"])):
            step: Proxy = build("proxy", self.options.inner)
            mark = f"{at}/"
            step.load_state({name.removeprefix(mark): one for name, one in state.items() if name.startswith(mark)})
            steps.append(step)
        self._steps, self._rho, self._noise = tuple(steps), arrays["rho"], arrays["noise"]
        self._levels, self._count = arrays["levels"], int(arrays["count"][0])


def _key(obj: Any) -> str:
    return obj if isinstance(obj, str) else np.asarray(obj).tobytes().hex()


def _factors(below: FloatArray, target: FloatArray) -> tuple[float, ...]:
    """Return what rho may be: 0, which ignores the level below; 1; and the slope, with one pair more that says 1."""
    centred = below - below.mean()
    square = float(centred @ centred)
    spread = square / len(below)
    if spread <= 0:
        return (1.0,)
    return 0.0, 1.0, float((centred @ target + _PRIOR * spread) / (square + _PRIOR * spread))


def _left_out(step: Proxy, objects: Sequence[str], values: FloatArray) -> float:
    """Return the log-density of n values, each predicted without its object, less a constant; 0: nobody can tell."""
    place = {key: at for at, key in enumerate(dict.fromkeys(map(_key, objects)))}
    if not isinstance(step, SelfTestingProxy) or len(place) < 2:
        return 0.0
    told = step.held_out(objects, values, [place[_key(obj)] for obj in objects])
    if told is None:
        return 0.0
    return float(-(np.log(told.std) + 0.5 * np.square((values - told.mean) / told.std)).sum())


def _noise_of(step: Proxy, obj: str) -> float:
    """Return the variance of the noise in a proxy's predictions, 0 where it does not tell."""
    if not isinstance(step, JointProxy):
        return 0.0
    return max(0.0, float(step.predict([obj]).std[0] ** 2 - step.joint([obj])[1][0, 0]))


def _chain(
    steps: Sequence[Proxy], rho: FloatArray, noise: FloatArray, objects: Sequence[str]
) -> tuple[FloatArray, FloatArray]:
    """Return mean and noise-free variance at the last of some levels, each `(n,)`."""
    mean, variance = np.zeros(len(objects)), np.zeros(len(objects))
    for at, step in enumerate(steps):
        own = step.predict(objects)
        mean = rho[at] * mean + own.mean
        variance = rho[at] ** 2 * variance + (np.square(own.std) - noise[at]).clip(0.0)
    return mean, variance
