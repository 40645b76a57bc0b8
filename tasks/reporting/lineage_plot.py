"""The figure of a candidate's lineage: one object after the other, in rows, and over the arrows what was done."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data.goals import Goals
from data.records import Making
from models.spaces.base import BaseSpace
from tasks.lineage import Ancestor, Lineage
from tasks.reporting.drawn_shapes import POINTS_PER_INCH, Drawing, marks
from tasks.reporting.lineage import (
    bought_told,
    is_with_itself,
    operation_told,
    predictions_told,
    value_told,
    values_told,
    with_itself_told,
)
from tasks.reporting.plots import STYLE, plain_text, svg

MOST = 40
"""Steps of a figure; of longer lines those in the middle are left out, which is said."""
_PER_ROW = 4
_WIDE, _HIGH = 180.0, 130.0
"""Of a drawing."""
_GAP, _BELOW, _EDGE = 118.0, 78.0, 14.0
"""Between drawings, where the arrows are; below them, where they are described; around all."""
_SPACING = 15.5
"""Of the lines below a drawing."""
_LETTERS_BELOW, _LETTERS_BETWEEN = 31, 22
"""In a line below a drawing, and below a partner's; numbers are never cut, but written smaller."""
_TITLE = 30.0
"""Of the line above all."""
_LEAST = 44.0
"""Height of a row of drawings at least: an arrow and what is written over it."""
_LINE = 15.0
"""Of a text that stands for a drawing."""
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
    # Arrows lead into the first of each row but the first.
    indent, head = _GAP if rows > 1 else 0.0, _TITLE if title else 0.0
    pictures = {step.id: _Picture.of(step.object, space) for _, step in shown}
    high = min(max(_LEAST, *(one.height for one in pictures.values())), _HIGH)
    described = {step.id: _described(lineage, step, goals) for _, step in shown}
    below = max(_BELOW, 16 + _SPACING * max(map(len, described.values())))
    width = 2 * _EDGE + indent + across * (_GAP + _WIDE) - _GAP
    height = 2 * _EDGE + head + rows * (high + below)
    figure = Figure(figsize=(width * _UNIT, height * _UNIT))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    if title:
        room = int((width - 2 * _EDGE) / 8.6)
        axes.text(_EDGE, _EDGE, plain_text(_cut(title, room)), ha="left", va="top", size=_LETTERS["big"],
                  color=STYLE["soft"])  # fmt: skip
    sheet = _Sheet(axes, lineage, space, goals, high)
    for number, (place, step) in enumerate(shown):
        row, column = divmod(number, across)
        left, top = _EDGE + indent + column * (_GAP + _WIDE), _EDGE + head + row * (high + below)
        if number:
            sheet.arrow(step, left - _GAP, top, left_out if number == 1 else 0)
        sheet.picture(pictures[step.id], step, lineage.line[place - 1] if place else None, left, top)
        sheet.described(described[step.id], left, top + high)
    return figure


def lineage_svg(figure: Figure) -> str:
    """Return the figure as SVG, numbers to a hundredth of a point: half as long, and nobody sees more."""
    return _LENGTHY.sub(lambda number: f"{float(number[0]):.2f}", svg(figure))


@dataclass(frozen=True)
class _Picture:
    """An object as it is drawn: its drawing, or where it has none the lines of its text."""

    drawing: Drawing | None
    lines: tuple[str, ...] = ()

    @staticmethod
    def of(obj: str, space: BaseSpace[Any], letters: int = 24, most: int = 8) -> _Picture:
        """Make one; a text of more lines than that is cut."""
        drawn = space.draw(obj)
        if drawn is not None:
            return _Picture(Drawing(drawn))
        found = textwrap.wrap(obj, letters, break_on_hyphens=False) or [""]
        if len(found) > most:
            found = [*found[: most - 1], f"{found[most - 1][: letters - 1]}…"]
        return _Picture(None, tuple(found))

    @property
    def scale(self) -> float:
        """Of the drawing."""
        return 1.0 if self.drawing is None else min(_WIDE / self.drawing.width, _HIGH / self.drawing.height)

    @property
    def height(self) -> float:
        """In units of the figure."""
        return _LINE * len(self.lines) if self.drawing is None else self.scale * self.drawing.height

    def put(self, axes: Axes, middle: float, centre: float, size: float) -> tuple[float, float]:
        """Draw it around a point; return the upper left corner of the drawing."""
        if self.drawing is None:
            axes.text(middle, centre, plain_text("\n".join(self.lines)), ha="center", va="center",
                      size=_LETTERS["text"], family="monospace", color=STYLE["ink"], zorder=4)  # fmt: skip
            return middle, centre
        scale = size * self.scale
        corner = middle - scale * self.drawing.width / 2, centre - scale * self.drawing.height / 2
        self.drawing.put(axes, *corner, scale, _UNIT * POINTS_PER_INCH)
        return corner


