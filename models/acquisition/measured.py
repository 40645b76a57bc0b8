"""What was measured, as acquisitions look at it: whole rows, those that keep to limits, and what they would score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.records import FloatArray, Prediction
from models.protocols import Acquisition, BoolArray, Drawn, Scoring
from models.proxies.target import Target

_SURE = 1e-12
"""Deviation of a value that is taken for certain, in deviations of what was measured: scores divide by it."""


def whole(about: Scoring, k: int) -> BoolArray:
    """Return of which measured objects all k objectives were measured, shape `(t,)`.

    Raises:
        ValueError: the values are of another number of objectives.
    """
    measured = about.measured
    if not len(measured):
        return np.zeros(0, dtype=bool)
    if measured.ndim != 2 or measured.shape[1] != k:
        raise ValueError(f"Measured values have shape (t, {k}); got {measured.shape}.")
    return np.asarray(~np.isnan(measured).any(1))


def measured_whole(about: Scoring, k: int) -> FloatArray:
    """Return the measured values of the objects of which all k objectives were measured, shape `(t', k)`.

    Those that break a limit are among them: they tell ranges. Rivals are `feasible_whole` only.

    Raises:
        ValueError: the values are of another number of objectives.
    """
    rows = whole(about, k)
    return about.measured[rows] if len(rows) else np.zeros((0, k))


def feasible_whole(about: Scoring, k: int) -> FloatArray:
    """Return the values, shape `(t', k)`, of the objects that keep to all limits and of which all was measured.

    Raises:
        ValueError: the values are of another number of objectives.
    """
    rows = feasible_rows(about, k)
    return about.measured[rows] if len(rows) else np.zeros((0, k))


def feasible_rows(about: Scoring, k: int) -> BoolArray:
    """Return which measured objects keep to all limits and have all k values, shape `(t,)`.

    Raises:
        ValueError: the values are of another number of objectives.
    """
    rows = whole(about, k)
    return rows & about.feasible if len(rows) else rows


def narrowed(about: Scoring) -> Scoring:
    """Return what is known of the objectives to improve alone; that limits are kept to is remembered in `allowed`."""
    if not about.improved and not about.limits:
        return about
    measured, drawn = about.measured, about.drawn
    if about.improved:
        columns = list(about.improved)
        measured = measured[:, columns] if len(measured) else np.zeros((0, len(columns)))
        drawn = None if drawn is None else Drawn(drawn.values[:, :, columns], tuple(drawn.noise[k] for k in columns))
    return replace(about, measured=measured, drawn=drawn, limits=(), improved=(), allowed=about.feasible)


def certain_scores(acquisition: Acquisition, about: Scoring, objects: Sequence[str] = ()) -> FloatArray:
    """Return the scores that measured objects would have if their values were predicted for certain, shape `(t',)`.

    It is what tells centre and spread of scores in a unit. Of one objective they are the values themselves.

    Args:
        acquisition: no logarithm, and it does not heed limits.
        about: of the objectives to improve alone (`narrowed`).
        objects: the t measured ones, for an acquisition that reads them.
    """
    k = about.measured.shape[1]
    rows = whole(about, k)
    values = about.measured[rows] if len(rows) else np.zeros((0, k))
    if k == 1 or not len(values):
        return np.array(values[:, 0])
    sure = [_SURE * centre_and_spread(column)[1] for column in values.T]
    certain = tuple(Prediction(v, np.full(len(v), std)) for v, std in zip(values.T, sure, strict=True))
    named = tuple(obj for obj, row in zip(objects, rows, strict=True) if row) if objects else ()
    return acquisition.score(certain, replace(about, objects=named, cost=None))


def centre_and_spread(values: FloatArray) -> tuple[float, float]:
    """Return mean and standard deviation of n values, nan left out; as `models.proxies.target` has it of equal values.

    Of no values they are 0 and 1.
    """
    known = np.asarray(values, dtype=np.float64)[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    return float(known.mean()), float(Target.of(known[:, None]).scale[0])
