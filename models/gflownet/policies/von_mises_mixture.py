"""A multilayer perceptron over angles and time; it says how the angles move, and how they moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.gflownet.environments.base import Environment
from models.gflownet.environments.torus import Torus, TorusStates
from models.gflownet.policies.base import Answer, Exploration, Policy, initialise
from models.gflownet.policies.recipes import PolicyRecipe
from models.gflownet.policies.von_mises_law import CONCENTRATIONS, VonMisesLaw
from models.registry import Component

_FIRST = 4.0
"""Concentration of the components of an untrained policy: a standard deviation of half a radian."""
_SPREAD = 0.75
"""Radians from 0 to the means of the components of an untrained policy, at most."""


class VonMisesMixture(Policy[TorusStates]):
    """ReLU network; a mixture of K laws of the increments of all angles and the uniform law, forward and backward.

    A component is a product of von Mises laws, one for each angle. With a mixture for each angle alone, angles of a
    step would be independent, and peaks at different pairs of angles could not be told apart by a last step: training
    then ends on some of them (seen on the reward of the environment, with two of six seeds). As the uniform law has
    a weight of its own, no increment is impossible. Inputs are cos(k x) and sin(k x) of each angle, k = 1 .. waves, and
    how many steps were taken.

    Args:
        env: the torus, of real angles.
        hidden: widths of the hidden layers.
        components: K.
        waves: cosines and sines of each angle.
        generator: source of the initial weights.
        conditions: numbers in the encoded condition; 0 without conditioning.
    """

    def __init__(
        self,
        env: Torus,
        *,
        generator: torch.Generator,
        hidden: Sequence[int] = (128, 128),
        components: int = 5,
        waves: int = 3,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        self.env, self.components = env, components
        self._waves = torch.arange(1, waves + 1)
        self._head = VonMisesLaw.width(components, env.angles)
        inputs = 2 * waves * env.angles + env.steps + 1
        widths = [inputs + conditions, *hidden, 2 * self._head + 1]
        with torch.device("meta"):
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self._dense = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        self.to_empty(device="cpu")
        initialise(self, generator)
        with torch.no_grad():
            self._dense[-1].weight.mul_(0.1)
            self._dense[-1].bias[:-1] = self._start().repeat(2)

    def _start(self) -> Tensor:
        """Return the first biases of a head: a walk of steps about as wide as `_FIRST` says, in all directions.

        Uniform increments would be a saddle: where the target has nearly uniform marginals, no angle of a step gains
        by a change of its own, and training does not start (seen on the reward of the environment).
        """
        k, m = self.components, self.env.angles
        phase = 2.0 * math.pi * torch.arange(k) / k + math.pi / m * torch.arange(m)[:, None]
        means = _SPREAD * phase.cos()
        low, high = map(math.log, CONCENTRATIONS)
        width = (math.log(_FIRST) - low) / (high - low)
        narrow = torch.full((m * k,), math.log(width / (1.0 - width)))
        return torch.cat([torch.full((1,), -1.0), torch.zeros(k), means.flatten(), narrow])

    def heads(self, states: TorusStates, condition: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return what decides the forward law (S, H) and the backward law (S, H), and log-flows (S,)."""
        waves = states.place.float()[:, :, None] * self._waves
        time = states.time[:, None] == torch.arange(self.env.steps + 1)
        x = torch.cat([waves.cos().flatten(1), waves.sin().flatten(1), time], 1)
        if condition is not None:
            x = torch.cat([x, condition.to(x.dtype)], 1)
        x = self._dense[0](x)
        for layer in self._dense[1:]:
            x = layer(x.relu())
        return x[:, : self._head], x[:, self._head : -1], x[:, -1]

    def score(
        self, before: TorusStates, actions: Tensor, after: TorusStates | None, condition: Tensor | None = None
    ) -> Answer:
        """Return log-densities of increments (P, m), float64."""
        forward, _, flow = self.heads(before, condition)
        backward = None if after is None else self.backward_logits(after, condition)
        return Answer(VonMisesLaw.of(forward, self.env.angles).log_density(actions), flow.double(), backward)

    @torch.no_grad()
    def sample(
        self,
        states: TorusStates,
        generator: torch.Generator,
        exploration: Exploration,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw increments (S, m), explored, with their log-densities (S,), float64."""
        law = VonMisesLaw.of(self.heads(states, condition)[0], self.env.angles).explored(exploration)
        actions = law.draw(generator)
        return actions, law.log_density(actions)

    def state_values(self, states: TorusStates, condition: Tensor | None = None) -> Tensor:
        """Return the log-flow (S,), of terminal states too, float64."""
        return self.heads(states, condition)[2].double()

    def backward_logits(self, states: TorusStates, condition: Tensor | None = None) -> Tensor:
        """Return (S, H): what decides the backward law."""
        return self.heads(states, condition)[1]


class UniformTorus(Policy[TorusStates]):
    """Increments are uniform, forward and backward: every point of the torus has one density."""

    def __init__(self, env: Torus) -> None:
        super().__init__()
        self._env = env

    def score(
        self, before: TorusStates, actions: Tensor, after: TorusStates | None, condition: Tensor | None = None
    ) -> Answer:
        """Return log-densities of increments (P, m); flows and what a network would say are zero."""
        del condition
        log_pf = VonMisesLaw.uniform(len(before), self._env.angles).log_density(actions)
        logits = None if after is None else self.backward_logits(after)
        return Answer(log_pf, torch.zeros_like(log_pf), logits)

    def sample(
        self,
        states: TorusStates,
        generator: torch.Generator,
        exploration: Exploration,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw increments (S, m) with their log-densities; exploration and condition make no difference."""
        del exploration, condition
        law = VonMisesLaw.uniform(len(states), self._env.angles)
        actions = law.draw(generator)
        return actions, law.log_density(actions)

    def backward_logits(self, states: TorusStates, condition: Tensor | None = None) -> Tensor:
        """Return (S, H) zeros: a law of nothing but the uniform component."""
        del condition
        return torch.zeros((len(states), VonMisesLaw.width(0, self._env.angles)))


class VonMisesMixtureRecipe(PolicyRecipe):
    """Mixtures of products of von Mises laws for the increments of real angles."""

    kind: ClassVar[str] = "von_mises_mixture"
    cites: ClassVar[tuple[str, ...]] = ("lahlou2023continuous",)

    class Options(Component.Options):
        """Shape of the network."""

        hidden: tuple[PositiveInt, ...] = Field((128, 128), min_length=1, description="Widths of the hidden layers.")
        components: int = Field(5, ge=1, le=64, description="Laws of an increment, beside the uniform one.")
        waves: int = Field(3, ge=1, le=64, description="Cosines and sines of an angle that the network sees.")

    def build(self, env: Environment[Any], generator: torch.Generator, conditions: int = 0) -> Policy[Any]:
        """Return an untrained network."""
        if not isinstance(env, Torus) or not env.continuous:
            got = "one on a grid" if isinstance(env, Torus) else repr(env.kind)
            raise ValueError(
                f"The policy {self.kind!r} is made for environments of kind 'torus' with real angles; got {got}. Use "
                "the policy 'mlp', or the one that is made for it."
            )
        return VonMisesMixture(env, generator=generator, conditions=conditions, **self.options.model_dump())
