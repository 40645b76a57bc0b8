"""A ledger of the first discovery-flows, brought up to date."""

import json
import os
import platform
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import psutil
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from data.config import parse_config
from data.ledger.book import OracleBook
from data.ledger.campaigns import LedgerError
from data.ledger.ledger import Ledger
from data.objects import handle
from models.registry import build
from tests.conftest import Bench, use

NOW = datetime.now(UTC).isoformat(timespec="milliseconds")
XTB = {"kind": "xtb", "property": "dipole"}
MINE = {"kind": "python", "function": "my_oracle:measure"}


def upgrade(connection, revision):
    """Bring tables to a revision, as the program of that revision had them."""
    config = Config()
    config.set_main_option("script_location", "data:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def content(connection):
    """Return all that a ledger holds: table -> its rows, as mappings."""
    tables = ("campaigns", "oracle_calls", "candidates", "stages", "locks")
    rows = {
        table: connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY 1, 2, 3")).mappings() for table in tables
    }
    return {table: [dict(row) for row in found] for table, found in rows.items()}


def with_objects(held):
    """Return the same as the tables have it today: columns under their names of now, new ones empty."""
    names = {"smiles": "object", "fidelity": "part"}
    new = {"oracle_calls": {"outputs": None, "entered": None, "told_by": None}, "candidates": {"predicted": None}}
    return {
        table: [{names.get(k, k): v for k, v in row.items()} | new.get(table, {}) for row in rows]
        for table, rows in held.items()
    }


@pytest.fixture
def old(tmp_path):
    """Makes the file of a ledger of revision 0001: campaigns by name -> (oracle, folder, calls)."""

    def make(**campaigns):
        path = tmp_path / "ledger.db"
        engine = sa.create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            upgrade(connection, "0001")
            for number, (name, (oracle, folder, calls)) in enumerate(campaigns.items(), start=1):
                stored = parse_config({"name": name, "objectives": [{"name": "p", "oracle": oracle}]}).to_json()
                connection.execute(
                    sa.text("INSERT INTO campaigns VALUES (:i, :n, 1, :c, 'x', :b, 'done', '', 0, :t)"),
                    {"i": number, "n": name, "c": json.dumps(stored), "b": str(folder), "t": NOW},
                )
                for position, (key, smiles, origin, value) in enumerate(calls):
                    row = {"i": number, "k": key, "s": smiles, "p": position}
                    connection.execute(
                        sa.text(
                            "INSERT INTO candidates (campaign_id, round, position, object_id, smiles, arm, source) "
                            "VALUES (:i, 0, :p, :k, :s, 'initial', 'csv')"
                        ),
                        row,
                    )
                    connection.execute(
                        sa.text(
                            "INSERT INTO oracle_calls (campaign_id, round, oracle, version, object_id, fidelity, replicate, "
                            "smiles, origin, state, attempts, cost, value, message, seconds, reserved_at) VALUES "
                            "(:i, 0, :o, :v, :k, '', 0, :s, :origin, 'done', 1, :cost, :value, '', 0, :t)"
                        ),
                        {
                            **row,
                            "o": f"{oracle['kind']}:x",
                            "v": build("oracle", oracle).version if oracle["kind"] == "xtb" else "m@1",
                            "origin": origin,
                            "cost": float(origin == "called"),
                            "value": value,
                            "t": NOW,
                        },
                    )
        engine.dispose()
        return path

    return make


PYRIDINOL, PYRIDONE = "Oc1ccccn1", "O=c1cccc[nH]1"
TAUTOMERS = {
    "first": (XTB, "/gone", [("K", PYRIDINOL, "called", 2.28), ("E", "CCO", "called", 1.0)]),
    "second": (XTB, "/gone", [("K", PYRIDONE, "reused", 2.28), ("E", "CCO", "reused", 1.0)]),
}
"""One InChIKey `K` for two tautomers: the second campaign took over the value of the other one."""


def test_rows_spend_and_values_come_out_whole_and_objects_are_named_by_their_text(old):
    ledger = Ledger.at(old(**TAUTOMERS))
    rows = ledger.candidates(1)
    assert [(row.id, row.object, row.value) for row in rows] == [
        (handle(PYRIDINOL), PYRIDINOL, 2.28),
        (handle("CCO"), "CCO", 1.0),
    ]
    assert [(ledger.spent(n).calls, ledger.spent(n).cost) for n in (1, 2)] == [(2, 2.0), (2, 0.0)]
    with ledger.read() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert connection.exec_driver_sql("PRAGMA quick_check").scalar() == "ok"
    ledger.close()


def test_every_row_of_the_last_revision_is_kept_as_it_is_under_the_new_name(old):
    path = old(**TAUTOMERS)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade(connection, "0004")
        before = content(connection)
    engine.dispose()
    assert "smiles" in before["candidates"][0]
    ledger = Ledger.at(path)
    with ledger.read() as connection:
        assert content(connection) == with_objects(before)
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert connection.exec_driver_sql("PRAGMA quick_check").scalar() == "ok"
    ledger.check()
    ledger.close()
    with closing(sqlite3.connect(f"{path}.0004")) as copy:
        assert copy.execute("SELECT smiles FROM candidates ORDER BY id").fetchall() == [
            (row["smiles"],) for row in before["candidates"]
        ]


def test_a_value_of_a_tautomer_is_counted_marked_and_not_taken_over_again(old, tmp_path):
    ledger = Ledger.at(old(**TAUTOMERS))
    assert ledger.uncertain() == {"second": 1}
    messages = {row.object: row.message for row in ledger.candidates(2)}
    assert "not certainly" in messages[PYRIDONE]
    assert messages["CCO"] == ""
    third = ledger.begin_campaign(
        parse_config({"name": "third", "objectives": [{"name": "p", "oracle": XTB}]}), tmp_path
    )
    oracle = build("oracle", XTB)
    book = OracleBook(ledger, third.id, "xtb", oracle.version, oracle.identity())
    book.reserve(0, [(handle(s), s) for s in (PYRIDINOL, PYRIDONE, "CCO")], cost=1.0)
    assert {row["object"]: row["value"] for row in book.rows()} == {PYRIDINOL: 2.28, PYRIDONE: None, "CCO": 1.0}
    ledger.close()


def test_values_of_a_program_whose_content_nobody_knows_are_never_taken_over(old, tmp_path):
    calls = [("A", "CCO", "called", 1.0)]
    ledger = Ledger.at(old(first=(MINE, tmp_path, calls), second=(MINE, "/other", [("A", "CCO", "reused", 1.0)])))
    assert ledger.uncertain() == {"second": 1}
    with ledger.read() as connection:
        identities = connection.execute(sa.text("SELECT identity FROM oracle_calls ORDER BY id")).scalars().all()
    assert all(identity.startswith("legacy:") and len(identity) == 64 for identity in identities)
    assert len(set(identities)) == 2
    ledger.close()


def test_the_file_is_copied_before(old):
    path = old(**TAUTOMERS)
    Ledger.at(path).close()
    with closing(sqlite3.connect(f"{path}.0001")) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        assert copy.execute(
            "SELECT object_id, value FROM oracle_calls WHERE campaign_id = 2 ORDER BY 1"
        ).fetchall() == [
            ("E", 1.0),
            ("K", 2.28),
        ]
    Ledger.at(path).close()
    assert sorted(file.name for file in path.parent.glob("ledger.db.*")) == ["ledger.db.0001"]


def test_an_earlier_copy_is_never_overwritten(old):
    path = old(**TAUTOMERS)
    path.with_name("ledger.db.0001").write_text("precious")
    Ledger.at(path).close()
    assert path.with_name("ledger.db.0001").read_text() == "precious"
    assert path.with_name("ledger.db.0001-2").stat().st_size > 1000


@pytest.mark.parametrize("owner", ["living", "dead"])
def test_a_ledger_that_somebody_works_with_is_not_migrated(old, owner):
    path = old(**TAUTOMERS)
    pid = os.getpid() if owner == "living" else 2**22 + 1
    heartbeat = datetime.now(UTC).isoformat()  # `NOW` is as old as the whole run of the tests
    lock = (1, platform.node(), pid, psutil.Process().create_time(), heartbeat)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO locks (campaign_id, host, pid, started, heartbeat) VALUES (?, ?, ?, ?, ?)", lock
        )
        connection.commit()
    if owner == "living":
        with pytest.raises(LedgerError, match=r"first.*being run"):
            Ledger.at(path)
        assert list(path.parent.glob("ledger.db.0*")) == []
    else:
        Ledger.at(path).close()


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(old):
    path = old(**TAUTOMERS)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE campaigns SET config = 'no JSON'")
        connection.commit()
    with pytest.raises(LedgerError, match="Expecting value"):
        Ledger.at(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        assert connection.execute("SELECT count(*) FROM oracle_calls WHERE object_id = 'K'").fetchall() == [(2,)]


def test_status_says_that_it_does_not_migrate_and_doctor_does_and_counts(old, tmp_path, tracking, monkeypatch):
    path = old(**TAUTOMERS)
    bench = Bench(tmp_path)
    use(bench, tracking, monkeypatch)
    bench.home.mkdir()
    shutil.move(path, bench.home / "ledger.db")
    before = (bench.home / "ledger.db").read_bytes()
    for arguments in (["status"], ["status", "first"]):
        told = bench.discover(*arguments)
        assert told.exit == 2
        assert "earlier discovery-flows" in told.message
        assert "changes nothing" in told.message
    assert (bench.home / "ledger.db").read_bytes() == before
    told = bench.discover("doctor")
    assert "1 reused values" in told.message
    assert "1 in campaign second" in told.message
    assert bench.discover("status").exit == 0
