"""Posterior of two rate constants of A -> B -> C, from concentrations of B: an example of a density of one's own."""

import torch

HOURS = torch.tensor([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0])
MEASURED = torch.tensor([0.21, 0.33, 0.44, 0.49, 0.52, 0.50, 0.45, 0.42, 0.29, 0.22, 0.15, 0.08])
ERROR = 0.05
"""Standard deviation of a measured concentration, of one mole per litre of A at the start."""


def log_density(x: torch.Tensor) -> torch.Tensor:
    """Return the log of prior times likelihood (n,) of x (n, 2): log k1 and log k2 per hour, each N(0, 1) before."""
    k1, k2 = x.clamp(-6.0, 6.0).exp().unbind(1)
    k2 = k2 + 1e-4 * (k1 - k2).abs().lt(1e-4)  # where both are equal the formula divides by zero
    k1, k2 = k1[:, None], k2[:, None]
    b = k1 / (k2 - k1) * (torch.exp(-k1 * HOURS) - torch.exp(-k2 * HOURS))
    likelihood = -0.5 * ((b - MEASURED) / ERROR).square().sum(1)
    return likelihood - 0.5 * x.square().sum(1)
