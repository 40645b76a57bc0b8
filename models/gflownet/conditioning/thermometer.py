"""Thermometer encoding of a number in a range."""

from __future__ import annotations

import torch
from torch import Tensor


def thermometer(values: Tensor, low: float, high: float, bins: int) -> Tensor:
    """Return (..., bins) float32: bins fill one after the other as a value rises from `low` to `high`.

    The range is cut into equal bins; those below the value are 1, its own is filled in part, the others are 0. The
    encoding is continuous, tells all values apart, and its every entry is in [0, 1].

    Args:
        values: (...) numbers in the range.
        low: least value.
        high: greatest value, above `low`.
        bins: entries per value.

    Raises:
        ValueError: a value is outside the range; the network has never seen such a condition.
    """
    slack = 1e-6 * (high - low)
    if bool(((values < low - slack) | (values > high + slack)).any()):
        raise ValueError(
            f"A condition must be from {low} to {high}, where the policy was trained; got values from "
            f"{values.min().item()} to {values.max().item()}."
        )
    filled = (values.double() - low) / (high - low) * bins
    return (filled[..., None] - torch.arange(bins, device=values.device)).clamp(0.0, 1.0).float()
