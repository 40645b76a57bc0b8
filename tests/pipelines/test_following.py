"""How a flow ended is not forgotten because its Prefect server has gone."""

import threading

import pytest
from prefect.exceptions import PrefectException

from data.ledger.campaigns import LedgerError
from pipelines import following
from pipelines.following import Following, following_prefect, remembering_the_end


@pytest.fixture
def gone(monkeypatch):
    monkeypatch.setattr(following, "prefect_answers", lambda: False)
    monkeypatch.setattr(following, "_silence", lambda: None)
    yield
    Following.lost = False


def ending(error):
    """A flow that ends so, then Prefect's client that cannot tell its server."""
    try:
        with remembering_the_end():
            if error is not None:
                raise error
    finally:
        raise PrefectException("no answer")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interruption_stays_one(gone, error):
    with pytest.raises(KeyboardInterrupt):
        following_prefect(lambda: ending(error))


def test_a_failure_stays_one(gone):
    with pytest.raises(LedgerError, match="full"):
        following_prefect(lambda: ending(LedgerError("the disk is full")))


def test_a_flow_that_did_not_fail_ends_well(gone):
    following_prefect(lambda: ending(None))
    assert Following.lost


def test_a_server_of_ours_that_ends_is_noticed_while_a_stage_is_at_work(gone, monkeypatch):
    import time

    monkeypatch.setattr(following, "POLL", 0.01)
    monkeypatch.setattr(following, "prefect_has_ended", lambda: True)

    def work():
        until = time.monotonic() + 20
        while not Following.lost and time.monotonic() < until:
            time.sleep(0.01)
        assert Following.lost

    following_prefect(work)


def test_a_server_of_others_that_starts_again_is_told_again(monkeypatch, caplog):
    from prefect.events.worker import EventsWorker

    answers = iter([True, False, False, True, True])
    sends = EventsWorker._handle
    over = threading.Event()
    seen = []

    def looked():
        seen.append((Following.lost, EventsWorker._handle is sends))
        found = next(answers, None)
        if found is None:
            over.set()
        return found is not False

    monkeypatch.setattr(following, "POLL", 0.001)
    monkeypatch.setattr(following, "prefect_answers", looked)
    with caplog.at_level("WARNING", "discover.prefect"):
        following._watch_anothers(over)
    assert [record.message for record in caplog.records] == [following.GONE, following.BACK]
    assert seen == [(False, True), (False, True), (False, True), (True, False), (False, True), (False, True)]
