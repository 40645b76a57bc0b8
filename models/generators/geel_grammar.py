"""Molecules as sentences: node, edge, order of the bond, and the grammar that tells which word may follow.

Of each node in Cuthill and McKee's order its label comes first, then the edges to later nodes, each followed by the
order of its bond; a node from which none begins has a loop. The words of edges are gaps (`data.edge_lists`): as every
node has an edge or a loop, a source gap is 1 at the first word of a node and 0 after that. What may follow:

    label -> loop | first edge;  edge -> order;  order -> further edge | next label;  loop -> next label | end

Breadth first, an edge leads to a node that was met or to the next one that was not, and the sentence ends with a loop
at the last node that was met: so every sentence is a connected graph. With the valences, no word may follow that would
give a node more bonds than it can have; then every sentence is a molecule too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from data.chemistry.labelled_graphs import ORDERS, LabelledGraph
from data.config import digest
from data.edge_lists import SPECIAL, Gap, bandwidth, cuthill_mckee, edges_of, gaps_of, neighbours_of

PAD, BEGIN, END = range(SPECIAL)
_LABEL, _FIRST, _ORDER, _NEXT, _END, _OVER = range(6)
"""What comes next."""


@dataclass(frozen=True)
class Numbered:
    """A molecule with its nodes in Cuthill and McKee's order: labels, and orders of bonds by edge."""

    labels: tuple[str, ...]
    bonds: dict[tuple[int, int], int]

    @classmethod
    def of(cls, graph: LabelledGraph) -> Numbered:
        """Return a graph in that order."""
        order = cuthill_mckee(neighbours_of(len(graph.labels), graph.bonds))
        place = {node: at for at, node in enumerate(order)}
        bonds = {
            (min(place[i], place[j]), max(place[i], place[j])): value for (i, j), value in graph.bonds.items()
        }  # fmt: skip
        return cls(tuple(graph.labels[node] for node in order), bonds)

    @property
    def bandwidth(self) -> int:
        """The longest edge."""
        return bandwidth(self.bonds)


@dataclass
class Course:
    """How far B sentences are.

    Attributes:
        due: (B,) what comes next.
        source: (B,) the node that edges begin at, -1 before the first label.
        reached: (B,) the last node that was met.
        last: (B,) the end of the last edge.
        room: (B,) bonds that the source can still have.
        received: (B, N) bonds of each node from earlier ones.
    """

    due: Tensor
    source: Tensor
    reached: Tensor
    last: Tensor
    room: Tensor
    received: Tensor

    @property
    def over(self) -> bool:
        """Whether all sentences have ended."""
        return bool((self.due == _OVER).all())


