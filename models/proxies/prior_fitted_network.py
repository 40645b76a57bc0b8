"""A transformer that has learnt from draws of a prior to say what other values are likely beside measured ones.

Each draw is a set of objects and values; the network reads n of them and gives the density of the value of any other
object, by weights of buckets (a Riemann, or bar, distribution). Its loss is the negative log density of the values that
it was not shown, and is least, over all functions of the n values, for the posterior predictive of the prior.

Reference: Mueller et al., Transformers can do Bayesian inference, ICLR (2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

_HALF = 0.6744897501960817
"""Median of the half-normal distribution of scale 1."""

_CLIP = 1.0
_SAMPLE = 40_000
"""Values of the prior of which the edges of the buckets are quantiles."""


@dataclass(frozen=True, slots=True)
class Draw:
    """B sets of one size.

    Attributes:
        x: of N objects, shape `(B, N, features)`.
        y: their values, shape `(B, N)`.
        shown: n < N, of which the first are labels.
    """

    x: Tensor
    y: Tensor
    shown: int


class Prior(Protocol):
    """What is believed of functions before anything is measured."""

    @property
    def features(self) -> int:
        """Numbers of an object."""

    def draw(self, sets: int, generator: torch.Generator) -> Draw:
        """Draw sets of one size."""


@dataclass(frozen=True, slots=True)
class OneProcess:
    """A Gaussian process of one variable, uniform in [0, 1], with a squared exponential kernel that is known.

    Attributes:
        length: of the kernel.
        variance: of the function.
        noise: variance of the noise.
        most: labels of a set, at least 1 and at most so many.
        asked: values to predict of each set.
    """

    length: float = 0.1
    variance: float = 0.1
    noise: float = 0.1
    most: int = 30
    asked: int = 30
    features: int = 1

    def covariance(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the covariance of the function at two sets of objects, `(..., n, m)`."""
        return self.variance * torch.exp(-0.5 * torch.cdist(left, right).square() / self.length**2)

    def draw(self, sets: int, generator: torch.Generator) -> Draw:
        """Draw sets of one size."""
        shown = int(torch.randint(1, self.most + 1, (), generator=generator))
        x = torch.rand(sets, shown + self.asked, 1, generator=generator, dtype=torch.float64)
        y = _values(self.covariance(x, x), torch.full((sets, 1), self.noise, dtype=torch.float64), generator)
        return Draw(x.float(), y.float(), shown)

    def log_density(self, draw: Draw) -> Tensor:
        """Return the exact log density of each value that was not shown, shape `(B, N - n)`."""
        n, x, y = draw.shown, draw.x.double(), draw.y.double()
        known, new = x[:, :n], x[:, n:]
        own = self.covariance(known, known) + self.noise * torch.eye(n, dtype=torch.float64)
        factor = torch.linalg.cholesky(own)
        cross = torch.linalg.solve_triangular(factor, self.covariance(known, new), upper=False)
        mean = (cross * torch.linalg.solve_triangular(factor, y[:, :n, None], upper=False)).sum(1)
        variance = self.variance + self.noise - cross.square().sum(1)
        density: Tensor = -0.5 * ((y[:, n:] - mean).square() / variance + torch.log(2.0 * math.pi * variance))
        return density


