"""A molecule with dials: the structural formula, and below it where each torsion angle points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from data.chemistry.depiction import depict

MOST = 5
"""Dials that have room; of more angles the first are shown."""
_WIDE, _FORMULA, _HIGH = 180, 92, 130
_RADIUS = 9.0


def drawn(smiles: str, degrees: Mapping[str, float], text: str) -> str:
    """Return an inline SVG; a dial's hand points up at 0 degrees (cis) and turns clockwise.

    Args:
        smiles: the molecule.
        degrees: angles by name.
        text: accessible name.
    """
    formula = depict(smiles, width=_WIDE, height=_FORMULA)
    placed = formula.replace("<svg ", f'<svg width="{_WIDE}" height="{_FORMULA}" ', 1)
    shown = list(degrees.items())[:MOST]
    dials = "".join(_dial(name, angle, _WIDE * (place + 0.5) / len(shown)) for place, (name, angle) in enumerate(shown))
    return (
        f'<svg class="mol" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {_HIGH}" role="img" '
        f'aria-label="{escape(text)}">{placed}<g font-family="sans-serif" font-size="7" fill="currentColor" '
        f'text-anchor="middle">{dials}</g></svg>'
    )


def _dial(name: str, angle: float, x: float) -> str:
    y, turn = _FORMULA + _RADIUS + 2.0, math.radians(angle)
    tip = (x + _RADIUS * math.sin(turn), y - _RADIUS * math.cos(turn))
    short = name if len(name) <= 8 else f"{name[:7]}…"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS:g}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>'
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{tip[0]:.1f}" y2="{tip[1]:.1f}" stroke="#2f6fdb" stroke-width="1.5"/>'
        f'<text x="{x:.1f}" y="{_HIGH - 4}">{escape(short)} {angle:g}°</text>'
    )
