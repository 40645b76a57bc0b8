"""Calibration of predicted standard deviations on held-out predictions, and the proxy that applies it.

What is calibrated is the deviation alone, as a function of itself: the mean and so every ranking by it stay as they
were, and an acquisition goes on to work with a mean and a deviation. Quantile recalibration (Kuleshov et al., ICML
2018) maps the levels of all predictions alike: it cannot tell a deviation that is too small from one that is too large,
and what it returns is no normal distribution, which every acquisition here takes it for. Hence two methods:

* `variance`: one factor, the root mean square of the standardised errors and of `PRIOR` more of size 1. Without these
  it maximises the likelihood of the held-out values among all factors; it leaves the order of the deviations alone.
* `isotonic`: squared errors regressed on predicted variances, non-decreasing, after equal-count bins that keep a few
  lucky objects from claiming certainty. Between the blocks it is interpolated, so that two different deviations stay
  different, and beyond the last block the factor stays: the deviation still grows away from the data.

Both learn from held-out objects, which are unlike what an acquisition chooses. Once enough was bought, all deviations
are multiplied by one more factor, learned from the purchases (`purchase_factor`).

References: Levi et al., Evaluating and calibrating uncertainty prediction in regression tasks, Sensors 22, 5540 (2022);
Barlow et al., Statistical Inference under Order Restrictions, Wiley (1972).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from data.records import FloatArray, Prediction
from models.protocols import EmbeddingProxy, JointProxy, Proxy
from models.proxies.tensors import as_tensors

Method = Literal["none", "variance", "isotonic"]

PRIOR = 5.0
"""Observations for which the proxy's own deviation counts: a factor from six labels must not be taken at its word."""

LIMIT = 1e3
"""An error counts for no more predicted deviations: one value beyond all measure must not make the others worthless."""

BIN = 40
"""Fewest held-out objects that say how large the error at one deviation is; a half as many count for the factor."""

BINS = 20
"""Most places at which that is said: with more objects each has more of them, and the factor counts for less."""

PURCHASES = 16
"""Purchases below which they say nothing about the deviations of what is bought."""

CITES = {"none": (), "variance": ("levi2022calibrating",), "isotonic": ("levi2022calibrating", "barlow1972order")}
"""Way of calibrating -> keys of its papers."""

STATE_KEY = "calibration"
"""Entry of a proxy's state that holds the calibration."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map from predicted to calibrated standard deviation, strictly increasing.

    Attributes:
        knots: shape `(k, 2)`, predicted and calibrated deviation, each column increasing. Between knots the map is
            linear in the logarithms; beyond the first and the last it is a constant factor. No knots: no change.
    """

    knots: FloatArray

    def __post_init__(self) -> None:
        k = self.knots
        shaped = k.ndim == 2 and k.shape[1] == 2
        if not (shaped and np.isfinite(k).all() and (k > 0).all() and (np.diff(k, axis=0) > 0).all()):
            raise ValueError(
                "The knots of a calibration are pairs of positive deviations, predicted and calibrated, both "
                f"increasing; got {k.tolist()!r}."
            )

    def factor(self, std: FloatArray) -> FloatArray:
        """Return by what each of n predicted deviations is multiplied, shape `(n,)`, > 0."""
        if not len(self.knots):
            return np.ones(len(std))
        ratio = self.knots[:, 1] / self.knots[:, 0]
        if len(ratio) == 1:  # to the bit the same whatever the company of an object
            return np.full(len(std), ratio[0])
        return np.asarray(np.exp(np.interp(np.log(std), np.log(self.knots[:, 0]), np.log(ratio))))

    def __call__(self, prediction: Prediction) -> Prediction:
        """Return the prediction with calibrated deviations; the means are the same."""
        return prediction.with_std(prediction.std * self.factor(prediction.std))


@dataclass(frozen=True, slots=True)
class Purchases:
    """What was bought on the advice of a proxy: n values with the predictions that they were bought on.

    Attributes:
        rounds: shape `(n,)`, the round of each purchase.
        values: shape `(n,)`, measured.
        mean: shape `(n,)`, predicted.
        std: shape `(n,)`, predicted deviation as it was shown, > 0.
    """

    rounds: NDArray[np.int64]
    values: FloatArray
    mean: FloatArray
    std: FloatArray

    def __len__(self) -> int:
        return len(self.values)


NOTHING = Calibration(np.zeros((0, 2)))
"""Leaves predictions as they are."""


