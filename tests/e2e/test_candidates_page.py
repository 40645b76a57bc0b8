"""The candidates page in a real browser, as a file and inside a frame like that of MLflow's artifact view."""

from __future__ import annotations

import csv
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from rdkit import Chem

from data.goals import Goal, Goals
from data.records import CandidateRow
from data.tables.spreadsheets import original_text
from models.spaces.molecules import Molecules
from tasks.lineage import Ancestor, Lineage
from tasks.reporting.inline_svg import Point, inline_svg
from tasks.reporting.nearest import Nearest
from tasks.reporting.page import Plot, candidates_page, picture_of
from tasks.reporting.page_exports import file_parts
from tasks.reporting.page_lineage import lineage_lists
from tasks.reporting.plots import best_so_far, svg
from tests.e2e.browser import Browser

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=\"console.error('run')\"><script>console.error('run')</script>"


def row(smiles: str, value: float | None, **more: Any) -> dict[str, Any]:
    return {
        "id": f"ID-{smiles}", "object": smiles, "value": value, "unit": "eV", "round": 1, "arm": "acquisition",
        "predicted_mean": 1.0, "predicted_std": 0.5, "source": "gflownet", "state": "done", "novelty": 0.5, "error": None,
    } | more  # fmt: skip


ROWS = [
    row("N#CC(C#N)=C(C#N)C#N", 3.2, predicted_mean=2.0, novelty=0.9),
    row("O=C1C=CC(=O)C=C1", 2.25, round=2, arm="control", source="random", predicted_mean=None, predicted_std=None),
    row("c1ccc2nsnc2c1", 1.4, round=2, novelty=0.1),
    row("c1ccccc1", -1.1, round=0, arm="initial", source="library", predicted_mean=None, novelty=None),
    row("CCO", None, round=3, state="proposed", predicted_mean=-2.5),
    row("CCC", None, round=3, state="failed", error="embedding", message=HOSTILE),
]


COLUMNS = ("id", "smiles", "value", "arm", "source", "state", "message")


def exported(one: dict[str, Any]) -> dict[str, Any]:
    return {name: one["object"] if name == "smiles" else one.get(name) for name in COLUMNS}


NEAREST = {
    ROWS[0]["id"]: Nearest(
        CandidateRow("benzene", "c1ccccc1", 1.5, 0, source="library"), 0.1, False, ((90.0, 65.0), (60.2, 40.9))
    ),
    ROWS[2]["id"]: Nearest(CandidateRow(ROWS[1]["id"], ROWS[1]["object"], 2.25, 0), 0.9, True),
}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([0, 1])
    path = tmp_path / "candidates.html"
    path.write_text(
        candidates_page(
            ROWS,
            space=Molecules(),
            title=f"acceptors {HOSTILE}",
            summary={"best": 3.2, "calls": 5, "budget": 10},
            goals=Goals([Goal("electron_affinity", unit="eV")]),
            plots=[Plot("A line", svg(figure))],
            nearest=NEAREST,
            parts=file_parts([exported(one) for one in ROWS], Molecules(), columns=COLUMNS),
            settings=HOSTILE,
        ),
        encoding="utf-8",
    )
    return path


def shown(browser: Browser) -> list[str]:
    """SMILES of the visible rows from top to bottom."""
    return browser.evaluate(
        "Array.from(document.querySelectorAll('tbody tr')).filter(r => r.offsetParent !== null)"
        ".map(r => r.querySelector('td.smiles code').textContent)"
    )


def smiles(*order: int) -> list[str]:
    return [ROWS[i]["object"] for i in order]


def test_structures_and_plots_are_drawn_and_nothing_is_fetched(browser: Browser, page: Path) -> None:
    browser.open(page)
    inked = browser.evaluate(
        "Array.from(document.querySelectorAll('td.structure svg')).map(s => Math.min("
        "...Array.from(s.querySelectorAll('path')).map(p => p.getTotalLength()), s.getBoundingClientRect().width))"
    )
    assert len(inked) == len(ROWS)
    assert min(inked) > 5
    assert browser.evaluate("document.querySelector('.plots img').naturalWidth") > 100
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert [r.url for r in browser.requests if not r.url.startswith("data:")] == [page.resolve().as_uri()]
    assert browser.errors == []


