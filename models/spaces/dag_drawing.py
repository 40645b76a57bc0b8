"""Directed graphs on a circle of named nodes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from models.spaces.dag_rules import Edges

MOST = 24
"""Most nodes that can be told from each other."""
_WIDE, _HIGH = 180, 150
_MARGIN = 28
"""Left and right, for the longest name."""
_ACROSS, _DOWN = 62, 56
_GAP = 6.0
"""Between the middle of a node and an arrow."""


def drawn(names: Sequence[str], edges: Edges, text: str) -> str:
    """Return an inline SVG: each node at its place whatever the edges are, so that graphs can be compared.

    Lines and letters have the colour of the text around, so that it shows on light and dark.
    """
    turn = 2 * np.pi * np.arange(len(names)) / len(names)
    at = np.stack([_WIDE / 2 + _ACROSS * np.sin(turn), _HIGH / 2 - _DOWN * np.cos(turn)], 1)
    arrows = "".join(_arrow(at[origin], at[target]) for origin, target in np.argwhere(edges))
    nodes = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in at)
    words = "".join(_word(name, at[place], float(turn[place])) for place, name in enumerate(names))
    return (
        f'<svg class="mol" xmlns="http://www.w3.org/2000/svg" viewBox="{-_MARGIN} 0 {_WIDE + 2 * _MARGIN} {_HIGH}" '
        f'role="img" aria-label="{escape(text)}"><g stroke="currentColor" fill="currentColor">{arrows}</g>'
        f'<g fill="#2f6fdb">{nodes}</g><g fill="currentColor" font-family="sans-serif" font-size="9">{words}</g></svg>'
    )


def _arrow(start: np.ndarray, end: np.ndarray) -> str:
    along = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
    across = np.array([-along[1], along[0]])
    start, tip = start + _GAP * along, end - _GAP * along
    left, right = tip - 6 * along + 2.5 * across, tip - 6 * along - 2.5 * across
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (tip, left, right))
    line = f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{tip[0]:.1f}" y2="{tip[1]:.1f}" stroke-opacity="0.6"/>'
    return f'{line}<polygon points="{points}" stroke="none"/>'


def _word(name: str, at: np.ndarray, turn: float) -> str:
    short = name if len(name) <= 9 else f"{name[:8]}…"
    side = np.sin(turn)
    anchor = "middle" if abs(side) < 0.3 else "start" if side > 0 else "end"
    x, y = at[0] + 7 * side, at[1] - 9 * np.cos(turn) + 3
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(short)}</text>'
