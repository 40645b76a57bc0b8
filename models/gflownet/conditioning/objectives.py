"""What conditions on a trade-off between K objectives share: the shape of a condition, beta, and an even grid."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from models.gflownet.conditioning.base import Conditioning
from models.gflownet.conditioning.inverse_temperature import InverseTemperatureOptions
from models.gflownet.conditioning.lattice import simplex_lattice
from models.registry import Component


class OfObjectives(Conditioning):
    """Base: the reward gives the logs of K objectives (n, K), and the condition says what is wanted of them.

    The raw condition (n, K) is a trade-off, K numbers; with a law of beta there is one more column, beta.
    """

    class Options(Component.Options):
        """Number of objectives, encoding, beta."""

        objectives: int | None = Field(
            None, ge=2, description="K, the objectives; null: those that a campaign improves, elsewhere 2."
        )
        bins: int = Field(16, ge=2, description="Entries of the thermometer encoding of each of the K numbers.")
        beta: PositiveFloat | InverseTemperatureOptions | None = Field(
            None,
            description="A number, or a law to draw from; null: in a campaign as sharp as that is, elsewhere 1.",
        )
        proposed: int = Field(16, ge=2, description="Trade-offs, evenly spread, that candidates are drawn under.")

        def cited(self) -> tuple[str, ...]:
            """Return the papers of the even grid, and of a law of beta."""
            law = ("kim2024logits",) if isinstance(self.beta, InverseTemperatureOptions) else ()
            return ("das1998nbi", "deb2014nsga3", *law)

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.objectives: int = self.options.objectives or 2
        beta = self.options.beta
        self.law: InverseTemperatureOptions | None = beta if isinstance(beta, InverseTemperatureOptions) else None
        self._beta = beta if isinstance(beta, float) else 1.0
        self.width = self.objectives * self.options.bins + (self.law.bins if self.law else 0)

    @abstractmethod
    def draw_trade_offs(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n trade-offs (n, K), float64."""

    @abstractmethod
    def trade_offs_of(self, weights: Tensor) -> Tensor:
        """Return the trade-offs (n, K) that weights (n, K), which sum to one, stand for."""

    @abstractmethod
    def encode_trade_offs(self, raw: Tensor) -> Tensor:
        """Return the encodings (n, K, bins) of trade-offs (n, K).

        Raises:
            ValueError: one is none.
        """

    @abstractmethod
    def scalarised(self, values: Tensor, raw: Tensor, beta: Tensor | float) -> Tensor:
        """Return the log-rewards (n,) of log r (n, K), trade-offs (n, K) and beta, one or (n,)."""

    def sharpened(self, power: float) -> Self:
        """Return the same conditioning, with a beta of `power` where its options tell none."""
        made = type(self)(self.options)
        made._beta = power if self.options.beta is None else made._beta
        return made

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return trade-offs (n, K) or, with a law of beta, trade-offs and beta (n, K + 1), float64."""
        drawn = self.draw_trade_offs(n, generator)
        return drawn if self.law is None else torch.cat([drawn, self.law.draw(n, generator)[:, None]], 1)

    def encode(self, raw: Tensor) -> Tensor:
        """Return the thermometer encodings (n, C) of the trade-offs, and of beta if it has a law.

        Raises:
            ValueError: the shape is wrong, or a value is outside its range.
        """
        k = self.objectives
        columns = k + (self.law is not None)
        if raw.ndim != 2 or raw.shape[1] != columns:
            raise ValueError(
                f"A condition of {self.kind!r} over {k} objectives has {columns} columns (one per objective"
                f"{', beta' if self.law else ''}); got shape {tuple(raw.shape)}."
            )
        encoded = self.encode_trade_offs(raw[:, :k]).flatten(1)
        return encoded if self.law is None else torch.cat([encoded, self.law.encode(raw[:, k])], 1)

    def log_reward(self, values: Tensor, raw: Tensor) -> Tensor:
        """Return the log-rewards (n,) of log r (n, K) under raw conditions.

        Raises:
            ValueError: the reward does not give K objectives.
        """
        k = self.objectives
        if values.ndim != 2 or values.shape[1] != k:
            raise ValueError(
                f"The conditioning {self.kind!r} needs the logs of {k} objectives per object, shape (n, {k}); got "
                f"shape {tuple(values.shape)}. Let the reward return one column per objective."
            )
        beta = self._beta if self.law is None else raw[:, k].to(values)
        return self.scalarised(values, raw[:, :k].to(values), beta)

    def even(self, n: int, beta: float | None = None) -> Tensor:
        """Return up to n raw conditions (m, C0), float64: an even grid of trade-offs.

        Args:
            n: most conditions.
            beta: of all of them, where it has a law; None: the highest.
        """
        grid = self.trade_offs_of(simplex_lattice(self.objectives, max(n, self.objectives)))
        return self._with_beta(grid, beta)

    def middle(self, beta: float | None = None) -> Tensor:
        """Return the raw condition (1, C0) that wants as much of all objectives."""
        equal = torch.full((1, self.objectives), 1.0 / self.objectives, dtype=torch.float64)
        return self._with_beta(self.trade_offs_of(equal), beta)

    def _with_beta(self, trade_offs: Tensor, beta: float | None) -> Tensor:
        if self.law is None:
            return trade_offs
        column = torch.full((len(trade_offs), 1), self.law.high if beta is None else beta, dtype=torch.float64)
        return torch.cat([trade_offs, column], 1)
