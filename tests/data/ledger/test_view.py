import pytest

from data.config import parse_config
from data.ledger.book import OracleBook
from data.ledger.campaigns import LedgerError
from data.ledger.ledger import Ledger
from data.ledger.view import LedgerView
from data.records import Measurement

MINIMAL = {"name": "x", "objectives": [{"name": "affinity", "oracle": {"kind": "xtb"}}]}


@pytest.fixture
def both(tmp_path):
    """A ledger with a campaign in it, and a view of its file."""
    ledger = Ledger.at(tmp_path / "ledger.db")
    campaign = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    rows = [{"object_id": key, "object": "C", "arm": "initial", "source": "csv"} for key in "ABC"]
    ledger.add_candidates(campaign.id, 0, rows)
    book = OracleBook(ledger, campaign.id, "xtb", "1")
    book.import_values(0, [("C", "C", 0.5)])
    book.reserve(0, [("A", "C"), ("B", "C")], cost=2.0)
    book.submit(["A"])
    book.complete("A", Measurement("C", 1.5))
    view = LedgerView.of(tmp_path / "ledger.db")
    yield ledger, view, campaign
    view.close()
    ledger.close()


def test_the_view_shows_what_the_ledger_shows(both):
    ledger, view, campaign = both
    assert view.campaigns() == ledger.campaigns()
    assert view.campaign("x") == campaign
    assert view.candidates(campaign.id) == ledger.candidates(campaign.id)
    (bought, waiting, imported) = view.candidates(campaign.id)
    assert (bought.id, bought.object, bought.value, bought.state, bought.origin) == ("A", "C", 1.5, "done", "called")
    assert (waiting.id, waiting.value, waiting.state, waiting.message) == ("B", None, "reserved", "")
    assert (imported.id, imported.value, imported.position, imported.source) == ("C", 0.5, 2, "csv")
    assert view.course(campaign.id) == [row._replace(object="", compound=None) for row in (bought, waiting, imported)]
    assert view.spent(campaign.id) == ledger.spent(campaign.id)
    assert (view.spent(campaign.id).calls, view.spent(campaign.id).cost) == (2, 4.0)
    assert view.owner(campaign.id) is None is ledger.owner(campaign.id)


def test_an_unknown_campaign_is_told_alike(both):
    ledger, view, _ = both
    with pytest.raises(LedgerError) as by_view:
        view.campaign("y")
    with pytest.raises(LedgerError) as by_ledger:
        ledger.campaign("y")
    assert str(by_view.value) == str(by_ledger.value)


@pytest.mark.parametrize("content", [None, b"", b"no database at all, but long enough to be looked at"])
def test_what_is_no_ledger_has_no_view(tmp_path, content):
    path = tmp_path / "ledger.db"
    if content is not None:
        path.write_bytes(content)
    assert LedgerView.of(path) is None
