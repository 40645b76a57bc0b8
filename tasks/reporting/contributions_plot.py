"""The figure of what predictions rest on: atoms coloured by what they add, and bars of the parts that add most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data.wording import figure as shown_figure
from data.wording import shown_unit
from models.spaces.base import BaseSpace
from tasks.explaining import Explained
from tasks.reporting.drawn_shapes import POINTS_PER_INCH, Drawing
from tasks.reporting.plots import STYLE, plain_text

MORE, LESS = "#0072b2", "#d55e00"
"""Colours of what raises and of what lowers a prediction."""
BARS = 10
"""Parts of which there is a bar."""
_WIDTH, _HEIGHT = 7.6, 2.7
"""Inches of a candidate's row."""
_LEAST = 0.005
"""Share of the largest contribution below which an atom has no spot."""
_RADIUS = 13.0
"""Of the spot behind an atom, in units of the drawing."""


def contributions_plot(explained: Sequence[tuple[str, Explained]], space: BaseSpace[Any]) -> Figure:
    """Draw a row for each candidate.

    Args:
        explained: each with the line above it.
        space: of the objects.
    """
    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(explained)))
    FigureCanvasAgg(figure)
    for row, (title, one) in enumerate(explained):
        top = 1.0 - row / len(explained)
        share = 1.0 / len(explained)
        drawn = space.draw(one.candidate.object)
        left = 0.45 if drawn is not None else 0.02
        if drawn is not None:
            _picture(figure.add_axes((0.01, top - 0.94 * share, 0.42, 0.8 * share)), drawn, one, space)
        bars = figure.add_axes((left + 0.2, top - 0.84 * share, 0.96 - left - 0.2, 0.68 * share))
        _bars(bars, one)
        figure.text(0.02, top - 0.04 * share, plain_text(_title(title, one)), ha="left", va="top",
                    fontsize=0.9 * STYLE["font"], color=STYLE["ink"])  # fmt: skip
    return figure


def _title(title: str, one: Explained) -> str:
    found, unit = one.found, shown_unit(one.goal.unit)
    told = f"{title}: {one.goal.name.replace('_', ' ')} predicted {shown_figure(found.prediction)} {unit}".rstrip()
    return f"{told}, typical {shown_figure(found.reference)}"


def _picture(axes: Axes, drawn: str, one: Explained, space: BaseSpace[Any]) -> None:
    """Draw the object, and behind each atom a spot as strong as what it adds."""
    drawing = Drawing(drawn)
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0), aspect="equal")
    axes.set_axis_off()
    points = POINTS_PER_INCH * axes.get_position().width * _WIDTH / drawing.width
    values = one.found.values[: one.found.atoms]
    most = float(np.abs(one.found.values).max(initial=0.0))
    places = space.part_places(one.candidate.object)
    if len(places) == len(values) and most > 0:
        shown = [atom for atom in range(len(values)) if abs(values[atom]) > _LEAST * most]
        colours = [(*_rgb(MORE if values[at] > 0 else LESS), 0.75 * abs(float(values[at])) / most) for at in shown]
        x, y = (np.array([places[atom][side] for atom in shown]) for side in (0, 1))
        size = (2 * _RADIUS * points) ** 2
        axes.scatter(x, y, s=size, c=colours or None, linewidths=0, zorder=2, clip_on=False)
        for atom in _largest(one)[::-1]:
            if atom in shown:  # what a bar calls C7 is found by its number
                right, down = places[atom]
                axes.text(right + 0.62 * _RADIUS, down - 0.62 * _RADIUS, str(atom + 1), fontsize=0.55 * STYLE["font"],
                          color=STYLE["soft"], ha="center", va="center", zorder=5)  # fmt: skip
    drawing.put(axes, 0.0, 0.0, 1.0, points)


def _bars(axes: Axes, one: Explained) -> None:
    found = one.found
    order = _largest(one)
    rest = np.setdiff1d(np.arange(len(found.values)), order)
    names = [found.names[place] for place in order]
    values, errors = found.values[order].tolist(), found.errors[order].tolist()
    if len(rest):
        names.insert(0, f"{len(rest)} others")
        values.insert(0, float(found.values[rest].sum()))
        errors.insert(0, 0.0)
    places = np.arange(len(names))
    axes.barh(places, values, xerr=errors, height=0.72, color=[MORE if value > 0 else LESS for value in values],
              error_kw={"elinewidth": 0.8, "ecolor": STYLE["ink"]})  # fmt: skip
    axes.set_yticks(places, [plain_text(name if len(name) <= 24 else f"{name[:23]}…") for name in names])
    axes.axvline(0.0, color=STYLE["soft"], linewidth=0.8)
    axes.tick_params(labelsize=0.75 * STYLE["font"], colors=STYLE["soft"], length=0)
    axes.set_xlabel(plain_text(f"adds to the prediction / {shown_unit(one.goal.unit)}".rstrip(" /")),
                    fontsize=0.8 * STYLE["font"], color=STYLE["soft"])  # fmt: skip
    axes.grid(axis="x", color=STYLE["grid"], linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _largest(one: Explained) -> list[int]:
    """Return the parts that have a bar, the smallest of them first."""
    order = np.argsort(-np.abs(one.found.values), kind="stable")[:BARS][::-1]
    return [int(place) for place in order]


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)
