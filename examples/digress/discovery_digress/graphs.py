"""Molecules as tensors of categories: a label on each node, an order (0: none) on each pair of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from data.chemistry.labelled_graphs import ORDERS, LabelledGraph, labelled_graph, molecule
from data.objects import NotStandardError

EDGES = len(ORDERS) + 1
"""Categories of pairs: no bond, and the orders."""


@dataclass(frozen=True)
class Alphabet:
    """What graphs of a library are made of.

    Attributes:
        labels: of nodes, sorted: element and charge.
        valences: of each label, the most that was met.
        node_counts: of each label in the library.
        edge_counts: of each category of pairs.
        size_counts: number of nodes -> graphs.
    """

    labels: tuple[str, ...]
    valences: tuple[int, ...]
    node_counts: tuple[int, ...]
    edge_counts: tuple[int, ...]
    size_counts: dict[int, int]

    @classmethod
    def of(cls, graphs: Sequence[LabelledGraph]) -> Self:
        """Count what is in graphs, one at least; an order that is in none counts as if it was met once."""
        nodes, edges, sizes, valences = Counter[str](), Counter[int](), Counter[int](), dict[str, int]()
        for graph in graphs:
            n = len(graph.labels)
            sizes[n] += 1
            nodes.update(graph.labels)
            edges.update(graph.bonds.values())
            edges[0] += n * (n - 1) // 2 - len(graph.bonds)
            for label, valence in zip(graph.labels, graph.valences, strict=True):
                valences[label] = max(valence, valences.get(label, 0))
        labels = tuple(sorted(nodes))
        return cls(
            labels,
            tuple(valences[label] for label in labels),
            tuple(nodes[label] for label in labels),
            tuple(max(edges[order], 1) for order in range(EDGES)),
            dict(sorted(sizes.items())),
        )

    @property
    def most(self) -> int:
        """Nodes of the largest graph."""
        return max(self.size_counts)

    def knows(self, graph: LabelledGraph) -> bool:
        """Whether a graph can be told."""
        return len(graph.labels) <= self.most and set(graph.labels) <= set(self.labels)

    def sizes(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw numbers of nodes `(n,)` as often as the library has them."""
        weights = torch.tensor(list(self.size_counts.values()), dtype=torch.float64)
        chosen = torch.multinomial(weights, n, replacement=True, generator=generator)
        return torch.tensor(list(self.size_counts))[chosen]

    def to_state(self) -> dict[str, Any]:
        """Return what `Alphabet.from_state` makes an equal one of."""
        return {
            "labels": list(self.labels),
            "valences": list(self.valences),
            "node_counts": list(self.node_counts),
            "edge_counts": list(self.edge_counts),
            "sizes": list(self.size_counts),
            "size_counts": list(self.size_counts.values()),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the alphabet that `to_state` told."""
        return cls(
            tuple(state["labels"]),
            tuple(state["valences"]),
            tuple(state["node_counts"]),
            tuple(state["edge_counts"]),
            dict(zip(state["sizes"], state["size_counts"], strict=True)),
        )


@dataclass(frozen=True)
class Graphs:
    """B graphs of up to N nodes.

    Attributes:
        nodes: labels `(B, N)`, 0 where there is no node.
        edges: orders `(B, N, N)`, symmetric, 0 where there is no bond.
        sizes: nodes of each, `(B,)`.
    """

    nodes: Tensor
    edges: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, graphs: Sequence[LabelledGraph], alphabet: Alphabet) -> Self:
        """Return graphs that the alphabet knows."""
        n = max(len(graph.labels) for graph in graphs)
        nodes = torch.zeros(len(graphs), n, dtype=torch.long)
        edges = torch.zeros(len(graphs), n, n, dtype=torch.long)
        for row, graph in enumerate(graphs):
            nodes[row, : len(graph.labels)] = torch.tensor([alphabet.labels.index(label) for label in graph.labels])
            for (i, j), order in graph.bonds.items():
                edges[row, i, j] = edges[row, j, i] = order
        return cls(nodes, edges, torch.tensor([len(graph.labels) for graph in graphs]))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, rows: Tensor) -> Graphs:
        """Select graphs, and cut the nodes that none of them has."""
        sizes = self.sizes[rows]
        n = int(sizes.max())
        return Graphs(self.nodes[rows, :n], self.edges[rows, :n, :n], sizes)

    @property
    def mask(self) -> Tensor:
        """Which nodes there are, `(B, N)`."""
        return torch.arange(self.nodes.shape[1]) < self.sizes[:, None]

    @property
    def pairs(self) -> Tensor:
        """Which ordered pairs of different nodes there are, `(B, N, N)`."""
        mask, n = self.mask, self.nodes.shape[1]
        return mask[:, :, None] & mask[:, None, :] & ~torch.eye(n, dtype=torch.bool)

    def with_values(self, nodes: Tensor, edges: Tensor) -> Graphs:
        """Return graphs of the same sizes with other categories; of edges those above the diagonal count."""
        upper = torch.triu(edges, 1)
        upper = upper + upper.transpose(1, 2)
        return Graphs(nodes * self.mask, upper * self.pairs, self.sizes)

    @property
    def whole(self) -> Tensor:
        """Which are in one piece, `(B,)`."""
        near = ((self.edges > 0) | torch.eye(self.nodes.shape[1], dtype=torch.bool)).float()
        for _ in range(self.nodes.shape[1].bit_length()):
            near = (near @ near).clamp(max=1.0)
        return near[:, 0].sum(1) == self.sizes

    def smiles(self, alphabet: Alphabet) -> list[str | None]:
        """Return each as canonical SMILES; None where it is in pieces or no molecule. Nothing is corrected."""
        found = list[str | None]()
        columns = (one.tolist() for one in (self.nodes, self.edges, self.sizes, self.whole))
        for nodes, edges, n, whole in zip(*columns, strict=True):
            bonds = {(i, j): edges[i][j] for i in range(n) for j in range(i + 1, n) if edges[i][j]}
            labels = tuple(alphabet.labels[node] for node in nodes[:n])
            found.append(molecule(labels, bonds) if whole else None)
        return found


def told(molecules: Sequence[str]) -> tuple[list[LabelledGraph], Counter[str]]:
    """Return the graphs of molecules, and how many were refused for which reason."""
    graphs, refused = list[LabelledGraph](), Counter[str]()
    for text in molecules:
        try:
            graphs.append(labelled_graph(text))
        except NotStandardError as error:
            refused[str(error)] += 1
    return graphs, refused