def test_hostile_text_is_shown_and_not_run(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert HOSTILE in browser.evaluate("document.querySelector('h1').textContent")
    assert HOSTILE in browser.evaluate("document.querySelector('tr[data-state=failed] td.value').textContent")
    assert browser.evaluate("document.scripts.length") == 1
    assert browser.errors == []


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_round(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert shown(browser) == smiles(0, 1, 2, 3, 4, 5)
    # What has no value stays last both ways, in the order of rank.
    browser.click("th.predicted button")
    assert shown(browser) == smiles(0, 2, 5, 4, 1, 3)
    assert browser.evaluate("document.querySelector('th.predicted').ariaSort") == "descending"
    assert browser.evaluate("document.querySelector('th.rank').ariaSort") == "none"
    browser.click("th.predicted button")
    assert shown(browser) == smiles(4, 2, 5, 0, 1, 3)
    browser.click("th.value button")
    assert shown(browser) == smiles(0, 1, 2, 3, 4, 5)
    browser.click("th.value button")
    assert shown(browser) == smiles(3, 2, 1, 0, 4, 5)
    browser.click("th.smiles button")
    assert shown(browser) == sorted(shown(browser), key=str.lower)


def test_filters_and_search_narrow_what_is_shown(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.choose("select[data-filter=round]", "2")
    assert shown(browser) == smiles(1, 2)
    browser.choose("select[data-filter=arm]", "control")
    assert shown(browser) == smiles(1)
    assert browser.evaluate("document.querySelector('#count').textContent") == "1 of 6 shown"
    browser.choose("select[data-filter=round]", "")
    browser.choose("select[data-filter=arm]", "")
    browser.type("#query", "EMBEDDING")
    assert shown(browser) == smiles(5)
    browser.type("#query", "nowhere to be found")
    assert shown(browser) == []
    assert browser.evaluate("document.querySelector('#empty').offsetParent !== null")


def test_numbers_are_filtered_between_ends_together_with_everything_else(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.querySelector('#filters').offsetParent === null")
    browser.click("#more")
    browser.type("input[aria-label='Electron affinity / eV, least']", "1.4")
    assert shown(browser) == smiles(0, 1, 2)
    browser.type("input[aria-label='Novelty, most']", "0,5")
    assert shown(browser) == smiles(1, 2)
    browser.type("#query", "random")
    assert shown(browser) == smiles(1)
    assert browser.evaluate("document.querySelector('#count').textContent") == "1 of 6 shown"
    assert browser.evaluate("document.querySelector('#more').textContent") == "More filters (2)"
    browser.type("input[aria-label='Novelty, most']", "much")
    assert browser.evaluate("document.activeElement.ariaInvalid") == "true"
    browser.click("#clear")
    assert shown(browser) == smiles(0, 1, 2, 3, 4, 5)
    assert browser.evaluate("Array.from(document.querySelectorAll('#filters input')).every(input => !input.value ||"
                            " input.type === 'checkbox' && !input.checked)")  # fmt: skip
    # The predicted mean may be typed with the minus of print, as it is read.
    browser.type("input[aria-label='Electron affinity, predicted / eV, most']", "−2.5")
    assert shown(browser) == smiles(4)


def test_groups_and_scaffolds_narrow_what_is_shown(browser: Browser, page: Path) -> None:
    def tick(name: str) -> None:
        browser.evaluate(
            "Array.from(document.querySelectorAll('.motifs label')).find(label =>"
            f" label.firstChild.nextSibling.textContent.trim() === {name!r}).querySelector('input').click()"
        )

    browser.open(page)
    browser.click("#more")
    tick("alkene")
    assert shown(browser) == smiles(0, 1)
    tick("nitrile")
    assert shown(browser) == smiles(0)
    browser.choose("#mode", "some")
    assert shown(browser) == smiles(0, 1)
    browser.choose("#mode", "none")
    assert shown(browser) == smiles(2, 3, 4, 5)
    browser.click("#clear")
    options = browser.evaluate("Array.from(document.querySelector('select[data-filter=family]').options, o => o.text)")
    assert options == ["all", "O=C1C=CC(=O)C=C1 (1)", "c1ccc2nsnc2c1 (1)", "c1ccccc1 (1)", "none (3)"]
    browser.choose("select[data-filter=family]", "none")
    assert shown(browser) == smiles(0, 4, 5)


def test_chosen_rows_are_downloaded_as_files_that_read_back(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.open(page)
    browser.downloads_to(tmp_path)
    browser.evaluate("document.title = 'acceptors'")
    for place in (6, 2):
        browser.click(f"#c{place} td.pick input")
    assert browser.evaluate("document.querySelector('#chosen').textContent") == "Export 2 chosen"
    browser.choose("select[data-filter=round]", "2")
    assert browser.evaluate("document.querySelector('#chosen').textContent") == "Export 2 chosen (1 hidden)"
    browser.click("button[data-file=csv]")
    read = list(csv.DictReader(io.StringIO(browser.downloaded(tmp_path / "acceptors.csv").decode())))
    assert [row["smiles"] for row in read] == smiles(1, 5)
    assert original_text(read[1]["message"]) == HOSTILE
    browser.click("button[data-file=sdf]")
    supplier = Chem.ForwardSDMolSupplier(io.BytesIO(browser.downloaded(tmp_path / "acceptors.sdf")))
    assert [(Chem.MolToSmiles(mol), mol.GetProp("id")) for mol in supplier] == [
        (ROWS[k]["object"], ROWS[k]["id"]) for k in (1, 5)
    ]
    browser.click("button[data-file=smi]")
    text = browser.downloaded(tmp_path / "acceptors.smi").decode()
    assert text == "".join(f"{ROWS[k]['object']}\t{ROWS[k]['id']}\n" for k in (1, 5))
    assert browser.evaluate("document.querySelector('#text').value") == text
    assert browser.errors == []
    assert [r.url for r in browser.requests if not r.url.startswith(("data:", "blob:"))] == [page.resolve().as_uri()]


def test_without_a_choice_what_is_shown_is_exported_in_its_order(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.choose("select[data-filter=round]", "2")
    browser.click("th.value button")
    browser.click("th.value button")
    browser.click("button[data-file=smi]")
    text = browser.wait_for("document.querySelector('#text').value")
    assert [line.split("\t")[0] for line in text.splitlines()] == smiles(2, 1)
    browser.click("#all")
    assert browser.evaluate("document.querySelector('#chosen').textContent") == "Export 2 chosen"
    browser.choose("select[data-filter=round]", "")
    assert browser.evaluate("[document.querySelector('#all').checked, document.querySelector('#all').indeterminate]") == [
        False, True,
    ]  # fmt: skip


def test_rows_are_chosen_and_exported_by_the_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate("document.querySelector('#all').focus()")
    browser.press("Space")
    assert browser.evaluate("document.querySelector('#chosen').textContent") == "Export 6 chosen"
    browser.press("Space")
    browser.evaluate("document.querySelector('#c3 td.pick input').focus()")
    browser.press("Space")
    assert browser.evaluate("document.activeElement.ariaLabel") == "Choose candidate 3"
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.closest('details').className") == "near"
    browser.press("Enter")
    assert browser.wait_for("document.querySelector('#c3 .near div svg') !== null")
    browser.press("Escape")
    assert not browser.evaluate("document.querySelector('#c3 .near').open")
    browser.evaluate("document.querySelector('button[data-file=smi]').focus()")
    browser.press("Enter")
    assert browser.wait_for("document.querySelector('#text').value").split("\t")[0] == ROWS[2]["object"]


def test_of_many_candidates_the_first_are_drawn_and_all_are_counted_and_exported(tmp_path: Path) -> None:
    rows = [row(f"{'C' * (k % 30 + 1)}{'O' * (k // 30)}", float(-k)) for k in range(450)]
    path = tmp_path / "many.html"
    parts = file_parts([exported(one) for one in rows], Molecules(), columns=COLUMNS)
    page = candidates_page(rows, space=Molecules(), title="many", parts=parts, total=1240)
    path.write_text(page, encoding="utf-8")
    with Browser() as browser:
        browser.open(path)
        assert "450 of 1,240 candidates are on this page" in browser.evaluate("document.body.textContent")
        assert browser.evaluate("document.querySelector('#count').textContent") == "450 of 450, the first 100 listed"
        assert "100 are listed at first, scrolling, “Show more” and printing list all" in browser.evaluate(
            "document.body.textContent"
        )
        assert 100 <= len(shown(browser)) < 450
        browser.click("th.rank button")  # the last come first
        assert shown(browser)[0] == rows[-1]["object"]
        browser.click("button[data-file=smi]")
        text = browser.wait_for("document.querySelector('#text').value")
        assert [line.split("\t")[0] for line in text.splitlines()] == [one["object"] for one in reversed(rows)]
        while browser.evaluate("!document.querySelector('#rest').hidden"):
            browser.evaluate(
                "new Promise(done => { scrollTo(0, document.body.scrollHeight);"
                " requestAnimationFrame(() => requestAnimationFrame(done)); })"
            )
        assert len(shown(browser)) == 450
        assert browser.evaluate("document.querySelector('#count').textContent") == "450 of 450 shown"
        assert browser.errors == []


def test_the_nearest_known_molecule_is_beside_the_candidate(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("#c1 .near summary")
    assert browser.wait_for("document.querySelector('#c1 .near div svg')?.ariaLabel") == "c1ccccc1"
    marked = browser.evaluate(
        "Array.from(document.querySelectorAll('#c1 .near circle'), c => [c.cx.baseVal.value, c.r.baseVal.value])"
    )
    assert sorted(marked) == [[60, 10], [90, 10]]
    told = browser.evaluate("document.querySelector('#c1 .near div').textContent")
    assert told == "Nearest then known, similarity 0.10, the common part markedc1ccccc11.500 eV, initial design"
    browser.evaluate("document.querySelector('#c3 .near summary').click()")  # of a row of the page; the other closes
    assert browser.wait_for("document.querySelector('#c3 .near div svg')?.ariaLabel") == ROWS[1]["object"]
    assert "similarity 0.90, same scaffold" in browser.evaluate("document.querySelector('#c3 .near div').textContent")
    assert browser.wait_for("!document.querySelector('#c1 .near').open")


def test_lineages_have_the_drawings_of_the_rows_and_lead_to_them(browser: Browser, tmp_path: Path) -> None:
    first, other, last = (
        Ancestor(str(one["object"]), one["id"], how, parents, CandidateRow(one["id"], one["object"], 1.5, at))
        for at, (one, how, parents) in enumerate(
            [
                (ROWS[3], "initial design", ()),
                ({"id": "unbought", "object": "Cc1ccccc1"}, "mutation", (ROWS[3]["id"],)),
                (ROWS[2], "crossover", (ROWS[3]["id"], "unbought")),
            ]
        )
    )
    lineage = Lineage((first, other, last), (first, last))
    places = {one["id"]: rank for rank, one in enumerate(ROWS, start=1)}
    space = Molecules()
    lists = lineage_lists([(3, lineage)], space, Goals([Goal("score")]), places, partial(picture_of, space=space))
    path = tmp_path / "lineages.html"
    path.write_text(candidates_page(ROWS, space=space, title="lineages", lineages=lists), encoding="utf-8")
    browser.open(path)
    browser.click("nav a[href='#origin']")
    drawn = "Array.from(document.querySelectorAll('.lineage .one svg'), svg => svg.ariaLabel)"
    assert browser.wait_for(f"{drawn}.length === 3 && {drawn}") == ["c1ccccc1", "Cc1ccccc1", "c1ccc2nsnc2c1"]
    browser.click("nav a[href='#origin']")
    assert browser.evaluate(drawn) == ["c1ccccc1", "Cc1ccccc1", "c1ccc2nsnc2c1"]
    assert browser.evaluate("document.querySelectorAll('#c3 .core').length") == 0  # copies are marked, rows are not
    browser.click(".lineage a[href='#c4']")
    assert browser.evaluate("document.querySelector('tr.pointed').id") == "c4"
    assert browser.errors == []


def test_a_link_to_a_question_opens_its_section(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert not browser.evaluate("document.querySelector('.plots img').checkVisibility()")
    browser.click("nav a[href='#control']")
    assert browser.evaluate("document.querySelector('.plots img').checkVisibility()")
    browser.click("nav a[href='#made']")
    assert browser.evaluate("document.querySelector('#made pre').textContent") == HOSTILE


def test_a_point_tells_its_candidate_and_leads_to_its_row(tmp_path: Path) -> None:
    told = [CandidateRow(one["id"], one["object"], 1.0 + k, 1, k, origin="called") for k, one in enumerate(ROWS[:3])]
    points = {one.id: Point(f"#{k} {HOSTILE}", f"c{k}") for k, one in enumerate(told, start=1)}
    drawn = inline_svg(best_so_far(told, Goal(HOSTILE, unit=HOSTILE)), "best", points)
    path = tmp_path / "points.html"
    page = candidates_page(ROWS, space=Molecules(), title="points", plots=[Plot(HOSTILE, drawn)])
    path.write_text(page, encoding="utf-8")
    for dark in (False, True):
        with Browser(dark=dark) as browser:
            browser.open(path)
            browser.choose("select[data-filter=round]", "3")
            browser.click("nav a[href='#control']")
            titles = browser.evaluate(
                "Array.from(document.querySelectorAll('.plot a title'), title => title.textContent)"
            )
            assert titles == [f"#{k} {HOSTILE}" for k in (1, 2, 3)]
            assert browser.evaluate("Array.from(document.querySelectorAll('.plot a'), a => a.tabIndex)") == [-1] * 3
            letters, ground = browser.evaluate(
                "[getComputedStyle(document.querySelector('.plot text')).fill,"
                " getComputedStyle(document.querySelector('.plot path')).fill]"
            )
            assert (min(_rgb(ground)) > 200, max(_rgb(ground)) < 60) == (not dark, dark)
            assert abs(_rgb(letters)[0] - _rgb(ground)[0]) > 90
            browser.click(".plot a[href='#c2'] :is(path, use)")
            assert browser.evaluate("document.querySelector('tr.pointed').id") == "c2"
            assert shown(browser) == smiles(1, 4, 5)  # shown although a filter hides the others of its round
            assert browser.evaluate("document.scripts.length") == 1
            assert browser.errors == []


def test_cards_show_the_same_candidates(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.click("button[data-view=cards]")
    assert shown(browser) == smiles(0, 1, 2, 3, 4, 5)
    tops = browser.evaluate("Array.from(document.querySelectorAll('tbody tr')).map(r => r.getBoundingClientRect().top)")
    assert tops[0] == tops[1]
    browser.click("th.novelty button")
    assert shown(browser)[0] == ROWS[0]["object"]
    browser.click("button[data-view=table]")
    assert browser.evaluate("getComputedStyle(document.querySelector('tbody')).display") == "table-row-group"


def test_a_narrow_frame_starts_with_cards_that_fit(page: Path) -> None:
    with Browser(width=650) as browser:
        browser.open(page)
        assert browser.evaluate("document.querySelector('button[data-view=cards]').ariaPressed") == "true"
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert shown(browser) == smiles(0, 1, 2, 3, 4, 5)
        browser.click("button[data-view=table]")
        assert browser.evaluate("getComputedStyle(document.querySelector('tbody')).display") == "table-row-group"
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [1400, 700, 500])
def test_no_number_is_broken_and_none_leaves_its_place(tmp_path: Path, width: int) -> None:
    tiny = [row(smiles, -8.394e-13, unit="M", predicted_mean=-7.088e-13, predicted_std=1.7e-12) for smiles in "CNO"]
    path = tmp_path / "tiny.html"
    summary = {"best": -8.394e-13, "top10_mean": 8.394e-13, "calls": 123456, "held-out RMSE": 1.048e-12}
    sources = [["csv", "–", "–", "6", "1.653e-12", "-6.875e-13"]]
    path.write_text(
        candidates_page(
            tiny,
            space=Molecules(),
            title="tiny",
            goals=Goals([Goal("value", unit="M")]),
            summary=summary,
            sources=sources,
        ),
        encoding="utf-8",
    )
    with Browser(width=width) as browser:
        browser.open(path)
        browser.evaluate("document.querySelectorAll('.answers details').forEach(section => section.open = true)")
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        lines = browser.evaluate(
            "Array.from(document.querySelectorAll('.figures .number, .predicted .pm')).map(number =>"
            " number.getClientRects().length)"
        )
        assert lines == [1] * (len(summary) + len(tiny))
        inside = browser.evaluate(
            "Array.from(document.querySelectorAll('.figures .number')).every(number =>"
            " number.getBoundingClientRect().right <= number.closest('div').getBoundingClientRect().right)"
        )
        assert inside
        rows = browser.evaluate("getComputedStyle(document.querySelector('.sources tbody')).display")
        assert rows == "table-row-group"  # cards are for the candidates


@pytest.mark.parametrize("width", [1400, 390])
def test_the_caption_of_a_table_that_scrolls_is_read_whole(tmp_path: Path, width: int) -> None:
    path = tmp_path / "sources.html"
    sources = [["graph_ga", "120", "80", "15", "12.5", "26.0", "2", "2"]]
    text = candidates_page([row("CCO", 1.0)], space=Molecules(), title="x", goals=Goals([Goal("a")]), sources=sources)
    path.write_text(text, encoding="utf-8")
    with Browser(width=width) as browser:
        browser.open(path)
        browser.evaluate("document.querySelectorAll('.answers details').forEach(section => section.open = true)")
        table, region = "document.querySelector('.sources')", "document.querySelector('.wide-table')"
        assert browser.evaluate(f"{table}.offsetWidth > {region}.clientWidth") is (width == 390)
        right = f"{table}.caption.getBoundingClientRect().right <= {region}.getBoundingClientRect().right"
        assert browser.evaluate(right)
        browser.evaluate(f"{region}.scrollLeft = 1000; 0")
        assert browser.evaluate(right)
        assert browser.evaluate(f"{table}.caption.scrollWidth <= {table}.caption.clientWidth")


def test_it_works_inside_a_sandboxed_frame(browser: Browser, page: Path, tmp_path: Path) -> None:
    host = tmp_path / "host.html"
    text = json.dumps(page.read_text(encoding="utf-8")).replace("</", "<\\/")
    host.write_text(
        "<!doctype html><meta charset=utf-8><iframe sandbox='allow-scripts' style='width:1000px;height:900px'></iframe>"
        f"<script>document.querySelector('iframe').src = URL.createObjectURL(new Blob([{text}],"
        " {type: 'text/html;charset=utf-8'}))</script>",
        encoding="utf-8",
    )
    browser.open(host)
    frame = browser.frame("document.querySelectorAll('td.structure svg').length > 0")
    assert frame.url.startswith("blob:")
    frame.click("th.value button")
    frame.click("th.value button")
    assert frame.wait_for("document.querySelector('tbody td.smiles code').textContent === 'c1ccccc1'")
    frame.click("button[data-file=csv]")  # downloads are blocked here: the text is to be copied
    assert frame.wait_for("document.querySelector('#text').value").startswith("id,smiles,value,")
    assert frame.evaluate("document.querySelector('#download').offsetParent === null")
    assert frame.evaluate("getSelection().toString()").startswith("id,smiles,value,")
    frame.click("#copy")
    assert frame.wait_for("document.querySelector('#copy').textContent === 'Copied'")
    frame.click("nav a[href='#control']")
    assert frame.evaluate("document.querySelector('#control').open")
    assert not [request for request in browser.requests if request.leaves_the_machine]
    assert browser.errors == []


def test_it_reads_in_the_dark(page: Path) -> None:
    with Browser(dark=True) as browser:
        browser.open(page)
        ground, bond = browser.evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('.mol-c[fill=none]')).stroke]"
        )
    assert max(_rgb(ground)) < 60
    assert min(_rgb(bond)) > 200


def _rgb(colour: str) -> list[int]:
    return [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
