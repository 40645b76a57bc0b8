"""Molecules built atom by atom: a state is a graph of heavy atoms up to isomorphism, hydrogens being implicit.

Actions: stop; a first atom; a new atom on an old one by a bond of some order; a bond that closes a ring. Backward: take
the stop back; remove an atom with one neighbour; remove a bond of a ring. Every connected graph within the valences and
limits is reached, by every order of building it that the actions allow.

Exactness. States are kept in canonical numbering, and of the actions that an automorphism of the graph carries into
each other only the first is legal, forwards and backwards. An action that remains is a larger graph with one atom or
bond singled out, up to isomorphism: that is one forward action of the smaller graph and one backward action of the
larger. So edges in both directions correspond one to one, every legal backward action is one parent edge, and any
backward policy is a law over parents. No automorphism has to be counted, in contrast to numbered graphs, whose rewards
must be scaled by the order of their automorphism group (Kim et al., Symmetry-aware GFlowNets, ICML 2025).

One thing is left: an aromatic molecule with several Kekule structures is several terminal states but one object.
`log_correction` divides the stop by their number, so that the weights of all trajectories of a molecule sum to one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from models.gflownet.environments.atom_canonical import Canonical, canonical, pair_numbers
from models.gflownet.environments.atom_molecules import CITES, AtomMolecules, Identity, valences_of
from models.gflownet.environments.atom_rings import bonds_apart, ring_bonds
from models.gflownet.environments.atom_states import AtomStates
from models.gflownet.environments.base import Environment
from models.registry import Component

STOP = 0
_CACHE_LIMIT = 500_000


@dataclass(frozen=True)
class _Action:
    """Parts of flat actions, each (S,): which kind each is, and the fields that its kind has (0 elsewhere)."""

    first: Tensor
    attach: Tensor
    close: Tensor
    node: Tensor
    element: Tensor
    order: Tensor
    pair: Tensor


class AtomEnvironment(Environment[AtomStates]):
    """Molecules of a few elements, atom by atom; see the module's text for what makes it exact."""

    kind: ClassVar[str] = "atoms"
    distance = "tanimoto"
    cites: ClassVar[tuple[str, ...]] = ("jain2023mogfn", "ma2023symmetry", "kim2025symmetry", *CITES)
    reference: ClassVar[str] = (
        "Atom by atom: Jain et al., ICML 2023, arXiv:2210.12765; canonical states and equivalent actions: Ma et al., "
        "NeurIPS AI4Science 2023, arXiv:2406.05426"
    )
    stop = STOP
    small: ClassVar[Mapping[str, Any]] = {"elements": ("C", "O"), "max_atoms": 4, "bond_orders": (1, 2)}

    class Options(Component.Options):
        """Options of the atom environment."""

        elements: tuple[str, ...] = Field(("C", "N", "O", "F", "S"), min_length=1)
        max_atoms: int = Field(9, ge=2, le=20, description="Heavy atoms of the largest molecule.")
        min_atoms: int = Field(1, ge=1, description="Heavy atoms of the smallest molecule.")
        bond_orders: tuple[Literal[1, 2, 3], ...] = Field((1, 2, 3), min_length=1, description="1 must be among them.")
        max_rings: int = Field(2, ge=0, description="Most rings (bonds - atoms + 1) of a molecule; 0: no rings.")
        min_ring_size: int = Field(3, ge=3, description="Atoms of the smallest ring.")
        max_valence: dict[str, int] = Field({}, description="Valences other than the usual ones, by element.")

    def __init__(self, options: AtomEnvironment.Options | None = None, /, **values: object) -> None:
        super().__init__(options, **values)
        chosen: AtomEnvironment.Options = self.options
        self.max_atoms, self.min_atoms = chosen.max_atoms, chosen.min_atoms
        self.orders = sorted(set(chosen.bond_orders))
        self.valences = valences_of(chosen.elements, chosen.max_valence)
        _check(chosen, self.valences)
        self.n_elements, self.n_pairs = len(chosen.elements), self.max_atoms * (self.max_atoms - 1) // 2
        self._attach = 1 + self.n_elements
        self._close = self._attach + (self.max_atoms - 1) * self.n_elements * len(self.orders)
        self.n_actions = self._close + self.n_pairs * len(self.orders)
        self.n_backward = 1 + self.max_atoms + self.n_pairs
        self.n_features = self.max_atoms * self.n_elements + self.n_pairs * len(self.orders)
        self._molecules = AtomMolecules(chosen.elements, self.orders)
        self._known: dict[bytes, Identity] = {}
        self._last: tuple[Tensor, Tensor, Canonical] | None = None

    def source(self, n: int) -> AtomStates:
        """Return n empty graphs."""
        size = self.max_atoms
        return AtomStates(
            done=torch.zeros(n, dtype=torch.bool),
            element=torch.full((n, size), -1),
            bond=torch.zeros((n, size, size), dtype=torch.int64),
            orbit=torch.arange(size).repeat(n, 1),
            pair=torch.arange(self.n_pairs).repeat(n, 1),
        )

    # Actions: 0 stop; 1 + e first atom; then (node, element, order) attach; then (pair, order) close a ring.

    def _order_index(self, order: Tensor) -> Tensor:
        return torch.bucketize(order, torch.tensor(self.orders, device=order.device))

    def first(self, element: Tensor) -> Tensor:
        """Return the actions (S,) that place a first atom of `element` (S,)."""
        return 1 + element

    def attach(self, node: Tensor, element: Tensor, order: Tensor) -> Tensor:
        """Return the actions (S,) that bind a new atom of `element` to `node` by a bond of `order`, each (S,)."""
        return self._attach + (node * self.n_elements + element) * len(self.orders) + self._order_index(order)

    def close(self, pair: Tensor, order: Tensor) -> Tensor:
        """Return the actions (S,) that join the two atoms of `pair` by a bond of `order`, each (S,)."""
        return self._close + pair * len(self.orders) + self._order_index(order)

    def _split(self, actions: Tensor) -> _Action:
        b, e = len(self.orders), self.n_elements
        first, close = (actions > STOP) & (actions < self._attach), actions >= self._close
        attach = (actions >= self._attach) & ~close
        place, ring = torch.where(attach, actions - self._attach, 0), torch.where(close, actions - self._close, 0)
        order = torch.tensor(self.orders, device=actions.device)[torch.where(close, ring, place) % b]
        element = torch.where(first, actions - 1, place // b % e)
        return _Action(first, attach, close, place // (b * e), element, order, ring // b)

    def _valence(self, states: AtomStates) -> Tensor:
        return torch.tensor(self.valences, device=states.done.device)

    def free(self, states: AtomStates) -> Tensor:
        """Return (S, N) int64: the implicit hydrogens of each atom, which new bonds take the place of."""
        valence = self._valence(states)[states.element.clamp(min=0)]
        return torch.where(states.element >= 0, valence - states.bond.sum(2), 0)

    def forward_mask(self, states: AtomStates) -> Tensor:
        """Return (S, n_actions) bool.

        A molecule smaller than `min_atoms` keeps a free valence, and so can always grow to that size.
        """
        free, atoms = self.free(states), states.atoms
        stop = atoms >= self.min_atoms
        first = (atoms == 0)[:, None].expand(-1, self.n_elements)
        attach = self._may_attach(states, free, atoms).flatten(1)
        parts = (stop[:, None], first, attach, self._may_close(states, free, atoms).flatten(1))
        return torch.cat(parts, 1) & ~states.done[:, None]

    def _may_attach(self, states: AtomStates, free: Tensor, atoms: Tensor) -> Tensor:
        """Return (S, N - 1, E, B) bool."""
        orders, valence = torch.tensor(self.orders, device=free.device), self._valence(states)
        place = torch.arange(self.max_atoms, device=free.device)
        node = (states.element >= 0) & (states.orbit == place) & (atoms < self.max_atoms)[:, None]
        bound = node[:, :-1, None] & (free[:, :-1, None] >= orders)
        left = free.sum(1)[:, None, None] + valence[:, None] - 2 * orders
        fits = (valence[:, None] >= orders) & ((left > 0) | (atoms + 1 >= self.min_atoms)[:, None, None])
        return bound[:, :, None] & fits[:, None]

    def _may_close(self, states: AtomStates, free: Tensor, atoms: Tensor) -> Tensor:
        """Return (S, P, B) bool."""
        orders = torch.tensor(self.orders, device=free.device)
        first, second = states.pairs()
        shortest = self.options.min_ring_size - 2
        apart = bonds_apart(states.bond, shortest)[:, first, second] > shortest
        apart &= (states.pair == torch.arange(self.n_pairs, device=free.device)) & ~states.done[:, None]
        apart &= (states.rings < self.options.max_rings)[:, None]
        room = torch.minimum(free[:, first], free[:, second])[:, :, None] >= orders
        grows = (free.sum(1)[:, None] - 2 * orders > 0) | (atoms >= self.min_atoms)[:, None]
        legal: Tensor = apart[:, :, None] & room & grows[:, None]
        return legal

    def backward_mask(self, states: AtomStates) -> Tensor:
        """Return (S, 1 + N + P) bool: 0 takes the stop back, 1 + i removes an atom, 1 + N + p the bond of a pair."""
        device = states.done.device
        first, second = states.pairs()
        present = states.element >= 0
        leaf = present & (((states.bond > 0).sum(2) == 1) | (states.atoms == 1)[:, None])
        leaf &= states.orbit == torch.arange(self.max_atoms, device=device)
        ring = ring_bonds(states.element, states.bond)[:, first, second]
        ring &= states.pair == torch.arange(self.n_pairs, device=device)
        done = states.done[:, None]
        return torch.cat([done, leaf & ~done, ring & ~done], 1)

    def _settle(self, element: Tensor, bond: Tensor) -> Canonical:
        """Number graphs canonically; a step and the inverse action that is asked for next share one search."""
        last = self._last
        if last is not None and torch.equal(last[0], element) and torch.equal(last[1], bond):
            return last[2]
        numbered = canonical(element, bond)
        self._last = (element, bond, numbered)
        return numbered

    def _move(self, states: AtomStates, rows: Tensor, numbered: Canonical) -> AtomStates:
        """Put canonical graphs in place of the given rows (R,)."""
        if len(rows) == len(states):
            return AtomStates(states.done, numbered.element, numbered.bond, numbered.orbit, numbered.pair)
        names = ("element", "bond", "orbit", "pair")
        changed = {name: getattr(states, name).index_put((rows,), getattr(numbered, name)) for name in names}
        return AtomStates(done=states.done, **changed)

    def _grow(self, states: AtomStates, actions: Tensor) -> tuple[Canonical, Tensor, Tensor]:
        """Return the graphs after building actions (R,), and the old numbers of the new bond's ends, each (R,)."""
        act, row = self._split(actions), torch.arange(len(states), device=actions.device)
        first, second = states.pairs()
        new = states.atoms.clamp(max=self.max_atoms - 1)
        a, b = torch.where(act.close, first[act.pair], act.node), torch.where(act.close, second[act.pair], new)
        element, bond = states.element.clone(), states.bond.clone()
        added = ~act.close
        element[row[added], new[added]] = act.element[added]
        joined = ~act.first
        bond[row[joined], a[joined], b[joined]] = act.order[joined]
        bond[row[joined], b[joined], a[joined]] = act.order[joined]
        return self._settle(element, bond), a, b

    def step(self, states: AtomStates, actions: Tensor) -> AtomStates:
        """Take legal actions (S,)."""
        rows = (actions != STOP).nonzero()[:, 0]
        grown = states
        if len(rows):
            grown = self._move(states, rows, self._grow(states[rows], actions[rows])[0])
        return AtomStates(**{**grown.tensors(), "done": states.done | (actions == STOP)})

    def undo(self, states: AtomStates, actions: Tensor) -> Tensor:
        """Return (S,): 0 for stop, else the removal of the atom or the bond that was added."""
        out = torch.zeros_like(actions)
        rows = (actions != STOP).nonzero()[:, 0]
        if not len(rows):
            return out
        numbered, a, b = self._grow(states[rows], actions[rows])
        row = torch.arange(len(rows), device=actions.device)
        leaf = 1 + numbered.orbit[row, numbered.place[row, b]]
        bond = 1 + self.max_atoms + self._pair(numbered, a, b)
        out[rows] = torch.where(actions[rows] >= self._close, bond, leaf)
        return out

    def _pair(self, numbered: Canonical, a: Tensor, b: Tensor) -> Tensor:
        """Return the first pair (R,) like the one that old nodes a and b (R,) have become."""
        row = torch.arange(len(a), device=a.device)
        pair = pair_numbers(self.max_atoms).to(a.device)[numbered.place[row, a], numbered.place[row, b]]
        return numbered.pair[row, pair]

    def _shrink(self, states: AtomStates, actions: Tensor) -> tuple[Canonical, Tensor, Tensor]:
        """Return the graphs after removals (R,), and the old numbers of the removed bond's ends, each (R,).

        Of a removed atom the second end is its only neighbour, or itself if it was alone.
        """
        row, ring = torch.arange(len(states), device=actions.device), actions > self.max_atoms
        first, second = states.pairs()
        node, pair = torch.where(ring, 0, actions - 1), torch.where(ring, actions - 1 - self.max_atoms, 0)
        stay = states.bond[row, node].argmax(1)
        a = torch.where(ring, first[pair], node)
        b = torch.where(ring, second[pair], torch.where(states.atoms == 1, node, stay))
        element, bond = states.element.clone(), states.bond.clone()
        bond[row, a, b] = bond[row, b, a] = 0
        element[row[~ring], node[~ring]] = -1
        return self._settle(element, bond), a, b

    def backstep(self, states: AtomStates, actions: Tensor) -> AtomStates:
        """Take legal backward actions (S,)."""
        rows = (actions != 0).nonzero()[:, 0]
        shrunk = states
        if len(rows):
            shrunk = self._move(states, rows, self._shrink(states[rows], actions[rows])[0])
        return AtomStates(**{**shrunk.tensors(), "done": states.done & (actions != 0)})

    def redo(self, states: AtomStates, actions: Tensor) -> Tensor:
        """Return (S,) the forward actions that add what the backward actions remove."""
        out = torch.zeros_like(actions)
        rows = (actions != 0).nonzero()[:, 0]
        if not len(rows):
            return out
        larger, removed = states[rows], actions[rows]
        numbered, a, b = self._shrink(larger, removed)
        row = torch.arange(len(rows), device=actions.device)
        element, order = larger.element[row, a], larger.bond[row, a, b].clamp(min=1)
        added = self.attach(numbered.orbit[row, numbered.place[row, b]], element, order)
        added = torch.where(larger.atoms == 1, self.first(element), added)
        closed = self.close(self._pair(numbered, a, b), order)
        out[rows] = torch.where(removed > self.max_atoms, closed, added)
        return out

    def _rows(self, table: Tensor) -> list[bytes]:
        data, width = table.cpu().numpy().tobytes(), 8 * table.shape[1]
        return [data[a : a + width] for a in range(0, len(data), width)]

    def keys(self, states: AtomStates) -> list[Hashable]:
        """Return the canonical graphs, with `done`."""
        return list(self._rows(states.words()))

    def codes(self, states: AtomStates) -> Tensor:
        """Return (S,) int64, equal exactly where `keys` are."""
        codes: Tensor = torch.unique(states.words(), dim=0, return_inverse=True)[1]
        return codes

    def k_hot(self, states: AtomStates) -> Tensor:
        """Return (S, N + P) int64: the element of each atom, then the order of each pair's bond, canonically placed."""
        first, second = states.pairs()
        order, place = states.bond[:, first, second], torch.arange(self.max_atoms, device=states.done.device)
        bond = self.max_atoms * self.n_elements + torch.arange(self.n_pairs, device=order.device) * len(self.orders)
        atoms = torch.where(states.element >= 0, place * self.n_elements + states.element, self.n_features)
        return torch.cat([atoms, torch.where(order > 0, bond + self._order_index(order), self.n_features)], 1)

    def decode(self, states: AtomStates) -> list[str | None]:
        """Return canonical SMILES; None if RDKit refuses the graph, as it may with valences of the user's own."""
        return [known.smiles for known in self._identify(states)]

    def _identify(self, states: AtomStates) -> list[Identity]:
        rows = self._rows(states.words())
        if len(self._known) > _CACHE_LIMIT:
            self._known.clear()
        for number, row in enumerate(rows):
            if row not in self._known:
                element, bond = states.element[number].cpu(), states.bond[number].cpu()
                self._known[row] = self._molecules.identify(element, bond)
        return [self._known[row] for row in rows]

    def log_correction(self, states: AtomStates, actions: Tensor, following: AtomStates) -> Tensor:
        """Return (S,): at the stop, minus the log of the number of Kekule structures of the molecule; float64."""
        del states
        out = torch.zeros(len(actions), dtype=torch.float64, device=actions.device)
        stop = (actions == STOP).nonzero()[:, 0]
        forms = [-math.log(known.forms) for known in self._identify(following[stop])]
        out[stop] = torch.tensor(forms, dtype=torch.float64, device=actions.device)
        return out

    def states_of(self, molecules: Sequence[str], generator: torch.Generator) -> AtomStates:
        """Return terminal states of molecules (SMILES); of several Kekule structures one is drawn uniformly.

        Raises:
            ValueError: a molecule is not in the space; the message says why.
        """
        empty = self.source(len(molecules))
        if not molecules:
            return empty
        parts = [self._read(smiles, generator) for smiles in molecules]
        element, bond = (torch.stack(values) for values in zip(*parts, strict=True))
        states = self._move(empty, torch.arange(len(parts)), canonical(element, bond))
        return AtomStates(**{**states.tensors(), "done": torch.ones_like(empty.done)})

    def _read(self, smiles: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        element, bond, smallest = self._molecules.read(smiles, self.max_atoms)
        limits, atoms = self.options, int((element >= 0).sum())
        rings = int((bond > 0).sum()) // 2 - atoms + 1
        valence = torch.tensor(self.valences)[element[:atoms]]
        if (
            atoms < self.min_atoms
            or rings > limits.max_rings
            or smallest < limits.min_ring_size
            or bool((bond[:atoms].sum(1) > valence).any())
        ):
            raise ValueError(
                f"{smiles!r} is outside the space: expected at least {self.min_atoms} atoms, at most "
                f"{limits.max_rings} rings, none of fewer than {limits.min_ring_size} atoms, and no atom beyond its "
                f"valence; got {atoms} atoms and {rings} rings."
            )
        forms = self._molecules.forms(element, bond)
        return element, forms[int(torch.randint(len(forms), (1,), generator=generator))]


def _check(chosen: AtomEnvironment.Options, valences: Sequence[int]) -> None:
    """Refuse options that leave nothing to build."""
    if 1 not in chosen.bond_orders or chosen.min_atoms > chosen.max_atoms:
        raise ValueError(
            f"The atom environment got bond orders {chosen.bond_orders} and {chosen.min_atoms} to {chosen.max_atoms} "
            "atoms; expected 1 among the orders, and min_atoms at most max_atoms."
        )
    if chosen.min_atoms > 2 and max(valences) < 2:
        raise ValueError(
            f"No molecule of {', '.join(chosen.elements)} has {chosen.min_atoms} atoms, since each has one bond: the "
            "space is empty. Add an element with more bonds."
        )
