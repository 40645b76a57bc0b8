"""The ledger on PostgreSQL: the same tables, any text, and a server that is restarted under it."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from data.config import parse_config
from data.ledger.book import OracleBook
from data.ledger.campaigns import CampaignState, LedgerError, StageRow
from data.ledger.deletion import delete, examine, forget
from data.ledger.engine import patience
from data.ledger.ledger import Ledger
from data.ledger.lock import CampaignLocked, campaign_lock, release_lock
from data.ledger.schema import metadata
from data.ledger.snapshot import copy_ledger
from data.ledger.telling import Told, ask, calls_of, tell
from data.records import Measurement
from tests.data.ledger.test_migration import content, upgrade, with_objects

MINIMAL = {"name": "x", "objectives": [{"name": "affinity", "oracle": {"kind": "xtb"}}]}
HOSTILE = "a\0b \ud800 " + "long " * 2000
LONG = "an oracle whose name and version nobody thought of " * 20


@pytest.fixture
def ledger(url):
    ledger = Ledger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def campaign(ledger, tmp_path):
    return ledger.begin_campaign(parse_config(MINIMAL), tmp_path)


def test_the_migrations_make_the_tables_that_the_code_expects(ledger):
    with ledger.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_ledger_of_the_last_revision_comes_out_whole(url):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, "0004")
        connection.execute(
            sa.text(
                "INSERT INTO campaigns (name, generation, config, identity, base, state, message, seconds, created_at, "
                "calls, cost) VALUES ('x', 1, '{}', 'i', '/', 'done', '', 0, 'now', 2, 3.0)"
            )
        )
        for place, (smiles, value) in enumerate((("CCO", 1.5), ("\u00e9 'quoted'", None))):
            given = {"p": place, "k": f"k{place}", "s": smiles, "v": value}
            connection.execute(
                sa.text(
                    "INSERT INTO candidates (campaign_id, round, position, object_id, smiles, arm, source) "
                    "VALUES (1, 0, :p, :k, :s, 'initial', 'csv')"
                ),
                given,
            )
            connection.execute(
                sa.text(
                    "INSERT INTO oracle_calls (campaign_id, round, oracle, version, identity, object_id, fidelity, "
                    "replicate, smiles, origin, state, attempts, cost, value, message, seconds, reserved_at) VALUES "
                    "(1, 0, 'o', '1', 'i', :k, '', 0, :s, 'called', 'done', 1, 1.5, :v, '', 0, 'now')"
                ),
                given,
            )
        before = content(connection)
    engine.dispose()
    ledger = Ledger(url)
    with ledger.read() as connection:
        assert content(connection) == with_objects(before)
        names = {index["name"] for index in sa.inspect(connection).get_indexes("oracle_calls")}
        keys = sa.inspect(connection).get_foreign_keys("oracle_calls")
    assert {"oracle_calls_of_object", "oracle_calls_by_value"} <= names
    assert [key["referred_table"] for key in keys] == ["campaigns"]
    assert (ledger.spent(1).calls, ledger.spent(1).cost) == (2, 3.0)
    ledger.close()


def test_a_call_lives_from_booking_to_answer(ledger, campaign):
    book = OracleBook(ledger, campaign.id, "o", "1")
    row = {"object_id": "A", "object": "C", "arm": "initial", "source": "zinc250k"}
    ledger.add_candidates(campaign.id, 0, [row])
    assert book.reserve(0, [("A", "C"), ("B", "CC")], cost=1.0, max_calls=1) == 1
    book.submit(["A"])
    book.complete("A", Measurement("C", 1.5))
    assert [(row.id, row.state, row.value) for row in ledger.candidates(campaign.id)] == [("A", "done", 1.5)]
    assert ledger.spent(campaign.id).calls == 1


def test_an_answer_is_kept_whatever_its_text_and_its_oracle_s_name(ledger, campaign):
    book = OracleBook(ledger, campaign.id, LONG, LONG)
    book.reserve(0, [("A", "C"), ("B", "CC"), ("C", "CCC")], cost=1.0)
    book.submit(["A", "B", "C"])
    book.complete("A", Measurement("C", 1.5, message=HOSTILE))
    book.complete(
        "B", Measurement("CC", None, error="a class of failure with a very long name, of some plugin", message=HOSTILE)
    )
    book.doubt("C", HOSTILE)
    ledger.set_state(campaign.id, CampaignState.FAILED, HOSTILE)
    assert [row["state"] for row in book.rows()] == ["done", "failed", "in_doubt"]
    assert all(row["message"].startswith("a\ufffdb ? long") and len(row["message"]) == 2000 for row in book.rows())
    assert ledger.campaign("x").message.startswith("a\ufffdb")


def test_a_candidate_s_source_may_have_any_length(ledger, campaign):
    ledger.add_candidates(campaign.id, 0, [{"object_id": "A", "object": "C", "arm": "initial", "source": LONG}])
    assert ledger.candidates(campaign.id)[0].source == LONG


def test_one_process_holds_a_campaign_at_a_time(ledger, campaign):
    again = campaign_lock(ledger, campaign)
    with campaign_lock(ledger, campaign), pytest.raises(CampaignLocked), again:
        pass
    release_lock(ledger, campaign)


def test_a_restart_between_two_transactions_loses_nothing(ledger, campaign, cluster):
    book = OracleBook(ledger, campaign.id, "o", "1")
    book.reserve(0, [("A", "C")], cost=1.0)
    cluster.stop()
    cluster.start()
    book.submit(["A"])
    cluster.stop("immediate")  # as a crash
    cluster.start()
    book.complete("A", Measurement("C", 1.5))
    assert [(row["state"], row["value"], row["attempts"]) for row in book.rows()] == [("done", 1.5, 1)]


def test_an_answer_waits_while_the_server_is_away(ledger, campaign, cluster, capsys):
    book = OracleBook(ledger, campaign.id, "o", "1")
    book.reserve(0, [("A", "C")], cost=1.0)
    book.submit(["A"])
    cluster.stop()
    back = threading.Timer(1.5, cluster.start)
    back.start()
    book.complete("A", Measurement("C", 1.5))
    back.join()
    assert "does not answer" in capsys.readouterr().err
    assert [(row["state"], row["value"]) for row in book.rows()] == [("done", 1.5)]


@pytest.mark.parametrize("taken", [True, False])
def test_a_connection_that_breaks_in_a_commit_counts_a_call_once(ledger, campaign, monkeypatch, taken):
    """Nobody can know then whether the database took it: both must end alike."""
    book = OracleBook(ledger, campaign.id, "o", "1")
    broken = iter([True])

    def break_once(connection):
        if next(broken, False):
            if taken:
                connection.connection.dbapi_connection.commit()
            with sa.create_engine(ledger.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as other:
                pid = connection.connection.dbapi_connection.info.backend_pid
                other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)")
            connection.exec_driver_sql("SELECT 1")

    sa.event.listen(ledger.engine, "commit", break_once)
    book.reserve(0, [("A", "C"), ("B", "CC")], cost=1.0)
    assert ledger.spent(campaign.id).calls == 2
    broken = iter([True])
    book.submit(["A"])
    broken = iter([True])
    book.complete("A", Measurement("C", 1.5))
    broken = iter([True])
    ledger.finish_stage(campaign.id, StageRow(1, "measure", "k", "u", "s", {}, 1.0))
    assert [(row["state"], row["attempts"]) for row in book.rows()] == [("done", 1), ("reserved", 0)]
    assert len(ledger.stages(campaign.id)) == 1


def test_a_ledger_that_nobody_holds_any_more_leaves_no_connection_on_the_server(url):
    """Commands end without closing theirs; psycopg's warning of that is an error here."""
    Ledger(url).campaigns()
    gc.collect()
    watching = sa.create_engine(url, poolclass=sa.NullPool)
    with watching.connect() as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        assert connection.exec_driver_sql(count).scalar() == 1  # the one that asks


