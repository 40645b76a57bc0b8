"""Subsets as marks on the drawing of their graph."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from html import escape

import numpy as np

from data.records import FloatArray
from models.spaces.graph_file import Graph

_MOST_ITEMS, _MOST_EDGES = 60, 240
_SIDE, _MARGIN = 180, 14
_STEPS = 200


class GraphDrawing:
    """A graph laid out once, its nodes at the same places in every drawing."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @property
    def possible(self) -> bool:
        """Whether the graph has edges, and few enough to be told from each other."""
        return len(self._graph.items) <= _MOST_ITEMS and 0 < len(self._graph.edges) <= _MOST_EDGES

    def of(self, members: Collection[int]) -> str | None:
        """Return an inline SVG of the graph with some items filled; None where it is too large.

        Lines and letters have the colour of the text around, so that it shows on light and dark.
        """
        if not self.possible:
            return None
        at = self._places
        chosen = set(members)
        lines = "".join(
            f'<line x1="{at[a, 0]:.1f}" y1="{at[a, 1]:.1f}" x2="{at[b, 0]:.1f}" y2="{at[b, 1]:.1f}"/>'
            for a, b in self._graph.edges
        )
        others = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for place, (x, y) in enumerate(at) if place not in chosen
        )
        marked = "".join(
            f'<circle cx="{at[place, 0]:.1f}" cy="{at[place, 1]:.1f}" r="5.5"/>' for place in sorted(chosen)
        )
        named = "".join(self._name(place) for place in sorted(chosen))
        names = ", ".join(self._graph.items[place] for place in sorted(chosen))
        return (
            f'<svg class="mol" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIDE} {_SIDE}" role="img" '
            f'aria-label="{escape(names)}"><g stroke="currentColor" stroke-opacity="0.3">{lines}</g>'
            f'<g fill="currentColor" fill-opacity="0.45">{others}</g><g fill="#2f6fdb">{marked}</g>'
            f'<g fill="currentColor" font-size="9" text-anchor="middle">{named}</g></svg>'
        )

    def _name(self, place: int) -> str:
        name = self._graph.items[place]
        x, y = self._places[place]
        short = name if len(name) <= 10 else f"{name[:9]}…"
        half = 2.6 * len(short)
        return f'<text x="{min(max(x, half), _SIDE - half):.1f}" y="{max(y - 7, 8):.1f}">{escape(short)}</text>'

    @cached_property
    def _places(self) -> FloatArray:
        """Places that springs along the edges and repulsion between all nodes lead to, shape `(items, 2)`.

        Reference: Fruchterman and Reingold, Softw. Pract. Exper. 1991, 21, 1129.
        """
        n = len(self._graph.items)
        angle = 2 * np.pi * np.arange(n) / n
        at = np.column_stack([np.cos(angle), np.sin(angle)])
        joined = np.zeros((n, n))
        for first, second in self._graph.edges:
            joined[first, second] = joined[second, first] = 1.0
        spring = 2 / np.sqrt(n)
        for step in range(_STEPS):
            apart = at[:, None] - at[None]
            distance = np.maximum(np.sqrt((apart**2).sum(2)), 0.01)
            force = spring**2 / distance**2 - joined * distance / spring
            # A weak pull to the middle keeps parts that no edge joins on the page.
            move = (apart * force[:, :, None]).sum(1) - at * 0.3
            length = np.maximum(np.sqrt((move**2).sum(1)), 1e-9)
            at = at + move * (np.minimum(length, 0.15 * (1 - step / _STEPS)) / length)[:, None]
        at = at - at.min(0)
        places: FloatArray = _MARGIN + at / np.maximum(at.max(0), 1e-9) * (_SIDE - 2 * _MARGIN)
        return places
