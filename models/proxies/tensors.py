"""Arrays as tensors, for states that are stored; torch is loaded here and not by proxies that calculate without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def as_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return copies of arrays as tensors, contiguous, under the same names."""
    import torch  # one to two seconds, which `discover validate` and the lists of candidates need not spend

    return {name: torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()}
