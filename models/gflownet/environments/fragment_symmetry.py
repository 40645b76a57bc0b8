"""Isomorphism classes and automorphism counts of fragment trees.

Two trees are the same molecule if a bijection of their nodes and, per node, a symmetry of its fragment carries one into
the other. Codes are interned integers: equal exactly for isomorphic trees, within one process.
"""

from __future__ import annotations

import math
from collections import Counter

from data.chemistry.vocabulary import FragmentTree, Vocabulary

_PARENT = -1
_Subtree = tuple[int, float]


class TreeSymmetry:
    """Canonical codes of the fragment trees of a vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._automorphisms = [fragment.automorphisms for fragment in vocabulary.fragments]
        self._codes: dict[tuple[int, tuple[tuple[int, ...], ...]], int] = {}

    def classify(self, tree: FragmentTree) -> tuple[int, float]:
        """Return the code of the tree's isomorphism class and the log of the order of its automorphism group.

        The group acts on nodes and sites. Its order is that of the rooted tree (orbit-stabiliser theorem) times the
        number of nodes that the root can be carried to, which all have the root's fragment.
        """
        neighbours: list[list[tuple[int, int, int]]] = [[] for _ in tree.nodes]
        for a, i, b, j in tree.edges:
            neighbours[a].append((i, b, j))
            neighbours[b].append((j, a, i))
        top = max(tree.nodes)
        rooted = [self._subtree(tree, neighbours, node, None, None) for node, f in enumerate(tree.nodes) if f == top]
        code, log_order = min(rooted)
        return code, log_order + math.log(sum(other == code for other, _ in rooted))

    def _subtree(
        self,
        tree: FragmentTree,
        neighbours: list[list[tuple[int, int, int]]],
        node: int,
        parent: int | None,
        own_site: int | None,
    ) -> _Subtree:
        """Code and log automorphisms of the part of the tree beyond `parent`; nothing moves the site to the parent."""
        group = self._automorphisms[tree.nodes[node]]
        around: list[list[int]] = [[] for _ in group[0]]
        log_order = 0.0
        for site, other, other_site in neighbours[node]:
            if other == parent:
                continue
            code, log_below = self._subtree(tree, neighbours, other, node, other_site)
            around[site].append(code)
            log_order += log_below
        if own_site is not None:
            around[own_site].append(_PARENT)
        arrangement = tuple(tuple(sorted(codes)) for codes in around)
        images = [tuple(arrangement[image] for image in permutation) for permutation in group]
        log_order += math.log(images.count(arrangement))
        log_order += sum(math.lgamma(n + 1) for codes in arrangement for n in Counter(codes).values() if n > 1)
        key = (tree.nodes[node], min(images))
        return self._codes.setdefault(key, len(self._codes)), log_order
