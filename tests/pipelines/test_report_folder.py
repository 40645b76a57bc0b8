"""`discover report`: a campaign as a folder that needs nothing else, the same bytes each time, in which nothing runs."""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
import yaml

from data.config import parse_config
from data.ledger.book import OracleBook
from data.records import Measurement
from tasks.workspace import Workspace

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes

HOSTILE = r'$\frac$</style><script>alert(1)</script>"><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """What a page has: tags with their attributes, texts of styles and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def addresses(self) -> list[str]:
        keys = ("href", "src")
        return [value for _, given in self.tags for key in keys if (value := given.get(key)) is not None]


@pytest.fixture(scope="module")
def folder(finished_bench, tracking, tmp_path_factory):
    from tests.conftest import use

    out = tmp_path_factory.mktemp("reports") / "first"
    with pytest.MonkeyPatch.context() as patch:
        use(finished_bench, tracking, patch)
        told = finished_bench.discover("report", "finished", "--out", str(out))
    assert told.exit == 0, told.message
    return out


def digests(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_the_first_page_says_the_verdict_first_and_leads_to_everything(folder):
    text = (folder / "index.html").read_text()
    verdict = re.search(r'<p class="verdict">(.*?)</p>', text, re.S)
    assert verdict
    assert "Done after 2 rounds. Best score" in verdict[1]
    assert re.search(r"Best score [-\d.]+ a\.u\.", verdict[1])
    assert re.search("Gain over control|Not distinguishable from the control: gain", verdict[1])
    assert "16 of 20" in text
    links = set(Page(text).addresses())
    for path in ("campaign/candidates.html", "candidates.csv", "campaign.yaml", "settings.json", "health.json",
                 "versions.json", "rounds/000/candidates.html", "rounds/002/candidates.html", "rounds.csv",
                 "figures/best_so_far.svg", "figures/best_so_far.png"):  # fmt: skip
        assert path in links
        assert (folder / path).is_file()


def test_every_address_is_in_the_folder(folder):
    for page in folder.rglob("*.html"):
        for address in Page(page.read_text()).addresses():
            parts = urlsplit(address)
            if parts.scheme == "data" or (not parts.path and parts.fragment):
                continue
            assert not parts.scheme
            assert not parts.netloc
            target = (page.parent / unquote(parts.path)).resolve()
            assert target.is_relative_to(folder.resolve())
            assert target.is_file()


def test_pages_forbid_themselves_every_request(folder):
    for page in folder.rglob("*.html"):
        policies = [given["content"] or "" for tag, given in Page(page.read_text()).tags
                    if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy"]  # fmt: skip
        (policy,) = policies
        assert policy.startswith("default-src 'none'; img-src data:;")
    text = (folder / "index.html").read_text()
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style
    import base64

    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src &#39;sha256-{digest}" in text or f"style-src 'sha256-{digest}'" in text
    assert "prefers-color-scheme: dark" in style[1]


def test_the_same_campaign_gives_the_same_bytes(finished, folder, tmp_path):
    again = tmp_path / "again"
    assert finished.discover("report", "finished", "--out", str(again)).exit == 0
    assert digests(again) == digests(folder)


def test_no_file_names_a_place_of_this_machine(finished, folder):
    for file in folder.rglob("*"):
        if file.is_file():
            assert str(finished.folder).encode() not in file.read_bytes(), file


def test_the_campaign_file_in_it_is_that_of_the_campaign(finished, folder):
    given = parse_config(yaml.safe_load((folder / "campaign.yaml").read_text()))
    assert given.to_json() == parse_config(finished.config).to_json()
    told = json.loads((folder / "settings.json").read_text())
    assert told["campaign"] == given.to_json()
    assert any("tiny_oracle.py" in key for key in told["oracles"][0])


def test_tables_have_exact_values(finished, folder):
    rows = finished.candidates()
    table = pd.read_csv(folder / "candidates.csv")
    assert table["id"].tolist() == [row["id"] for row in rows]
    assert table["value"].tolist() == [row["value"] for row in rows]
    assert pd.read_csv(folder / "rounds.csv")["calls"].tolist() == [8, 12, 16]


@pytest.mark.parametrize("what", ["full", "file", "workspace"])
def test_what_is_there_is_not_written_over(finished, tmp_path, what):
    out = {"full": tmp_path, "file": tmp_path / "there", "workspace": finished.home / "new"}[what]
    (tmp_path / "there").write_text("mine")
    told = finished.discover("report", "finished", "--out", str(out))
    assert told.exit == 2
    assert "Nothing was written; name a new or an empty folder." in told.message
    assert (tmp_path / "there").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_an_empty_folder_is_filled_and_a_missing_parent_is_refused(finished, tmp_path):
    told = finished.discover("report", "finished", "--out", str(tmp_path / "a" / "b"))
    assert told.exit == 2
    assert "cannot be written" in told.message
    (tmp_path / "empty").mkdir()
    assert finished.discover("report", "finished", "--out", str(tmp_path / "empty")).exit == 0
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert (tmp_path / "empty" / "index.html").is_file()


def test_refused_rows_of_the_data_are_in_it(bench, tmp_path):
    bench.write_library("CCO", "CCN", "CCCO", "CCCN", "C1CC1O", "CC(C)O", "CCOC", "CCCl", "CCS", "not a molecule")
    bench.write_config(rounds=0)
    assert bench.run().exit == 0
    assert bench.discover("report", "tiny", "--out", str(tmp_path / "out")).exit == 0
    assert "not a molecule" in (tmp_path / "out" / "refused.csv").read_text()
    assert 'href="refused.csv"' in (tmp_path / "out" / "index.html").read_text()


def test_a_lost_page_of_a_round_is_said(bench, tmp_path):
    bench.write_config(rounds=0)
    assert bench.run().exit == 0
    (bench.home / "campaigns" / "tiny" / "round-000" / "report" / "candidates.html").unlink()
    told = bench.discover("report", "tiny", "--out", str(tmp_path / "out"))
    assert told.exit == 0
    assert "The report of round 0 is not in the workspace any more" in told.message
    assert "The report of round 0 is not in the workspace any more" in (tmp_path / "out" / "index.html").read_text()


def test_names_and_messages_of_others_run_nowhere(bench, tmp_path):
    oracle = {"kind": "python", "function": "tiny_oracle:measure", "unit": HOSTILE}
    bench.write_config(name="hostile", objectives=[{"name": HOSTILE, "oracle": oracle}])
    ledger = Workspace(bench.home).ledger()
    campaign = ledger.begin_campaign(parse_config(bench.config), bench.folder)
    ids = ["CCO", "CCN", "CCC"]
    ledger.add_candidates(
        campaign.id, 0, [{"object_id": i, "object": i, "arm": "initial", "source": HOSTILE} for i in ids]
    )
    book = OracleBook(ledger, campaign.id, "o", "1")
    book.reserve(0, [(i, i) for i in ids], cost=1.0)
    book.submit(ids)
    book.deliver({"CCO": Measurement("CCO", 1.0), "CCN": Measurement("CCN", 2.0),
                  "CCC": Measurement("CCC", None, error="crash", message=HOSTILE)})  # fmt: skip
    ledger.close()
    told = bench.discover("report", "hostile", "--out", str(tmp_path / "out"))
    assert told.exit == 0, told.message
    page = Page((tmp_path / "out" / "index.html").read_text())
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "iframe", "object", "form", "base"})
    assert not any(key.startswith("on") for _, given in page.tags for key in given)
    assert all(
        (given["src"] or "").startswith("data:image/svg+xml;base64,") for tag, given in page.tags if tag == "img"
    )
    for picture in (tmp_path / "out" / "figures").glob("*.svg"):
        assert "<script" not in picture.read_text()


def test_a_campaign_that_has_just_begun_has_a_folder_too(bench, tmp_path):
    ledger = Workspace(bench.home).ledger()
    ledger.begin_campaign(parse_config(bench.config), bench.folder)
    ledger.close()
    told = bench.discover("report", "tiny", "--out", str(tmp_path / "out"))
    assert told.exit == 0, told.message
    assert "Nothing was measured." in (tmp_path / "out" / "index.html").read_text()
    assert bench.discover("export", "tiny", "--out", str(tmp_path / "a.zip")).exit == 0
    assert bench.discover("delete", "tiny", "--yes").exit == 0
    assert "No campaign yet" in bench.discover("status").out
