"""Networks of all members of an ensemble at once: one batched product per layer instead of a loop over members."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Kind = str
SKETCH = 512
"""Most columns of an embedding."""


class BatchedLinear(nn.Module):
    """A linear layer for each of M members.

    Args:
        members: M.
        inputs: width of the input.
        outputs: width of the output.
        generator: of the initial weights, uniform within +-1/sqrt(inputs).
    """

    def __init__(self, members: int, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = inputs**-0.5

        def draw(*shape: int) -> nn.Parameter:
            return nn.Parameter((torch.rand(*shape, generator=generator) * 2.0 - 1.0) * bound)

        self.weight, self.bias = draw(members, inputs, outputs), draw(members, 1, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, inputs)`, the same for all members, or `(M, n, inputs)` to `(M, n, outputs)`."""
        if x.dim() == 2:
            members, inputs, outputs = self.weight.shape
            flat = x @ self.weight.transpose(0, 1).reshape(inputs, members * outputs)
            return flat.view(len(x), members, outputs).transpose(0, 1) + self.bias
        return torch.baddbmm(self.bias, x, self.weight)


class BatchedMlp(nn.Module):
    """Multilayer perceptrons of M members, SiLU between the layers.

    Args:
        members: M.
        widths: of the input, the hidden layers and the output.
        generator: of the initial weights.
    """

    def __init__(self, members: int, widths: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BatchedLinear(members, a, b, generator) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, inputs)` or `(M, n, inputs)` to `(M, n, outputs)`."""
        return self.inputs(x)[1]

    def inputs(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return what each layer was given, and the output."""
        given = []
        for i, layer in enumerate(self.layers):
            given.append(x)
            x = layer(x)
            if i + 1 < len(self.layers):
                x = nn.functional.silu(x)
        return given, x


def last_layer(network: BatchedMlp, x: Tensor) -> Tensor:
    """Return the activations before the output, of all members side by side, `(n, at most 512)`.

    Divided by sqrt(M), so that inner products are the mean of the members' own; a random projection where wider.
    """
    given, _ = network.inputs(x)
    hidden = given[-1].expand(len(_weights(network, -1)), -1, -1)
    flat: Tensor = hidden.permute(1, 0, 2).flatten(1) * len(hidden) ** -0.5
    if flat.shape[1] <= SKETCH:
        return flat
    projection = _random((flat.shape[1], SKETCH), flat, 0)
    return flat @ projection / math.sqrt(SKETCH)


def gradient_sketch(network: BatchedMlp, x: Tensor, target: int = 0) -> Tensor:
    """Return a random sketch of the derivatives of the output by all weights, `(n, 512)`.

    A layer's derivative at one object is the outer product of its input (with a 1 for the bias) and the derivative of
    the output by what the layer returns. Both are projected at random and multiplied elementwise, and the layers and
    members added: inner products of sketches estimate those of the derivatives.

    Reference: Holzmueller et al., J. Mach. Learn. Res. 24, 164 (2023), section 4.2.
    """
    members = len(_weights(network, -1))
    sketch = x.new_zeros(x.shape[-2], SKETCH)
    for i, extended, backward in layer_derivatives(network, x, target):
        for m in range(members):
            seed = 2 * (i * members + m)
            left = extended[m] @ _random((extended.shape[2], SKETCH), x, seed + 1)
            sketch += left * (backward[m] @ _random((backward.shape[2], SKETCH), x, seed + 2))
    return sketch / math.sqrt(SKETCH * members)


def layer_derivatives(network: BatchedMlp, x: Tensor, target: int = 0) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield, from the last layer to the first, its number and two factors for each object: `(M, n, a)`, `(M, n, b)`.

    The derivative of the output by the layer's weights and biases at one object is their outer product: its input with
    a 1 for the bias, and the derivative of the output by what the layer returns.
    """
    given, output = network.inputs(x)
    members = output.shape[0]
    backward = torch.zeros_like(output)
    backward[:, :, target] = 1.0
    for i in range(len(network.layers) - 1, -1, -1):
        one = given[i] if given[i].dim() == 3 else given[i].expand(members, -1, -1)
        yield i, torch.cat([one, torch.ones_like(one[:, :, :1])], 2), backward
        if i:
            through = torch.bmm(backward, _weights(network, i).transpose(1, 2))
            backward = through * _silu_slope(network.layers[i - 1](given[i - 1]))


def _weights(network: BatchedMlp, i: int) -> Tensor:
    layer = network.layers[i]
    assert isinstance(layer, BatchedLinear)
    return layer.weight


def _silu_slope(z: Tensor) -> Tensor:
    gate = torch.sigmoid(z)
    return gate * (1.0 + z * (1.0 - gate))


def _random(shape: tuple[int, int], like: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(like)


def minibatches(
    n: int, size: int, steps: int, generator: torch.Generator, new: Tensor | None = None
) -> Iterator[Tensor]:
    """Yield row numbers of `steps` minibatches.

    Args:
        n: rows.
        size: rows of a minibatch, fewer where there are not as many.
        steps: minibatches.
        generator: of the order.
        new: numbers of new rows; half of each minibatch is of them, the other half replays the rest.
    """
    if new is None:
        yield from _shuffled(torch.arange(n), min(size, n), steps, generator)
        return
    is_old = torch.ones(n, dtype=torch.bool)
    is_old[new] = False
    old = is_old.nonzero()[:, 0]
    half = max(size // 2, 1)
    pools = [pool for pool in (new, old) if len(pool)]
    for parts in zip(*(_shuffled(pool, min(half, len(pool)), steps, generator) for pool in pools), strict=True):
        yield torch.cat(parts)


def _shuffled(rows: Tensor, size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    queue = rows[:0]
    for _ in range(steps):
        if len(queue) < size:
            queue = torch.cat([queue, rows[torch.randperm(len(rows), generator=generator)]])
        yield queue[:size]
        queue = queue[size:]


def weighted_error(guess: Tensor, z: Tensor, weights: Tensor) -> Tensor:
    """Return the sum over members of the mean weighted squared error.

    Args:
        guess: shape `(M, b, K)`.
        z: standardised labels, shape `(b, K)` or `(M, b, K)`; NaN where one is missing.
        weights: shape `(M, b)`.
    """
    known = torch.isfinite(z)
    square = torch.where(known, guess - torch.nan_to_num(z), 0.0).square()
    return (square * weights[:, :, None]).sum() / max(int(known.sum()) / max(len(z) if z.dim() == 3 else 1, 1), 1)


def train(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    batches: Iterator[Tensor],
    steps: int,
    *,
    learning_rate: float,
    weight_decay: float,
) -> None:
    """Minimise `loss(rows)` over minibatches by AdamW, with a short warm-up and a cosine decay of the rate to 0."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    warm = max(steps // 20, 1)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimiser,
        [
            torch.optim.lr_scheduler.LinearLR(optimiser, 0.1, 1.0, warm),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps - warm, 1)),
        ],
        [warm],
    )
    for rows in batches:
        optimiser.zero_grad(set_to_none=True)
        loss(rows).backward()  # type: ignore[no-untyped-call]  # torch is untyped here
        optimiser.step()
        schedule.step()
