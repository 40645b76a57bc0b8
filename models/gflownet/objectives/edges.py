"""Means over the transitions of padded trajectories."""

from __future__ import annotations

import torch
from torch import Tensor

from models.gflownet.objectives.residuals import Residual, residual_loss


def last_edges(alive: Tensor) -> Tensor:
    """Return (T, B) bool: the transition of each trajectory that leads to its terminal state."""
    return alive & ~torch.cat([alive[1:], torch.zeros_like(alive[:1])])


def edge_mean(residual: Tensor, alive: Tensor, kind: Residual, weight: Tensor | None = None) -> Tensor:
    """Return the mean loss of residuals (T, B) where `alive`, weighted by `weight` (T, B) >= 0; 0 if there is none.

    What stands where not alive is not looked at: it changes neither the value nor a gradient.
    """
    losses = residual_loss(torch.where(alive, residual, 0.0), kind)
    if weight is None:
        return losses.sum() / alive.sum().clamp(min=1)
    weight = torch.where(alive, weight, 0.0)
    total = weight.sum()
    return (losses * weight).sum() / torch.where(total > 0, total, 1.0)
