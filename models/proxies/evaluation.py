"""Held-out quality of a proxy: cross-validation by groups, and the figures of a round's report."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from data.records import FloatArray, Prediction
from models.protocols import Proxy
from models.tails import log_density, quantile

COVERAGES = (0.5, 0.8, 0.9, 0.95)
"""Nominal shares of the central intervals whose coverage is a figure."""

ENRICHMENTS = (0.01, 0.1)
"""Top shares whose enrichment factor is a figure."""


def group_folds(groups: Sequence[str], folds: int, seed: int) -> list[int]:
    """Return the fold of each of n objects, so that a group is never split.

    Groups go, the largest first and ties in an order drawn by the seed, to the fold that is smallest so far. The empty
    group (acyclic objects have no scaffold) is no group: its members are dealt out one by one.

    Args:
        groups: name of each object's group.
        folds: number of folds, at least 2.
        seed: of the order of equally large groups.

    Raises:
        ValueError: fewer than 2 folds, or fewer groups than folds.
    """
    names = [group or f"\0{i}" for i, group in enumerate(groups)]
    distinct = sorted(set(names))
    if folds < 2 or len(distinct) < folds:
        raise ValueError(
            f"Cross-validation needs at least 2 folds and as many groups; got {folds} folds and {len(distinct)} groups "
            f"of {len(groups)} objects. Use fewer folds, or more data."
        )
    sizes = dict.fromkeys(distinct, 0)
    for name in names:
        sizes[name] += 1
    order = np.random.default_rng(seed).permutation(len(distinct))
    fold_of: dict[str, int] = {}
    load = [0] * folds
    for name in sorted((distinct[i] for i in order), key=lambda group: -sizes[group]):
        fold_of[name] = load.index(min(load))
        load[fold_of[name]] += sizes[name]
    return [fold_of[name] for name in names]


def stable_folds(groups: Sequence[str], folds: int) -> list[int]:
    """Return the fold of each of n objects by a hash of its group: objects that come later change nobody's fold.

    Folds may differ in size, and one may be empty.

    Args:
        groups: name of each object's group.
        folds: number of folds, at least 2.
    """
    return [int(hashlib.sha256(group.encode()).hexdigest()[:12], 16) % folds for group in groups]


def out_of_fold(train: Callable[[int, list[int]], Proxy], objects: Sequence[str], fold: Sequence[int]) -> Prediction:
    """Predict each of n objects by a proxy that was trained on the other folds.

    Args:
        train: returns a proxy trained on the rows given, for a fold given by number.
        objects: n objects.
        fold: n numbers of folds.
    """
    number = np.asarray(fold)
    mean, std, freedom = (np.full(len(objects), np.inf) for _ in range(3))
    for k in np.unique(number).tolist():
        test = np.flatnonzero(number == k)
        prediction = train(k, np.flatnonzero(number != k).tolist()).predict([objects[i] for i in test.tolist()])
        mean[test], std[test] = prediction.mean, prediction.std
        if prediction.freedom is not None:
            freedom[test] = prediction.freedom
    return Prediction(mean, std, None if np.isinf(freedom).all() else freedom)


def cross_validate(
    build_proxy: Callable[[], Proxy],
    objects: Sequence[str],
    values: FloatArray,
    groups: Sequence[str],
    folds: int,
    seed: int,
) -> Prediction:
    """Predict each of n objects by a proxy that was trained without its group.

    Args:
        build_proxy: makes an untrained proxy; called once per fold.
        objects: n objects.
        values: shape `(n,)`, finite.
        groups: n names of groups that stay together, such as Bemis-Murcko scaffolds.
        folds: number of folds; each is predicted by a proxy trained on the others.
        seed: of the folds and of the training.

    Raises:
        ValueError: fewer groups than folds, or a training set that the proxy refuses.
    """

    def train(k: int, rows: list[int]) -> Proxy:
        proxy = build_proxy()
        proxy.fit([objects[i] for i in rows], np.asarray(values)[rows], seed=seed)
        return proxy

    return out_of_fold(train, objects, group_folds(groups, folds, seed))


def metrics(prediction: Prediction, values: FloatArray, *, maximise: bool = True) -> dict[str, float]:
    """Return the figures of n predictions against measured values.

    * `rmse`, `mae` (unit of the target), `r2`, `spearman` (0 if either side is constant), `enrichment_01` and
      `enrichment_10` (`enrichment` of the top 1 % and 10 %);
    * `nll`: mean negative log density of a normal with the predicted mean and deviation, or of Student's t where that
      is predicted; intervals are those of the same distribution;
    * `coverage_50`, `_80`, `_90`, `_95`: share inside the central interval of that probability; `miscalibration`: mean
      distance of `reliability` from the diagonal;
    * `mean_z`, `rms_z`: mean and root mean square of (value - mean) / std, 0 and 1 where calibrated;
    * `sharpness`: mean predicted deviation; `error_spearman`: rank correlation of deviation and absolute error; `n`.

    Args:
        prediction: of n >= 2 objects.
        values: shape `(n,)`.
        maximise: whether the top values are the largest.

    Raises:
        ValueError: fewer than 2 values, or lengths that differ.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2 or values.shape != prediction.mean.shape:
        raise ValueError(
            f"Metrics need at least 2 values, one per prediction; got {len(prediction)} predictions and values of "
            f"shape {values.shape}."
        )
    error = values - prediction.mean
    z = error / prediction.std
    spread = float(np.square(values - values.mean()).sum())
    levels = np.arange(1, 20) / 20
    sign = 1.0 if maximise else -1.0
    return {
        "rmse": float(np.sqrt(np.square(error).mean())),
        "mae": float(np.abs(error).mean()),
        "r2": 1.0 - float(np.square(error).sum()) / spread if spread > 0 else 0.0,
        "spearman": rank_correlation(prediction.mean, values),
        "nll": float(surprises(prediction, values).mean()),
        "mean_z": float(z.mean()),
        "rms_z": float(np.sqrt(np.square(z).mean())),
        "sharpness": float(prediction.std.mean()),
        "error_spearman": rank_correlation(prediction.std, np.abs(error)),
        "miscalibration": float(np.abs(reliability(prediction, values, levels) - levels).mean()),
        **{f"coverage_{round(100 * p)}": float(reliability(prediction, values, [p])[0]) for p in COVERAGES},
        **{
            f"enrichment_{round(100 * top):02d}": enrichment(sign * prediction.mean, sign * values, top)
            for top in ENRICHMENTS
        },
        "n": float(len(values)),
    }