def fit_calibration(method: Method, prediction: Prediction, values: FloatArray) -> Calibration:
    """Learn how far predicted deviations are from the errors that were made.

    Args:
        method: `none`, `variance` (one factor) or `isotonic` (a map; one factor below `2 * BIN` predictions).
        prediction: of n >= 1 objects by proxies that had not seen them.
        values: shape `(n,)`, what was then measured, finite.

    Raises:
        ValueError: no such method, nothing to learn from, lengths that differ, or values that are not finite.
    """
    if method not in get_args(Method):
        raise ValueError(f"There is no calibration {method!r}; expected one of {', '.join(get_args(Method))}.")
    if method == "none":
        return NOTHING
    std = prediction.std
    squared = np.square(np.minimum(np.abs(_errors(prediction, values)), LIMIT * std))
    n = len(std)
    factor = float(((squared / np.square(std)).sum() + PRIOR) / (n + PRIOR))
    if method == "variance" or n < 2 * BIN:
        return Calibration(np.array([[1.0, np.sqrt(factor)]]))
    return _isotonic(np.square(std), squared, factor)


def _errors(prediction: Prediction, values: FloatArray) -> FloatArray:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != prediction.mean.shape or not len(values):
        raise ValueError(
            f"A calibration needs one value per held-out prediction and at least one; got {len(prediction)} "
            f"predictions and values of shape {values.shape}."
        )
    errors = values - prediction.mean
    sound = np.isfinite(errors) & np.isfinite(prediction.std) & (prediction.std > 0)
    if not sound.all():
        raise ValueError(
            f"A calibration needs finite values, means and deviations above 0; {int((~sound).sum())} of {len(sound)} "
            f"are not, the first at position {int(np.flatnonzero(~sound)[0])}. Leave failed measurements out."
        )
    return errors


def _isotonic(variance: FloatArray, squared: FloatArray, factor: float) -> Calibration:
    bins = _bins(variance)
    weight = np.array([len(rows) for rows in bins], dtype=np.float64)
    predicted = np.array([variance[rows].mean() for rows in bins])
    observed = np.array([squared[rows].sum() for rows in bins]) + BIN / 2 * factor * predicted
    fitted = isotonic_regression(observed / (weight + BIN / 2), weights=weight).x
    knots = []
    for level in np.unique(fitted):  # one knot per block of equal values, at its mean predicted variance
        block = fitted == level
        knots.append((np.sqrt(np.average(predicted[block], weights=weight[block])), np.sqrt(level)))
    found = np.array(knots)
    # Levels that only rounding keeps apart share a knot: the map is strictly increasing.
    return Calibration(found[np.append((np.diff(found, axis=0) > 0).all(1), True)])


def _bins(variance: FloatArray) -> list[NDArray[np.intp]]:
    """Return row numbers in bins of increasing variance, at most `BINS`, about equally large, none smaller than `BIN`.

    Rows of one variance share a bin: which of them came first must not matter.
    """
    order = np.argsort(variance, kind="stable")
    ordered = variance[order]
    size = len(order) // min(len(order) // BIN, BINS)
    begins = [0]
    for begin in (np.flatnonzero(ordered[1:] > ordered[:-1] * (1.0 + 1e-9)) + 1).tolist():
        if begin - begins[-1] >= size and len(order) - begin >= size:
            begins.append(begin)
    return np.split(order, begins[1:])


def calibrate_across(method: Method, prediction: Prediction, values: FloatArray, fold: Sequence[int]) -> Prediction:
    """Calibrate held-out predictions of each fold by what was learned on the other folds.

    Figures of the result are those of calibrated predictions on data that neither proxy nor calibration saw.

    Args:
        method: as in `fit_calibration`.
        prediction: out-of-fold predictions of n objects.
        values: shape `(n,)`.
        fold: n numbers of folds, at least two distinct ones.

    Raises:
        ValueError: a single fold, lengths that differ, or what `fit_calibration` refuses.
    """
    folds = np.asarray(fold)
    if folds.shape != prediction.mean.shape or len(np.unique(folds)) < 2:
        raise ValueError(
            f"Calibration across folds needs the fold of each of {len(prediction)} predictions and at least 2 folds; "
            f"got shape {folds.shape} with {len(np.unique(folds))} folds."
        )
    std = np.empty(len(prediction))
    for k in np.unique(folds):
        here = folds == k
        others = prediction.part(~here)
        learned = fit_calibration(method, others, np.asarray(values)[~here])
        std[here] = learned(prediction.part(here)).std
    return prediction.with_std(std)


