"""Answers of an oracle that the ledger does not take: nothing that was received is lost, or bought again."""

import errno
import os
import shutil
import signal
import threading
import time
from contextlib import closing

import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from data.ledger.lock import release_lock
from tasks.oracles.undelivered import UndeliveredAnswers
from tasks.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HOLD = """

import subprocess, sys, time

HOLDER = '''
import sqlite3, sys, time
from pathlib import Path
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
Path(sys.argv[2]).touch()
while not Path(sys.argv[3]).exists():
    time.sleep(0.01)
'''

def busy(smiles):
    if calls() == 3:
        names = [str(LOG.parent / name) for name in ("home/ledger.db", "held", "free")]
        subprocess.Popen([sys.executable, "-c", HOLDER, *names], start_new_session=True)
        while not (LOG.parent / "held").exists():
            time.sleep(0.01)
    return value(smiles)
"""
"""In the third of eight calls another program takes the ledger for itself, until there is a file `free`."""


def logp(smiles):
    return Crippen.MolLogP(Chem.MolFromSmiles(smiles))


@pytest.fixture
def unsafe(bench, monkeypatch):
    """A campaign of eight calls, one at a time, of which none may be made twice."""
    monkeypatch.setattr("data.ledger.engine._BUSY_MILLISECONDS", 20)
    monkeypatch.setattr("data.ledger.engine.PATIENCE_SECONDS", 2.0)
    bench.config["objectives"][0]["oracle"] |= {"semantics": "unsafe", "chunk": 1}
    bench.write_config(rounds=0)
    return bench


@pytest.fixture
def held(unsafe):
    unsafe.write_oracle("busy(smiles)")
    with (unsafe.folder / "tiny_oracle.py").open("a") as file:
        file.write(HOLD)
    yield unsafe
    (unsafe.folder / "free").touch()


def kept(bench):
    return list((bench.home / "undelivered").glob("*.jsonl"))


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def interrupt_while_an_answer_waits(bench):
    wait_for(lambda: any(b"object_id" in file.read_bytes() for file in kept(bench)))
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("interrupted", [True, False])
def test_an_answer_that_a_busy_ledger_did_not_take_is_entered_by_the_next_run(held, monkeypatch, interrupted):
    if interrupted:
        watch = threading.Thread(target=interrupt_while_an_answer_waits, args=[held])
        watch.start()
    told = held.run()
    if interrupted:
        watch.join()
    assert told.exit == (130 if interrupted else 2), told.message
    (file,) = kept(held)
    assert f"1 answer of the oracle was not taken by the ledger and kept in {file}" in told.message
    assert file.stat().st_mode & 0o777 == 0o600
    (held.folder / "free").touch()
    asked = held.calls()
    assert len(asked) == 3

    monkeypatch.setattr("pipelines.doctor._oracle", lambda: "")
    assert f"1 of campaign tiny in {file}" in held.discover("doctor").message
    waiting = next(row["id"] for row in held.candidates() if row["smiles"] == asked[2])
    refused = held.discover("settle", "tiny", waiting, "--value", "7")
    assert refused.exit == 2
    assert str(file) in refused.message

    with closing(Workspace(held.home).ledger()) as ledger:  # the busy ledger kept the lock; its owner lives on
        release_lock(ledger, ledger.campaign("tiny"))
    told = held.run()
    assert told.exit == 0, told.message
    assert "1 answer of the oracle was kept by an earlier run" in told.message
    assert len(held.calls()) == len(set(held.calls())) == 8
    assert {row["smiles"]: row["value"] for row in held.candidates()} == {s: logp(s) for s in held.calls()}
    assert kept(held) == []


def test_a_ledger_that_is_free_again_takes_the_answer_and_nothing_is_kept(held):
    def free():
        wait_for(lambda: any(b"object_id" in file.read_bytes() for file in kept(held)))
        (held.folder / "free").touch()

    watch = threading.Thread(target=free)
    watch.start()
    told = held.run()
    watch.join()
    assert told.exit == 0, told.message
    assert len(held.calls()) == 8
    assert kept(held) == []


