"""One policy for all inverse temperatures."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from models.gflownet.conditioning.base import Conditioning
from models.gflownet.conditioning.thermometer import thermometer
from models.registry import Component


class InverseTemperatureOptions(Component.Options):
    """The law that beta is drawn from, and its encoding."""

    law: Literal["uniform", "log_uniform", "exponential"] = Field(
        "uniform", description="exponential: density proportional to exp(-beta / scale) in the range."
    )
    low: float = Field(0.5, gt=0, description="Least beta.")
    high: float = Field(32.0, gt=0, description="Greatest beta.")
    scale: float = Field(8.0, gt=0, description="Scale of the exponential law.")
    bins: int = Field(32, ge=1, description="Entries of the thermometer encoding; in log beta with log_uniform.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high <= self.low:
            raise ValueError(
                f"the range of beta is empty: got low {self.low} and high {self.high}, expected low < high. For one "
                "fixed beta, scale the log-reward instead"
            )
        return self

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n values of beta (n,), float64, by inversion of the distribution function."""
        u = torch.rand(n, generator=generator, dtype=torch.float64)
        if self.law == "uniform":
            beta = self.low + (self.high - self.low) * u
        elif self.law == "log_uniform":
            beta = (math.log(self.low) + math.log(self.high / self.low) * u).exp()
        else:
            inside = -math.expm1((self.low - self.high) / self.scale)
            beta = self.low - self.scale * (-u * inside).log1p()
        return beta.clamp(self.low, self.high)

    def encode(self, beta: Tensor) -> Tensor:
        """Return the thermometer encoding (n, bins) of (n,) values of beta.

        Raises:
            ValueError: a value is outside the range.
        """
        if self.law == "log_uniform":
            return thermometer(beta.double().log(), math.log(self.low), math.log(self.high), self.bins)
        return thermometer(beta, self.low, self.high, self.bins)


class InverseTemperature(Conditioning):
    """R(x | beta) = R(x)^beta, with beta drawn for each trajectory and shown to the network as a thermometer.

    The raw condition (n, 1) is beta. The same conditioning serves the variant that scales logits (`LogitScale`).
    """

    kind: ClassVar[str] = "inverse_temperature"
    cites: ClassVar[tuple[str, ...]] = ("kim2024logits",)

    class Options(InverseTemperatureOptions):
        """The law of beta, and its encoding."""

    def __init__(self, options: InverseTemperature.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.width = self.options.bins

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return beta (n, 1), float64."""
        beta: Tensor = self.options.draw(n, generator)
        return beta[:, None]

    def encode(self, raw: Tensor) -> Tensor:
        """Return the thermometer encoding (n, bins) of beta (n, 1).

        Raises:
            ValueError: a value is outside the range.
        """
        encoded: Tensor = self.options.encode(raw[:, 0])
        return encoded

    def log_reward(self, values: Tensor, raw: Tensor) -> Tensor:
        """Return beta log R (n,) of log-rewards (n,) and beta (n, 1).

        Raises:
            ValueError: there are several objectives.
        """
        if values.ndim != 1:
            raise ValueError(
                f"The conditioning {self.kind!r} needs one log-reward per object, shape (n,); got shape "
                f"{tuple(values.shape)}. Use the conditioning `preference` for several objectives."
            )
        return values * raw[:, 0].to(values)
