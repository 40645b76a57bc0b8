"""Optimal transport within a batch: noise goes to the data near it, so that paths do not cross.

The pairs of a batch minimise the sum of their squared distances (an assignment, solved exactly). Over large batches
this approaches the optimal coupling of the two laws, under which the field is that of straight paths.

Reference: Tong et al., TMLR 2024, arXiv:2302.00482.
"""

from __future__ import annotations

import torch
from torch import Tensor


def matched(ways: Tensor) -> Tensor:
    """Return (n,) int64: the end of each start, a permutation.

    Args:
        ways: (n, n, d) displacements from each start to each end.
    """
    from scipy.optimize import linear_sum_assignment  # half a second of import

    _, end = linear_sum_assignment(ways.square().sum(2).numpy())
    return torch.from_numpy(end)
