"""Canonical numbering of small coloured graphs in batches, with the orbits of their automorphism groups.

Colours of the nodes are refined by those of their neighbours; where nodes stay alike, each of the first such cell is
singled out in turn and the refinement goes on, until every node has a place of its own (McKay & Piperno, Practical
graph isomorphism II, J. Symb. Comput. 2014, without pruning). Of all numberings found, the one with the smallest bond
table is canonical. The numberings that reach this table differ by the automorphisms of the graph, every one once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

_DIGITS = 31
"""Bonds (two bits each) in one word of a code."""
_LOW = (1 << 57) - 1
_CHUNK = 512
"""Graphs that are numbered at once: bounds the memory of the search."""


@dataclass(frozen=True)
class Canonical:
    """S graphs in canonical numbering; N nodes at most, P = N (N - 1) / 2 pairs.

    Attributes:
        place: (S, N) int64, the new number of each old node; absent nodes come last.
        element: (S, N) int64, -1 where there is no node.
        bond: (S, N, N) int64, symmetric orders, 0 where there is no bond.
        orbit: (S, N) int64, the first node that an automorphism carries each node to.
        pair: (S, P) int64, the first pair of nodes that an automorphism carries each pair to.
        automorphisms: (S,) int64, the order of the automorphism group.
    """

    place: Tensor
    element: Tensor
    bond: Tensor
    orbit: Tensor
    pair: Tensor
    automorphisms: Tensor


@cache
def pair_nodes(n: int) -> tuple[Tensor, Tensor]:
    """Return the smaller and the larger node of the pairs of n nodes, (P,) each, in lexicographic order."""
    first, second = torch.triu_indices(n, n, 1).unbind(0)
    return first, second


@cache
def pair_numbers(n: int) -> Tensor:
    """Return (n, n) int64: the number of the pair of two nodes in either order; 0 on the diagonal."""
    first, second = pair_nodes(n)
    out = torch.zeros((n, n), dtype=torch.int64)
    out[first, second] = out[second, first] = torch.arange(len(first))
    return out


@cache
def _marks(n: int) -> Tensor:
    """Return fixed random words by bond order and rank, (4 n,); no bond counts nothing."""
    words = torch.randint(-(2**62), 2**62, (4, n), generator=torch.Generator().manual_seed(20140101))
    words[0] = 0
    return words.flatten()


def pack(bond: Tensor) -> Tensor:
    """Return the upper triangles of bond tables (S, N, N) as words (S, W) int64, equal exactly for equal tables."""
    n = bond.shape[-1]
    first, second = (index.to(bond.device) for index in pair_nodes(n))
    digits = bond[:, first, second]
    words = -(-max(digits.shape[1], 1) // _DIGITS)
    digits = torch.nn.functional.pad(digits, (0, words * _DIGITS - digits.shape[1]))
    powers = 1 << 2 * torch.arange(_DIGITS - 1, -1, -1, device=bond.device)
    return (digits.view(len(bond), words, _DIGITS) * powers).sum(2)


def canonical(element: Tensor, bond: Tensor) -> Canonical:
    """Number graphs canonically.

    Args:
        element: (S, N) int64, -1 where there is no node; absent nodes may be anywhere.
        bond: (S, N, N) int64 in 0..3, symmetric, 0 where a node is absent.
    """
    parts = [_canonical(element[a : a + _CHUNK], bond[a : a + _CHUNK]) for a in range(0, len(element), _CHUNK)]
    if len(parts) == 1:
        return parts[0]
    empty = _canonical(element[:0], bond[:0])
    names = vars(empty)
    return Canonical(**{name: torch.cat([getattr(part, name) for part in parts or [empty]]) for name in names})


def _canonical(element: Tensor, bond: Tensor) -> Canonical:
    n = element.shape[1]
    rank, graph = _search(_start(element), bond)
    order = rank.argsort(1)
    best = _smallest(pack(_arrange(bond[graph], order)), graph, len(element))
    rank, order, graph = rank[best], order[best], graph[best]
    every = torch.arange(len(graph), device=element.device)
    chosen = every.new_full((len(element),), len(graph)).scatter_reduce(0, graph, every, "amin")
    # Automorphisms of the canonical graphs: from the chosen numbering to each that gives the same table.
    image = rank.gather(1, order[chosen][graph])
    first, second = (index.to(element.device) for index in pair_nodes(n))
    pairs = pair_numbers(n).to(element.device)[image[:, first], image[:, second]]
    return Canonical(
        place=rank[chosen],
        element=element.gather(1, order[chosen]),
        bond=_arrange(bond, order[chosen]),
        orbit=_least(image, graph, len(element)),
        pair=_least(pairs, graph, len(element)),
        automorphisms=torch.bincount(graph, minlength=len(element)),
    )


def _arrange(bond: Tensor, order: Tensor) -> Tensor:
    """Return bond tables (L, N, N) with rows and columns in a new order (L, N)."""
    rows = bond.gather(1, order[:, :, None].expand_as(bond))
    return rows.gather(2, order[:, None, :].expand_as(bond))


def _least(values: Tensor, graph: Tensor, n: int) -> Tensor:
    """Return the smallest of the rows of values (L, K) of each graph, (n, K)."""
    top = values.new_full((n, values.shape[1]), torch.iinfo(torch.int64).max)
    return top.scatter_reduce(0, graph[:, None].expand_as(values), values, "amin")


def _smallest(codes: Tensor, graph: Tensor, n: int) -> Tensor:
    """Return (L,) bool: the numberings whose code (L, W) is the smallest of their graph, word by word."""
    best = torch.ones_like(graph, dtype=torch.bool)
    for word in codes.unbind(1):
        worth = torch.where(best, word, torch.iinfo(torch.int64).max)
        best = best & (worth == _least(worth[:, None], graph, n)[graph, 0])
    return best


def _start(element: Tensor) -> Tensor:
    """Return first ranks (S, N): by element; absent nodes last, each with a place of its own."""
    last = torch.arange(element.shape[1], device=element.device) + (1 << 40)
    return _ranks(torch.where(element < 0, last, element))


def _ranks(key: Tensor) -> Tensor:
    """Return for each node the number of nodes with a smaller key (L, N)."""
    return (key[:, None, :] < key[:, :, None]).sum(2)


def _refine(rank: Tensor, bond: Tensor) -> Tensor:
    """Split ranks by the bonds to other ranks until nothing changes.

    What is split keeps its place, so further rounds, which other graphs of the batch ask for, change nothing. Sums of
    marks that are equal by chance only leave a cell larger, in every numbering of the graph alike.
    """
    n = rank.shape[1]
    marks = _marks(n).to(rank.device)
    offset = bond * n
    while True:
        seen = marks[offset + rank[:, None, :]].sum(2)
        finer = _ranks((rank << 57) | (seen & _LOW))
        if torch.equal(finer, rank):
            return rank
        rank = finer


def _search(rank: Tensor, bond: Tensor) -> tuple[Tensor, Tensor]:
    """Return all numberings of the search tree, ranks (L, N), and the graphs (L,) that they belong to."""
    graph = torch.arange(len(rank), device=rank.device)
    rank = _refine(rank, bond)
    ranks, graphs = [], []
    while True:
        tied = (rank[:, None, :] == rank[:, :, None]).sum(2) > 1
        going = tied.any(1)
        ranks.append(rank[~going])
        graphs.append(graph[~going])
        if not bool(going.any()):
            return torch.cat(ranks), torch.cat(graphs)
        rank, graph, tied = rank[going], graph[going], tied[going]
        first = torch.where(tied, rank, rank.shape[1]).amin(1, keepdim=True)
        cell = rank == first
        row, node = cell.nonzero(as_tuple=True)
        rank = rank[row] + cell[row].long()
        rank[torch.arange(len(row), device=row.device), node] -= 1
        graph = graph[row]
        rank = _refine(rank, bond[graph])
