"""A multilayer perceptron over the numbers that are set; it says how the next one is distributed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.gflownet.environments.base import Environment
from models.gflownet.environments.vectors import Vectors, VectorStates
from models.gflownet.policies.base import Policy, initialise
from models.gflownet.policies.beta_law import BetaLaw
from models.gflownet.policies.recipes import PolicyRecipe
from models.gflownet.policies.vectors import VectorOutputs, VectorPolicy
from models.registry import Component

NARROW = (0.1, 1e4)
"""Bounds of the concentration c: Beta(1 + m c, 1 + (1 - m) c) has the mode m, and about the variance m (1 - m) / c; a
standard deviation of 0.005 at the least in the middle."""


class BetaMixture(VectorPolicy):
    """ReLU network; K Betas Beta(1 + m c, 1 + (1 - m) c) and the uniform law for a real, logits for levels.

    Modes m are in (0, 1), concentrations c within `NARROW`: densities are bounded, and as the uniform law has a weight
    of its own in each mixture, no value is impossible. Inputs are, of each number that is set, the number itself and
    cos(pi k x), k = 1 .. waves, or which level it is; and which step is next.

    Args:
        env: the vectors.
        hidden: widths of the hidden layers.
        components: K.
        waves: cosines of each real.
        generator: source of the initial weights.
        conditions: numbers in the encoded condition; 0 without conditioning.
    """

    def __init__(
        self,
        env: Vectors,
        *,
        generator: torch.Generator,
        hidden: Sequence[int] = (128, 128),
        components: int = 4,
        waves: int = 4,
        conditions: int = 0,
    ) -> None:
        super().__init__(env)
        self.components = components
        self._real = (env.levels == 0).nonzero()[:, 0]
        self._column = torch.arange(env.width).repeat_interleave(env.levels)
        self._level = torch.cat([torch.arange(n) for n in env.levels.tolist()]).double()
        self._waves = math.pi * torch.arange(1, waves + 1)
        self._head = max(self.most, 3 * components + 1 if len(self._real) else 0)
        inputs = len(self._real) * (1 + waves) + len(self._column) + env.width
        widths = [inputs + conditions, *hidden, env.width * self._head + 1]
        with torch.device("meta"):
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self._dense = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        self.to_empty(device="cpu")
        initialise(self, generator)
        with torch.no_grad():
            self._dense[-1].weight.mul_(0.1)
            heads = self._dense[-1].bias[:-1].view(env.width, self._head)
            heads[self._real, : 3 * components + 1] = self._start()

    def _start(self) -> Tensor:
        """Return the first biases of a real's head: equal weights, modes side by side, as wide as they are apart."""
        k = self.components
        modes = (torch.arange(k) + 0.5) / k
        low, high = map(math.log, NARROW)
        width = (math.log(k * k) - low) / (high - low)
        return torch.cat([torch.zeros(k + 1), modes.logit(), torch.full((k,), math.log(width / (1.0 - width)))])

    def features(self, states: VectorStates) -> Tensor:
        """Return (S, F) float32, zero where a number is not set."""
        step = states.step[:, None]
        x = states.value[:, self._real].float()
        waves = (x[:, :, None] * self._waves).cos()
        real = torch.cat([x[:, :, None], waves], 2) * (self._real < step)[:, :, None]
        level = (states.value[:, self._column] == self._level) & (self._column < step)
        here = step == torch.arange(self.env.width)
        return torch.cat([real.flatten(1), level, here], 1)

    def outputs(self, states: VectorStates, condition: Tensor | None) -> VectorOutputs:
        """Judge states that are not terminal, differentiably."""
        x = self._layers(states, condition)
        heads = x[:, :-1].view(len(states), self.env.width, self._head)
        head = heads.gather(1, states.step[:, None, None].expand(-1, 1, self._head))[:, 0]
        return VectorOutputs(self._law(states, head), head[:, : self.most], x[:, -1])

    def state_values(self, states: VectorStates, condition: Tensor | None = None) -> Tensor:
        """Return the log-flow (S,), of terminal states too, float64."""
        return self._layers(states, condition)[:, -1].double()

    def _layers(self, states: VectorStates, condition: Tensor | None) -> Tensor:
        x = self.features(states)
        if condition is not None:
            x = torch.cat([x, condition.to(x.dtype)], 1)
        out: Tensor = self._dense[0](x)
        for layer in self._dense[1:]:
            out = layer(out.relu())
        return out

    def _law(self, states: VectorStates, head: Tensor) -> BetaLaw:
        k = self.components
        if not len(self._real):
            nothing = head.new_zeros((len(states), 0), dtype=torch.float64)
            return BetaLaw(nothing, nothing, nothing)
        head = head.double()
        weights, mode, narrow = head[:, : k + 1], head[:, k + 1 : 2 * k + 1], head[:, 2 * k + 1 : 3 * k + 1]
        low, high = map(math.log, NARROW)
        mode, c = mode.sigmoid(), (low + (high - low) * narrow.sigmoid()).exp()
        uniform = self.env.after[states.step][:, None]
        alpha = torch.cat([torch.ones_like(uniform), 1.0 + mode * c], 1)
        return BetaLaw(weights, alpha, torch.cat([uniform, 1.0 + (1.0 - mode) * c], 1))


class BetaMixtureRecipe(PolicyRecipe):
    """Mixtures of Betas for real variables, logits for levels."""

    kind: ClassVar[str] = "beta_mixture"
    cites: ClassVar[tuple[str, ...]] = ("lahlou2023continuous",)

    class Options(Component.Options):
        """Shape of the network."""

        hidden: tuple[PositiveInt, ...] = Field((128, 128), min_length=1, description="Widths of the hidden layers.")
        components: int = Field(4, ge=1, le=64, description="Betas of a real variable, beside the uniform law.")
        waves: int = Field(4, ge=0, le=64, description="Cosines of a real variable that the network sees.")

    def build(self, env: Environment[Any], generator: torch.Generator, conditions: int = 0) -> Policy[Any]:
        """Return an untrained network."""
        if not isinstance(env, Vectors):
            raise ValueError(
                f"The policy {self.kind!r} is made for environments of kind 'vectors'; got {env.kind!r}. Use the "
                "policy 'mlp', or the one that is made for it."
            )
        return BetaMixture(env, generator=generator, conditions=conditions, **self.options.model_dump())