@dataclass(frozen=True)
class _Sheet:
    """What a lineage is drawn on, in units of the drawings; `high` is the height of each row of them."""

    axes: Axes
    lineage: Lineage
    space: BaseSpace[Any]
    goals: Goals
    high: float

    def picture(self, picture: _Picture, step: Ancestor, before: Ancestor | None, left: float, top: float) -> None:
        """Draw an object, and behind it what it has in common with the one before it."""
        x, y = picture.put(self.axes, left + _WIDE / 2, top + self.high / 2, 1.0)
        if before is not None and picture.drawing is not None and step.operation in _MADE:
            common = self.space.core_places(before.object, step.object)
            marks(self.axes, [(float(at[0]), float(at[1])) for at in common], x, y, picture.scale, _KEPT)

    def described(self, lines: Sequence[_Line], left: float, top: float) -> None:
        """Write below an object what is told of it."""
        for number, line in enumerate(lines):
            self._write(line, left + _WIDE / 2, top + 6 + _SPACING * number)

    def arrow(self, step: Ancestor, left: float, top: float, left_out: int) -> None:
        """Draw the arrow that leads to an object, what was done above it, and below it with what other."""
        middle, y, partners = left + _GAP / 2, top + 0.42 * self.high, self.lineage.partners(step)
        drawn = {"arrowstyle": "-|>", "color": STYLE["soft"], "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
        self.axes.annotate("", (left + _GAP - 6, y), (left + 6, y), zorder=3, arrowprops=drawn)
        told = f"… {left_out} more steps" if left_out else _operation(step, partners)
        self.axes.text(middle, y - 6, plain_text(textwrap.fill(told, 17)), ha="center", va="bottom",
                       size=_LETTERS["small"], color=STYLE["ink"], zorder=4)  # fmt: skip
        if partners and not left_out:
            picture = _Picture.of(partners[0].object, self.space, letters=15, most=4)
            height = picture.height * (1.0 if picture.drawing is None else _THUMB)
            picture.put(self.axes, middle, y + 10 + height / 2, _THUMB)
            more = f" and {len(partners) - 1} more" if len(partners) > 1 else ""
            values = _split(values_told(partners[0], self.goals), _LETTERS_BETWEEN)
            values = values or [_cut(value_told(partners[0], self.goals), _LETTERS_BETWEEN)]
            for number, text in enumerate([*values[:-1], values[-1] + more]):
                line = _Line(text, STYLE["soft"], most=_LETTERS_BETWEEN)
                self._write(line, middle, y + 14 + height + _SPACING * number)

    def _write(self, line: _Line, x: float, y: float) -> None:
        size = line.size * min(1.0, line.most / max(1, len(line.text)))
        self.axes.text(x, y, plain_text(line.text), ha="center", va="top", size=size, color=line.colour,
                       weight=line.weight, zorder=4)  # fmt: skip


@dataclass(frozen=True)
class _Line:
    """A line that is written; one of more than `most` letters is written smaller."""

    text: str
    colour: str
    size: float = _LETTERS["small"]
    weight: str = "normal"
    most: int = _LETTERS_BELOW


def _described(lineage: Lineage, step: Ancestor, goals: Goals) -> list[_Line]:
    """Return the lines below an object: what was measured of it, when it was bought, and what was predicted."""
    soft = STYLE["soft"]
    lines = []
    if step is lineage.line[0]:
        lines.append(_Line(_cut(operation_told(step), _LETTERS_BELOW), soft))
    values = _split(values_told(step, goals), _LETTERS_BELOW)
    lines += [_Line(text, STYLE["ink"], _LETTERS["big"], "bold") for text in values]
    lines += [] if values else [_Line(_cut(value_told(step, goals), _LETTERS_BELOW), soft)]
    if step.row is not None:
        lines.append(_Line(_cut(bought_told(step), _LETTERS_BELOW), STYLE["arms"].get(step.row.arm, soft)))
    predicted = predictions_told(step, goals)
    if predicted:
        if len(predicted) == 1 and not predicted[0][0]:
            told = _split([("predicted", predicted[0][1])], _LETTERS_BELOW)
        else:
            told = ["predicted", *_split(predicted, _LETTERS_BELOW)]
        lines += [_Line(text, soft) for text in told]
    return lines


def _split(named: Sequence[tuple[str, str]], letters: int) -> list[str]:
    """Return lines of names and numbers: one for each pair, or one for the name and one for the number."""
    lines = []
    for name, number in named:
        whole = f"{name} {number}".strip()
        lines += [whole] if len(whole) <= letters or not name else [_cut(name, letters), number]
    return lines


def _operation(step: Ancestor, partners: Sequence[Ancestor]) -> str:
    if is_with_itself(step, partners):
        return with_itself_told(step)
    return f"{operation_told(step)}, with" if step.operation == Making.CROSSOVER else operation_told(step)


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
