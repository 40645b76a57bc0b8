"""A neural process with a bottleneck of latent vectors, which learns from many tables how to read a new one.

Labels (x, y) of a task are embedded; in each of several layers L latent vectors attend to the labels and to one
another, and an object that is asked about attends to the latent vectors of the same layer: what a question costs does
not depend on the number of labels. The output is a normal density, of standard deviation `0.05 + 0.95 softplus`. It is
trained on draws of labels and questions from known tasks, by the negative log density of the answers.

Reference: Feng et al., Latent bottlenecked attentive neural processes, ICLR (2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from models.proxies.prior_fitted_network import Draw

_LEAST = 0.05


class Tasks(Protocol):
    """What is known of other tasks."""

    @property
    def features(self) -> int:
        """Numbers of an object."""

    def draw(self, sets: int, generator: torch.Generator) -> Draw:
        """Draw labels and questions of as many tasks, all of one size."""


class _Attention(nn.Module):
    """Attention of vectors to others, then a perceptron; both on normalised inputs and added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.own, self.other, self.between = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.pair = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, h: Tensor, others: Tensor) -> Tensor:
        """Map `(B, n, w)` that attend to `(B, m, w)`."""
        sets, n, width = h.shape

        def split(one: Tensor) -> Tensor:
            return one.view(sets, -1, self.heads, width // self.heads).transpose(1, 2)

        key, value = self.pair(self.other(others)).chunk(2, -1)
        seen = nn.functional.scaled_dot_product_attention(split(self.query(self.own(h))), split(key), split(value))
        h = h + self.out(seen.transpose(1, 2).reshape(sets, n, width))
        grown: Tensor = h + self.narrow(nn.functional.gelu(self.wide(self.between(h))))
        return grown


class NeuralProcess(nn.Module):
    """Reads labels through latent vectors, and gives mean and deviation of other values.

    Args:
        features: numbers of an object.
        latents: latent vectors.
        width: of all vectors.
        layers: of attention.
        heads: of each attention.
    """

    def __init__(self, features: int, latents: int = 8, width: int = 64, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, width) * 0.1)
        self.label = nn.Sequential(nn.Linear(features + 1, width), nn.GELU(), nn.Linear(width, width))
        self.question = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width))
        self.reading = nn.ModuleList(_Attention(width, heads) for _ in range(layers))
        self.thinking = nn.ModuleList(_Attention(width, heads) for _ in range(layers))
        self.asking = nn.ModuleList(_Attention(width, heads) for _ in range(layers))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 2))

    def forward(self, x: Tensor, y: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and standard deviations, each `(B, m)`.

        Args:
            x: labelled objects, shape `(B, n, features)`.
            y: labels, shape `(B, n)`.
            asked: other objects, shape `(B, m, features)`.
        """
        labels = self.label(torch.cat([x, y[..., None]], -1))
        latent, h = self.latents.expand(len(x), -1, -1), self.question(asked)
        for read, think, ask in zip(self.reading, self.thinking, self.asking, strict=True):
            latent = read(latent, labels)
            latent = think(latent, latent)
            h = ask(h, latent)
        mean, spread = self.head(h).unbind(-1)
        return mean, _LEAST + (1.0 - _LEAST) * nn.functional.softplus(spread)

    def log_density(self, draw: Draw) -> Tensor:
        """Return the log density of each value that was not shown, shape `(B, N - n)`."""
        n = draw.shown
        mean, std = self(draw.x[:, :n], draw.y[:, :n], draw.x[:, n:])
        away: Tensor = ((draw.y[:, n:] - mean) / std).square()
        return -0.5 * (away + math.log(2.0 * math.pi)) - torch.log(std)


def trained_process(
    tasks: Tasks,
    *,
    seed: int,
    steps: int,
    sets: int = 16,
    latents: int = 8,
    width: int = 64,
    layers: int = 4,
    learning_rate: float = 1e-3,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> NeuralProcess:
    """Return a network trained on draws of known tasks, by Adam with a warm-up and a cosine decay.

    Args:
        tasks: what to draw from.
        seed: of weights and draws.
        steps: draws.
        sets: tasks of a draw.
        latents: latent vectors of the network.
        width: of the network.
        layers: of the network.
        learning_rate: the largest.
        progress: called after each step with its number and loss.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = NeuralProcess(tasks.features, latents, width, layers)
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    warm = max(steps // 20, 1)

    def rate(step: int) -> float:
        return min((step + 1) / warm, 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    for step in range(steps):
        loss = -network.log_density(tasks.draw(sets, generator)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch is untyped here
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        progress(step + 1, float(loss.detach()))
    return network.eval()
