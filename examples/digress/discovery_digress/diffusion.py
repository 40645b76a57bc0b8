"""Training of the network that guesses, and drawing of graphs by its guesses.

Reference: Vignac et al., DiGress, ICLR 2023: the loss is the cross-entropy of the nodes plus five times that of the
pairs, in graphs after a random number of steps of noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from discovery_digress.graphs import Alphabet, Graphs
from discovery_digress.network import GraphNetwork
from discovery_digress.noise import Noise

_EDGES_WEIGH = 5.0


class Diffusion:
    """Noise on nodes and pairs of graphs, and a network that takes it away.

    Args:
        alphabet: of the library.
        network: trained in place.
        steps: T of the noise.
    """

    def __init__(self, alphabet: Alphabet, network: GraphNetwork, steps: int) -> None:
        self.alphabet, self.network = alphabet, network
        self.node_noise = Noise(torch.tensor(alphabet.node_counts), steps)
        self.edge_noise = Noise(torch.tensor(alphabet.edge_counts), steps)

    @property
    def steps(self) -> int:
        """T."""
        return self.node_noise.steps

    def loss(self, graphs: Graphs, generator: torch.Generator) -> Tensor:
        """Return the cross-entropy, in nats, of graphs after 1 to T steps of noise."""
        t = torch.randint(1, self.steps + 1, (len(graphs),), generator=generator)
        noisy = graphs.with_values(
            self.node_noise.spoil(graphs.nodes, t, generator), self.edge_noise.spoil(graphs.edges, t, generator)
        )
        nodes, edges = self.network(noisy, t / self.steps)
        pairs = torch.triu(graphs.pairs)
        of_nodes = functional.cross_entropy(nodes[graphs.mask], graphs.nodes[graphs.mask])
        of_edges = functional.cross_entropy(edges[pairs], graphs.edges[pairs]) if pairs.any() else torch.zeros(())
        return of_nodes + _EDGES_WEIGH * of_edges

    def train(
        self,
        batch: Callable[[torch.Generator], Graphs],
        generator: torch.Generator,
        *,
        steps: int,
        learning_rate: float,
        report: Callable[[int, float], None],
    ) -> None:
        """Fit the network.

        Args:
            batch: draws the graphs of a step.
            generator: source of batches and noise.
            steps: of Adam.
            learning_rate: at first; it falls to zero by half a cosine.
            report: called after every step with its number and loss.
        """
        optimizer = torch.optim.Adam(self.network.parameters(), lr=learning_rate)
        for step in range(1, steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - 1) / steps))
            optimizer.zero_grad()
            loss = self.loss(batch(generator), generator)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimizer.step()
            report(step, loss.item())

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> Graphs:
        """Draw n graphs: from noise alone, T steps back. None is corrected."""
        sizes = self.alphabet.sizes(n, generator)
        most = int(sizes.max())
        blank = torch.zeros(n, most, dtype=torch.long)
        graphs = Graphs(blank, blank[:, :, None].expand(n, most, most), sizes)
        graphs = graphs.with_values(
            self.node_noise.forgotten((n, most), generator), self.edge_noise.forgotten((n, most, most), generator)
        )
        for t in range(self.steps, 0, -1):
            nodes, edges = self.network(graphs, torch.full((n,), t / self.steps))
            graphs = graphs.with_values(
                self.node_noise.back(graphs.nodes, nodes.softmax(2), t, generator),
                self.edge_noise.back(graphs.edges, edges.softmax(3), t, generator),
            )
        return graphs