def test_a_server_that_never_answered_is_named_at_once(tmp_path):
    with pytest.raises(LedgerError, match=r"nobody:\*\*\*@.*cannot be opened.*DISCOVER_LEDGER"):
        Ledger(f"postgresql+psycopg://nobody:secret@/none?host={tmp_path}")


@pytest.fixture
def with_password(cluster):
    """Address, without a driver and a password, of a database whose user is asked for one."""
    engine = sa.create_engine(cluster.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE anna LOGIN PASSWORD 'a secret'")
        connection.exec_driver_sql("CREATE DATABASE guarded OWNER anna")
        settings = Path(str(connection.exec_driver_sql("SHOW hba_file").scalar()))
        before = settings.read_text()
        settings.write_text(f"local guarded anna scram-sha-256\n{before}")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        yield f"postgresql://anna@/guarded?host={cluster.folder}"
        settings.write_text(before)
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        connection.exec_driver_sql("DROP DATABASE guarded")
        connection.exec_driver_sql("DROP ROLE anna")
    engine.dispose()


def test_a_password_is_given_by_the_environment_or_by_a_file_of_ones_own(with_password, tmp_path, monkeypatch):
    with pytest.raises(LedgerError, match=r"PGPASSWORD, or by a line HOST:PORT:DATABASE:USER:PASSWORD in ~/.pgpass"):
        Ledger(with_password)
    monkeypatch.setenv("PGPASSWORD", "a secret")
    assert Ledger(with_password).campaigns() == []
    monkeypatch.delenv("PGPASSWORD")
    passwords = tmp_path / "pgpass"
    passwords.write_text("*:*:guarded:anna:a secret\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    assert Ledger(with_password).campaigns() == []


def test_who_waits_for_an_answer_is_told_sooner_that_the_server_is_away(ledger, campaign, cluster):
    cluster.stop()
    try:
        with patience(0.3), pytest.raises(LedgerError, match=r"waited for during 0 s"):
            ledger.campaigns()
    finally:
        cluster.start()
    assert [one.name for one in ledger.campaigns()] == [campaign.name]


def test_what_a_deleted_campaign_bought_is_taken_over(ledger, campaign, tmp_path):
    book = OracleBook(ledger, campaign.id, "o", "1")
    ledger.add_candidates(campaign.id, 0, [{"object_id": "k", "object": "CCO", "arm": "initial", "source": "g"}])
    book.reserve(0, [("k", "CCO"), ("l", "CCN")], cost=2.0)
    book.submit(["k"])
    book.complete("k", Measurement("CCO", 1.5))
    found = examine(ledger, "x", measurements=False)
    assert (found.bought, found.others, found.candidates) == (1, {"reserved": 1}, 1)
    delete(ledger, "x", expected=found, measurements=False)
    forget(ledger, found.ids)
    assert ledger.campaigns() == []
    again = ledger.begin_campaign(parse_config(MINIMAL), tmp_path)
    assert (again.generation, again.slug) == (1, "x")
    theirs = OracleBook(ledger, again.id, "o", "1")
    theirs.reserve(0, [("k", "CCO"), ("l", "CCN")], cost=2.0)
    assert [(row["origin"], row["value"]) for row in theirs.rows()] == [("reused", 1.5), ("called", None)]
    ledger.check()
    everything = examine(ledger, "x", measurements=True)
    delete(ledger, "x", expected=everything, measurements=True)
    forget(ledger, everything.ids)
    with ledger.read() as connection:
        for table in metadata.tables.values():
            assert not connection.execute(sa.select(table)).all(), table.name


def test_of_robots_that_tell_different_answers_at_once_one_is_taken_and_all_others_are_refused(url, ledger, campaign):
    objects = [(f"K{number}", "C" * (number + 1)) for number in range(6)]
    book = OracleBook(ledger, campaign.id, "o", "1")
    book.reserve(0, objects, cost=1.0)
    ask(book, 0)
    seen = {call["object_id"]: call for call in calls_of(ledger, campaign.id)}
    robots = [OracleBook(Ledger(url), campaign.id, "o", "1") for _ in range(6)]
    together = threading.Barrier(len(robots))

    def told(robot: int, key: str, obj: str) -> str:
        """Tell an answer as a robot; returns why it was refused."""
        answer = Told(robots[robot].part, key, obj, 0, {"": float(robot)}, seen=seen[key])
        together.wait(30)
        try:
            tell({answer.part: robots[robot]}, [answer], round=0, by=f"robot {robot}")
        except LedgerError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(robots)) as pool:
        for key, obj in objects:
            refusals = list(pool.map(lambda robot, key=key, obj=obj: told(robot, key, obj), range(len(robots))))
            value = next(row["value"] for row in book.rows() if row["object_id"] == key)
            assert [robot for robot, refusal in enumerate(refusals) if not refusal] == [int(value)]
            assert all("meanwhile" in refusal for refusal in refusals if refusal)
    for one in robots:
        one.ledger.close()


def test_while_one_writes_others_read_and_a_backup_is_made(ledger, campaign, tmp_path):
    with ledger.write():
        assert ledger.campaign("x").id == campaign.id
        copy_ledger(ledger, tmp_path / "copy.db")
