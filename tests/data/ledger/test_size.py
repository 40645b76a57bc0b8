"""The ledger of a large campaign: what is asked often must not read the whole of it.

The work is counted in steps of SQLite's machine, so that a busy computer changes nothing.
"""

from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks.ledger import fill
from data.config import parse_config
from data.goals import Goal, Goals
from data.ledger.book import OracleBook
from data.ledger.campaigns import LedgerError
from data.ledger.ledger import Ledger
from data.ledger.summary import summaries
from data.ledger.view import LedgerView
from data.records import Measurement
from models.spaces.columns import compound_of, with_compounds
from models.spaces.molecules import Molecules

MOLECULES = Molecules()
UP, DOWN = Goals([Goal("x")]), Goals([Goal("x", -1)])
ROWS = 20_000
STEPS = 20_000
"""Allowed per question: less than one for each row that there is twice."""
CONFIG = {"objectives": [{"name": "x", "oracle": {"kind": "rdkit"}}]}
IDENTITY = "0" * 64
"""Of the calls that `fill` writes."""


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A ledger with one large campaign between two small ones."""
    folder = tmp_path_factory.mktemp("big")
    ledger = Ledger.at(folder / "ledger.db")
    ids = {}
    for name, rows in (("before", 100), ("big", ROWS), ("after", 100)):
        ids[name] = ledger.begin_campaign(parse_config({**CONFIG, "name": name}), folder).id
        fill(ledger, ids[name], rows)
    yield ledger, ids["big"]
    ledger.close()


@contextmanager
def counted(engine):
    """Counts the steps of the SQLite machine, in hundreds."""
    steps = [0]

    def step() -> int:
        steps[0] += 100
        return 0

    def begin(connection) -> None:
        connection.connection.driver_connection.set_progress_handler(step, 100)

    sa.event.listen(engine, "begin", begin)
    yield steps
    sa.event.remove(engine, "begin", begin)


def batch(tag):
    return [(f"{tag}-{i}", "C") for i in range(24)]


def reserved(book, round, tag):
    book.reserve(round, batch(tag), cost=1.0)


QUESTIONS = {
    "reserve": lambda ledger, book: book.reserve(9001, batch("a"), cost=1.0, max_calls=10**9, max_cost=1e12),
    "claim": lambda ledger, book: book.claim(9002),
    "reserved": lambda ledger, book: book.reserved(9002),
    "submit": lambda ledger, book: book.submit([key for key, _ in batch("b")]),
    "complete": lambda ledger, book: book.complete("c-0", Measurement("C", 1.0)),
    "in doubt": lambda ledger, book: book.in_doubt(),
    "recover": lambda ledger, book: book.recover("pure"),
    "retry": lambda ledger, book: book.retry_failed(3),
    "spent": lambda ledger, book: book.spent(),
    "round": lambda ledger, book: ledger.candidates(book.campaign_id, 5, 5),
    "standing": lambda ledger, book: ledger.standing(book.campaign_id, DOWN),
    "top": lambda ledger, book: ledger.top(book.campaign_id, 20, UP),
    "same compounds": lambda ledger, book: ledger.same_compounds(book.campaign_id, {f"K{7:026d}"}),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_does_not_read_the_whole_campaign(big, question):
    ledger, campaign_id = big
    book = OracleBook(ledger, campaign_id, "o", "1", IDENTITY)
    if question in ("claim", "reserved", "submit"):
        reserved(book, 9002, "b")
    if question == "complete":
        reserved(book, 9003, "c")
        book.submit(["c-0"])
    with counted(ledger.engine) as steps:
        QUESTIONS[question](ledger, book)
    assert steps[0] < STEPS


@pytest.fixture
def mixed(tmp_path):
    """A campaign with every state that a candidate can be in, with equal values and equal predictions."""
    ledger = Ledger.at(tmp_path / "ledger.db")
    campaign = ledger.begin_campaign(parse_config({**CONFIG, "name": "x"}), tmp_path)
    book = OracleBook(ledger, campaign.id, "o", "1")
    for round in range(3):
        rows = [
            {
                "object_id": f"m{(7 * i) % 20:02d}-{round}",
                "object": ("Oc1ccccn1", "O=c1cccc[nH]1", "CCO")[(i + round) % 3],
                "arm": ("acquisition", "control")[i % 2],
                "source": "g",
                "compound": MOLECULES.compound(("Oc1ccccn1", "O=c1cccc[nH]1", "CCO")[(i + round) % 3]),
                "predicted_mean": None if i % 5 == 0 else float(i % 4) - 1.5,
                "predicted_std": None if i % 5 == 0 else 1.0,
            }
            for i in range(20)
        ]
        ledger.add_candidates(campaign.id, round, rows)
        keys = [row["object_id"] for row in rows]
        book.import_values(round, [(keys[0], "C", 2.0)])
        book.reserve(round, [(key, "C") for key in keys[1:14]], cost=0.1)
        book.submit(keys[1:12])
        for i, key in enumerate(keys[1:10]):
            answer = Measurement("C", None, "invalid") if i % 4 == 3 else Measurement("C", float(i % 3) - 1.0)
            book.complete(key, answer)
        book.doubt(keys[10], "lost")
        book.settle(keys[10], None)
    yield ledger, campaign.id
    ledger.close()


@pytest.mark.parametrize("goals", [UP, DOWN])
@pytest.mark.parametrize("n", [1, 5, 20, 30, 45, 55, 60, 100])
def test_the_first_candidates_are_those_of_the_whole_list(mixed, n, goals):
    ledger, campaign_id = mixed
    assert ledger.top(campaign_id, n, goals) == goals.ranked(ledger.candidates(campaign_id))[:n]


@pytest.mark.parametrize("goals", [UP, DOWN])
def test_the_standing_is_that_of_the_last_summary(mixed, goals):
    ledger, campaign_id = mixed
    last = summaries(ledger.candidates(campaign_id), goals)[-1]
    standing = ledger.standing(campaign_id, goals)
    assert (standing.round, standing.best, standing.top10_mean) == (last.round, last.best, last.top10_mean)
    view = LedgerView.of(Path(ledger.engine.url.database))
    assert view.standing(campaign_id, goals) == standing
    assert view.course(campaign_id) == ledger.course(campaign_id)
    view.close()


@pytest.mark.parametrize("written", ["all", "some", "none"])
def test_the_same_compound_is_looked_for_among_all_candidates(mixed, written):
    ledger, campaign_id = mixed
    with ledger.write() as connection:  # rows of an earlier revision do not say which compound they are
        older = {"all": "0", "some": "id % 2", "none": "1"}[written]
        connection.exec_driver_sql(f"UPDATE candidates SET compound = NULL WHERE {older}")
    every = UP.ranked(ledger.candidates(campaign_id))
    top = ledger.top(campaign_id, 3, UP)
    same = ledger.same_compounds(campaign_id, {compound_of(row, MOLECULES) for row in top})
    told = with_compounds(top, MOLECULES, UP.ranked(same))
    assert told == with_compounds(every[:3], MOLECULES, every)
    assert all(len(row.same_compound.split()) >= 19 for row in told)


def test_what_was_booked_is_what_the_calls_add_up_to(mixed):
    ledger, campaign_id = mixed
    spent = ledger.spent(campaign_id)
    assert spent.calls == 3 * 13
    assert spent.cost == pytest.approx(3.9)
    ledger.check()
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE campaigns SET calls = calls + 1")
    with pytest.raises(LedgerError, match=r"says 40 calls .* has 39"):
        ledger.check()