def surprises(prediction: Prediction, values: FloatArray) -> FloatArray:
    """Return the negative log density of each of n values under its prediction, shape `(n,)`."""
    z = (np.asarray(values, dtype=np.float64) - prediction.mean) / prediction.std
    if prediction.freedom is not None:
        return np.asarray(np.log(prediction.std) - log_density(z, prediction.freedom))
    return np.asarray(0.5 * np.log(2.0 * np.pi) + np.log(prediction.std) + 0.5 * np.square(z))


def reliability(prediction: Prediction, values: FloatArray, levels: Sequence[float] | FloatArray) -> FloatArray:
    """Return the share of n values inside the central predicted intervals of each of m probabilities, shape `(m,)`.

    Against the probabilities it is the reliability diagram: below the diagonal the proxy is surer than it should be.

    Args:
        prediction: of n >= 1 objects.
        values: shape `(n,)`.
        levels: m probabilities in (0, 1).
    """
    z = np.abs((np.asarray(values) - prediction.mean) / prediction.std)
    probability = 0.5 + np.asarray(levels, dtype=np.float64) / 2.0
    return np.asarray((z[:, None] <= quantile(probability, prediction.freedom)).mean(0))


def enrichment(scores: FloatArray, values: FloatArray, top: float) -> float:
    """Return how many times more of the top values are among the top scores than among as many random objects.

    The top are `max(1, round(top n))` objects, more where values tie with the last of them; 1 is chance. Of scores that
    tie with the last of the top, each counts as chosen with equal probability.

    Args:
        scores: shape `(n,)`, n >= 1, larger is better.
        values: shape `(n,)`, larger is better.
        top: share in (0, 1].
    """
    k = max(1, round(top * len(values)))
    active = values >= np.sort(values)[-k]
    last = np.sort(scores)[-k]
    above, tied = scores > last, scores == last
    hits = active[above].sum() + (k - above.sum()) * active[tied].mean()
    return float(hits / k / active.mean())


def rank_correlation(a: FloatArray, b: FloatArray) -> float:
    """Return Spearman's rank correlation of two vectors, ties sharing their mean rank; 0 if either is constant."""
    ra, rb = _ranks(a) - (len(a) + 1) / 2.0, _ranks(b) - (len(b) + 1) / 2.0
    norm = float(np.sqrt(np.square(ra).sum() * np.square(rb).sum()))
    return float(ra @ rb) / norm if norm > 0 else 0.0


def _ranks(values: FloatArray) -> FloatArray:
    """Return the rank of each value from 1 on, ties sharing their mean (`scipy.stats` takes seconds to import)."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2.0)[places]
    return ranks
