"""Expected growth of the dominated volume where measurements are noisy: over what the front may truly be."""

from __future__ import annotations

import numpy as np

from data.records import FloatArray, Prediction
from models.acquisition.expected_hypervolume_improvement import ExpectedHypervolumeImprovement
from models.acquisition.measured import feasible_rows, measured_whole
from models.protocols import Scoring


class NoisyExpectedHypervolumeImprovement(ExpectedHypervolumeImprovement):
    """Logarithm of the expected hypervolume improvement, the mean over joint draws at the measured objects.

    A front of noisy values consists of lucky ones and asks too much of every candidate. Here each draw from the
    posteriors at the measured objects gives a front, and the improvement over it is exact; the noise, where it is
    known, is taken from the predictions' deviations. A candidate's own posterior is that of the proxy, not conditioned
    on the draw, which Daulton et al. do: it is somewhat too wide next to measured objects.

    Without proxies that draw (`joint`) it is the expected hypervolume improvement over measured values.

    Reference: Daulton, Balandat and Bakshy, Parallel Bayesian optimization of multiple noisy objectives with expected
    hypervolume improvement, NeurIPS (2021).
    """

    kind = "noisy_expected_hypervolume_improvement"
    cites = ("daulton2021noisy",)
    uses_draws = True
    most_objectives = 4  # there are boxes for each of the draws

    class Options(ExpectedHypervolumeImprovement.Options):
        """Options of the noisy expected hypervolume improvement."""

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores: logarithms of the product of the objectives' units.

        Raises:
            ValueError: the reference point has another length, or there is neither one nor a measured value.
        """
        drawn = about.drawn
        if drawn is None:
            return super().score(predicted, about)
        k = len(predicted)
        rows, reference = feasible_rows(about, k), self.reference_of(measured_whole(about, k), k)
        latent = tuple(_without(one, noise) for one, noise in zip(predicted, drawn.noise, strict=True))
        scores = np.array([self.improvement(latent, front, reference) for front in drawn.values[:, rows]])
        top = scores.max(0)
        return np.asarray(top + np.log(np.exp(scores - top).mean(0)))


def _without(prediction: Prediction, noise: float) -> Prediction:
    """Return a prediction of the function; one of nothing but noise keeps a ten-thousandth of its deviation."""
    variance = np.square(prediction.std)
    return prediction.with_std(np.sqrt(np.maximum(variance - noise**2, 1e-8 * variance)))
