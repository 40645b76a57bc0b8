"""The progress display reads a campaign's past once, however often it is drawn."""

from data.config import parse_config
from data.ledger.book import OracleBook
from data.ledger.summary import summaries
from data.records import Measurement
from pipelines.display import RunDisplay
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
