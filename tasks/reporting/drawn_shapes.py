"""Drawings of objects, small SVGs as the spaces make them, as shapes of a matplotlib figure.

Of SVG as much is read as spaces write: paths of straight and curved lines, circles, lines, boxes and letters, each with
what its group says. What else there is, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import is_color_like
from matplotlib.patches import Circle, PathPatch, Rectangle
from matplotlib.path import Path as Shape

from tasks.reporting.plots import STYLE, plain_text

_SVG = "{http://www.w3.org/2000/svg}"
_COMMAND = re.compile(r"([MmLlQqCcZz])([^MmLlQqCcZz]*)")
_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")
_HSL = re.compile(r"hsl\((\d+) (\d+)% (\d+)%\)")
_POINTS = {"m": 1, "l": 1, "q": 2, "c": 3}
_CODES = {"m": Shape.MOVETO, "l": Shape.LINETO, "q": Shape.CURVE3, "c": Shape.CURVE4}
_INHERITED = ("fill", "stroke", "fill-opacity", "stroke-opacity", "stroke-width", "font-size", "font-family")
POINTS_PER_INCH = 72.0


class Drawing:
    """A drawing that can be put into axes whose y goes down.

    Args:
        text: the SVG element, of the program's own making.
    """

    def __init__(self, text: str) -> None:
        self._root = ElementTree.fromstring(text)
        box = [float(number) for number in _NUMBER.findall(self._root.get("viewBox", "0 0 1 1"))]
        self.width, self.height = box[2], box[3]

    def put(self, axes: Axes, left: float, top: float, scale: float, points: float) -> None:
        """Draw it.

        Args:
            axes: whose unit is the same along x and y.
            left: where its left edge is, in units of the axes.
            top: where its upper edge is.
            scale: units of the axes in one of the drawing.
            points: points (1/72 inch) in a unit of the axes.
        """
        corner = np.array([left, top])
        for element, said in _elements(self._root, {"fill": "black", "stroke": "none", "stroke-width": "1"}):
            kind = element.tag.removeprefix(_SVG)
            if kind == "text":
                self._letters(axes, element, said, corner, scale, points)
                continue
            patch = _patch(kind, element, corner, scale)
            if patch is None:
                continue
            fill, edge = _colour(said, "fill"), _colour(said, "stroke")
            if kind == "line":
                fill = None
            patch.set(
                facecolor=fill or "none",
                edgecolor=edge or "none",
                linewidth=float(said["stroke-width"]) * scale * points if edge else 0.0,
                capstyle="round",
                joinstyle="round",
                zorder=3,
            )
            axes.add_patch(patch)

    def _letters(
        self,
        axes: Axes,
        element: ElementTree.Element,
        said: Mapping[str, str],
        corner: np.ndarray,
        scale: float,
        points: float,
    ) -> None:
        x, y = corner + scale * np.array([float(element.get("x", 0)), float(element.get("y", 0))])
        size = float(said.get("font-size", "10")) * scale * points
        family = "monospace" if said.get("font-family") == "monospace" else "sans-serif"
        text = plain_text(element.text or "")
        axes.text(x, y, text, ha="center", va="baseline", size=size, family=family, zorder=4,
                  color=_colour(said, "fill") or STYLE["ink"])  # fmt: skip


def marks(axes: Axes, places: list[tuple[float, float]], left: float, top: float, scale: float, colour: str) -> None:
    """Mark places of a drawing behind its lines."""
    spots = [Circle((left + scale * x, top + scale * y), 10 * scale) for x, y in places]
    axes.add_collection(PatchCollection(spots, facecolor=colour, edgecolor="none", alpha=1.0, zorder=2))


def _elements(
    element: ElementTree.Element, said: Mapping[str, str]
) -> Iterator[tuple[ElementTree.Element, Mapping[str, str]]]:
    own = dict(said) | {name: element.get(name, "") for name in _INHERITED if element.get(name)}
    if element.tag not in (f"{_SVG}svg", f"{_SVG}g"):
        yield element, own
    for child in element:
        yield from _elements(child, own)


def _colour(said: Mapping[str, str], of: str) -> tuple[float, ...] | None:
    from matplotlib.colors import to_rgb

    name, opacity = said[of], float(said.get(f"{of}-opacity", "1"))
    if name == "none":
        return None
    spoken = _HSL.fullmatch(name)
    if spoken:
        import colorsys

        hue, saturation, lightness = map(float, spoken.groups())
        return (*colorsys.hls_to_rgb(hue / 360, lightness / 100, saturation / 100), opacity)
    return (*to_rgb(name if is_color_like(name) else STYLE["ink"]), opacity)


def _patch(
    kind: str, element: ElementTree.Element, corner: np.ndarray, scale: float
) -> PathPatch | Circle | Rectangle | None:
    def number(name: str) -> float:
        return float(element.get(name, "0"))

    if kind == "path":
        return PathPatch(_shape(element.get("d", ""), corner, scale))
    if kind == "circle":
        x, y = corner + scale * np.array([number("cx"), number("cy")])
        return Circle((x, y), scale * number("r"))
    if kind == "rect":
        x, y = corner + scale * np.array([number("x"), number("y")])
        return Rectangle((x, y), scale * number("width"), scale * number("height"))
    if kind == "line":
        ends = np.array([[number("x1"), number("y1")], [number("x2"), number("y2")]])
        return PathPatch(Shape(corner + scale * ends))
    return None


def _shape(data: str, corner: np.ndarray, scale: float) -> Shape:
    """Return path data as a shape; small letters are relative to the point before."""
    vertices: list[np.ndarray] = []
    codes: list[int] = []
    at = start = np.zeros(2)
    for letter, numbers in _COMMAND.findall(data):
        kind = letter.lower()
        if kind == "z":
            vertices.append(start)
            codes.append(int(Shape.CLOSEPOLY))
            at = start
            continue
        points = np.array([float(number) for number in _NUMBER.findall(numbers)]).reshape(-1, 2)
        size = _POINTS[kind]
        for first in range(0, len(points), size):
            told = points[first : first + size] + (at if letter.islower() else 0.0)
            code = _CODES["l" if kind == "m" and first else kind]
            vertices += list(told)
            codes += [int(code)] * size
            at = told[-1]
            if kind == "m" and not first:
                start = at
    return Shape(corner + scale * np.array(vertices).reshape(-1, 2), codes)