@pytest.fixture
def full(unsafe, monkeypatch):
    """A ledger that has no room for the answer to the third call, nor for anything after it."""
    broken = {"now": True}
    from data.ledger.book import OracleBook

    deliver = OracleBook.deliver

    def delivering(book, answers):
        if broken["now"] and len(unsafe.calls()) >= 3:
            with book.ledger.write() as connection:
                connection.exec_driver_sql("PRAGMA max_page_count = 1")
                connection.exec_driver_sql("CREATE TABLE filling AS SELECT randomblob(100000)")
        return deliver(book, answers)

    monkeypatch.setattr(OracleBook, "deliver", delivering)
    return unsafe, broken


def test_an_answer_that_a_full_disk_did_not_take_is_entered_by_the_next_run(full):
    bench, broken = full
    told = bench.run()
    assert told.exit == 2
    assert "the disk is full" in told.message
    assert len(kept(bench)) == 1
    broken["now"] = False
    told = bench.run()
    assert told.exit == 0, told.message
    assert len(bench.calls()) == len(set(bench.calls())) == 8


def test_an_answer_without_room_anywhere_is_printed_as_the_command_that_enters_it(full, monkeypatch):
    bench, broken = full
    monkeypatch.setattr(UndeliveredAnswers, "unkept", 0)
    pwrite = os.pwrite

    def no_room(descriptor, content, offset):
        if content.strip():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", no_room)
    told = bench.run()
    assert told.exit == 2
    assert "othing measured is lost" not in told.message
    (line,) = [line for line in told.err.splitlines() if line.startswith("discover settle")]
    (third,) = [row for row in bench.candidates() if row["smiles"] == bench.calls()[2]]
    assert line == f"discover settle tiny {third['id']} --value {logp(third['smiles'])!r}"
    broken["now"] = False
    monkeypatch.setattr(os, "pwrite", pwrite)
    assert bench.discover(*line.split()[1:]).exit == 0
    assert bench.run().exit == 0
    assert len(bench.calls()) == len(set(bench.calls())) == 8


def test_no_room_for_answers_is_found_before_a_call_is_made(unsafe):
    Workspace.open()
    (unsafe.home / "undelivered").touch()
    told = unsafe.run()
    assert told.exit == 2
    assert "undelivered" in told.message
    assert unsafe.calls() == []


def test_answers_for_another_ledger_and_damaged_lines_are_never_entered_and_never_removed(full):
    bench, broken = full
    assert bench.run().exit == 2
    broken["now"] = False
    (file,) = kept(bench)
    lines = [line for line in file.read_text().splitlines() if line]
    file.write_text("\n".join([*lines, '{"torn', ""]))
    other = file.with_name("tiny-other.jsonl")
    other.write_text(lines[0].replace('"begun": "', '"begun": "1'))
    told = bench.run()
    assert told.exit == 0, told.message
    assert kept(bench) == [other]
    assert file.with_suffix(".unreadable").read_text().endswith('{"torn\n')
    assert len(bench.calls()) == 8


def test_an_answer_kept_for_a_call_that_was_settled_meanwhile_changes_nothing(full):
    bench, broken = full
    assert bench.run().exit == 2
    broken["now"] = False
    (file,) = kept(bench)
    aside = bench.folder / file.name
    shutil.move(file, aside)
    (third,) = [row for row in bench.candidates() if row["smiles"] == bench.calls()[2]]
    assert bench.discover("settle", "tiny", third["id"], "--value", "0.25").exit == 0
    shutil.move(aside, file)
    assert bench.run().exit == 0
    (settled,) = [row for row in bench.candidates() if row["id"] == third["id"]]
    assert settled["value"] == 0.25
    assert kept(bench) == []
