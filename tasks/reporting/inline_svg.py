"""Figures as SVG inside a page: colours of its style sheet, its font, and what each point is on hover.

What is put into a page is written anew, element by element: only what draws is let through, and every text is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from data.records import Arm
from tasks.reporting.plots import STYLE, svg

LARGEST = 150_000
"""Characters of a figure; where it has more, its clouds of points become pictures inside it, without hover."""
_CLOUD = 200
"""Points of a cloud that becomes one."""

_COLOURS = {
    "#ffffff": "var(--paper)",
    "#000000": "var(--ink)",
    STYLE["ink"]: "var(--ink)",
    STYLE["soft"]: "var(--soft)",
    STYLE["grid"]: "var(--line)",
    STYLE["edge"]: "var(--edge)",
    STYLE["library"]: "var(--library)",
    **{STYLE["arms"][arm]: f"var(--{arm})" for arm in Arm},
}
"""Colour of a figure -> that of the page, which has one for light and one for dark; the others are read on both."""

_SPACE, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_DRAWN = frozenset({"g", "path", "use", "text", "tspan", "defs", "clipPath", "rect", "image"})
_TOLD = ("d", "x", "y", "width", "height", "transform", "style", "clip-path", "preserveAspectRatio")
_LENGTHY = re.compile(r"-?\d+\.\d{3,}")
_HEX = re.compile(r"#[0-9a-f]{6}\b")
_REFERENCE = re.compile(r"url\(#([\w-]+)\)")
_PNG = "data:image/png;base64,"


@dataclass(frozen=True, slots=True)
class Point:
    """What is told of a candidate where it is drawn.

    Attributes:
        told: on hover.
        place: id of its row in the page; empty: it has none.
    """

    told: str
    place: str = ""


def inline_svg(figure: Figure, name: str, points: Mapping[str, Point]) -> Markup:
    """Return a figure as markup of a page.

    Args:
        figure: whose artists name candidates by `set_url` or `set_urls`: `#` and the id.
        name: letters, digits and underscores; no other figure of the page has it.
        points: id of a candidate -> what is told of it.
    """
    found = _Writer(name, points).markup(svg(figure, letters=True))
    if len(found) <= LARGEST:
        return found
    for axes in figure.axes:
        for cloud in axes.collections:
            if isinstance(cloud, PathCollection) and np.shape(cloud.get_offsets())[0] > _CLOUD:
                cloud.set_rasterized(True)
    return _Writer(name, points).markup(svg(figure, letters=True))


class _Writer:
    def __init__(self, name: str, points: Mapping[str, Point]) -> None:
        self._name, self._points = name, points
        self._ids: dict[str, str] = {}
        self._parts: list[str] = []

    def markup(self, text: str) -> Markup:
        root = ElementTree.fromstring(text)  # of our own making: it has no entities
        # Ids that nothing refers to would only be in each other's way.
        referred = set(_REFERENCE.findall(text)) | {link[1:] for _, link in _links(root)}
        drawn = [element.get("id") for element in root.iter() if element.get("id") in referred]
        self._ids = {str(given): f"{self._name}-{number}" for number, given in enumerate(dict.fromkeys(drawn))}
        _hoist(root)
        self._parts = [f'<svg class="plot" viewBox="{escape(root.get("viewBox", ""))}">']
        for child in root:
            self._write(child)
        return Markup("".join([*self._parts, "</svg>"]))

    def _write(self, element: ElementTree.Element) -> None:
        kind = str(element.tag).removeprefix(_SPACE)
        if kind == "a":
            self._point(element)
        elif kind == "g" and not element.attrib:
            self._inside(element)
        elif kind in _DRAWN and not (kind == "g" and not len(element)):
            empty = not len(element) and not (element.text or "").strip()
            self._open(kind, self._attributes(kind, element), "/>" if empty else ">")
            if not empty:
                self._inside(element)
                self._parts.append(f"</{kind}>")

    def _open(self, kind: str, attributes: Mapping[str, str], end: str = ">") -> None:
        told = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
        self._parts.append(f"<{kind}{told}{end}")

    def _inside(self, element: ElementTree.Element) -> None:
        self._parts.append(escape((element.text or "").strip()))
        for child in element:
            self._write(child)

    def _point(self, element: ElementTree.Element) -> None:
        point = self._points.get(element.get(_LINK, "")[1:])
        if point is None:
            self._inside(element)
            return
        kind = "a" if point.place else "g"
        self._open(kind, {"href": f"#{point.place}"} if point.place else {})
        self._parts.append(f"<title>{escape(point.told)}</title>")
        self._inside(element)
        self._parts.append(f"</{kind}>")

    def _attributes(self, kind: str, element: ElementTree.Element) -> dict[str, str]:
        found = {key: element.get(key, "") for key in _TOLD if element.get(key)}
        given, link = element.get("id"), element.get(_LINK, "")
        if given in self._ids:
            found["id"] = self._ids[str(given)]
        if kind == "use" and link[1:] in self._ids:
            found["href"] = f"#{self._ids[link[1:]]}"
        elif kind == "image" and link.startswith(_PNG):
            found["href"] = "".join(link.split())
        for key in ("d", "x", "y", "transform"):
            if key in found:
                found[key] = " ".join(_LENGTHY.sub(_tenths if kind == "use" else _hundredths, found[key]).split())
        if "clip-path" in found:
            found["clip-path"] = _REFERENCE.sub(lambda at: f"url(#{self._ids.get(at[1], '')})", found["clip-path"])
        if "style" in found:
            found["style"] = _style(found["style"])
        return {key: value for key, value in found.items() if value}


def _tenths(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}"


def _hundredths(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}"


def _hoist(root: ElementTree.Element) -> None:
    """Let a group say what all of its many marks say, and points of a cloud stand without a frame each."""
    for group in root.iter(f"{_SPACE}g"):
        styles = {child.get("style") for child in group}
        if len(group) > 2 and len(styles) == 1 and {child.tag for child in group} == {f"{_SPACE}use"}:
            group.set("style", f"{group.get('style', '')};{styles.pop()}".strip(";"))
            for child in group:
                child.attrib.pop("style")
    for link in root.iter(f"{_SPACE}a"):
        for framed in link.findall(f"{_SPACE}g"):
            framed.attrib.pop("clip-path", None)


def _links(root: ElementTree.Element) -> list[tuple[str, str]]:
    return [(element.tag, element.get(_LINK, "")) for element in root.iter() if element.tag != f"{_SPACE}a"]


def _style(text: str) -> str:
    """Return a style in the page's colours and font; of what matplotlib writes nothing else is known to be needed."""
    rules = [part.strip() for part in text.split(";")]
    kept = [rule for rule in rules if rule and not rule.startswith(("font-family", "font:"))]
    told = ";".join(re.sub(r":\s+", ":", rule) for rule in kept)
    return _HEX.sub(lambda colour: _COLOURS.get(colour[0], colour[0]), told)
