"""Numbers for rows of digits: what tells states apart without a Python object for each."""

from __future__ import annotations

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
