"""The mark of a process in views: who is provably dead, and who may live."""

import subprocess
import sys

import pytest

from data.ledger.processes import ProcessIdentity, is_dead_by_mark

PRINT = "from data.ledger.processes import ProcessIdentity; print(ProcessIdentity.of_this_process().mark())"


def test_a_process_that_ended_is_dead_by_its_mark_and_one_that_runs_is_not():
    ended = subprocess.run([sys.executable, "-c", PRINT], capture_output=True, text=True, check=True).stdout.strip()
    assert is_dead_by_mark(ended)
    assert not is_dead_by_mark(ProcessIdentity.of_this_process().mark())


def test_a_pid_that_was_given_out_again_is_another_process():
    pid, started = ProcessIdentity.of_this_process().mark().rsplit("/", 1)
    assert is_dead_by_mark(f"{pid}/{int(started) - 60}")


@pytest.mark.parametrize("mark", ["", "no mark", "999999@elsewhere/1/1", "x@y/z/w"])
def test_of_other_machines_and_of_what_is_no_mark_nothing_is_known(mark):
    assert not is_dead_by_mark(mark)
