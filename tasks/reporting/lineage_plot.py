"""The figure of a candidate's lineage: one object after the other, in rows, and over the arrows what was done."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data.goals import Goals
from data.records import Making
from models.spaces.base import BaseSpace
from tasks.lineage import Ancestor, Lineage
from tasks.reporting.drawn_shapes import POINTS_PER_INCH, Drawing, marks
from tasks.reporting.lineage import bought_told, operation_told, predicted_told, value_told
from tasks.reporting.plots import STYLE, plain_text, svg

MOST = 40
"""Steps of a figure; of longer lines those in the middle are left out, which is said."""
_PER_ROW = 4
_WIDE, _HIGH = 180.0, 130.0
"""Of a drawing."""
_GAP, _BELOW, _EDGE = 118.0, 78.0, 14.0
"""Between drawings, where the arrows are; below them, where they are described; around all."""
_TITLE = 30.0
"""Of the line above all."""
_UNIT = 1 / 110
"""Inches of a unit."""
_THUMB = 0.55
"""Size of a partner's drawing."""
_KEPT = "#cfe4f1"
_LETTERS = {"big": 9.5, "small": 7.8, "text": 8.0}
_LENGTHY = re.compile(r"-?\d+\.\d{3,}")
_MADE = frozenset({Making.MUTATION, Making.CROSSOVER, Making.BOTH, Making.STEP})


