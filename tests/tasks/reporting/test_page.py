from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from data.goals import Goal, Goals
from models.spaces.molecules import Molecules
from tasks.reporting.page import Plot, candidates_page
from tasks.reporting.plots import png, svg

ACCEPTORS = ["N#CC(C#N)=C(C#N)C#N", "O=C1C=CC(=O)C=C1", "c1ccc2nsnc2c1", "N#Cc1ccc(C#N)cc1", "O=Cc1ccccc1"]

AFFINITY = Goals([Goal("electron_affinity", unit="eV")])


def row(smiles: str, value: float | None = 1.0, **more: Any) -> dict[str, Any]:
    return {
        "id": f"ID-{smiles}", "object": smiles, "value": value, "unit": "eV", "round": 1, "arm": "acquisition",
        "predicted_mean": 1.25, "predicted_std": 0.5, "source": "gflownet", "state": "done", "novelty": 0.5, "error": None,
    } | more  # fmt: skip


class Page(HTMLParser):
    """Text of each cell by row and column, and every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[dict[str, str]] = []
        self.column: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "tr" and "data-state" in given:
            self.cells.append({})
        if tag == "td":
            self.column = given["class"]
            self.cells[-1][self.column] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self.column = None

    def handle_data(self, data: str) -> None:
        if self.column:
            self.cells[-1][self.column] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(rows: list[dict[str, Any]], **more: Any) -> Page:
    return Page(candidates_page(rows, **{"space": Molecules(), "title": "acceptors", "goals": AFFINITY} | more))


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


def section(text: str, question: str) -> str:
    begin = text.index(f'<details id="{question}">')
    return text[begin : text.index("</details>", begin)]


def test_each_candidate_has_a_row_with_its_figures() -> None:
    found = page(
        [
            row(smiles, value=2.0 - i, novelty=0.1 * i, sa_score=3.456, heavy_atoms=9)
            for i, smiles in enumerate(ACCEPTORS)
        ]
    )
    assert len(found.cells) == len(ACCEPTORS) == len([s for s in found.all("svg") if s["class"] == "mol"])
    third = {column: text.strip() for column, text in found.cells[2].items()}
    assert third["rank"] == "3"
    assert third["value"] == "0 eV"
    assert third["predicted"] == "1.25 (0.43 to 2.07)"
    assert third["novelty"] == "0.20"
    assert third["sa_score"] == "3.46"
    assert third["heavy_atoms"] == "9"
    assert third["smiles"] == "c1ccc2nsnc2c1ID-c1ccc2nsnc2c1"
    assert (third["round"], third["arm"], third["source"]) == ("1", "acquisition", "gflownet")


def test_an_interval_of_two_values_is_not_shown() -> None:
    arms = {"acquisition_mean": 4.5, "acquisition_half": 44.0, "control_mean": 2.0, "control_half": 2.5}
    text = candidates_page(
        [], space=Molecules(), title="x", goals=AFFINITY, summary=arms | {"acquisition_n": 2, "control_n": 3}
    )
    assert "eV (n 2)" in text
    assert words(text).count("eV (−0.5 to 4.5), 95 % interval, n 3") == 1
    assert "44" not in words(text[text.index("<main>") :])


def test_the_unmeasured_the_waiting_and_the_failed_say_so() -> None:
    rows = [
        row("CCO", None, state="proposed"),
        row("CCN", None, state="submitted"),
        row("CCC", None, state="failed", error="timeout", message="no answer within 60 s"),
        row("CCF", None, state="in_doubt"),
    ]
    texts = [cells["value"].strip() for cells in page(rows).cells]
    assert texts == [
        "not measured",
        "no answer yet",
        "failed – timeout: no answer within 60 s",
        "in doubt",
    ]


def test_a_molecule_that_cannot_be_drawn_keeps_its_row() -> None:
    cells = page([row("this is no molecule", None, state="failed", error="invalid")]).cells[0]
    assert cells["structure"] == "not drawable"
    assert "this is no molecule" in cells["smiles"]


def test_hostile_strings_add_no_element() -> None:
    hostile = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'"
    everywhere = dict.fromkeys(("id", "object", "arm", "source", "error", "message", "unit"), hostile)
    found = page(
        [row("CCO") | everywhere | {"value": None, "state": "failed"}, row("CCN")],
        title=hostile,
        subtitle=hostile,
        goals=Goals([Goal(hostile, unit=hostile)]),
        summary={hostile: hostile, "best": 1.0},
        plots=[Plot(hostile, svg(Figure(figsize=(1, 1))))],
    )
    assert len(found.all("script")) == 1
    assert len(found.all("img")) == 1
    assert not [1 for _, attributes in found.tags if any(name.startswith("on") for name in attributes)]
    assert found.cells[0]["smiles"] == hostile * 2


def test_the_page_needs_and_allows_nothing_from_outside() -> None:
    text = candidates_page([row(smiles) for smiles in ACCEPTORS], space=Molecules(), title="acceptors")
    found = Page(text)
    assert not found.all("link")
    assert all(image["src"].startswith("data:") for image in found.all("img"))
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a language, in the script
    policy = next(m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_the_figures_of_the_campaign_are_in_the_heading() -> None:
    text = candidates_page(
        [row("CCO", 2.0)],
        space=Molecules(),
        title="acceptors",
        goals=AFFINITY,
        summary={
            "best": 2.25,
            "top10_mean": -0.5,
            "calls": 120,
            "budget": 200,
            "control_mean": None,
            "held-out rmse": 0.4,
        },
    )
    heading = text[text.index("<header>") : text.index("<nav")]
    assert words(heading) == "acceptors Best so far 2.250 eV Oracle calls 120 of 200"
    assert words(section(text, "control")) == "Did it beat the control? Mean of the ten best −0.5000 eV"
    assert words(section(text, "trust")) == "Can the predictions be trusted? Held-out rmse 0.4000"


def test_filters_are_offered_where_there_is_a_choice() -> None:
    found = page([row("CCO", round=2), row("CCN", round=10), row("CCC", round=1)])
    assert [s.get("data-filter") for s in found.all("select")] == ["round", None]  # and how groups are combined
    assert [o["value"] for o in found.all("option")][:4] == ["", "1", "2", "10"]


def test_a_minimised_objective_sorts_the_small_first() -> None:
    def first_click(goal: Goal) -> str | None:
        buttons = page([row("CCO")], goals=Goals([goal])).all("button")
        return next(b["data-first"] for b in buttons if b.get("data-sort") == "value")

    assert first_click(Goal("gap")) == "descending"
    assert first_click(Goal("gap", -1)) == "ascending"
    assert first_click(Goal("gap", target=2.0)) == "ascending"  # by the distance from it


def test_plots_are_taken_as_files_and_as_text(tmp_path: Path) -> None:
    figure = Figure(figsize=(1, 1))
    (tmp_path / "a.png").write_bytes(png(figure))
    (tmp_path / "b.svg").write_text(svg(figure), encoding="utf-8")
    (tmp_path / "c.txt").write_text("neither", encoding="utf-8")
    found = page(
        [row("CCO")], plots=[Plot("a", tmp_path / "a.png"), Plot("b", str(tmp_path / "b.svg")), Plot("c", svg(figure))]
    )
    kinds = [image["src"].split(";")[0] for image in found.all("img")]
    assert kinds == ["data:image/png", "data:image/svg+xml", "data:image/svg+xml"]
    with pytest.raises(ValueError, match="neither PNG nor SVG"):
        page([row("CCO")], plots=[Plot("c", tmp_path / "c.txt")])


def test_three_hundred_candidates_stay_below_two_megabytes_and_are_the_same_bytes() -> None:
    rows = [
        row(f"{'C' * (i % 20)}c1cc({'F' if i % 2 else 'C#N'})c(S(=O)(=O)N2CCOCC2)cc1[N+](=O)[O-]", i / 100.0)
        for i in range(300)
    ]
    first = candidates_page(rows, space=Molecules(), title="many")
    assert len(first.encode()) < 2_000_000
    assert first == candidates_page(rows, space=Molecules(), title="many")


def test_a_page_without_candidates_is_a_page() -> None:
    assert page([]).cells == []


TWO = Goals([Goal("electron_affinity", unit="eV"), Goal("toxicity", -1, at_most=0.8, unit="mg/L")])


def of_two(smiles: str, affinity: float | None, toxicity: float | None, **more: Any) -> dict[str, Any]:
    """A row with the columns of two objectives, one of which has a limit."""
    given = {"electron_affinity.value": affinity, "electron_affinity.predicted_mean": 1.5,
             "electron_affinity.predicted_std": 0.5, "toxicity.value": toxicity, "toxicity.predicted_mean": 0.4,
             "toxicity.predicted_std": 0.1}  # fmt: skip
    kept = None if toxicity is None else toxicity <= 0.8
    return row(smiles, affinity) | given | {"feasible": kept, "front": None if kept is None else False} | more


def test_each_of_two_objectives_has_a_column_of_values_and_one_of_predictions() -> None:
    rows = [of_two("CCO", 2.0, 0.3, front=True), of_two("CCN", 3.0, 0.9), of_two("CCC", None, None, state="submitted")]
    found = page(rows, goals=TWO)
    sorts = {b["data-sort"]: b["data-first"] for b in found.all("button") if b.get("data-sort")}
    assert [sorts[f"{name}-{k}"] for k in (1, 2) for name in ("value", "predicted")] == [
        "descending", "descending", "ascending", "ascending",
    ]  # fmt: skip
    text = candidates_page(rows, space=Molecules(), title="two", goals=TWO)
    assert len(re.findall('<td class="value"', text)) == len(re.findall('<td class="predicted"', text)) == 6
    assert "0.3000 <small>mg/L</small>" in text
    assert '0.9000 <small>mg/L</small><span class="outside">above 0.8</span>' in text
    assert text.count('class="outside"') == 1
    assert text.count("no answer yet") == 1
    assert [cells["front"].strip() for cells in found.cells] == ["front", "–", "–"]
    assert [s["data-filter"] for s in found.all("select") if "data-filter" in s] == ["state", "front", "limits"]
    assert re.findall(r'data-front="(.*?)" data-limits="(.*?)"', text) == [
        ("on it", "kept"),
        ("behind it", "broken"),
        ("", ""),
    ]


def test_a_failed_call_with_a_value_of_the_main_objective_says_which_values_it_lacks() -> None:
    told = "The oracle's answer has no value of 'tox'."
    rows = [
        of_two("CCO", 9.0, None, state="failed", error="no_output", message=told),
        of_two("CCN", 8.0, None, state="failed", error="no_output", message=f"{told} Too little substance."),
        of_two("CCC", 7.0, None, state="failed", error="timeout", message="no answer within 60 s"),
        of_two("CCS", 6.0, None, state="submitted"),
        of_two("CCF", 5.0, 0.3),
    ]
    text = candidates_page(rows, space=Molecules(), title="two", goals=TWO)
    assert re.findall('<span class="failed">(.*?)</span>', text) == [
        "failed: no value of toxicity",
        "failed: no value of toxicity – Too little substance.",
        "failed: no value of toxicity – timeout: no answer within 60 s",
    ]
    assert "9.000 <small>eV</small>" in text


def test_of_three_objectives_each_has_one_column_with_both() -> None:
    goals = Goals([*TWO, Goal("gap", target=2.5)])
    text = candidates_page([of_two("CCO", 2.0, 0.3, **{"gap.value": 3.0})], space=Molecules(), title="x", goals=goals)
    assert len(re.findall('<td class="value"', text)) == 3
    assert not re.findall('<td class="predicted"', text)
    assert '<span class="also"><span>1.50 <span class="pm">(0.68 to 2.32)</span>' in text
    assert 'data-v="0.5"' in text  # the distance from the target


def test_the_figures_of_two_objectives_are_told_by_name() -> None:
    summary = {
        "best": 2.0, "top10_mean": 1.0, "acquisition_mean": 1.5, "acquisition_n": 4, "acquisition_half": 0.2,
        "feasible": 2 / 3, "best_of": {"electron_affinity": 2.0, "toxicity": 0.3}, "front": 5, "hypervolume": 1.25,
        "hypervolume_calls": 6, "acquisition_hypervolume": 1.1, "control_hypervolume": 0.9,
    }  # fmt: skip
    text = candidates_page([], space=Molecules(), title="two", goals=TWO, summary=summary)
    heading = text[text.index("<header>") : text.index("<nav")]
    assert words(heading) == "two Best electron affinity 2.000 eV Best toxicity 0.3000 mg/L"
    assert words(section(text, "control")) == (
        "Did it beat the control? Mean electron affinity, acquisition arm, all rounds 1.50 "
        "eV (1.30 to 1.70), 95 % interval, n 4 Within the limits, all rounds 67 % On the front 5 Hypervolume 1.250 Hypervolume, "
        "acquisition arm 1.100 initial design and 6 calls Hypervolume, control arm 0.9000 initial design and 6 calls"
    )


def test_hostile_names_of_objectives_add_no_element() -> None:
    hostile = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'"
    goals = Goals([Goal(hostile, unit=hostile), Goal("toxicity", -1, at_most=0.8)])
    found = page([of_two("CCO", 2.0, 0.9) | {f"{hostile}.value": 2.0}], goals=goals)
    assert len(found.all("script")) == 1
    assert not found.all("img")


def test_a_broken_limit_of_one_objective_is_told_too() -> None:
    (cells,) = page([row("CCO", 3.0, feasible=False)], goals=Goals([Goal("gap", at_most=2.5)])).cells
    assert "above 2.5" in cells["value"]
