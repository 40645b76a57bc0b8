"""Small pools with everything that a selector may ask for, and what several tests say about choices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.records import Prediction
from models.featurisers.nearness import min_max
from models.protocols import Pool, Scoring


def covariance_of(x):
    """A smooth function's, plus a little that every object has to itself."""
    squared = np.square(x[:, None] - x[None]).sum(2)
    return np.exp(-squared / (2.0 * max(x.shape[1], 1))) + 0.05 * (squared == 0)


def from_matrix(mean, covariance):
    """A joint posterior that is looked up."""
    return lambda rows: (mean[list(rows)], covariance[np.ix_(list(rows), list(rows))])


class Telling:
    """Knows what answers would tell: each for itself."""

    def __init__(self, known):
        self.known = known

    def information(self, objects):
        return np.array([self.known[obj] for obj in objects])

    def most_informative(self, objects, n):
        return np.argsort(-self.information(objects), kind="stable")[:n].tolist()


def complete(seed, m, measured=4, *, features="fingerprints", ties=False, best=0.5):
    """Return a random pool with all its parts; distances are in `features`, the scores an upper bound and
    something of each molecule's own.

    Args:
        seed: of everything.
        m: candidates.
        measured: objects measured, 0 for a pool without any.
        features: coordinates of the measured objects: fingerprints or others.
        ties: whether scores, fingerprints and coordinates come from few values, so that many are equal.
        best: best measured value.
    """
    rng = np.random.default_rng(seed)
    # Sums of random 4-column rows are rarely equal: counts up to 6 in 9 columns have few equal similarities.
    fingerprints = rng.integers(0, 2 if ties else 7, (m + measured, 3 if ties else 9)).astype(np.int32)
    x = rng.integers(0, 2, (m + measured, 3)).astype(float) if ties else rng.normal(size=(m + measured, 3))
    width = np.ones(m) if ties else rng.uniform(0.3, 1.5, m)
    covariance = covariance_of(x[:m]) * width * width[:, None]
    mean = rng.integers(0, 3, m).astype(float) if ties else rng.normal(size=m)
    prediction = Prediction(mean, np.sqrt(covariance.diagonal() + 0.1))
    extra = rng.integers(0, 2, m) if ties else rng.normal(size=m)
    known = fingerprints[m:] if features == "fingerprints" else x[m:]
    scores, objects = prediction.mean + prediction.std + 0.3 * extra, tuple(map(str, range(m)))
    return Pool(
        scores=scores,
        predictions=(prediction,),
        about=Scoring(predicted_best=best, informing=Telling(dict(zip(objects, scores, strict=True)))),
        fingerprints=fingerprints[:m],
        features=x[:m],
        train_features=known if measured else None,
        joints=(from_matrix(mean, covariance),),
        rescore=lambda rows, some, believed: some[0].mean + some[0].std + 0.3 * extra[list(rows)],
        seed=seed,
        objects=objects,
    )


def permuted(pool, order):
    """Return the same pool with its members in another order."""
    order = np.asarray(order, dtype=np.intp)

    def rows(prediction):
        return Prediction(prediction.mean[order], prediction.std[order])

    def there(members):
        return [int(order[i]) for i in members]

    def moved_joint(joint):
        return lambda members: joint(there(members))

    return replace(
        pool,
        scores=pool.scores[order],
        predictions=tuple(rows(one) for one in pool.predictions),
        fingerprints=pool.fingerprints[order],
        features=pool.features[order],
        joints=tuple(moved_joint(joint) for joint in pool.joints),
        rescore=lambda members, predictions, believed: pool.rescore(there(members), predictions, believed),
        objects=tuple(pool.objects[i] for i in order),
    )


def with_another(pool, seed):
    """Return the pool with a second objective beside the first, of the same smoothness."""
    rng = np.random.default_rng(seed)
    mean, covariance = rng.normal(size=len(pool)), covariance_of(pool.features)
    other = Prediction(mean, np.sqrt(covariance.diagonal() + 0.1))
    return replace(
        pool,
        predictions=(*pool.predictions, other),
        joints=(*pool.joints, from_matrix(mean, covariance)),
    )


def squared_distances(a, b, *, fingerprints=False):
    """Return all squared distances: Euclidean, or 2 (1 - Tanimoto) of counts."""
    return 2.0 - 2.0 * min_max(a, b) if fingerprints else np.square(a[:, None] - b[None]).sum(2)


def by_score(pool, limit=None):
    """Return the members as a selector sees them: best score first, ties by index, forbidden ones left out."""
    order = sorted(range(len(pool)), key=lambda i: (-pool.scores[i], i))
    return [i for i in order if pool.scores[i] > -np.inf][:limit]


def assert_greedy(chosen, members, objective, tolerance=1e-8):
    """Assert that each member, when it was chosen, raised the objective of the batch as much as any could."""
    assert len(set(chosen)) == len(chosen)
    for k in range(len(chosen)):
        before = chosen[:k]
        reached = objective(chosen[: k + 1])
        best = max(objective([*before, i]) for i in members if i not in before)
        assert reached >= best - tolerance * max(1.0, abs(best))


def rotation(seed, width):
    """Return a random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def moved(pool, change):
    """Return the pool with a function applied to the features of candidates and measured objects alike."""
    known = None if pool.train_features is None else change(pool.train_features)
    return replace(pool, features=change(pool.features), train_features=known)
