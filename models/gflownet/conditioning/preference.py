"""One policy for all trade-offs between objectives."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.conditioning.objectives import OfObjectives
from models.gflownet.conditioning.scalarisations import SCALARISATIONS, Scalarisation
from models.gflownet.conditioning.thermometer import thermometer


class Preference(OfObjectives):
    """R(x | w, beta) = s_w(r(x))^beta, with weights w from a Dirichlet law, each shown as a thermometer.

    The scalarisation s_w is the weighted sum, the weighted product or the Chebyshev reward (`scalarisations`); only the
    last reaches all members of a front that is concave. The reward gives the logs of K non-negative objectives, (n, K),
    about 1 where an object is as good as can be; minus infinity is an objective of zero. The raw condition (n, K) is
    the weights, which sum to one; with a law of beta there is one more column, beta.
    """

    kind: ClassVar[str] = "preference"
    cites: ClassVar[tuple[str, ...]] = ("jain2023mogfn",)

    class Options(OfObjectives.Options):
        """Scalarisation, and law of the weights."""

        scalarisation: Scalarisation = Field("weighted_sum", description="How K rewards become one under weights.")
        concentration: float = Field(1.5, gt=0, description="Of the symmetric Dirichlet law; 1 is uniform.")
        floor: float = Field(-30.0, lt=0, description="Least log of the scalarised reward, which must not be zero.")

        def cited(self) -> tuple[str, ...]:
            """Return the papers of the scalarisation beside those of the grid."""
            chebyshev = ("steuer1983tchebycheff", "miettinen1999nonlinear")
            return (*super().cited(), *(chebyshev if self.scalarisation == "chebyshev" else ()))

    def draw_trade_offs(self, n: int, generator: torch.Generator) -> Tensor:
        """Return weights (n, K), float64."""
        # Torch draws gamma variates only from its global state; numpy draws them from a seed.
        seed = int(torch.randint(2**62, (1,), generator=generator))
        alpha = np.full(self.objectives, self.options.concentration)
        return torch.from_numpy(np.random.default_rng(seed).dirichlet(alpha, n))

    def trade_offs_of(self, weights: Tensor) -> Tensor:
        """Return the weights themselves."""
        return weights

    def encode_trade_offs(self, raw: Tensor) -> Tensor:
        """Return the thermometer encodings (n, K, bins) of weights (n, K).

        Raises:
            ValueError: they do not sum to one, or one is outside its range.
        """
        total = raw.sum(1)
        if bool(((total - 1.0).abs() > 1e-4).any()):
            raise ValueError(f"The weights of a preference must sum to one; got sums up to {total.max().item():.4g}.")
        return thermometer(raw, 0.0, 1.0, self.options.bins)

    def scalarised(self, values: Tensor, raw: Tensor, beta: Tensor | float) -> Tensor:
        """Return beta log s_w(r), (n,), of log r (n, K), weights (n, K) and beta."""
        return SCALARISATIONS[self.options.scalarisation](values, raw).clamp(min=self.options.floor) * beta
