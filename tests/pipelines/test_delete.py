"""`discover delete`: a campaign goes, and what it bought is never bought again, unless that is said."""

import io
import json
import sqlite3
import zipfile
from dataclasses import asdict

import pytest
import sqlalchemy as sa
from mlflow import MlflowClient

from data.ledger.book import OracleBook
from data.ledger.lock import CampaignLocked, campaign_lock
from data.ledger.measured import measurements
from data.ledger.schema import candidates, oracle_calls, stages
from data.records import Measurement
from tasks.oracles.undelivered import KeptAnswer
from tasks.workspace import Workspace

pytestmark = pytest.mark.slow  # whole campaigns: `make test` has to stay under 12 minutes


@pytest.fixture
def done(bench):
    """A campaign of one round that is done: 12 calls."""
    assert bench.run().exit == 0
    return bench


@pytest.fixture
def ledger(bench):
    ledger = Workspace(bench.home).ledger()
    yield ledger
    ledger.close()


def origins(bench, name="tiny"):
    ledger = Workspace(bench.home).ledger()
    campaign = ledger.campaign(name)
    with ledger.read() as connection:
        found = connection.scalars(
            sa.select(oracle_calls.c.origin).where(oracle_calls.c.campaign_id == campaign.id)
        ).all()
    ledger.close()
    return sorted(found)


def test_a_new_campaign_of_the_name_takes_the_values_over_and_calls_nothing(done):
    before, values = len(done.calls()), {row["id"]: row["value"] for row in done.candidates()}
    told = done.discover("delete", "tiny", "--yes")
    assert told.exit == 0, told.message
    assert "The 12 values that it bought are kept" in told.message
    assert done.run().exit == 0
    assert len(done.calls()) == before
    assert {row["id"]: row["value"] for row in done.candidates()} == values
    assert origins(done) == ["reused"] * 12
    assert (done.home / "campaigns" / "tiny" / "report" / "candidates.html").is_file()
    assert not (done.home / "campaigns" / "tiny~2").exists()


def test_another_campaign_takes_the_values_over_and_calls_nothing(done):
    before = len(done.calls())
    assert done.discover("delete", "tiny", "--yes").exit == 0
    done.write_config(name="other")
    assert done.run().exit == 0
    assert len(done.calls()) == before
    assert origins(done, "other") == ["reused"] * 12


def test_with_measurements_everything_is_called_again(done):
    before = done.calls()
    told = done.discover("delete", "tiny", "--yes", "--measurements")
    assert "The 12 values that it bought are forgotten" in told.message
    assert done.run().exit == 0
    assert sorted(done.calls()) == sorted(before * 2)
    assert origins(done) == ["called"] * 12


def test_what_was_kept_can_be_forgotten_later(done):
    before = len(done.calls())
    assert done.discover("delete", "tiny", "--yes").exit == 0
    again = done.discover("delete", "tiny", "--yes")
    assert again.exit == 2
    assert "is deleted already; 12 values that it bought stay" in again.message
    assert done.discover("delete", "tiny", "--yes", "--measurements").exit == 0
    assert "no campaign 'tiny'" in done.discover("delete", "tiny", "--yes").message
    assert done.run().exit == 0
    assert len(done.calls()) == 2 * before


def test_values_survive_a_chain_of_deletions(done):
    before = len(done.calls())
    for _ in range(3):
        assert done.discover("delete", "tiny", "--yes").exit == 0
        assert done.run().exit == 0
    assert done.run("--fresh").exit == 0
    assert done.discover("delete", "tiny", "--yes").exit == 0
    assert done.run().exit == 0
    assert len(done.calls()) == before


def test_nothing_of_it_is_left_but_what_it_bought(done, ledger, tracking):
    identity = ledger.campaign("tiny")
    told = done.discover("delete", "tiny", "--yes")
    assert "3 runs in MLflow" in told.message
    assert not (done.home / "campaigns" / "tiny").exists()
    client = MlflowClient(tracking)
    experiment = client.get_experiment_by_name("tiny")
    tag = f"tags.`discovery.campaign` = 'tiny@{identity.created_at}'"
    assert not client.search_runs([experiment.experiment_id], tag)
    with ledger.read() as connection:
        for table in (candidates, stages):
            assert not connection.execute(sa.select(table)).all()
        kept = connection.execute(sa.select(oracle_calls)).all()
    assert {(row.origin, row.state) for row in kept} == {("called", "done")}
    assert len(measurements(ledger, kept[0].identity)) == 12
    ledger.check()


