"""A graph transformer that guesses a graph from what noise left of it, whatever the order of its nodes.

Reference: Vignac et al., DiGress, ICLR 2023, where nodes, edges and the whole graph have features that act on each
other, and cycles, eigenvalues of the Laplacian and valences of the noisy graph are told besides. Smaller here: an edge
weighs in the attention of a head by a number, and a pair of nodes is also told its walks of two and three edges.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from discovery_digress.graphs import EDGES, Graphs

_EIGENVALUES = 5
_OF_NODE, _OF_PAIR, _OF_GRAPH = 6, 2, 3 + _EIGENVALUES + 3
_NOWHERE = 1e3
"""Eigenvalue of a node that is not there: above all others."""


def cycles(a: Tensor) -> Tensor:
    """Return the cycles of 3, 4 and 5 edges through each node, `(B, N, 3)`.

    Args:
        a: adjacency `(B, N, N)` of zeros and ones, symmetric, its diagonal zero.
    """
    degree = a.sum(2)
    a2 = a @ a
    a3 = a2 @ a
    three = a3.diagonal(dim1=1, dim2=2)
    four = (a2 @ a2).diagonal(dim1=1, dim2=2) - degree * (degree - 1) - (a @ degree[:, :, None])[:, :, 0]
    # Closed walks of five edges that are no cycles go round a triangle and once along an edge and back.
    aside = ((2 * a * a2) @ degree[:, :, None] + a @ three[:, :, None])[:, :, 0]
    five = (a2 @ a3).diagonal(dim1=1, dim2=2) - 2 * three * degree - aside + 5 * three
    return torch.stack([three, four, five], 2) / 2


class Attention(nn.Module):
    """A layer: nodes attend to nodes as edges and the whole graph say; then edges and the graph follow."""

    def __init__(self, nodes: int, edges: int, whole: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(nodes, nodes) for _ in range(3))
        self.weigh = nn.Linear(edges, 2 * heads)
        self.node_out, self.node_whole = nn.Linear(nodes, nodes), nn.Linear(whole, 2 * nodes)
        self.ends, self.scores, self.edge_whole = (
            nn.Linear(nodes, edges),
            nn.Linear(heads, edges),
            nn.Linear(whole, edges),
        )
        self.edge_out = nn.Linear(edges, edges)
        self.of_nodes, self.of_edges = nn.Linear(nodes, whole), nn.Linear(edges, whole)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in (nodes, nodes, edges, whole))
        self.node_feed = nn.Sequential(nn.Linear(nodes, 2 * nodes), nn.ReLU(), nn.Linear(2 * nodes, nodes))
        self.whole_feed = nn.Sequential(nn.ReLU(), nn.Linear(whole, whole))

    def forward(self, x: Tensor, e: Tensor, y: Tensor, mask: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return new features of nodes `(B, N, .)`, pairs `(B, N, N, .)` and graphs `(B, .)`."""
        b, n, width = x.shape
        q, k, v = (one(x).view(b, n, self.heads, -1) for one in (self.query, self.key, self.value))
        scores = torch.einsum("bihd,bjhd->bijh", q, k) * (width / self.heads) ** -0.5
        factor, shift = self.weigh(e).chunk(2, 3)
        scores = scores * (1 + factor) + shift
        weights = scores.masked_fill(~mask[:, None, :, None], -1e9).softmax(2)
        mixed = torch.einsum("bijh,bjhd->bihd", weights, v).reshape(b, n, width)
        scale, add = self.node_whole(y)[:, None].chunk(2, 2)
        x = self.norms[0](x + self.node_out(mixed * (1 + scale) + add))
        x = self.norms[1](x + self.node_feed(x)) * mask[:, :, None]
        ends = self.ends(x)
        met = ends[:, :, None] + ends[:, None] + self.scores(scores) + self.edge_whole(y)[:, None, None]
        e = self.norms[2](e + self.edge_out(functional.relu(met + e))) * pairs[..., None]
        size, several = mask.sum(1)[:, None], pairs.sum((1, 2)).clamp(min=1)[:, None]
        y = self.norms[3](
            y + self.whole_feed(y + self.of_nodes(x.sum(1) / size) + self.of_edges(e.sum((1, 2)) / several))
        )
        return x, e, y


