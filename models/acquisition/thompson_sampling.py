"""One draw of the function per round, the same for every object asked about in it."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition
from models.protocols import Scoring

_DIRECTIONS = 256


class ThompsonSampling(BaseAcquisition):
    """`mean(x) + std(x) g(x)` with g one draw of a Gaussian process that has unit variance everywhere.

    A generator asks for the score of any object at any time, so the draw must be a function: `g(x) = w . phi(x)` with
    phi of length 1 and w standard normal, drawn from the round's seed. phi is made of the features in which the space
    takes nearness: their counts (those of Morgan for molecules), square-rooted and of length 1; where nothing is
    counted, cosines and sines of 256 random directions of the coordinates. Every object then has exactly the proxy's
    marginal law over seeds, and like objects share their luck: by the cosine of their fingerprints, or about as
    exp(-d^2 / 2) at distance d. The posterior's own correlations, which also know what was measured, are used where a
    batch is drawn: the selector `thompson`.

    Reference: Thompson, Biometrika 25 (1933); the draw as a linear function of features: Rahimi and Recht,
    NeurIPS (2007).
    """

    kind = "thompson_sampling"
    cites = ("thompson1933likelihood", "rahimi2007features")

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores in the unit of the target.

        Raises:
            ValueError: the objects are not named.
        """
        target = predicted[0]
        if len(about.objects) != len(target):
            step = "Give them as `objects` of the `Scoring`."
            raise self.lacks(f"the {len(target)} objects that were predicted", step)
        return np.asarray(target.mean + target.std * self._draw(about))

    def _draw(self, about: Scoring) -> FloatArray:
        """Return g of n objects, shape `(n,)`: standard normal over seeds, a function of the object for one."""
        features = self.space_of(about).nearness.features(about.objects)
        rng = np.random.default_rng(about.seed)
        counts = features.counts
        if not counts.shape[1]:
            angles = features.dense @ rng.standard_normal((features.dense.shape[1], _DIRECTIONS))
            phi = np.hstack([np.cos(angles), np.sin(angles)]) / np.sqrt(_DIRECTIONS)
            return np.asarray(phi @ rng.standard_normal(2 * _DIRECTIONS))
        weights = rng.standard_normal((counts.shape[1],))
        roots = sparse.csr_array(np.sqrt(counts.astype(np.float64)))
        length = np.sqrt(counts.sum(1, dtype=np.float64))
        return np.asarray((roots @ weights) / np.maximum(length, 1.0))
