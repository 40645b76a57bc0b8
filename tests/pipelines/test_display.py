"""The progress display reads a campaign's past once, however often it is drawn."""

import re

import pytest

from data.config import parse_config
from data.ledger.book import OracleBook
from data.ledger.summary import summaries
from data.records import Measurement
from data.wording import figure
from pipelines.display import RunDisplay, time_left
from pipelines.status import round_row
from pipelines.terminal import Terminal
from tasks.workspace import Workspace

CONFIG = {"name": "x", "objectives": [{"name": "x", "oracle": {"kind": "rdkit"}}]}


def test_only_the_last_round_is_read_again_and_another_generation_begins_anew(tmp_path, monkeypatch):
    monkeypatch.delenv("DISCOVER_LEDGER", raising=False)
    workspace, config = Workspace(tmp_path), parse_config(CONFIG)
    display = RunDisplay(Terminal(), workspace, config)
    ledger, read = display.ledger, []
    candidates = ledger.candidates
    monkeypatch.setattr(ledger, "candidates", lambda *a, **k: read.append(len(found := candidates(*a, **k))) or found)
    for fresh in (False, True):
        campaign = ledger.begin_campaign(config, tmp_path, fresh=fresh)
        book = OracleBook(ledger, campaign.id, "o", "1")
        for round in range(6):
            keys = [f"{fresh}-{round}-{i}" for i in range(4)]
            rows = [{"object_id": key, "object": "C", "arm": "acquisition", "source": "g"} for key in keys]
            ledger.add_candidates(campaign.id, round, rows)
            book.reserve(round, [(key, "C") for key in keys], cost=1.0)
            book.submit(keys)
            for i, key in enumerate(keys):
                book.complete(key, Measurement("C", float((7 * round + i) % 5)))
                whole = summaries(candidates(campaign.id), campaign.goals)
                assert display._lines() == [round_row(summary, campaign.goals) for summary in whole]
    assert max(read) == 8  # a round that has begun, and the one before at most once
    assert sum(count == 8 for count in read) == 10
    ledger.close()


@pytest.mark.parametrize(
    ("elapsed", "done", "total", "told"),
    [
        (1.0, 1, 10, ""),  # too early to tell
        (10.0, 0, 10, ""),
        (10.0, 10, 10, ""),
        (10.0, 5, 10, "about 10 s left"),
        (60.0, 1, 11, "about 10 min left"),
        (3600.0, 1, 3, "about 2.0 h left"),
    ],
)
def test_time_left_is_told_once_it_can_be(elapsed, done, total, told):
    assert time_left(elapsed, done, total) == told


def test_a_long_stage_says_how_far_it_is_also_where_the_output_is_no_terminal(bench, monkeypatch):
    monkeypatch.setattr("pipelines.display.TELL_SECONDS", 0.0)
    bench.config["objectives"][0]["oracle"] |= {"chunk": 1}
    bench.write_config(rounds=0)
    told = bench.run()
    assert "round 0 measure, 3 of 8" in told.message


def test_a_run_ends_with_its_verdict(bench):
    told = bench.run()
    best = bench.candidates()[0]
    assert f"Done after 1 round. Best score {figure(best['value'])} a.u." in told.message
    assert re.search("[Gg]ain over control|Not distinguishable from the control: gain", told.message)
    assert "12 calls of 20; health: " in told.message
