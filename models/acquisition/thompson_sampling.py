"""One draw of the function per round, the same for every molecule asked about in it."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from data.chemistry.molecules import morgan_counts
from data.records import FloatArray, Prediction
from models.acquisition.base import InformedScore
from models.protocols import ScoringContext


class ThompsonSampling(InformedScore):
    """`mean(x) + std(x) g(x)` with g one draw of a Gaussian process that has unit variance everywhere.

    A generator asks for the score of any molecule at any time, so the draw must be a function: `g(x) = w . phi(x)` with
    phi the molecule's Morgan counts, square-rooted and of length 1, and w standard normal, drawn from the round's seed.
    Every molecule then has exactly the proxy's marginal law over seeds, and like molecules share their luck, by the
    cosine of their fingerprints. The posterior's own correlations, which also know what was measured, are used where a
    batch is drawn: the selector `thompson`.

    Reference: Thompson, Biometrika 25 (1933); the draw as a linear function of features: Rahimi and Recht,
    NeurIPS (2007).
    """

    kind = "thompson_sampling"
    spaces = ("molecules",)
    reference = "Thompson, Biometrika 25, 285 (1933); Rahimi and Recht, NeurIPS (2007)"

    def score_in(self, prediction: Prediction, context: ScoringContext) -> FloatArray:
        """Return `(n,)` scores in the unit of the target.

        Raises:
            ValueError: the context does not name the molecules.
        """
        if len(context.objects) != len(prediction):
            raise self.lacks(
                f"the {len(prediction)} molecules that were predicted",
                "Score through `models.acquisition.base.scores` with their SMILES in the context.",
            )
        direction = 1.0 if context.maximise else -1.0
        return np.asarray(direction * prediction.mean + prediction.std * self.draw(context.objects, context.seed))

    @staticmethod
    def draw(objects: tuple[str, ...], seed: int) -> FloatArray:
        """Return g of n molecules, shape `(n,)`: standard normal over seeds, a function of the molecule for one."""
        counts = morgan_counts(objects)
        weights = np.random.default_rng(seed).standard_normal((counts.shape[1],))
        phi = sparse.csr_array(np.sqrt(counts.astype(np.float64)))
        length = np.sqrt(counts.sum(1, dtype=np.float64))
        return np.asarray((phi @ weights) / np.maximum(length, 1.0))