class GraphNetwork(nn.Module):
    """Logits of the graph without noise.

    Args:
        valences: the most of each label.
        width: of nodes' features; pairs have a quarter, graphs a half.
        layers: of attention.
        heads: of each.
        generator: source of the initial weights.
    """

    valences: Tensor

    def __init__(
        self, valences: tuple[int, ...], width: int, layers: int, heads: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        labels, edges, whole = len(valences), max(width // 4, 4), max(width // 2, 4)
        self.register_buffer("valences", torch.tensor(valences, dtype=torch.float32))
        self.node_in = nn.Linear(labels + _OF_NODE, width)
        self.edge_in = nn.Linear(EDGES + _OF_PAIR, edges)
        self.whole_in = nn.Linear(_OF_GRAPH, whole)
        self.layers = nn.ModuleList(Attention(width, edges, whole, heads) for _ in range(layers))
        self.node_out = nn.Linear(width, labels)
        self.edge_out = nn.Sequential(nn.Linear(edges, 2 * edges), nn.ReLU(), nn.Linear(2 * edges, EDGES))
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    bound = module.in_features**-0.5
                    module.weight.uniform_(-bound, bound, generator=generator)
                    module.bias.zero_()

    def forward(self, graphs: Graphs, time: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of labels `(B, N, labels)` and of orders `(B, N, N, 4)`, the latter symmetric.

        Args:
            graphs: noisy ones.
            time: t / T of each, `(B,)`.
        """
        mask, pairs = graphs.mask, graphs.pairs
        of_nodes, of_pairs, of_graphs = self._features(graphs, mask, time)
        x = self.node_in(of_nodes) * mask[:, :, None]
        e, y = self.edge_in(of_pairs) * pairs[..., None], self.whole_in(of_graphs)
        for layer in self.layers:
            x, e, y = layer(x, e, y, mask, pairs)
        return self.node_out(x), self.edge_out(e + e.transpose(1, 2))

    def _features(self, graphs: Graphs, mask: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kind = self.valences.dtype
        a, orders = (graphs.edges > 0).to(kind), graphs.edges.to(kind)
        degree, used, rings = a.sum(2), orders.sum(2), cycles(a)
        labels = functional.one_hot(graphs.nodes, len(self.valences)).to(kind)
        spare = self.valences[graphs.nodes] - used
        of_nodes = torch.cat(
            [labels, torch.stack([degree, used, spare], 2) / 4, (rings / 4).clamp(max=2.0)],
            2,
        )
        walks = a @ a
        of_pairs = torch.cat(
            [
                functional.one_hot(graphs.edges, EDGES).to(kind),
                torch.stack([walks / 2, walks @ a / 4], 3).clamp(max=2.0),
            ],
            3,
        )
        laplacian = torch.diag_embed(degree + _NOWHERE * ~mask) - a
        values = torch.linalg.eigvalsh(laplacian)
        pieces = (values < 1e-3).sum(1).to(kind)
        values = functional.pad(values, (0, _EIGENVALUES + 1))[:, 1 : _EIGENVALUES + 1]
        values = torch.where(values > _NOWHERE / 2, -1.0, values)
        whole = torch.stack([time.to(kind), graphs.sizes.to(kind) / 10, pieces / 4], 1)
        several = (rings * mask[:, :, None]).sum(1) / torch.tensor([3.0, 4.0, 5.0], dtype=kind) / 4
        return of_nodes, of_pairs, torch.cat([whole, values, several.clamp(max=2.0)], 1)