def purchase_factor(purchases: Purchases) -> float:
    """Return by what deviations calibrated on held-out objects are multiplied, from what was bought; 1 if too little.

    What an acquisition chooses is unlike held-out objects: it is where the proxy promises most. The factor of round r
    is the root mean square of the standardised errors of all earlier purchases, and of `PRIOR` more of size 1. The
    deviations they were bought with had the factors of their own rounds already; these are worked out again from the
    rounds before, in order, so that the factor is a function of the purchases alone. It never narrows: lucky purchases
    are few, and held-out objects have said already how wide the deviations must be.
    """
    squares: list[float] = []
    factor = 1.0
    for number in sorted(set(purchases.rounds.tolist())):
        here = purchases.rounds == number
        std = purchases.std[here]
        errors = np.minimum(np.abs(purchases.values[here] - purchases.mean[here]), LIMIT * std)
        squares += np.square(errors / std * factor).tolist()
        if len(squares) >= PURCHASES:
            factor = max(1.0, float(np.sqrt((np.sum(squares) + PRIOR) / (len(squares) + PRIOR))))
    return factor


def widened(calibration: Calibration, factor: float) -> Calibration:
    """Return a calibration whose deviations are multiplied; one that changes nothing becomes that factor."""
    knots = calibration.knots if len(calibration.knots) else np.array([[1.0, 1.0]])
    return Calibration(knots * np.array([1.0, factor]))


def calibration_state(calibration: Calibration) -> dict[str, Any]:
    """Return the part of a proxy's state that holds its calibration."""
    return dict(as_tensors({STATE_KEY: calibration.knots}))


def calibration_of(state: Mapping[str, Any]) -> Calibration:
    """Return the calibration that a proxy's state holds; a state of before there was one changes nothing."""
    knots = state.get(STATE_KEY)
    return NOTHING if knots is None else Calibration(knots.detach().cpu().numpy().copy())


class Calibrated:
    """A proxy whose predicted deviations are calibrated; made by `calibrated`, which keeps what else the proxy can do.

    Attributes:
        proxy: the proxy within.
        calibration: what is applied to its predictions.
    """

    def __init__(self, proxy: Proxy, calibration: Calibration = NOTHING) -> None:
        self.proxy = proxy
        self.calibration = calibration

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train the proxy within; the calibration, which needs held-out predictions, stays as it is."""
        self.proxy.fit(objects, values, seed=seed)

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects: the proxy's means, calibrated deviations."""
        return self.calibration(self.proxy.predict(objects))

    def state(self) -> dict[str, Any]:
        """Return the proxy's state and, under `STATE_KEY`, the knots of the calibration."""
        return {**self.proxy.state(), **calibration_state(self.calibration)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; a state of before there was calibration has none, and none is applied."""
        self.proxy.load_state({key: value for key, value in state.items() if key != STATE_KEY})
        self.calibration = calibration_of(state)

    def config(self) -> dict[str, Any]:
        """Return the configuration of the proxy within, from which the registry builds it."""
        config: dict[str, Any] = self.proxy.config()  # type: ignore[attr-defined]  # every component has it
        return config


class _Joint(Calibrated):
    def joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the function, scaled as the deviations of a measurement are.

        Each row and column is multiplied by the factor of its object, which keeps the correlations as they are and
        the matrix positive semi-definite.
        """
        mean, covariance = self.proxy.joint(objects)  # type: ignore[attr-defined]
        if not len(self.calibration.knots):
            return mean, covariance
        one = len(self.calibration.knots) == 1  # the factor does not depend on the prediction
        std = np.ones(len(objects)) if one else self.proxy.predict(objects).std
        factor = self.calibration.factor(std)
        return mean, covariance * factor[:, None] * factor[None, :]


class _Embedding(Calibrated):
    def embed(self, objects: Sequence[str], kind: Literal["last_layer", "gradient"] = "last_layer") -> FloatArray:
        """Return the features `(n, d)` of the proxy within; a calibration of deviations does not change them."""
        features: FloatArray = self.proxy.embed(objects, kind=kind)  # type: ignore[attr-defined]
        return features


class _JointEmbedding(_Joint, _Embedding):
    pass


def calibrated(proxy: Proxy, calibration: Calibration = NOTHING) -> Calibrated:
    """Wrap a proxy; the result has `joint` and `embed` where the proxy has them, and only there.

    Args:
        proxy: trained or not.
        calibration: what is applied to its predictions; `load_state` replaces it.
    """
    if isinstance(proxy, JointProxy):
        return (_JointEmbedding if isinstance(proxy, EmbeddingProxy) else _Joint)(proxy, calibration)
    return (_Embedding if isinstance(proxy, EmbeddingProxy) else Calibrated)(proxy, calibration)