@dataclass(frozen=True, slots=True)
class ManyProcesses:
    """Gaussian processes of 1 to `features` variables, whose hyperparameters are drawn for each set.

    Kernels are squared exponential or Matern 5/2 with a length for each variable, half of them with a linear part;
    variables are normal, uniform or of two values. Values are standardised by the labels, as a proxy does it.
    """

    features: int = 20
    fewest: int = 5
    most: int = 120
    asked: int = 40

    def draw(self, sets: int, generator: torch.Generator) -> Draw:
        """Draw sets of one size."""
        ratio = float(torch.rand((), generator=generator))
        shown = round(self.fewest * (self.most / self.fewest) ** ratio)
        n = shown + self.asked

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, dtype=torch.float64)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        # More often few than many; the other columns are zero, as a proxy leaves them.
        count = torch.exp(uniform(sets) * math.log(self.features + 1.0)).floor().clamp(1, self.features)
        used = (torch.arange(self.features) < count[:, None])[:, None]
        sort = torch.randint(0, 3, (sets, 1, self.features), generator=generator)
        plain, share = normal(sets, n, self.features), 0.1 + 0.8 * uniform(sets, 1, self.features)
        two = ((uniform(sets, n, self.features) < share).double() - share) / (share * (1.0 - share)).sqrt()
        flat = (2.0 * uniform(sets, n, self.features) - 1.0) * math.sqrt(3.0)
        x = torch.where(sort == 0, plain, torch.where(sort == 1, flat, two))
        wide = torch.where(uniform(sets, n, 1) < 0.1, 2.5, 1.0)
        wide[:, :shown] = 1.0
        x = torch.where(used, (x * wide).clamp(-5.0, 5.0), 0.0)

        length = torch.exp(0.3 + 0.6 * normal(sets, 1, 1) + 0.6 * normal(sets, 1, self.features))
        length = length * count.sqrt()[:, None, None]
        distance = torch.cdist(x / length, x / length)
        rough = math.sqrt(5.0) * distance
        smooth = torch.exp(-0.5 * distance.square())
        matern = (1.0 + rough + rough.square() / 3.0) * torch.exp(-rough)
        kernel = torch.where(uniform(sets, 1, 1) < 0.5, smooth, matern)
        linear = torch.where(uniform(sets, 1, 1) < 0.5, 0.0, uniform(sets, 1, 1)) / count[:, None, None]
        kernel = kernel + linear * (x @ x.transpose(1, 2))
        noise = torch.exp(math.log(1e-3) * uniform(sets, 1))
        y = _values(kernel, noise, generator)
        y = (y - y[:, :shown].mean(1, keepdim=True)) / y[:, :shown].std(1, correction=0, keepdim=True).clamp_min(1e-6)
        return Draw(x.float(), y.clamp(-20.0, 20.0).float(), shown)


