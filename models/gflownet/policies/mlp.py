"""A multilayer perceptron over k-hot states, fast at every batch size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.gflownet.environments.base import Environment, NotProvided, States
from models.gflownet.policies.base import initialise
from models.gflownet.policies.flat import FlatPolicy, Outputs

S = TypeVar("S", bound=States)


class MLP(FlatPolicy[S], Generic[S]):
    """ReLU network with heads for forward logits, backward logits and the log-flow; its first layer sums embeddings.

    Args:
        env: an environment with `k_hot` features.
        hidden: widths of the hidden layers.
        generator: source of the initial weights.
        conditions: numbers in the encoded condition; 0 without conditioning.

    Raises:
        NotProvided: the environment has no k-hot features.
    """

    def __init__(
        self,
        env: Environment[S],
        *,
        generator: torch.Generator,
        hidden: Sequence[int] = (256, 256),
        conditions: int = 0,
    ) -> None:
        super().__init__(env)
        if not env.n_features:
            raise NotProvided(f"The environment {env.kind!r} has no k-hot features: an MLP cannot read its states.")
        widths = [*hidden, env.n_actions + env.n_backward + 1]
        with torch.device("meta"):
            self.first = nn.Embedding(env.n_features + 1, hidden[0], padding_idx=env.n_features)
            self.bias = nn.Parameter(torch.empty(hidden[0]))
            self.condition = nn.Linear(conditions, hidden[0], bias=False) if conditions else None
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(hidden, widths[1:], strict=True))
        self.dense = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        self.to_empty(device="cpu")
        # As for a dense layer on 0/1 features: with larger ones, training needed twice the states on hypergrids.
        initialise(self, generator, embedding_scale=(3.0 * env.n_features) ** -0.5)
        with torch.no_grad():
            self.first.weight[env.n_features] = 0.0
            self.dense[-1].weight.mul_(0.1)

    def split(self, out: Tensor) -> Outputs:
        """Return the heads of the last layer's output (S, A + n_backward + 1)."""
        a = self.env.n_actions
        return Outputs(out[:, :a], out[:, a:-1], out[:, -1])

    def network(self, states: S, condition: Tensor | None = None) -> Outputs:
        """Judge states, differentiably."""
        hot = self.env.k_hot(states)
        x = functional.embedding_bag(hot, self.first.weight, mode="sum", padding_idx=self.env.n_features) + self.bias
        if condition is not None and self.condition is not None:
            x = x + self.condition(condition)
        for layer in self.dense:
            x = layer(x.relu())
        return self.split(x)
