"""Integer tables of a vocabulary within a space: what the batched fragment environment looks up.

The root of a tree is its fragment of highest rank (heavy atoms, then frequency), so a child never outranks the root.
A required site (never left open in the source) is reserved: whatever is added, enough atoms and nodes remain to close
every open required site by one fragment. Hence no legal action leads to a dead end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from data.chemistry.vocabulary import Vocabulary

NEVER = 10_000
"""Heavy atoms that no budget has."""


class FragmentTables:
    """Tables over F fragments, K sites at most, T types and M attachments (fragment, own site up to symmetry).

    Attributes:
        vocabulary: the fragments that the space admits, in rank order.
        heavy, n_required: (F,) heavy atoms; required sites.
        types, capacity, required: (F, K) site type, attachments it may carry (0: no such site), required or not.
        pair_bits: (T,) bit u set if types t and u may be joined.
        angle_bits: (T, T) at [t, u], bit v set if an atom of type t may carry u and v.
        att_fragment, att_site, att_type, att_extra: (M,) fragment, own site, its type, other required sites.
        att_index: (F, K) attachment of a fragment by own site, every site, not only representatives.
        log_symmetry: (F,) log of the number of site permutations; att_log_symmetry (M,) of those that fix the site.
        closer: (F, T) by root and type, heavy atoms of the smallest fragment that closes a required site.
        reserve: (F,) by root itself; cost: (F, M) by root and attachment, heavy atoms with its own reserve.
        cheapest: (E, F, T) by nodes to spare after it, root and type: the least cost of an attachment.
        root_ok: (F,) bool, whether the fragment can be a root.
    """

    def __init__(self, vocabulary: Vocabulary, max_heavy_atoms: int, max_nodes: int, elements: Sequence[str]) -> None:
        allowed = frozenset(elements)
        kept = [f.smiles for f in vocabulary.fragments if f.heavy_atoms <= max_heavy_atoms and f.elements <= allowed]
        if not kept:
            raise ValueError(
                f"None of the {len(vocabulary.fragments)} fragments has at most {max_heavy_atoms} heavy atoms of "
                f"{', '.join(elements)}: the space is empty. Widen the space or use another vocabulary."
            )
        self.vocabulary = vocabulary.restrict(kept)
        self.max_heavy_atoms, self.max_nodes = max_heavy_atoms, max_nodes
        self._sites()
        self._joints()
        self._attachments()
        self._reserves()

    def _sites(self) -> None:
        fragments = self.vocabulary.fragments
        self.n_sites = max(len(f.atoms) for f in fragments)
        shape = (len(fragments), self.n_sites)
        self.types = torch.zeros(shape, dtype=torch.int64)
        self.capacity = torch.zeros(shape, dtype=torch.int64)
        self.required = torch.zeros(shape, dtype=torch.bool)
        for row, f in enumerate(fragments):
            k = len(f.atoms)
            self.types[row, :k] = torch.tensor(f.types, dtype=torch.int64)
            self.capacity[row, :k] = torch.tensor(f.capacity, dtype=torch.int64)
            self.required[row, :k] = torch.tensor([kind in self.vocabulary.required for kind in f.types])
        self.heavy = torch.tensor([f.heavy_atoms for f in fragments])
        self.n_required = self.required.sum(1)
        self.log_symmetry = torch.tensor([float(len(f.automorphisms)) for f in fragments], dtype=torch.float64).log()

    def _joints(self) -> None:
        n = len(self.vocabulary.types)
        self.pair_bits = torch.zeros(n, dtype=torch.int64)
        self.angle_bits = torch.zeros((n, n), dtype=torch.int64)
        for a, b in self.vocabulary.pairs:
            self.pair_bits[a] |= 1 << b
            self.pair_bits[b] |= 1 << a if a != b else 0
        for a, b, c in self.vocabulary.angles:
            self.angle_bits[a, b] |= 1 << c
            self.angle_bits[a, c] |= 1 << b if b != c else 0

    def _attachments(self) -> None:
        rows: list[tuple[int, int]] = []
        symmetry: list[float] = []
        self.att_index = torch.full_like(self.types, -1)
        for number, f in enumerate(self.vocabulary.fragments):
            for site in range(len(f.atoms)):
                orbit = {image[site] for image in f.automorphisms}
                if site != min(orbit):
                    self.att_index[number, site] = self.att_index[number, min(orbit)]
                    continue
                self.att_index[number, site] = len(rows)
                rows.append((number, site))
                symmetry.append(len(f.automorphisms) / len(orbit))
        self.att_fragment, self.att_site = torch.tensor(rows).unbind(1)
        self.att_type = self.types[self.att_fragment, self.att_site]
        self.att_log_symmetry = torch.tensor(symmetry, dtype=torch.float64).log()
        own = self.required[self.att_fragment, self.att_site].long()
        self.att_extra = self.n_required[self.att_fragment] - own

    def _reserves(self) -> None:
        n_fragments, n_types = len(self.heavy), len(self.pair_bits)
        smallest = torch.full((2, n_fragments, n_types), NEVER)
        fits = (self.pair_bits[self.att_type][:, None] >> torch.arange(n_types) & 1).bool()
        for table, usable in enumerate((fits, fits & (self.att_extra == 0)[:, None])):
            attachment, kind = usable.nonzero(as_tuple=True)
            fragment = self.att_fragment[attachment]
            smallest[table, fragment, kind] = self.heavy[fragment]
        filler, self.closer = smallest.cummin(1).values
        # A site counts as closable only if the smallest fragment that fits also closes it: then the reserve is the
        # true minimum, and every subtree of a legal molecule is legal.
        closable = (self.closer < NEVER) & (filler == self.closer)
        self.closer = torch.where(closable, self.closer, NEVER)
        per_type = torch.zeros((n_fragments, n_types), dtype=torch.int64)
        per_type.scatter_add_(1, self.types, self.required.long())
        closer = self.closer.double()
        reserve = (closer @ per_type.double().T).long()  # (root, fragment): all required sites of the fragment
        own = self.required[self.att_fragment, self.att_site].long()
        cost = self.heavy[self.att_fragment] + reserve[:, self.att_fragment] - self.closer[:, self.att_type] * own
        outranks = self.att_fragment[None, :] > torch.arange(n_fragments)[:, None]
        # The own site must be closable too, so that it does not matter from which end a tree is grown.
        unclosable = reserve[:, self.att_fragment] >= NEVER
        self.cost = torch.where(outranks | unclosable, NEVER, cost)
        self.reserve = reserve.diagonal().clone()
        fits_atoms = self.heavy + self.reserve <= self.max_heavy_atoms
        self.root_ok = fits_atoms & (1 + self.n_required <= self.max_nodes)
        most = int(self.att_extra.max())
        self.cheapest = torch.full((most + 1, n_fragments, n_types), NEVER)
        index = self.att_type.expand(n_fragments, -1)
        for spare in range(most + 1):
            cost = torch.where(self.att_extra <= spare, self.cost, NEVER)
            self.cheapest[spare].scatter_reduce_(1, index, cost, "amin")
