"""axe-core finds no serious violation on the pages that people look at, wide and narrow, light and dark."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from tests.e2e.browser import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
OPEN_ALL = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
SERIOUS = (
    "axe.run({resultTypes: ['violations']}).then(found => found.violations"
    ".filter(one => ['serious', 'critical'].includes(one.impact))"
    ".map(one => `${one.id}: ${one.nodes.map(node => node.target.join(' ')).slice(0, 3).join('; ')}`))"
)


@pytest.fixture
def pages(finished, tmp_path) -> dict[str, Path]:
    """The page of a finished campaign and the first page of its folder."""
    folder = tmp_path / "report"
    told = finished.discover("report", "finished", "--out", str(folder))
    assert told.exit == 0, told.message
    return {
        "candidates": finished.home / "campaigns" / "finished" / "report" / "candidates.html",
        "folder": folder / "index.html",
    }


@pytest.mark.parametrize("dark", [False, True])
def test_no_page_has_a_serious_violation(pages: dict[str, Path], dark: bool) -> None:
    for width in (1400, 700, 390):
        with Browser(width=width, height=900, dark=dark) as browser:
            for name, page in pages.items():
                browser.open(page)
                browser.evaluate(OPEN_ALL)
                browser.evaluate(f"{AXE};0")
                assert browser.evaluate(SERIOUS) == [], (name, width)
                assert browser.errors == []
