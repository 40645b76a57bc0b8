"""Graphs as lists of edges: nodes in an order that keeps edges short, and edges as gaps between their numbers.

Nodes are numbered by Cuthill and McKee's order, breadth first. Edges (i, j), i < j, stand in ascending order; each is a
pair of gaps: from the node that the edge before began at to i, and from i to j. Neither is above the bandwidth B, the
longest |i - j|, so that a graph of n nodes and m edges is m words out of B (B + 1), whatever n is. Running sums of the
gaps give the edges again.

References: Jang, Lee and Ahn, A simple and scalable representation for graph generation (GEEL), ICLR 2024; Diamant et
al., Improving graph generation by restricting graph bandwidth, ICML 2023.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

Edge = tuple[int, int]
"""Two nodes, the smaller number first."""
Gap = tuple[int, int]
"""From the node that the edge before began at, and to the node where this one ends."""

SPECIAL = 3
"""Words beside the gaps: of padding, of the begin and of the end."""


def neighbours_of(n: int, edges: Iterable[Edge]) -> list[list[int]]:
    """Return the neighbours of each of n nodes, ascending."""
    near: list[set[int]] = [set() for _ in range(n)]
    for i, j in edges:
        near[i].add(j)
        near[j].add(i)
    return [sorted(one) for one in near]


def cuthill_mckee(neighbours: Sequence[Sequence[int]], start: int | None = None) -> list[int]:
    """Return the nodes in Cuthill and McKee's order: breadth first, and those with fewer neighbours first.

    Args:
        neighbours: of each node.
        start: the first node; None: one with the fewest neighbours. Further components begin at such a node too. Of
            equal nodes the smaller number comes first.
    """

    def rank(node: int) -> tuple[int, int]:
        return len(neighbours[node]), node

    left, order = set(range(len(neighbours))), list[int]()
    while left:
        first = min(left, key=rank) if start is None or order else start
        left.discard(first)
        queue = [first]
        for node in queue:
            met = sorted((other for other in neighbours[node] if other in left), key=rank)
            left.difference_update(met)
            queue += met
        order += queue
    return order


def renumbered(edges: Iterable[Edge], order: Sequence[int]) -> list[Edge]:
    """Return edges between the places of their nodes in an order, ascending."""
    place = {node: at for at, node in enumerate(order)}
    return sorted((min(place[i], place[j]), max(place[i], place[j])) for i, j in edges)


def bandwidth(edges: Iterable[Edge]) -> int:
    """Return the longest |i - j| of edges, 0 where there is none."""
    return max((abs(j - i) for i, j in edges), default=0)


def gaps_of(edges: Iterable[Edge]) -> list[Gap]:
    """Return the gaps of edges; a loop (i, i) says that no edge begins at a node."""
    ordered = sorted(edges)
    sources = [0, *(i for i, _ in ordered)]
    return [(i - before, j - i) for before, (i, j) in zip(sources, ordered, strict=False)]


def edges_of(gaps: Sequence[Gap]) -> list[Edge]:
    """Return the edges of gaps, ascending."""
    sources = accumulate(step for step, _ in gaps)
    return [(i, i + reach) for i, (_, reach) in zip(sources, gaps, strict=True)]


def words(width: int) -> int:
    """Return how many words tell graphs of a bandwidth: B (B + 1) pairs of gaps, and the special ones."""
    return width * (width + 1) + SPECIAL


def cells(n: int, width: int) -> int:
    """Return how many of the n (n - 1) / 2 pairs of n nodes are within the band |i - j| <= B."""
    kept = min(width, max(n - 1, 0))
    return kept * n - kept * (kept + 1) // 2


def within(edges: Iterable[Edge], width: int) -> list[Edge]:
    """Return the edges that a model sees which looks at the band |i - j| <= B only."""
    return [(i, j) for i, j in edges if abs(j - i) <= width]


def smallest_bandwidth(neighbours: Sequence[Sequence[int]]) -> int:
    """Return the least bandwidth over all orders of the nodes, by search: for graphs of some ten nodes."""
    n = len(neighbours)
    least = max(((len(near) + 1) // 2 for near in neighbours), default=0)
    return next(width for width in range(least, n + 1) if _fits(neighbours, width, {}, n))


def _fits(neighbours: Sequence[Sequence[int]], width: int, place: dict[int, int], n: int) -> bool:
    """Return whether nodes that have no place can be put behind the others, no edge longer than a width."""
    at = len(place)
    if at == n:
        return True
    # A node whose neighbour is still to come must not lie so far back that the next place is the last for it.
    due = {other for node, there in place.items() if at - there >= width for other in neighbours[node]} - place.keys()
    if len(due) > 1:
        return False
    for node in due or set(range(n)) - place.keys():
        if all(at - place[other] <= width for other in neighbours[node] if other in place):
            place[node] = at
            if _fits(neighbours, width, place, n):
                return True
            del place[node]
    return False
