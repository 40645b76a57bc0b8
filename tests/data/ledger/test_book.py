from contextlib import nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import parse_config
from data.ledger.book import OracleBook, settle
from data.ledger.campaigns import LedgerError
from data.ledger.ledger import Ledger
from data.ledger.lock import campaign_lock
from data.ledger.measured import measurements
from data.records import CallState, Measurement

MINIMAL = {"name": "x", "objectives": [{"name": "affinity", "oracle": {"kind": "xtb"}}]}
A, B, C = ("A", "C"), ("B", "CC"), ("C", "CCC")


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.at(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


@pytest.fixture
def book(ledger, tmp_path):
    campaign = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    return OracleBook(ledger, campaign.id, "xtb", "1")


def other_book(ledger, tmp_path, version="1"):
    campaign = ledger.begin_campaign(parse_config(MINIMAL | {"name": "other"}), tmp_path)
    return OracleBook(ledger, campaign.id, "xtb", version)


def states(book):
    return {row["object_id"]: row["state"] for row in book.rows()}


def bought(book, *molecules, value=1.0):
    book.reserve(0, molecules, cost=1.0)
    for object_id, smiles in molecules:
        book.submit([object_id])
        book.complete(object_id, Measurement(smiles, value))


def test_a_call_is_booked_with_its_cost_before_it_is_made(book):
    assert book.reserve(0, [A, B], cost=2.5) == 2
    assert states(book) == {"A": CallState.RESERVED, "B": CallState.RESERVED}
    assert (book.spent().calls, book.spent().cost) == (2, 5.0)


def test_a_molecule_is_booked_once(book):
    book.reserve(0, [A, B], cost=1.0)
    assert book.reserve(1, [B, C], cost=1.0) == 2
    assert book.spent().calls == 3


def test_the_budget_of_calls_holds_across_reservations(book):
    assert book.reserve(0, [A, B], cost=1.0, max_calls=2) == 2
    assert book.reserve(1, [C], cost=1.0, max_calls=2) == 0
    assert book.spent().calls == 2


def test_what_is_booked_already_fits_even_when_the_budget_is_spent(book):
    book.reserve(0, [A, B], cost=1.0, max_calls=2)
    assert book.reserve(0, [A, B], cost=1.0, max_calls=2) == 2


@settings(max_examples=15, deadline=None)
@given(cost=st.floats(0.01, 10), limit=st.floats(0.01, 100))
def test_the_budget_of_cost_is_never_exceeded(tmp_path_factory, cost, limit):
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger.at(folder / "ledger.db")
    campaign = ledger.begin_campaign(parse_config(MINIMAL), folder)
    book = OracleBook(ledger, campaign.id, "xtb", "1")
    fitted = book.reserve(0, [(str(i), "C" * (i + 1)) for i in range(15)], cost=cost, max_cost=limit)
    spent = book.spent().cost
    ledger.close()
    assert spent <= limit * (1 + 1e-9)
    assert fitted == 15 or spent + cost > limit * (1 - 1e-9)


def test_an_answer_completes_a_submitted_call(book):
    bought(book, A, value=1.25)
    (row,) = book.rows()
    assert (row["state"], row["value"], row["attempts"]) == (CallState.DONE, 1.25, 1)


def test_a_failure_is_kept_with_its_class_and_counted(book):
    book.reserve(0, [A], cost=1.0)
    book.submit(["A"])
    book.complete("A", Measurement("C", None, "embedding", "no conformer"))
    (row,) = book.rows()
    assert (row["state"], row["error"], row["message"]) == (CallState.FAILED, "embedding", "no conformer")
    assert book.spent().calls == 1


def test_a_recorded_answer_is_not_overwritten(book):
    bought(book, A, value=1.0)
    book.complete("A", Measurement("C", 9.0))
    assert book.rows()[0]["value"] == 1.0


def test_a_call_cannot_be_sent_twice(book):
    book.reserve(0, [A], cost=1.0)
    book.submit(["A"])
    with pytest.raises(LedgerError, match="another process"):
        book.submit(["A"])


@pytest.mark.parametrize("semantics", ["pure", "idempotent"])
def test_a_call_in_flight_at_a_crash_is_made_again_and_counted_once(book, semantics):
    book.reserve(0, [A, B], cost=1.0)
    book.submit(["A"])
    assert book.recover(semantics) == []
    assert book.reserved(0) == [A, B]
    assert book.spent().calls == 2


def test_a_call_that_must_not_be_repeated_waits_for_a_person(book):
    book.reserve(0, [A, B], cost=1.0)
    book.submit(["A"])
    assert book.recover("unsafe") == ["A"]
    assert book.reserved(0) == [B]
    book.settle("A", 0.5)
    assert states(book)["A"] == CallState.DONE
    assert book.recover("unsafe") == []


def test_a_call_in_doubt_can_be_given_up(book):
    book.reserve(0, [A], cost=1.0)
    book.submit(["A"])
    book.recover("unsafe")
    book.settle("A", None)
    assert states(book) == {"A": CallState.ABANDONED}


def test_only_what_is_in_doubt_can_be_settled(book):
    bought(book, A)
    with pytest.raises(LedgerError, match="in doubt"):
        book.settle("A", 3.0)


def test_failed_calls_of_a_round_can_be_bought_again_without_being_counted_again(book):
    book.reserve(0, [A], cost=1.0)
    book.submit(["A"])
    book.complete("A", Measurement("C", None, "timeout"))
    assert book.retry_failed(1) == 0
    assert book.retry_failed(0) == 1
    assert book.reserved(0) == [A]
    assert book.spent().calls == 1


def test_another_campaign_takes_over_a_purchase_for_nothing_but_counts_it(book, ledger, tmp_path):
    bought(book, A, value=1.25)
    other = other_book(ledger, tmp_path)
    other.reserve(0, [A, B], cost=2.0)
    rows = {row["object_id"]: row for row in other.rows()}
    assert (rows["A"]["state"], rows["A"]["value"], rows["A"]["origin"]) == (CallState.DONE, 1.25, "reused")
    assert other.reserved(0) == [B]
    assert (other.spent().calls, other.spent().cost) == (2, 2.0)


def test_a_purchase_from_another_version_of_the_oracle_is_not_taken_over(book, ledger, tmp_path):
    bought(book, A)
    other = other_book(ledger, tmp_path, version="2")
    other.reserve(0, [A], cost=1.0)
    assert other.reserved(0) == [A]


def test_a_label_that_came_with_the_data_is_known_and_not_counted(book, ledger, tmp_path):
    book.import_values(0, [("A", "C", 0.5)])
    assert states(book) == {"A": CallState.DONE}
    assert ledger.spent(book.campaign_id).calls == 0
    assert book.reserve(0, [A], cost=1.0) == 1
    assert book.spent().calls == 0


def test_a_label_that_came_with_the_data_of_one_campaign_is_no_purchase_for_another(book, ledger, tmp_path):
    book.import_values(0, [("A", "C", 0.5)])
    other = other_book(ledger, tmp_path)
    other.reserve(0, [A], cost=1.0)
    assert other.reserved(0) == [A]


def test_the_measurements_of_an_oracle_stand_once_each(book, ledger, tmp_path):
    bought(book, B, A)
    other = other_book(ledger, tmp_path)
    other.reserve(0, [A, C], cost=1.0)
    assert [row["object_id"] for row in measurements(ledger, book.identity)] == ["A", "B"]


def open_elsewhere(ledger, tmp_path, state, *, run, semantics="pure"):
    """A campaign that has A in a state, run by this process or by nobody; and the book of another one."""
    campaign = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    other = ledger.begin_campaign(parse_config(MINIMAL | {"name": "other"}), tmp_path)
    first, second = (OracleBook(ledger, c.id, "xtb", "1", semantics=semantics) for c in (campaign, other))
    first.reserve(0, [A], cost=1.0)
    if state != CallState.RESERVED:
        first.submit(["A"])
    if state == CallState.IN_DOUBT:
        first.doubt("A", "lost")
    if state == CallState.FAILED:
        first.complete("A", Measurement("C", None, "timeout"))
    holding = campaign_lock(ledger, campaign) if run else nullcontext()
    return first, second, holding


OPEN = [CallState.RESERVED, CallState.SUBMITTED]


@pytest.mark.parametrize("semantics", ["pure", "unsafe"])
@pytest.mark.parametrize("state", OPEN)
def test_what_a_running_campaign_is_buying_is_awaited_and_counted(ledger, tmp_path, state, semantics):
    first, second, running = open_elsewhere(ledger, tmp_path, state, run=True, semantics=semantics)
    with running:
        assert second.reserve(0, [A, B], cost=1.0) == 2
        assert second.reserved(0) == [B]
        assert [(e.object_id, e.campaign, e.in_doubt) for e in second.claim(0)] == [("A", "x", False)]
        assert second.spent().calls == 2
        if state == CallState.RESERVED:
            first.submit(["A"])
        first.complete("A", Measurement("C", 4.0))
        assert second.claim(0) == []
    row = next(row for row in second.rows() if row["object_id"] == "A")
    assert (row["state"], row["value"], row["origin"], row["cost"]) == (CallState.DONE, 4.0, "reused", 0.0)


@pytest.mark.parametrize("state", [*OPEN, CallState.FAILED])
def test_what_nobody_is_buying_any_more_is_bought_here(ledger, tmp_path, state):
    _, second, _ = open_elsewhere(ledger, tmp_path, state, run=False)
    second.reserve(0, [A], cost=1.0)
    assert second.claim(0) == []
    assert second.reserved(0) == [A]


@pytest.mark.parametrize("run", [True, False])
def test_a_failure_elsewhere_is_not_taken_over(ledger, tmp_path, run):
    _, second, running = open_elsewhere(ledger, tmp_path, CallState.FAILED, run=run)
    with running:
        second.reserve(0, [A], cost=1.0)
        assert second.reserved(0) == [A]


@pytest.mark.parametrize("state", [CallState.SUBMITTED, CallState.IN_DOUBT])
def test_an_unsafe_call_that_nobody_answered_is_left_in_doubt_until_it_is_settled(ledger, tmp_path, state):
    _, second, _ = open_elsewhere(ledger, tmp_path, state, run=False, semantics="unsafe")
    second.reserve(0, [A], cost=1.0)
    assert second.reserved(0) == []
    assert [call.in_doubt for call in second.claim(0)] == [True]
    settle(ledger, "x", "A", 7.0)
    assert second.claim(0) == []
    assert second.rows()[0]["value"] == 7.0


def test_two_campaigns_that_want_each_others_rows_do_not_wait_for_ever(ledger, tmp_path):
    first, second, running = open_elsewhere(ledger, tmp_path, CallState.RESERVED, run=True)
    with running, campaign_lock(ledger, ledger.campaign("other")):
        second.reserve(0, [B, A], cost=1.0)
        first.reserve(0, [A, B], cost=1.0)
        assert (first.reserved(0), second.reserved(0)) == ([A], [B])
        for book, (key, smiles) in ((first, A), (second, B)):
            book.submit([key])
            book.complete(key, Measurement(smiles, None, "crashed"))  # both fail: each makes the other's here
        assert (first.claim(0), second.claim(0)) == ([], [])
        assert (first.reserved(0), second.reserved(0)) == ([B], [A])


def test_what_was_booked_before_a_crash_and_bought_elsewhere_meanwhile_is_not_bought_again(ledger, tmp_path):
    first, second, _ = open_elsewhere(ledger, tmp_path, CallState.RESERVED, run=False)
    bought(second, A, value=2.0)
    assert first.claim(0) == []
    assert first.reserved(0) == []
    assert first.rows()[0]["value"] == 2.0


def test_labels_that_another_campaign_imported_are_not_learnt(ledger, tmp_path, book):
    book.import_values(0, [("A", "C", 0.5)])
    other = other_book(ledger, tmp_path)
    other.import_values(0, [("B", "CC", 9.0)])
    bought(other, C, value=3.0)
    learnt = measurements(ledger, book.identity, book.campaign_id)
    assert [(row["object_id"], row["value"]) for row in learnt] == [("A", 0.5), ("C", 3.0)]


def test_reserving_asks_in_chunks_for_what_is_at_hand(book):
    many = [(f"m{i}", "C" * (i + 1)) for i in range(1203)]
    assert book.reserve(0, many, cost=1.0) == 1203
    assert book.reserve(0, [*many[:7], A], cost=1.0) == 8
    assert book.spent().calls == 1204
