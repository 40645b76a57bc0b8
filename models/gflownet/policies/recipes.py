"""Forward policies by name: which network is made for an environment, with which options."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveInt

from models.gflownet.conditioning.logit_scale import LogitScale, LogitScaledPolicy
from models.gflownet.environments.atoms import AtomEnvironment
from models.gflownet.environments.base import Environment
from models.gflownet.environments.fragments import FragmentEnvironment
from models.gflownet.environments.growing import GrowingSets
from models.gflownet.policies.base import Policy
from models.gflownet.policies.graph import AtomGIN
from models.gflownet.policies.mlp import MLP
from models.gflownet.policies.transformer import FragmentTransformer
from models.gflownet.policies.vertex_gin import VertexGIN
from models.registry import Component


class PolicyRecipe(Component):
    """Makes a policy network for an environment."""

    group: ClassVar[str] = "policy"
    reads_tables: ClassVar[bool] = False
    """Whether the network reads nothing but `k_hot` features, so that the environment may be a table of itself."""

    @abstractmethod
    def build(self, env: Environment[Any], generator: torch.Generator, conditions: int = 0) -> Policy[Any]:
        """Return an untrained network.

        Args:
            env: the environment.
            generator: source of the initial weights.
            conditions: numbers in the encoded condition; 0 without conditioning.

        Raises:
            ValueError: the network is not made for this environment, or for conditions.
        """


class MLPRecipe(PolicyRecipe):
    """Multilayer perceptron over the k-hot features of a state."""

    kind: ClassVar[str] = "mlp"
    cites: ClassVar[tuple[str, ...]] = ("bengio2021flow",)
    reads_tables: ClassVar[bool] = True

    class Options(Component.Options):
        """Shape of the perceptron."""

        hidden: tuple[PositiveInt, ...] = Field((256, 256), min_length=1, description="Widths of the hidden layers.")
        scale_logits: bool = Field(
            False, description="The condition multiplies the logits by one learnt number (Kim et al., 2024)."
        )

        def cited(self) -> tuple[str, ...]:
            """Return the paper of scaled logits."""
            return ("kim2024logits",) if self.scale_logits else ()

    def build(self, env: Environment[Any], generator: torch.Generator, conditions: int = 0) -> Policy[Any]:
        """Return an untrained perceptron, with scaled logits if asked for."""
        scaled = self.options.scale_logits
        if not env.n_features:
            raise ValueError(_misfit(self.kind, "with k-hot features", env))
        if scaled and not conditions:
            raise ValueError("The option `scale_logits` of the policy 'mlp' needs a `conditioning`; got none.")
        inside = 0 if scaled else conditions
        policy: MLP[Any] = MLP(env, generator=generator, hidden=self.options.hidden, conditions=inside)
        return LogitScaledPolicy(policy, LogitScale(conditions, generator)) if scaled else policy


class GraphRecipe(PolicyRecipe):
    """Graph isomorphism network over molecules that are built atom by atom."""

    kind: ClassVar[str] = "graph"
    cites: ClassVar[tuple[str, ...]] = ("xu2019gin", "hu2020pretraining")

    class Options(Component.Options):
        """Shape of the network."""

        dim: int = Field(64, ge=8, description="Width.")
        layers: int = Field(4, ge=1, description="Rounds of message passing.")

        def cited(self) -> tuple[str, ...]:
            """Return the library of graph networks."""
            return ("fey2019pyg",)

    def build(self, env: Environment[Any], generator: torch.Generator, conditions: int = 0) -> Policy[Any]:
        """Return an untrained network."""
        if not isinstance(env, AtomEnvironment):
            raise ValueError(_misfit(self.kind, "of kind 'atoms'", env))
        return AtomGIN(env, generator=generator, conditions=conditions, **self.options.model_dump())


class FragmentTransformerRecipe(PolicyRecipe):
    """Transformer over the fragments of a molecule."""

    kind: ClassVar[str] = "fragment_transformer"
    cites: ClassVar[tuple[str, ...]] = ("vaswani2017attention",)

    class Options(Component.Options):
        """Shape of the network."""

        dim: int = Field(64, ge=8, description="Width; a multiple of heads.")
        layers: int = Field(3, ge=1)
        heads: int = Field(4, ge=1)
        prior: float = Field(0.5, ge=0, description="Weight of the fragments' frequencies in the untrained policy.")

    def build(self, env: Environment[Any], generator: torch.Generator, conditions: int = 0) -> Policy[Any]:
        """Return an untrained network."""
        if not isinstance(env, FragmentEnvironment):
            raise ValueError(_misfit(self.kind, "of kind 'fragments'", env))
        return FragmentTransformer(env, generator=generator, conditions=conditions, **self.options.model_dump())


class VertexRecipe(PolicyRecipe):
    """Graph isomorphism network over a graph of which vertices are chosen."""

    kind: ClassVar[str] = "gin"
    cites: ClassVar[tuple[str, ...]] = ("xu2019gin", "zhang2023combopt")

    class Options(Component.Options):
        """Shape of the network."""

        dim: int = Field(64, ge=8, description="Width.")
        layers: int = Field(4, ge=1, description="Rounds of message passing.")
        numbered: bool = Field(
            False, description="Each vertex has an embedding of its own: for rewards that know which vertex is which."
        )

    def build(self, env: Environment[Any], generator: torch.Generator, conditions: int = 0) -> Policy[Any]:
        """Return an untrained network."""
        if not isinstance(env, GrowingSets):
            raise ValueError(_misfit(self.kind, "whose objects are sets of vertices ('vertex_sets', 'selection')", env))
        return VertexGIN(env, generator=generator, conditions=conditions, **self.options.model_dump())


def _misfit(kind: str, made_for: str, env: Environment[Any]) -> str:
    own = {"atoms": "graph", "fragments": "fragment_transformer", "vectors": "beta_mixture"}
    fitting = {**own, "torus": "von_mises_mixture" if env.continuous else "mlp"}.get(env.kind, "mlp")
    return f"The policy {kind!r} is made for environments {made_for}; got {env.kind!r}. Use the policy {fitting!r}."