def _values(kernel: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    """Return draws with noise of variances `(B, 1)`."""
    sets, n, _ = kernel.shape
    jitter = 1e-8 * kernel.diagonal(dim1=1, dim2=2).mean(1)[:, None] + noise
    factor = torch.linalg.cholesky(kernel + torch.diag_embed(jitter.expand(-1, n)))
    drawn: Tensor = factor @ torch.randn(sets, n, 1, generator=generator, dtype=torch.float64)
    return drawn[:, :, 0]


class Bars(nn.Module):
    """Densities that are constant within buckets, and half-normal beyond the outermost two edges.

    Args:
        edges: b + 1 of them; the outermost bound the buckets of the tails, within which half of their mass is.
    """

    edges: Tensor

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("edges", edges)

    @staticmethod
    def of(values: Tensor, buckets: int) -> Bars:
        """Return buckets of equal mass among values of the prior."""
        at = torch.linspace(0.0, 1.0, buckets + 1, dtype=torch.float64)
        edges = torch.quantile(values.flatten().double(), at)
        # Half of a tail's mass within its bucket: the range of a sample says nothing.
        inner = torch.quantile(values.flatten().double(), torch.tensor([0.5 / buckets, 1.0 - 0.5 / buckets]).double())
        edges[0], edges[-1] = inner[0], inner[1]
        return Bars(edges.float())

    @property
    def tails(self) -> tuple[Tensor, Tensor]:
        """Scales of the half-normal distributions below and above."""
        return (self.edges[1] - self.edges[0]) / _HALF, (self.edges[-1] - self.edges[-2]) / _HALF

    def log_density(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the log density of values `(...)` under weights `(..., b)`."""
        bucket = (torch.searchsorted(self.edges[1:-1].contiguous(), y.contiguous())).clamp(0, logits.shape[-1] - 1)
        mass = torch.log_softmax(logits, -1).gather(-1, bucket[..., None])[..., 0]
        width = (self.edges[1:] - self.edges[:-1])[bucket]
        inside = -torch.log(width)
        low, high = self.tails
        below = _half_normal(self.edges[1] - y, low)
        above = _half_normal(y - self.edges[-2], high)
        inside = torch.where(bucket == 0, below, torch.where(bucket == logits.shape[-1] - 1, above, inside))
        return mass + inside

    def moments(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance under weights `(..., b)`."""
        mass = torch.softmax(logits, -1)
        middle, width = (self.edges[1:] + self.edges[:-1]) / 2.0, self.edges[1:] - self.edges[:-1]
        spread = width.square() / 12.0
        (low, high), mean = self.tails, math.sqrt(2.0 / math.pi)
        middle, spread = middle.clone(), spread.clone()
        middle[0], middle[-1] = self.edges[1] - mean * low, self.edges[-2] + mean * high
        spread[0], spread[-1] = (1.0 - mean**2) * low.square(), (1.0 - mean**2) * high.square()
        centre = (mass * middle).sum(-1)
        return centre, (mass * (spread + (middle - centre[..., None]).square())).sum(-1)


def _half_normal(distance: Tensor, scale: Tensor) -> Tensor:
    return 0.5 * math.log(2.0 / math.pi) - torch.log(scale) - 0.5 * (distance / scale).square()


class _Layer(nn.Module):
    """Attention to the labels, then a perceptron; both on normalised inputs and added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.pair = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, h: Tensor, shown: int) -> Tensor:
        """Map `(B, N, w)`; only the first `shown` are attended to."""
        z = self.before(h)
        sets, n, width = z.shape

        def split(one: Tensor) -> Tensor:
            return one.view(sets, -1, self.heads, width // self.heads).transpose(1, 2)

        key, value = self.pair(z[:, :shown]).chunk(2, -1)
        seen = nn.functional.scaled_dot_product_attention(split(self.query(z)), split(key), split(value))
        h = h + self.out(seen.transpose(1, 2).reshape(sets, n, width))
        grown: Tensor = h + self.narrow(nn.functional.gelu(self.wide(self.between(h))))
        return grown


class PriorFittedNetwork(nn.Module):
    """Reads labelled objects as a set, and gives weights of buckets for others, each on its own.

    Args:
        features: numbers of an object; fewer are filled up with zeros.
        bars: the buckets.
        width: of the vectors between the layers.
        layers: rounds of attention.
        heads: of each round.
    """

    def __init__(self, features: int, bars: Bars, width: int = 96, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.bars, self.features = bars, features
        self.object, self.label = nn.Linear(features, width), nn.Linear(1, width)
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.last = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, len(bars.edges) - 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return weights before the softmax, shape `(B, N - n, b)`.

        Args:
            x: first the n labelled objects, then the others, shape `(B, N, features)`.
            y: labels, shape `(B, n)`.
        """
        shown = y.shape[1]
        h = self.object(x)
        h = torch.cat([h[:, :shown] + self.label(y[..., None]), h[:, shown:]], 1)
        for layer in self.layers:
            h = layer(h, shown)
        weights: Tensor = self.head(self.last(h[:, shown:]))
        return weights

    def log_density(self, draw: Draw) -> Tensor:
        """Return the log density of each value that was not shown, shape `(B, N - n)`."""
        n = draw.shown
        return self.bars.log_density(self(draw.x, draw.y[:, :n]), draw.y[:, n:])


def fitted_network(
    prior: Prior,
    *,
    seed: int,
    steps: int,
    sets: int = 32,
    width: int = 96,
    layers: int = 4,
    buckets: int = 100,
    learning_rate: float = 1e-3,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> PriorFittedNetwork:
    """Return a network trained on draws of a prior, by Adam with a warm-up and a cosine decay.

    Args:
        prior: what to draw from.
        seed: of weights and draws.
        steps: draws, each of `sets` sets.
        sets: of a draw.
        width: of the network.
        layers: of the network.
        buckets: of the density.
        learning_rate: the largest.
        progress: called after each step with its number and loss.
    """
    generator = torch.Generator().manual_seed(seed)
    found, size = [], 0
    while size < _SAMPLE:
        drawn = prior.draw(64, generator)
        found.append(drawn.y[:, drawn.shown :].flatten())
        size += len(found[-1])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = PriorFittedNetwork(prior.features, Bars.of(torch.cat(found), buckets), width, layers)
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate, betas=(0.9, 0.98))
    warm = max(steps // 20, 1)

    def rate(step: int) -> float:
        return min(
            (step + 1) / warm, 0.5 * (1.0 + math.cos(math.pi * min(max(step - warm, 0) / (steps - warm + 1), 1)))
        )

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    for step in range(steps):
        loss = -network.log_density(prior.draw(sets, generator)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch is untyped here
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        schedule.step()
        progress(step + 1, float(loss.detach()))
    return network.eval()
