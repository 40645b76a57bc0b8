"""Expected improvement over what is believed to be the best, where measurements are noisy."""

from __future__ import annotations

import numpy as np

from data.records import FloatArray, Prediction
from models.acquisition.base import BaseAcquisition
from models.acquisition.expected_improvement import ExpectedImprovement
from models.protocols import Scoring


class NoisyExpectedImprovement(BaseAcquisition):
    """Expected improvement of the function over the best predicted mean of the measured objects.

    The best of noisy values is too good by the luck that made it the best; the predicted means have that luck taken
    out. The deviation is the function's own: the noise, where it is known, is taken from the prediction's. Without a
    predicted best the best measured value is taken for it. This is the plug-in form; it neglects that the best itself
    is uncertain, which the integral of Letham et al. includes.

    Reference: Picheny, Wagner and Ginsbourger, A benchmark of kriging-based infill criteria for noisy optimization,
    Struct. Multidisc. Optim. 48 (2013), section 3.2; Letham et al., Bayesian Analysis 14 (2019).
    """

    kind = "noisy_expected_improvement"
    cites = ("picheny2013benchmark", "letham2019constrained")

    class Options(ExpectedImprovement.Options):
        """Options of noisy expected improvement."""

    uses_predicted_best = True

    @property
    def logarithmic(self) -> bool:
        """Whether the scores are logarithms."""
        return bool(self.options.scale == "log")

    @property
    def positive(self) -> bool:
        """Whether the scores are not logarithms of what they are."""
        return not self.logarithmic

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores: log of the unit of the target, or the unit itself if `scale` is plain."""
        target = predicted[0]
        # A prediction of nothing but noise keeps a ten-thousandth of its deviation: the logarithm must be finite.
        latent = np.square(target.std) - about.noise**2
        std = np.sqrt(np.maximum(latent, 1e-8 * np.square(target.std)))
        plain = ExpectedImprovement(scale=self.options.scale, margin=self.options.margin)
        return plain.score((target.with_std(std),), about)