def test_no_list_shows_it_and_no_command_finds_it(done):
    done.write_config(name="other")
    assert done.run().exit == 0
    assert done.discover("delete", "tiny", "--yes").exit == 0
    listed = done.discover("status").out
    assert "other" in listed
    assert "tiny" not in listed
    assert "~" not in listed
    for command in (["status", "tiny"], ["candidates", "tiny"], ["unlock", "tiny"], ["status", "~1"]):
        told = done.discover(*command)
        assert told.exit == 2
        assert "it has other." in told.message


def test_all_generations_go(done):
    assert done.run("--fresh").exit == 0
    told = done.discover("delete", "tiny", "--yes")
    assert "2 folders" in told.message
    assert "12 reused" in told.message
    assert "12 values" in told.message
    assert not list((done.home / "campaigns").iterdir())
    assert "No campaign yet" in done.discover("status").out


@pytest.mark.parametrize(("answer", "goes"), [("yes\n", True), ("no\n", False), ("\n", False)])
def test_it_asks_at_a_terminal(done, monkeypatch, answer, goes):
    class Person(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Person(answer))
    told = done.discover("delete", "tiny")
    assert told.exit == 0
    assert "The 12 values that it bought are kept for other campaigns. Type yes to delete it" in told.message
    assert (done.discover("status", "tiny").exit == 2) is goes


