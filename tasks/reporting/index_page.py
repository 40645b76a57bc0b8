"""The first page of a campaign's folder: verdict, links, rounds, figures. It carries all it shows and asks for nothing.

It has no script; its style goes by its hash, so that no text in it can be one; links are relative to the page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.reporting.templates import resource, template


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of the page.

    Attributes:
        caption: what it shows.
        svg: its text, shown as an image, in which nothing runs.
        paths: of its files, relative to the page.
    """

    caption: str
    svg: str
    paths: tuple[str, ...]

    @property
    def uri(self) -> str:
        """The picture as an address of data."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg.encode()).decode()}"


@dataclass(frozen=True, slots=True)
class Index:
    """All that the page says, as texts of any kind: they are escaped.

    Attributes:
        title: of the page.
        verdict: how the campaign ended.
        found: sentences: the best, the gain over control.
        wanted: of the objectives.
        facts: (label, text): budget, cost, time.
        files: (path relative to the page, what it is).
        missing: sentences on what should be in the folder and is not.
        findings: (level, message) of the campaign's health.
        headers: over the cells of rounds.
        rounds: cells, and the path of the round's page, empty where there is none.
        said: sentences below the rounds.
        figures: in order.
        settings: of the campaign, as a text of lines.
        versions: (name, version).
    """

    title: str
    verdict: str
    found: Sequence[str]
    wanted: str
    facts: Sequence[tuple[str, str]]
    files: Sequence[tuple[str, str]]
    missing: Sequence[str]
    findings: Sequence[tuple[str, str]]
    headers: Sequence[str]
    rounds: Sequence[tuple[Sequence[str], str]]
    said: Sequence[str]
    figures: Sequence[Picture]
    settings: str
    versions: Sequence[tuple[str, str]]


def index_page(index: Index) -> str:
    """Return the page as text; the same index gives the same text."""
    style = Markup(resource("index.css"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    told = {name: getattr(index, name) for name in Index.__slots__}
    return template("index.html").render(**told, style=style, style_hash=f"sha256-{digest}")
