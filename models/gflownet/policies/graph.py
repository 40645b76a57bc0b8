"""Graph isomorphism network over molecular graphs, with heads for every kind of action of the atom environment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GINEConv

from models.gflownet.environments.atom_rings import bonds_apart, ring_bonds
from models.gflownet.environments.atom_states import AtomStates
from models.gflownet.environments.atoms import AtomEnvironment
from models.gflownet.policies.base import initialise
from models.gflownet.policies.flat import FlatPolicy, Outputs

_FREE = 8
"""Most implicit hydrogens that are told apart."""
_APART = 6
"""Most bonds between two atoms that are told apart."""


@dataclass(frozen=True)
class _Packed:
    """The M atoms of all S graphs, packed: their graphs and places (M,), and `number` (S, N) of each in the pack."""

    row: Tensor
    node: Tensor
    number: Tensor


class AtomGIN(FlatPolicy[AtomStates]):
    """GIN with bond features (Xu et al., ICLR 2019, arXiv:1810.00826; Hu et al., ICLR 2020, arXiv:1905.12265).

    Outputs are permuted as the atoms are: symmetric atoms and pairs have equal logits. LayerNorm instead of the papers'
    BatchNorm, so that a state is judged alike in every batch, while sampling and in the loss. Bonds know whether they
    lie in a ring, and pairs how many bonds they are apart, which message passing alone cannot always tell.

    Args:
        env: the environment; its options fix the shapes.
        dim: width.
        layers: rounds of message passing.
        generator: source of the initial weights.
        conditions: numbers in the encoded condition; 0 without conditioning.
    """

    def __init__(
        self, env: AtomEnvironment, *, generator: torch.Generator, dim: int = 64, layers: int = 4, conditions: int = 0
    ) -> None:
        super().__init__(env)
        self.atoms = env
        n_orders = len(env.orders)
        with torch.device("meta"):
            self.element = nn.Embedding(env.n_elements, dim)
            self.free = nn.Embedding(_FREE + 1, dim)
            self.bond = nn.Embedding(6, dim)
            self.apart = nn.Embedding(_APART + 2, dim)
            self.joined = nn.Embedding(4, dim)
            self.size, self.rings = nn.Embedding(env.max_atoms + 1, dim), nn.Embedding(env.options.max_rings + 1, dim)
            self.condition = nn.Linear(conditions, dim, bias=False) if conditions else None
            self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(layers + 1))
            self.rounds = nn.ModuleList(GINEConv(_perceptron(dim), train_eps=True) for _ in range(layers))
            self.pool, self.summary = nn.Linear(dim, dim), nn.Linear(dim, dim)
            self.near, self.sum, self.product = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
            self.graph_head = nn.Linear(dim, 2 + env.n_elements)
            self.node_head = nn.Linear(dim, 1 + env.n_elements * n_orders)
            self.pair_head = nn.Linear(dim, 1 + n_orders)
        self.to_empty(device="cpu")
        initialise(self, generator)
        with torch.no_grad():
            for head in (self.graph_head, self.node_head, self.pair_head):
                head.weight.mul_(0.1)

    def network(self, states: AtomStates, condition: Tensor | None = None) -> Outputs:
        """Judge states, differentiably."""
        rings = ring_bonds(states.element, states.bond)
        about = self.size(states.atoms) + self.rings(states.rings)
        if condition is not None and self.condition is not None:
            about = about + self.condition(condition)
        packed = _pack(states)
        nodes = self._nodes(states, packed, rings, about)
        # A sum over atoms, damped: at these sizes it keeps their number, and its scale stays that of one atom's.
        pooled = about.new_zeros(about.shape).index_add(0, packed.row, self.pool(nodes)) * self.atoms.max_atoms**-0.5
        summary = functional.gelu(self.summary(about + pooled))
        graph = self.graph_head(summary)
        attach, leaf = self._node_logits(nodes, summary, packed)
        close, open_ring = self._pair_logits(states, packed, rings, nodes, summary)
        return Outputs(
            forward=torch.cat([graph[:, 1:], attach, close], 1),
            backward=torch.cat([torch.zeros_like(leaf[:, :1]), leaf, open_ring], 1),
            log_flow=graph[:, 0],
        )

    def _nodes(self, states: AtomStates, packed: _Packed, rings: Tensor, about: Tensor) -> Tensor:
        """Return hidden states (M, d) after message passing."""
        row, node = packed.row, packed.node
        free = self.atoms.free(states)[row, node].clamp(0, _FREE)
        x: Tensor = self.element(states.element[row, node]) + self.free(free) + about[row]
        graph, a, b = states.bond.nonzero(as_tuple=True)
        edges = torch.stack([packed.number[graph, a], packed.number[graph, b]])
        bonds = self.bond(2 * (states.bond[graph, a, b] - 1) + rings[graph, a, b].long())
        for norm, step in zip(self.norms, self.rounds, strict=False):
            x = x + step(norm(x), edges, bonds)
        out: Tensor = self.norms[-1](x)
        return out

    def _node_logits(self, nodes: Tensor, summary: Tensor, packed: _Packed) -> tuple[Tensor, Tensor]:
        """Return logits of attachments (S, (N - 1) E B) and of leaves (S, N), 0 where there is no atom."""
        here = functional.gelu(self.near(nodes) + summary[packed.row])
        logits = self.node_head(here)
        spread = logits.new_zeros((*packed.number.shape, logits.shape[1]))
        spread = spread.index_put((packed.row, packed.node), logits)
        return spread[:, :-1, 1:].flatten(1), spread[..., 0]

    def _pair_logits(
        self, states: AtomStates, packed: _Packed, rings: Tensor, nodes: Tensor, summary: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits of ring closures (S, P B) and of ring bonds (S, P), 0 where neither is legal."""
        first, second = states.pairs()
        free = self.atoms.free(states) > 0
        open_pair = free[:, first] & free[:, second] & (states.bond[:, first, second] == 0)
        open_pair &= (states.rings < self.atoms.options.max_rings)[:, None]
        row, pair = (open_pair | rings[:, first, second]).nonzero(as_tuple=True)
        a, b = first[pair], second[pair]
        x, y = nodes[packed.number[row, a]], nodes[packed.number[row, b]]
        apart = bonds_apart(states.bond, _APART)[row, a, b]
        both = self.sum(x + y) + self.product(x * y) + self.apart(apart) + self.joined(states.bond[row, a, b])
        logits = self.pair_head(functional.gelu(both + summary[row]))
        spread = logits.new_zeros((len(states), len(first), logits.shape[1])).index_put((row, pair), logits)
        return spread[..., 1:].flatten(1), spread[..., 0]


def _pack(states: AtomStates) -> _Packed:
    present = states.element >= 0
    row, node = present.nonzero(as_tuple=True)
    number = present.flatten().long().cumsum(0).view(present.shape) - 1
    return _Packed(row, node, number)


def _perceptron(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, 2 * dim), nn.LayerNorm(2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