def test_where_nobody_can_be_asked_nothing_is_deleted(done, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    told = done.discover("delete", "tiny", "--measurements")
    assert told.exit == 2
    assert "discover delete tiny --measurements --yes" in told.message
    assert len(done.candidates()) == 12


def test_a_campaign_that_is_run_stays(done, ledger):
    with campaign_lock(ledger, ledger.campaign("tiny")):
        told = done.discover("delete", "tiny", "--yes")
        assert told.exit == 2
        assert "is being run by process" in told.message
    assert len(done.candidates()) == 12
    assert (done.home / "campaigns" / "tiny").exists()


def test_a_run_that_was_about_to_begin_does_not_bring_it_back(done, ledger):
    campaign = ledger.campaign("tiny")
    assert done.discover("delete", "tiny", "--yes").exit == 0
    with pytest.raises(Exception, match="was deleted meanwhile") as refused, campaign_lock(ledger, campaign):
        pass
    assert not isinstance(refused.value, CampaignLocked)
    assert done.discover("status", "tiny").exit == 2


def waiting(bench, ledger, semantics="pure", oracle="o", later=False):
    """Campaign `tiny` has sent calls for two molecules, and has a value of a third."""
    from data.config import parse_config

    campaign = ledger.begin_campaign(parse_config(bench.config), bench.folder)
    book = OracleBook(ledger, campaign.id, oracle, "1", semantics=semantics, later=later)
    ids = ["CCO", "CCN", "CCC"]
    ledger.add_candidates(campaign.id, 0, [{"object_id": i, "object": i, "arm": "initial", "source": "g"} for i in ids])
    book.reserve(0, [(i, i) for i in ids], cost=1.0)
    book.submit(ids)
    book.complete("CCC", Measurement("CCC", 3.0))
    return campaign, book


def test_while_another_campaign_waits_for_its_calls_it_stays(bench, ledger):
    first, book = waiting(bench, ledger)
    bench.write_config(name="other")
    with campaign_lock(ledger, first):
        from data.config import parse_config

        other = ledger.begin_campaign(parse_config(bench.config), bench.folder)
        theirs = OracleBook(ledger, other.id, "o", "1")
        theirs.reserve(0, [("CCO", "CCO")], cost=1.0)
    for more in ([], ["--measurements"]):
        told = bench.discover("delete", "tiny", "--yes", *more)
        assert told.exit == 2
        assert "other campaigns wait for calls of it (other for 1)" in told.message
    book.complete("CCO", Measurement("CCO", 1.0))
    theirs.claim(0)
    assert bench.discover("delete", "tiny", "--yes").exit == 0
    assert theirs.rows(0)[0]["value"] == 1.0


def test_calls_whose_fate_nobody_knows_are_settled_first(bench, ledger):
    oracle = {"kind": "python", "function": "tiny_oracle:measure", "semantics": "unsafe"}
    bench.write_config(objectives=[{"name": "score", "oracle": oracle}])
    waiting(bench, ledger, semantics="unsafe")
    told = bench.discover("delete", "tiny", "--yes")
    assert told.exit == 2
    assert "CCO, CCN were sent to an oracle that must not be called twice" in told.message
    assert bench.discover("settle", "tiny", "CCO", "--value", "1.5").exit == 0
    assert bench.discover("settle", "tiny", "CCN", "--abandon").exit == 0
    told = bench.discover("delete", "tiny", "--yes")
    assert told.exit == 0, told.message
    assert "1 abandoned" in told.message
    assert "2 values" in told.message


def test_what_a_laboratory_was_asked_is_told_first(bench, ledger):
    bench.write_config(objectives=[{"name": "score", "oracle": {"kind": "laboratory"}}])
    waiting(bench, ledger, oracle="laboratory: score", later=True)
    told = bench.discover("delete", "tiny", "--yes")
    assert told.exit == 2
    assert "CCO, CCN were asked of a laboratory and not answered" in told.message
    assert bench.discover("delete", "tiny", "--yes", "--measurements").exit == 0


def test_calls_that_may_be_made_again_do_not_keep_it(bench, ledger):
    waiting(bench, ledger)
    told = bench.discover("delete", "tiny", "--yes")
    assert told.exit == 0, told.message
    assert "Calls that brought nothing to keep are gone: 2 submitted." in told.message


def test_measurements_that_others_have_taken_over_stay(done):
    done.write_config(name="other")
    assert done.run().exit == 0
    told = done.discover("delete", "tiny", "--yes", "--measurements")
    assert told.exit == 2
    assert "other campaigns have taken values over (other 12)" in told.message
    assert done.discover("delete", "other", "--yes").exit == 0
    assert done.discover("delete", "tiny", "--yes", "--measurements").exit == 0


def test_a_deletion_that_was_broken_off_is_finished_by_the_same_command(done, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.deleting.shutil.rmtree", crash)
        assert done.discover("delete", "tiny", "--yes").exit == 130
    assert (done.home / "campaigns" / "tiny").exists()
    assert done.discover("delete", "tiny", "--yes").exit == 0
    assert not (done.home / "campaigns" / "tiny").exists()
    before = len(done.calls())
    assert done.run().exit == 0
    assert len(done.calls()) == before


def test_a_link_in_the_place_of_its_folder_leads_to_nothing_that_goes(done, tmp_path):
    folder = done.home / "campaigns" / "tiny"
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert done.discover("delete", "tiny", "--yes").exit == 0
    assert not folder.is_symlink()
    assert (elsewhere / "report" / "candidates.html").is_file()


def test_where_mlflow_cannot_be_reached_the_campaign_goes_and_that_is_said(done, monkeypatch):
    def unreachable(*_):
        raise ConnectionError("nobody there")

    monkeypatch.setattr("tasks.unpublishing.Tracker", unreachable)
    told = done.discover("delete", "tiny", "--yes")
    assert told.exit == 0
    assert (
        "Runs in MLflow could not be marked deleted (ConnectionError: nobody there); they stay there." in told.message
    )
    assert done.discover("status", "tiny").exit == 2


def test_the_row_of_a_campaign_that_bought_nothing_goes_too(done):
    assert done.discover("delete", "tiny", "--yes", "--measurements").exit == 0
    with sqlite3.connect(done.home / "ledger.db") as connection:
        assert connection.execute("SELECT COUNT(*) FROM campaigns").fetchone() == (0,)
    connection.close()


def test_answers_that_the_ledger_had_not_taken_are_in_the_export_and_kept_by_a_deletion(bench, ledger, tmp_path):
    campaign, book = waiting(bench, ledger)
    given = (campaign.name, campaign.generation, campaign.created_at, book.identity, book.oracle)
    kept = KeptAnswer(*given, "CCO", "CCO", 1.25, None, "", 0.1)
    file = bench.home / "undelivered" / "tiny-0123456789ab.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(asdict(kept)) + "\n")
    assert bench.discover("export", "tiny", "--out", str(tmp_path / "a.zip")).exit == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("tiny/undelivered/tiny-0123456789ab.jsonl") == file.read_bytes()
    told = bench.discover("delete", "tiny", "--yes")
    assert told.exit == 0, told.message
    assert "2 values" in told.message
    assert not file.exists()
    assert {row["object_id"]: row["value"] for row in measurements(ledger, book.identity)} == {"CCC": 3.0, "CCO": 1.25}


def test_the_row_that_a_deleted_campaign_leaves_has_no_name_that_anybody_may_give(done):
    """The folder of a new campaign of the name is not the deleted one's any more."""
    assert done.discover("delete", "tiny", "--yes").exit == 0
    assert done.run().exit == 0
    ledger = Workspace(done.home).ledger()
    with ledger.read() as connection:
        (buried,) = connection.execute(sa.text("SELECT name FROM campaigns WHERE state = 'deleted'")).scalars()
    ledger.close()
    for command in (
        ("delete", buried, "--yes"),
        ("candidates", buried),
        ("export", buried, "--out", str(done.folder / "x.zip")),
    ):
        told = done.discover(*command)
        assert told.exit == 2
        assert "no campaign" in told.message
    assert (done.home / "campaigns" / "tiny" / "report" / "candidates.html").is_file()
    assert done.discover("report", "tiny", "--out", str(done.folder / "out")).exit == 0
