"""Graph isomorphism network over a graph of which vertices are chosen: one network for any number of graphs."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.gflownet.environments.growing import GrowingSets
from models.gflownet.policies.base import initialise
from models.gflownet.policies.flat import FlatPolicy, Outputs


class VertexGIN(FlatPolicy[Any]):
    """GIN (Xu et al., ICLR 2019, arXiv:1810.00826): h <- h + MLP((1 + eps) h + sum over neighbours of h).

    It reads which vertices are chosen, free or ruled out, their weights, and who is joined to whom; nothing says which
    vertex is which, so that one network serves all graphs (Zhang et al., NeurIPS 2023, arXiv:2305.17010), and vertices
    that a symmetry exchanges have equal logits. Where a reward knows which is which, vertices must be `numbered`: each
    then has an embedding of its own, and the network is for one graph. LayerNorm instead of BatchNorm: a state is
    judged alike in every batch, while sampling and in the loss. Neighbours are summed by a dense product: on one
    thread of a CPU 3 times faster than lists of edges on the karate club, 14 times on 70 vertices with 512 edges.

    Args:
        env: sets of vertices, or of items that exclude each other.
        dim: width.
        layers: rounds of message passing.
        numbered: whether vertices have embeddings of their own.
        generator: source of the initial weights.
        conditions: numbers in the encoded condition; 0 without conditioning.
    """

    def __init__(
        self,
        env: GrowingSets[Any],
        *,
        generator: torch.Generator,
        dim: int = 64,
        layers: int = 4,
        numbered: bool = False,
        conditions: int = 0,
    ) -> None:
        super().__init__(env)
        self.sets = env
        with torch.device("meta"):
            self.status = nn.Embedding(3, dim)
            self.weight = nn.Linear(1, dim, bias=False)
            self.number = nn.Embedding(env.items, dim) if numbered else None
            self.condition = nn.Linear(conditions, dim, bias=False) if conditions else None
            self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(layers + 1))
            self.eps = nn.Parameter(torch.empty(layers))
            self.rounds = nn.ModuleList(_perceptron(dim) for _ in range(layers))
            self.pool, self.summary = nn.Linear(dim, dim), nn.Linear(dim, dim)
            self.near, self.vertex_head = nn.Linear(dim, dim), nn.Linear(dim, 2)
            self.graph_head = nn.Linear(dim, 2)
        self.to_empty(device="cpu")
        initialise(self, generator)
        with torch.no_grad():
            for head in (self.vertex_head, self.graph_head):
                head.weight.mul_(0.1)

    def on(self, env: GrowingSets[Any]) -> VertexGIN:
        """Return the same network, weights shared, over the graphs of another environment.

        Raises:
            ValueError: vertices are numbered.
        """
        if self.number is not None:
            raise ValueError(
                "The vertices of this network have embeddings of their own: it is for one graph. Leave `numbered` out."
            )
        other = copy.copy(self)
        other.env = other.sets = env
        return other

    def network(self, states: Any, condition: Tensor | None = None) -> Outputs:
        """Judge states, differentiably."""
        env = self.sets
        joined, weights, present = env.adjacency(states), env.weights(states), env.present(states)
        status = torch.where(states.member, 1, torch.where(env.free(states), 0, 2))
        x: Tensor = self.status(status)
        if weights is not None:
            x = x + self.weight(weights.to(x.dtype)[..., None])
        if self.number is not None:
            x = x + self.number.weight
        if condition is not None and self.condition is not None:
            x = x + self.condition(condition.to(x.dtype))[:, None]
        for place, step in enumerate(self.rounds):
            h = self.norms[place](x)
            x = x + step((1.0 + self.eps[place]) * h + joined @ h)
        x = self.norms[-1](x)
        pooled = functional.gelu(self.pool(x))
        number = torch.full((1, 1), float(env.items))
        if present is not None:
            pooled, number = pooled * present[..., None], present.sum(1, keepdim=True)
        # A sum, damped: a log-flow grows with the number of free vertices.
        summary = functional.gelu(self.summary(pooled.sum(1) * number**-0.5))
        vertex = self.vertex_head(functional.gelu(self.near(x) + summary[:, None]))
        graph = self.graph_head(summary)
        forward, backward = vertex[..., 0], vertex[..., 1]
        if env.stop is not None:
            forward = torch.cat([forward, graph[:, 1:]], 1)
            backward = torch.cat([backward, torch.zeros_like(graph[:, 1:])], 1)
        return Outputs(forward, backward, graph[:, 0])


def _perceptron(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim), nn.GELU(), nn.Linear(dim, dim))
