"""Rows of digits as numbers and as strings, a whole batch at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

_LARGEST = 2**61
"""Numbers stay below this, so that a caller may still append a bit."""


def row_codes(digits: Tensor, base: int) -> Tensor:
    """Return (S,) int64 that are equal exactly where rows are equal, within this call.

    Args:
        digits: (S, W) integers in 0 .. base - 1; W may be any length.
        base: how many values a digit has, at least 2.

    Where a row fits one integer, its code is its number in that base, the first digit the highest; else parts of the
    rows are numbered one after the other.
    """
    width = 1
    while base ** (width + 1) <= _LARGEST:
        width += 1
    n, codes = len(digits), digits.new_zeros(len(digits), dtype=torch.int64)
    for first in range(0, digits.shape[1], width):
        part = digits[:, first : first + width]
        powers = base ** torch.arange(part.shape[1] - 1, -1, -1, device=digits.device)
        code = (part * powers).sum(1)
        codes = code if first == 0 else _rank(codes) * n + _rank(code)
    return codes


def _rank(codes: Tensor) -> Tensor:
    rank: Tensor = torch.unique(codes, return_inverse=True)[1]
    return rank


def strings(words: np.ndarray[Any, Any], digits: Tensor) -> list[str]:
    """Join words by number into one string per row.

    Args:
        words: strings of equal length, and an empty one for padding, which may stand at the end of a row only.
        digits: (S, W) integers, indices of `words`.
    """
    if not digits.numel():
        return [""] * len(digits)
    table = np.ascontiguousarray(words[digits.cpu().numpy()])
    joined: list[str] = table.view(f"<U{table.dtype.itemsize // 4 * table.shape[1]}")[:, 0].tolist()
    return joined


def log_multinomial(counts: Tensor) -> Tensor:
    """Return (S,) float64, log of (sum c)! / prod c! of rows of counts (S, N): the orders in which they can grow."""
    counts = counts.double()
    out: Tensor = (counts.sum(1) + 1).lgamma() - (counts + 1).lgamma().sum(1)
    return out