class Grammar:
    """Words and what may follow them.

    Args:
        valences: label -> the most bonds of such a node, hydrogens included.
        width: the longest edge that can be said.
        fewest, most: nodes of a molecule.
    """

    def __init__(self, valences: Mapping[str, int], width: int, fewest: int, most: int) -> None:
        self.valences, self.width, self.fewest, self.most = dict(sorted(valences.items())), width, fewest, most
        self.labels = list(self.valences)
        k = len(self.labels)
        self.loop = SPECIAL + k
        self._first, self._further = self.loop, self.loop + width
        self._bond = self.loop + 2 * width
        """What is added to a gap or an order of at least 1 gives its word."""
        self.words = self._bond + len(ORDERS) + 1
        self._word = {label: SPECIAL + at for at, label in enumerate(self.labels)}
        self._valence = torch.tensor(list(self.valences.values()))
        self._most_bonds = int(self._valence.max())
        self._reach, self._orders = torch.arange(1, width + 1), torch.tensor(ORDERS)

    @classmethod
    def learnt(cls, graphs: Sequence[LabelledGraph], width: int, fewest: int, most: int) -> Grammar:
        """Return the grammar of the labels and valences of molecules."""
        valences = Counter[str]()
        for graph in graphs:
            for label, bonds in zip(graph.labels, graph.valences, strict=True):
                valences[label] = max(valences[label], bonds)
        return cls(valences, width, fewest, most)

    def to_state(self) -> dict[str, Any]:
        """Return the arguments that make it."""
        return {"valences": self.valences, "width": self.width, "fewest": self.fewest, "most": self.most}

    @property
    def key(self) -> str:
        """What names it."""
        return digest(self.to_state())

    def refusal(self, graph: Numbered) -> str | None:
        """Return why a molecule cannot be said, a phrase."""
        if graph.bandwidth > self.width:
            return f"an edge longer than the band of {self.width}"
        if not set(graph.labels) <= self._word.keys():
            return "elements or charges that the library has not"
        return None if len(graph.labels) <= self.most else f"more than {self.most} heavy atoms"

    def encode(self, graph: Numbered) -> list[int]:
        """Return the words of a molecule that can be said, the end included."""
        ends = {i for i, _ in graph.bonds}
        edges = sorted([*graph.bonds, *((node, node) for node in range(len(graph.labels)) if node not in ends)])
        sentence, source = [], -1
        for (i, j), (_, reach) in zip(edges, gaps_of(edges), strict=True):
            first = i != source
            if first:
                source = i
                sentence.append(self._word[graph.labels[i]])
            if i == j:
                sentence.append(self.loop)
            else:
                sentence += [(self._first if first else self._further) + reach, self._bond + graph.bonds[i, j]]
        return [*sentence, END]

    def decode(self, sentence: Sequence[int]) -> Numbered:
        """Return the molecule of a sentence."""
        labels, gaps, orders = list[str](), list[Gap](), list[int]()
        for word in sentence:
            if word < SPECIAL:
                continue
            if word < self.loop:
                labels.append(self.labels[word - SPECIAL])
            elif word > self._bond:
                orders.append(word - self._bond)
            elif word == self.loop:
                gaps.append((int(bool(gaps)), 0))
                orders.append(0)
            elif word <= self._further:
                gaps.append((int(bool(gaps)), word - self._first))
            else:
                gaps.append((0, word - self._further))
        found = zip(edges_of(gaps), orders, strict=True)
        return Numbered(tuple(labels), {edge: order for edge, order in found if order})

    def begin(self, n: int) -> Course:
        """Return n sentences without a word."""
        zero = torch.zeros(n, dtype=torch.int64)
        received = torch.zeros((n, self.most + self.width + 1), dtype=torch.int64)
        return Course(zero + _LABEL, zero - 1, zero, zero, zero, received)

    def allowed(self, at: Course, *, valence: bool = True) -> Tensor:
        """Return (B, words) bool: what may follow.

        Args:
            at: how far the sentences are.
            valence: whether bonds are counted; without, a sentence is a connected graph, but maybe no molecule.
        """
        mask = torch.zeros((len(at.due), self.words), dtype=torch.bool)
        mask[:, END] = at.due == _END
        mask[:, PAD] = at.due == _OVER
        start, more = at.due == _FIRST, at.due == _NEXT
        node = at.source + 1
        labels = ((at.due == _LABEL) | more)[:, None].expand(-1, len(self.labels))
        short = at.reached + 1 < self.fewest
        ends = at.source[:, None] + self._reach
        edges = (ends <= at.reached[:, None] + 1) & (ends < self.most)
        orders = (at.due == _ORDER)[:, None].expand(-1, len(ORDERS))
        if valence:
            bonds = self._received(at, node)
            must = (short & (node == at.reached)).long()
            labels = labels & (self._valence >= (bonds + must)[:, None])
            held = at.received.gather(1, ends)
            edges = edges & (at.room > 0)[:, None] & (held < self._most_bonds)
            left = torch.minimum(at.room, self._most_bonds - self._received(at, at.last))
            orders = orders & (self._orders <= left[:, None])
        mask[:, SPECIAL : self.loop] = labels
        mask[:, self._first + 1 : self._further + 1] = edges & start[:, None]
        mask[:, self._further + 1 : self._bond + 1] = edges & more[:, None] & (ends > at.last[:, None])
        mask[:, self._bond + 1 :] = orders
        # Too few nodes and no bond left: the sentence ends all the same, and the molecule is outside.
        stuck = ~mask[:, self._first + 1 : self._further + 1].any(1)
        mask[:, self.loop] = start & ((at.source < at.reached) | ~short | stuck)
        return mask

    @staticmethod
    def _received(at: Course, node: Tensor) -> Tensor:
        return at.received.gather(1, node.clamp(min=0)[:, None])[:, 0]

    def counts(self, at: Course) -> Tensor:
        """Return (B, 3) counts up to `most` each: labels so far, bonds the source can have, bonds the next node has."""
        held = self._received(at, at.source + 1)
        return torch.stack([at.source + 1, at.room.clamp(min=0), held], 1).clamp(max=self.most)

    def follow(self, at: Course, word: Tensor) -> Course:
        """Return the sentences with one more word (B,) each, which may follow."""
        label = (word >= SPECIAL) & (word < self.loop)
        loop, bond = word == self.loop, word > self._bond
        edge = (word > self.loop) & ~bond
        source = at.source + label.long()
        own = self._valence[(word - SPECIAL).clamp(0, len(self.labels) - 1)]
        room = torch.where(label, own - self._received(at, source), at.room)
        reach = torch.where(word > self._further, word - self._further, word - self._first)
        last = torch.where(edge, source + reach, torch.where(label, source, at.last))
        order = torch.where(bond, word - self._bond, 0)
        received = at.received.scatter_add(1, last[:, None], order[:, None])
        reached = torch.where(edge, torch.maximum(at.reached, last), at.reached)
        ended = torch.where(source == reached, _END, _LABEL)
        due = torch.where(label, _FIRST, torch.where(edge, _ORDER, torch.where(bond, _NEXT, ended)))
        due = torch.where(loop, ended, torch.where(word < SPECIAL, _OVER, due))
        return Course(due, source, reached, last, room - order, received)
