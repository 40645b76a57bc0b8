"""One policy for all trade-offs between objectives."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from models.gflownet.conditioning.base import Conditioning
from models.gflownet.conditioning.inverse_temperature import InverseTemperatureOptions
from models.gflownet.conditioning.thermometer import thermometer
from models.registry import Component


class Preference(Conditioning):
    """R(x | w, beta) = (sum_i w_i r_i(x))^beta, with weights w from a Dirichlet law, each shown as a thermometer.

    The reward gives the logs of K non-negative objectives, (n, K); minus infinity is an objective of zero. The raw
    condition (n, K) is the weights, which sum to one; with a law of beta there is one more column, beta.
    """

    kind: ClassVar[str] = "preference"
    reference: ClassVar[str] = "Jain et al., Multi-objective GFlowNets, ICML 2023, arXiv:2210.12765"

    class Options(Component.Options):
        """Number of objectives, law of the weights, beta."""

        objectives: int = Field(2, ge=2, description="K, the objectives.")
        concentration: float = Field(1.5, gt=0, description="Of the symmetric Dirichlet law; 1 is uniform.")
        bins: int = Field(16, ge=1, description="Entries of the thermometer encoding of each weight.")
        beta: PositiveFloat | InverseTemperatureOptions = Field(1.0, description="A number, or a law to draw from.")
        floor: float = Field(-30.0, description="Least log of the weighted sum: a reward must not be zero.")

    def __init__(self, options: Preference.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        beta = self.options.beta
        self._law: InverseTemperatureOptions | None = beta if isinstance(beta, InverseTemperatureOptions) else None
        self.width = self.options.objectives * self.options.bins + (self._law.bins if self._law else 0)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return weights (n, K) or, with a law of beta, weights and beta (n, K + 1), float64."""
        # Torch draws gamma variates only from its global state; numpy draws them from a seed.
        seed = int(torch.randint(2**62, (1,), generator=generator))
        alpha = np.full(self.options.objectives, self.options.concentration)
        weights = torch.from_numpy(np.random.default_rng(seed).dirichlet(alpha, n))
        return weights if self._law is None else torch.cat([weights, self._law.draw(n, generator)[:, None]], 1)

    def encode(self, raw: Tensor) -> Tensor:
        """Return the thermometer encodings (n, C) of the weights, and of beta if it has a law.

        Raises:
            ValueError: the shape is wrong, weights do not sum to one, or a value is outside its range.
        """
        k = self.options.objectives
        columns = k + (self._law is not None)
        if raw.ndim != 2 or raw.shape[1] != columns:
            raise ValueError(
                f"A preference over {k} objectives has {columns} columns (weights{', beta' if self._law else ''}); got "
                f"shape {tuple(raw.shape)}."
            )
        total = raw[:, :k].sum(1)
        if bool(((total - 1.0).abs() > 1e-4).any()):
            raise ValueError(f"The weights of a preference must sum to one; got sums up to {total.max().item():.4g}.")
        weights = thermometer(raw[:, :k], 0.0, 1.0, self.options.bins).flatten(1)
        return weights if self._law is None else torch.cat([weights, self._law.encode(raw[:, k])], 1)

    def log_reward(self, values: Tensor, raw: Tensor) -> Tensor:
        """Return beta log sum_i w_i r_i (n,) of log r (n, K) and raw conditions.

        Raises:
            ValueError: the reward does not give K objectives.
        """
        k = self.options.objectives
        if values.ndim != 2 or values.shape[1] != k:
            raise ValueError(
                f"The conditioning {self.kind!r} needs the logs of {k} objectives per object, shape (n, {k}); got "
                f"shape {tuple(values.shape)}. Let the reward return one column per objective."
            )
        weights = raw[:, :k].to(values)
        total = (weights.log() + values).logsumexp(1).clamp(min=self.options.floor)
        beta = self.options.beta if self._law is None else raw[:, k].to(values)
        return total * beta
