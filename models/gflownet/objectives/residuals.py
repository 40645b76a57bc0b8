"""Losses of a residual that should be zero."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from models.registry import Component

Residual = Literal["squared", "huber", "shifted_cosh"]


class BalanceOptions(Component.Options):
    """Options of objectives that square a residual."""

    residual: Residual = Field("squared", description="Loss of the residual: squared, huber or shifted_cosh.")

    def cited(self) -> tuple[str, ...]:
        """Return the paper of the loss that is not the usual one."""
        return ("hu2025beyond",) if self.residual == "shifted_cosh" else ()


def residual_loss(residual: Tensor, kind: Residual) -> Tensor:
    """Return the loss of each residual, zero exactly at zero and with its least curvature equal for all kinds.

    squared: t^2. huber: t^2 within 1, 2|t| - 1 beyond. shifted_cosh: e^t + e^-t - 2, which follows its tangent beyond
    |t| = 20 so that no gradient overflows (Hu et al., Beyond Squared Error, 2024, arXiv:2410.02596).
    """
    if kind == "squared":
        return residual.square()
    if kind == "huber":
        return 2.0 * functional.huber_loss(residual, residual.new_zeros(()).expand_as(residual), reduction="none")
    inside = residual.clamp(-20.0, 20.0)
    beyond = (residual - inside).abs() * 2.0 * math.sinh(20.0)
    return 2.0 * inside.cosh() - 2.0 + beyond