def lineage_plot(lineage: Lineage, space: BaseSpace[Any], goals: Goals, title: str = "") -> Figure:
    """Draw the line of a lineage, oldest first, with the partners of crossovers below the arrows.

    Below each object stand its measured value, round and arm, and what was predicted. Where the space can tell, what an
    object has in common with the one before it is marked.

    Args:
        lineage: of a candidate.
        space: of the objects.
        goals: of the campaign, with units.
        title: a line above all.
    """
    shown = list(enumerate(lineage.line))
    left_out = max(0, len(shown) - MOST)
    if left_out:
        shown = [shown[0], *shown[left_out + 1 :]]
    across = min(_PER_ROW, len(shown))
    rows = -(-len(shown) // across)
    pitch, drop = _GAP + _WIDE, _HIGH + _BELOW
    # Arrows lead into the first of each row but the first.
    indent = _GAP if rows > 1 else 0.0
    width = 2 * _EDGE + indent + across * pitch - _GAP
    head = _TITLE if title else 0.0
    height = 2 * _EDGE + head + rows * drop
    figure = Figure(figsize=(width * _UNIT, height * _UNIT))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    if title:
        room = int((width - 2 * _EDGE) / 8.6)
        axes.text(_EDGE, _EDGE, plain_text(_cut(title, room)), ha="left", va="top", size=_LETTERS["big"],
                  color=STYLE["soft"])  # fmt: skip
    for number, (place, step) in enumerate(shown):
        row, column = divmod(number, across)
        left, top = _EDGE + indent + column * pitch, _EDGE + head + row * drop
        if number:
            gone = left_out if place and number == 1 else 0
            _arrow(axes, lineage, step, left - _GAP, top, space, goals, gone)
        before = lineage.line[place - 1] if place else None
        _object(axes, step, before, left, top, space)
        _described(axes, lineage, step, left, top + _HIGH, goals)
    return figure


def lineage_svg(figure: Figure) -> str:
    """Return the figure as SVG, numbers to a hundredth of a point: half as long, and nobody sees more."""
    return _LENGTHY.sub(lambda number: f"{float(number[0]):.2f}", svg(figure))


def _object(
    axes: Axes, step: Ancestor, before: Ancestor | None, left: float, top: float, space: BaseSpace[Any]
) -> None:
    drawn = space.draw(step.object)
    if drawn is None:
        _written(axes, step.object, left + _WIDE / 2, top + _HIGH / 2, 24, 8)
        return
    drawing = Drawing(drawn)
    scale = min(_WIDE / drawing.width, _HIGH / drawing.height)
    x, y = left + (_WIDE - scale * drawing.width) / 2, top + (_HIGH - scale * drawing.height) / 2
    if before is not None and step.operation in _MADE:
        common = [(float(at[0]), float(at[1])) for at in space.core_places(before.object, step.object)]
        marks(axes, common, x, y, scale, _KEPT)
    drawing.put(axes, x, y, scale, _UNIT * POINTS_PER_INCH)


def _written(axes: Axes, obj: str, x: float, y: float, letters: int, lines: int) -> None:
    """Write an object that is not drawn, in lines of so many letters; what does not fit is cut."""
    found = textwrap.wrap(obj, letters, break_on_hyphens=False) or [""]
    if len(found) > lines:
        found = [*found[: lines - 1], f"{found[lines - 1][: letters - 1]}…"]
    axes.text(x, y, plain_text("\n".join(found)), ha="center", va="center", size=_LETTERS["text"],
              family="monospace", color=STYLE["ink"], zorder=4)  # fmt: skip


def _described(axes: Axes, lineage: Lineage, step: Ancestor, left: float, top: float, goals: Goals) -> None:
    """Write below an object what was measured of it, when it was bought, and what was predicted."""
    last = step.id == lineage.candidate.id
    measured = step.row is not None and bool(goals.values(step.row))
    lines: list[tuple[str, str, float, str]] = []
    if step is lineage.line[0]:
        lines.append((operation_told(step), STYLE["soft"], _LETTERS["small"], "normal"))
    weight = "bold" if last or measured else "normal"
    size = _LETTERS["big" if measured else "small"]
    lines.append((value_told(step, goals), STYLE["ink"] if measured else STYLE["soft"], size, weight))
    if step.row is not None:
        colour = STYLE["arms"].get(step.row.arm, STYLE["soft"])
        lines.append((bought_told(step), colour, _LETTERS["small"], "normal"))
    predicted = predicted_told(step, goals)
    if predicted:
        lines.append((f"predicted {predicted}", STYLE["soft"], _LETTERS["small"], "normal"))
    for number, (text, colour, size, bold) in enumerate(lines):
        axes.text(left + _WIDE / 2, top + 6 + 15.5 * number, plain_text(_cut(text, 34)), ha="center", va="top",
                  size=size, color=colour, weight=bold, zorder=4)  # fmt: skip


def _arrow(
    axes: Axes,
    lineage: Lineage,
    step: Ancestor,
    left: float,
    top: float,
    space: BaseSpace[Any],
    goals: Goals,
    left_out: int,
) -> None:
    middle, y, partners = left + _GAP / 2, top + 0.42 * _HIGH, lineage.partners(step)
    drawn = {"arrowstyle": "-|>", "color": STYLE["soft"], "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (left + _GAP - 6, y), (left + 6, y), zorder=3, arrowprops=drawn)
    told = f"… {left_out} more steps" if left_out else _operation(step, partners)
    axes.text(middle, y - 6, plain_text(textwrap.fill(told, 17)), ha="center", va="bottom", size=_LETTERS["small"],
              color=STYLE["ink"], zorder=4)  # fmt: skip
    if partners and not left_out:
        _partner(axes, partners, middle, y + 10, space, goals)


def _operation(step: Ancestor, partners: Sequence[Ancestor]) -> str:
    if step.operation in (Making.CROSSOVER, Making.BOTH) and not partners:
        return f"{operation_told(step)}, with itself"
    return f"{operation_told(step)}, with" if step.operation == Making.CROSSOVER else operation_told(step)


def _partner(
    axes: Axes, partners: Sequence[Ancestor], middle: float, top: float, space: BaseSpace[Any], goals: Goals
) -> None:
    partner, drawn = partners[0], space.draw(partners[0].object)
    below = top + _THUMB * _HIGH + 4
    if drawn is None:
        _written(axes, partner.object, middle, top + 22, 15, 4)
    else:
        drawing = Drawing(drawn)
        scale = _THUMB * min(_WIDE / drawing.width, _HIGH / drawing.height)
        drawing.put(axes, middle - scale * drawing.width / 2, top, scale, _UNIT * POINTS_PER_INCH)
    told = value_told(partner, goals) + (f" and {len(partners) - 1} more" if len(partners) > 1 else "")
    axes.text(middle, below, plain_text(_cut(told, 22)), ha="center", va="top", size=_LETTERS["small"],
              color=STYLE["soft"], zorder=4)  # fmt: skip


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
