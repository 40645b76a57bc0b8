"""Figures inside the page: safe, in its colours, with what each point is."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from data.goals import Goal, Goals
from data.records import CandidateRow
from tasks.reporting.inline_svg import LARGEST, Point, inline_svg
from tasks.reporting.plots import best_so_far, front, predicted_against_measured

HOSTILE = "</svg><script>alert(1)</script><img src=x onerror=alert(1)>'\""
ROWS = [
    CandidateRow(f"id{k}", "C", 1.0 * k, k // 3, k, arm="acquisition" if k > 2 else "initial", state="done",
                 origin="called", predicted_mean=k - 0.5, predicted_std=1.0)
    for k in range(6)
]  # fmt: skip
POINTS = {row.id: Point(f"#{k} {HOSTILE}", f"c{k}" if k < 5 else "") for k, row in enumerate(ROWS)}


def test_points_tell_their_candidate_and_lead_to_its_row() -> None:
    found = inline_svg(best_so_far(ROWS), "best", POINTS)
    tree = ElementTree.fromstring(found)
    assert [link.get("href") for link in tree.iter("a")] == ["#c0", "#c1", "#c2", "#c3", "#c4"]
    assert [title.text for title in tree.iter("title")] == [f"#{k} {HOSTILE}" for k in range(6)]
    assert not [link for link in tree.iter("a") if link.find(".//a") is not None]


def test_what_people_wrote_is_text_and_nothing_else_gets_in() -> None:
    found = inline_svg(best_so_far(ROWS, Goal(HOSTILE, unit=HOSTILE)), "best", POINTS)
    assert "<script" not in found
    assert "<img" not in found
    kinds = {element.tag for element in ElementTree.fromstring(found).iter()}
    assert kinds <= {"svg", "g", "path", "use", "text", "tspan", "defs", "clipPath", "rect", "a", "title"}
    names = {name for element in ElementTree.fromstring(found).iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on")]


def test_colours_are_those_of_the_page_and_texts_are_texts() -> None:
    found = inline_svg(best_so_far(ROWS, Goal("affinity", unit="eV")), "best", {})
    for name in ("paper", "ink", "soft", "line", "acquisition", "initial"):
        assert f"var(--{name})" in found
    assert "font-family" not in found
    assert "Affinity / eV" in [text.text for text in ElementTree.fromstring(found).iter("text")]
    assert "<a" not in found  # no candidate is known: nothing to lead to


def test_two_figures_of_a_page_have_no_id_in_common() -> None:
    own = [set(re.findall(r' id="([^"]+)"', inline_svg(best_so_far(ROWS), name, POINTS))) for name in ("a", "b")]
    assert all(own)
    assert not own[0] & own[1]
    for name in ("a", "b"):
        found = inline_svg(best_so_far(ROWS), name, POINTS)
        referred = set(re.findall(r'url\(#([^)]+)\)|<use[^>]* href="#([^"]+)"', found))
        assert {first or second for first, second in referred} <= set(re.findall(r' id="([^"]+)"', found))


@pytest.mark.parametrize("count", [60, 2500])
def test_a_figure_of_many_points_stays_small(count: int) -> None:
    rng = np.random.default_rng(0)
    rows = [ROWS[3]._replace(id=f"id{k}", position=k, value=float(rng.normal())) for k in range(count)]
    figure = best_so_far(rows)
    found = inline_svg(figure, "best", {row.id: Point(row.id) for row in rows})
    assert len(found) < LARGEST
    assert ("data:image/png" in found) == (count > 1000)
    assert found.count("<title>") == (count if count < 1000 else 0)
    assert found == inline_svg(best_so_far(rows), "best", {row.id: Point(row.id) for row in rows})


def test_every_kind_of_figure_names_its_candidates() -> None:
    goals = Goals([Goal("a"), Goal("b", -1), Goal("c")])
    rows = [row._replace(values={"a": row.value, "b": row.value, "c": -(row.value or 0.0)}) for row in ROWS]
    for figure in (predicted_against_measured(ROWS), front(rows, Goals(goals[:2])), front(rows, goals)):
        assert "<title>#5 " in inline_svg(figure, "x", POINTS)
    assert inline_svg(Figure(figsize=(1, 1)), "x", {}).startswith('<svg class="plot"')
