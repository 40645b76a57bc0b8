"""A laboratory's results start a run: what the watch sees, and when it starts one."""

import csv
import threading

import pytest

from data.ledger.campaigns import CampaignState
from pipelines import watching
from pipelines.watching import Watch, look
from tasks.workspace import Workspace


@pytest.fixture
def lab(bench, monkeypatch):
    """A campaign that waits for eight results."""
    monkeypatch.setattr(watching, "POLL", 0.02)
    objectives = [{"name": "yield", "oracle": {"kind": "laboratory", "outputs": {"yield": "%"}}}]
    bench.write_config(name="lab", objectives=objectives, wait_for=0.5)
    assert bench.run().exit == 3
    return bench


def tell(bench, number):
    """Tell so many of the results that are asked for."""
    rows = list(csv.DictReader(bench.discover("ask", "lab").out.splitlines()))[:number]
    lines = [f"{row['id']},{50 + place}" for place, row in enumerate(rows)]
    (bench.folder / "results.csv").write_text("\n".join(["id,yield", *lines]))
    assert bench.discover("tell", "lab", str(bench.folder / "results.csv")).exit == 0


def test_a_watch_starts_a_run_when_what_is_waited_for_is_told_and_no_second_one_beside_it(lab):
    starts, told = [], []
    enough, over = threading.Event(), threading.Event()

    def start():
        starts.append(1)
        enough.set()

    heard = threading.Condition()

    def say(text):
        with heard:
            told.append(text)
            heard.notify_all()

    watch = Watch(Workspace.open(), "lab", start, say, lambda: len(starts) > 0 and not over.is_set())
    watch.begin()
    try:
        with heard:
            assert heard.wait_for(lambda: any("0 of 8 results" in text for text in told), 20)
        tell(lab, 3)
        with heard:
            assert heard.wait_for(lambda: any("3 of 8 results" in text for text in told), 20)
        assert not starts
        tell(lab, 2)  # half of them are told, of which no proxy can be trained yet
        with heard:
            assert heard.wait_for(lambda: any("a proxy needs at least 6" in text for text in told), 20)
        assert not starts
        tell(lab, 1)
        assert enough.wait(20)
        tell(lab, 1)  # while that run has not ended
        assert len(starts) == 1
        over.set()
        with heard:
            assert heard.wait_for(lambda: sum("A run starts" in text for text in told) == 2, 20)
    finally:
        watch.end()
    begun = [text for text in told if text.endswith("A run starts.")]
    assert [text.split()[3] for text in begun] == ["6", "7"]
    assert "6 of 8 results are there (it goes on with 50%)" in begun[0]


def test_nothing_starts_for_a_campaign_that_has_not_begun_or_has_ended(lab):
    workspace = Workspace.open()
    ledger = workspace.ledger()
    assert "has not begun" in look(workspace, ledger, "another").told
    tell(lab, 8)
    assert look(workspace, ledger, "lab").ready
    ledger.set_state(ledger.campaign("lab").id, CampaignState.DONE)
    sight = look(workspace, ledger, "lab")
    assert not sight.ready
    assert "it is done" in sight.told
    ledger.close()
