"""Molecules assembled from fragments, one fragment at a time, as padded integer tensors.

A state is a rooted tree of fragments in the order of insertion: first the root, which is the fragment of highest rank,
then (open site) x (fragment, own site). Open sites are hydrogens. Backward actions remove leaves other than the root.

Exactness. Let m_v be the number of symmetries of fragment v that fix its own site (of the root: all), A(x) the
automorphism group of the assembled tree and r(x) the number of its nodes with the root's fragment. For every backward
policy that chooses leaves by the rooted tree, the weights |A(x)| / r(x) * prod_v 1/m_v * prod_t P_B(leaf_t) of all
insertion sequences of a molecule sum to one: a molecule is drawn by a root, a labelling of the sites and an order of
removal, and each sequence stands for |A(x)| of those. `log_correction` returns all of it but P_B.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from data.chemistry.vocabulary import DEFAULT_ELEMENTS, FragmentTree, NotInVocabulary, Vocabulary, default_vocabulary
from models.gflownet.environments.base import Environment, States
from models.gflownet.environments.fragment_symmetry import TreeSymmetry
from models.gflownet.environments.fragment_tables import NEVER, FragmentTables
from models.registry import Component, FolderPath

STOP = 0
_CACHE_LIMIT = 500_000


@dataclass(frozen=True)
class FragmentStates(States):
    """S trees of at most N fragments with at most K sites each; -1 where there is no node.

    Attributes:
        fragment, parent, parent_site, own_site: (S, N) int64, nodes in order of insertion; the root has no parent.
        used: (S, N, K) int64, attachments at each site.
        allowed: (S, N, K) int64, bit t set if a site of type t may be joined there, its neighbours considered.
        heavy, nodes: (S,) int64, heavy atoms and fragments.
        reserve, open_required: (S,) int64, heavy atoms kept for open required sites, and their number.
    """

    fragment: Tensor
    parent: Tensor
    parent_site: Tensor
    own_site: Tensor
    used: Tensor
    allowed: Tensor
    heavy: Tensor
    nodes: Tensor
    reserve: Tensor
    open_required: Tensor


class FragmentEnvironment(Environment[FragmentStates]):
    """Trees of fragments within a number of heavy atoms; see the module's text for what makes it exact."""

    kind: ClassVar[str] = "fragments"
    distance = "tanimoto"
    stop = STOP
    small: ClassVar[Mapping[str, Any]] = {
        "only": ("c1ccccc1", "C#N", "O"),
        "max_heavy_atoms": 10,
        "max_fragments": 3,
    }
    cites: ClassVar[tuple[str, ...]] = ("bengio2021flow", "ma2023symmetry", "degen2008brics", "rdkit")
    reference: ClassVar[str] = "Bengio et al., NeurIPS 2021 (fragments); symmetric actions: Ma et al., 2023"

    class Options(Component.Options):
        """Options of the fragment environment."""

        vocabulary: FolderPath | None = Field(None, description="Vocabulary file; null: the shipped one.")
        only: tuple[str, ...] | None = Field(None, description="Use only these fragments (SMILES) of the vocabulary.")
        max_heavy_atoms: int = Field(14, ge=1)
        min_heavy_atoms: int = Field(1, ge=1)
        elements: tuple[str, ...] = DEFAULT_ELEMENTS
        max_fragments: int = Field(9, ge=1, le=64, description="Nodes of the largest tree.")

    def __init__(self, options: FragmentEnvironment.Options | None = None, /, **values: object) -> None:
        super().__init__(options, **values)
        chosen: FragmentEnvironment.Options = self.options
        self.max_nodes, self.min_heavy, self.max_heavy = (
            chosen.max_fragments,
            chosen.min_heavy_atoms,
            chosen.max_heavy_atoms,
        )
        vocabulary = default_vocabulary() if chosen.vocabulary is None else Vocabulary.load(chosen.vocabulary)
        if chosen.only is not None:
            vocabulary = vocabulary.restrict(chosen.only)
        self.tables = FragmentTables(vocabulary, chosen.max_heavy_atoms, chosen.max_fragments, chosen.elements)
        if not self.tables.root_ok.any():
            raise ValueError(
                f"No molecule of the vocabulary fits {chosen.max_heavy_atoms} heavy atoms in {chosen.max_fragments} "
                "fragments: the space is empty. Widen the space or use another vocabulary."
            )
        self.vocabulary = self.tables.vocabulary
        self.n_fragments = len(self.vocabulary.fragments)
        self.n_attachments = len(self.tables.att_fragment)
        self.n_actions = 1 + self.n_fragments + chosen.max_fragments * self.tables.n_sites * self.n_attachments
        self.n_backward = 1 + chosen.max_fragments
        self._symmetry = TreeSymmetry(self.vocabulary)
        self._terminals: dict[bytes, tuple[str | None, float]] = {}
        self._members: dict[int, str | None] = {}

    def source(self, n: int) -> FragmentStates:
        """Return n empty trees."""
        size, sites = self.max_nodes, self.tables.n_sites
        empty = torch.full((n, size), -1, dtype=torch.int64)
        zero = torch.zeros(n, dtype=torch.int64)
        grid = torch.zeros((n, size, sites), dtype=torch.int64)
        done = torch.zeros(n, dtype=torch.bool)
        return FragmentStates(done, empty, empty, empty, empty, grid, grid, zero, zero, zero, zero)

    # Actions: 0 stop; 1 + fragment: root; 1 + F + (node * K + site) * M + attachment.

    def encode(self, node: Tensor, site: Tensor, attachment: Tensor) -> Tensor:
        """Return the flat actions (S,) that attach `attachment` at `site` of `node`."""
        return 1 + self.n_fragments + (node * self.tables.n_sites + site) * self.n_attachments + attachment

    def split(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (node, site, attachment), each (S,), of flat attaching actions; meaningless for other actions."""
        place = (actions - 1 - self.n_fragments).clamp(min=0)
        slot = place // self.n_attachments
        return slot // self.tables.n_sites, slot % self.tables.n_sites, place % self.n_attachments

    def _budget(self, states: FragmentStates) -> tuple[Tensor, Tensor]:
        """Return heavy atoms and nodes, each (S,), that nothing is reserved for."""
        atoms = self.max_heavy - states.heavy - states.reserve
        return atoms, self.max_nodes - states.nodes - states.open_required

    def fillable(self, states: FragmentStates) -> Tensor:
        """Return (S, N, K) bool: the sites at which at least one attachment is legal."""
        tables, root = self.tables, states.fragment[:, 0].clamp(min=0)
        atoms, nodes = self._budget(states)
        spare = (nodes - 1).clamp(0, len(tables.cheapest) - 1)
        fits = (tables.cheapest[spare, root] <= atoms[:, None]) & (nodes > 0)[:, None]
        bits = (fits.long() << torch.arange(fits.shape[1])).sum(1)
        node = states.fragment.clamp(min=0)
        room = (states.used < tables.capacity[node]) & (states.fragment >= 0)[..., None] & ~states.done[:, None, None]
        # An open required site can always be closed: that is what the reserve is for.
        return room & (tables.required[node] | (states.allowed & bits[:, None, None] != 0))

    def attachable(self, states: FragmentStates, node: Tensor, site: Tensor) -> Tensor:
        """Return (S, M) bool: the attachments that are legal at one open site per state, `node` and `site` (S,)."""
        tables, row = self.tables, torch.arange(len(states))
        root = states.fragment[:, 0].clamp(min=0)
        fragment = states.fragment[row, node].clamp(min=0)
        required = tables.required[fragment, site].long()
        atoms, nodes = self._budget(states)
        atoms = atoms + required * tables.closer[root, tables.types[fragment, site]]
        joins: Tensor = (states.allowed[row, node, site][:, None] >> tables.att_type & 1).bool()
        legal: Tensor = (
            joins & (tables.cost[root] <= atoms[:, None]) & (tables.att_extra <= (nodes + required - 1)[:, None])
        )
        return legal

    def may_stop(self, states: FragmentStates) -> Tensor:
        """Return (S,) bool: no required site is open, and the molecule is large enough or cannot grow.

        One too small that cannot grow is terminal but not in the space: `decode` gives None.
        """
        complete = ~states.done & (states.nodes > 0) & (states.open_required == 0)
        stuck = ~self.fillable(states).flatten(1).any(1)
        return complete & ((states.heavy >= self.min_heavy) | stuck)

    def forward_mask(self, states: FragmentStates) -> Tensor:
        """Return (S, n_actions) bool. Dense: for small vocabularies; policies use the masks by stage."""
        mask = torch.zeros((len(states), self.n_actions), dtype=torch.bool)
        mask[:, STOP] = self.may_stop(states)
        mask[:, 1 : 1 + self.n_fragments] = (states.nodes == 0)[:, None] & self.tables.root_ok
        row, node, site = self.fillable(states).nonzero(as_tuple=True)
        places = mask[:, 1 + self.n_fragments :].view(len(states), -1, self.tables.n_sites, self.n_attachments)
        places[row, node, site] = self.attachable(states[row], node, site)
        return mask

    def removable(self, states: FragmentStates) -> Tensor:
        """Return (S, N) bool: leaves that are not the root, or the root alone; none of a terminal state."""
        size = self.max_nodes
        children = torch.zeros((len(states), size + 1), dtype=torch.bool)
        children.scatter_(1, torch.where(states.parent < 0, size, states.parent), True)
        leaf = (states.fragment >= 0) & ~children[:, :size]
        leaf[:, 0] &= states.nodes == 1
        return leaf & ~states.done[:, None]

    def backward_mask(self, states: FragmentStates) -> Tensor:
        """Return (S, 1 + N) bool: 0 takes the stop back, 1 + j removes node j."""
        return torch.cat([states.done[:, None], self.removable(states)], 1)

    def step(self, states: FragmentStates, actions: Tensor) -> FragmentStates:
        """Take legal actions (S,)."""
        tables = self.tables
        fields = {name: value.clone() for name, value in states.tensors().items()}
        fields["done"] |= actions == STOP
        rooted = ((actions > STOP) & (actions <= self.n_fragments)).nonzero()[:, 0]
        root = actions[rooted] - 1
        self._place(fields, rooted, root)
        fields["reserve"][rooted] = tables.reserve[root]
        row = (actions > self.n_fragments).nonzero()[:, 0]
        node, site, attachment = self.split(actions[row])
        fragment, own, new = tables.att_fragment[attachment], tables.att_site[attachment], states.nodes[row]
        root, parent = states.fragment[row, 0], states.fragment[row, node]
        self._place(fields, row, fragment)
        fields["parent"][row, new], fields["parent_site"][row, new] = node, site
        fields["own_site"][row, new] = own
        closing = tables.required[parent, site].long()
        fields["open_required"][row] -= closing + tables.required[fragment, own].long()
        kept = tables.cost[root, attachment] - tables.heavy[fragment]
        fields["reserve"][row] += kept - closing * tables.closer[root, tables.types[parent, site]]
        for where, place, kind, other in (
            (node, site, tables.types[parent, site], tables.att_type[attachment]),
            (new, own, tables.att_type[attachment], tables.types[parent, site]),
        ):
            fields["used"][row, where, place] += 1
            fields["allowed"][row, where, place] &= tables.angle_bits[kind, other]
        return FragmentStates(**fields)

    def _place(self, fields: dict[str, Tensor], row: Tensor, fragment: Tensor) -> None:
        new = fields["nodes"][row]
        fields["fragment"][row, new] = fragment
        fields["allowed"][row, new] = self.tables.pair_bits[self.tables.types[fragment]]
        fields["heavy"][row] += self.tables.heavy[fragment]
        fields["open_required"][row] += self.tables.n_required[fragment]
        fields["nodes"][row] += 1

    def backstep(self, states: FragmentStates, actions: Tensor) -> FragmentStates:
        """Take legal backward actions (S,); the nodes that stay keep their order."""
        place = torch.arange(self.max_nodes)
        gone = torch.where(actions > 0, actions - 1, len(place))[:, None]
        source = (place + (place >= gone).long()).clamp(max=len(place) - 1)
        keep = place < (states.nodes - (actions > 0).long())[:, None]

        def compact(values: Tensor) -> Tensor:
            return torch.where(keep, values.gather(1, source), -1)

        parent = compact(states.parent)
        parent -= (parent > gone).long()
        return self.build(compact(states.fragment), parent, compact(states.parent_site), compact(states.own_site))

    def build(self, fragment: Tensor, parent: Tensor, parent_site: Tensor, own_site: Tensor) -> FragmentStates:
        """Return the open states with these nodes, each (S, N), by replaying their insertion."""
        states = self.source(len(fragment))
        states = FragmentStates(**{name: value.clone() for name, value in states.tensors().items()})
        for node in range(int((fragment >= 0).sum(1).max()) if len(fragment) else 0):
            row = (fragment[:, node] >= 0).nonzero()[:, 0]
            kind = fragment[row, node]
            if node == 0:
                actions = 1 + kind
            else:
                attachment = self.tables.att_index[kind, own_site[row, node]]
                actions = self.encode(parent[row, node], parent_site[row, node], attachment)
            grown = self.step(states[row], actions)
            for name, value in states.tensors().items():
                value[row] = grown.tensors()[name]
        return states

    def undo(self, states: FragmentStates, actions: Tensor) -> Tensor:
        """Return (S,): 0 for stop, else the node that was added."""
        return torch.where(actions == STOP, 0, 1 + states.nodes)

    def redo(self, states: FragmentStates, actions: Tensor) -> Tensor:
        """Return (S,) the forward actions that add what the backward actions remove."""
        node, row = (actions - 1).clamp(min=0), torch.arange(len(states))
        fragment = states.fragment[row, node].clamp(min=0)
        parent, site, own = (v[row, node].clamp(min=0) for v in (states.parent, states.parent_site, states.own_site))
        attach = self.encode(parent, site, self.tables.att_index[fragment, own])
        return torch.where(actions == 0, STOP, torch.where(node == 0, 1 + fragment, attach))

    def _rows(self, states: FragmentStates) -> list[bytes]:
        parts = (states.fragment, states.parent, states.parent_site, states.own_site)
        table = torch.stack(parts, -1).to(torch.int16).numpy()
        return [row[:n].tobytes() for row, n in zip(table, states.nodes.tolist(), strict=True)]

    def keys(self, states: FragmentStates) -> list[Hashable]:
        """Return the insertion sequences: as states they form a tree, so no two of them are merged."""
        return list(zip(self._rows(states), states.done.tolist(), strict=True))

    def decode(self, states: FragmentStates) -> list[str | None]:
        """Return canonical SMILES; None if RDKit refuses it, or if it decomposes into another tree, or is too small."""
        return [smiles for smiles, _ in self._identify(states)]

    def _identify(self, states: FragmentStates) -> list[tuple[str | None, float]]:
        rows = self._rows(states)
        if len(self._terminals) > _CACHE_LIMIT:
            self._terminals.clear()
            self._members.clear()
        for number, row in enumerate(rows):
            if row not in self._terminals:
                self._terminals[row] = self._examine(self.tree(states, number))
        return [self._terminals[row] for row in rows]

    def tree(self, states: FragmentStates, number: int) -> FragmentTree:
        """Return one state as a fragment tree."""
        n = int(states.nodes[number])
        parent, site, own = (v[number].tolist() for v in (states.parent, states.parent_site, states.own_site))
        edges = tuple((parent[j], site[j], j, own[j]) for j in range(1, n))
        return FragmentTree(tuple(states.fragment[number, :n].tolist()), edges)

    def _examine(self, tree: FragmentTree) -> tuple[str | None, float]:
        code, log_order = self._symmetry.classify(tree)
        if code not in self._members:
            self._members[code] = self._member(tree, code)
        return self._members[code], log_order

    def _member(self, tree: FragmentTree, code: int) -> str | None:
        if sum(self.vocabulary.fragments[node].heavy_atoms for node in tree.nodes) < self.min_heavy:
            return None
        smiles, faithful = self.vocabulary.assemble_faithfully(tree)
        if smiles is None or faithful:
            return smiles
        try:
            again = self.vocabulary.decompose(smiles)
        except NotInVocabulary:
            return None
        return smiles if self._symmetry.classify(again)[0] == code else None

    def log_correction(self, states: FragmentStates, actions: Tensor, following: FragmentStates) -> Tensor:
        """Return (S,): -log m of the added fragment; at the stop, log |A(x)| - log r(x); float64."""
        tables = self.tables
        attachment = self.split(actions)[2]
        root = (actions - 1).clamp(0, self.n_fragments - 1)
        added = torch.where(actions <= self.n_fragments, tables.log_symmetry[root], tables.att_log_symmetry[attachment])
        stop = (actions == STOP).nonzero()[:, 0]
        ended = following[stop]
        orders = torch.tensor([log_order for _, log_order in self._identify(ended)], dtype=added.dtype)
        out = -added
        out[stop] = orders - (ended.fragment == ended.fragment[:, :1]).sum(1).double().log()
        return out

    def trees(self, trees: Sequence[FragmentTree], generator: torch.Generator) -> FragmentStates:
        """Return terminal states of decomposed molecules: root and labelling of the sites drawn by the backward law.

        Raises:
            ValueError: a tree is not in the space (too large, or too many fragments).
        """
        size = self.max_nodes
        nodes = torch.full((4, len(trees), size), -1, dtype=torch.int64)
        for row, tree in enumerate(trees):
            if not self.contains(tree):
                raise ValueError(f"The tree {tree} is outside the space; ask `contains` first.")
            for place, values in enumerate(self._orient(tree, generator)):
                nodes[:, row, place] = torch.tensor(values)
        states = self.build(*nodes.unbind(0))
        return self.step(states, torch.zeros(len(trees), dtype=torch.int64))

    def contains(self, tree: FragmentTree) -> bool:
        """Whether a decomposed molecule is within the atoms and nodes of the space."""
        heavy, root = int(self.tables.heavy[torch.tensor(tree.nodes)].sum()), max(tree.nodes)
        fits = self.min_heavy <= heavy <= self.max_heavy
        known = self.tables.cost[root, self.tables.att_index[torch.tensor(tree.nodes), 0]] < NEVER
        return fits and len(tree.nodes) <= self.max_nodes and bool(known.all())

    def _orient(self, tree: FragmentTree, generator: torch.Generator) -> list[tuple[int, int, int, int]]:
        """Return (fragment, parent, parent site, own site) per node, root first, parents before children."""
        neighbours: list[list[tuple[int, int, int]]] = [[] for _ in tree.nodes]
        for a, i, b, j in tree.edges:
            neighbours[a].append((i, b, j))
            neighbours[b].append((j, a, i))
        top = [node for node, fragment in enumerate(tree.nodes) if fragment == max(tree.nodes)]
        out: list[tuple[int, int, int, int]] = []
        todo = [(top[_draw(len(top), generator)], -1, -1, -1, -1)]
        while todo:
            node, before, parent, parent_site, own = todo.pop()
            group = self.vocabulary.fragments[tree.nodes[node]].automorphisms
            if own >= 0:
                first = min(image[own] for image in group)
                group = tuple(image for image in group if image[own] == first)
            image = group[_draw(len(group), generator)]
            out.append((tree.nodes[node], parent, parent_site, image[own] if own >= 0 else -1))
            place = len(out) - 1
            todo += [(b, node, place, image[i], j) for i, b, j in neighbours[node] if b != before]
        return out


def _draw(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (1,), generator=generator)) if n > 1 else 0
