"""A view that stays: printed when it changes, in place where there is a terminal, until somebody interrupts it."""

import os
import pty
import re
import select
import signal
import sys
import time

import pytest

from pipelines import repeated_view
from pipelines.terminal import Terminal


def test_into_a_file_a_view_is_printed_when_it_changes_and_an_interruption_is_its_end(monkeypatch, capsys):
    monkeypatch.setattr(repeated_view, "WATCH_SECONDS", 0.0)
    states = iter(["waits", "waits", "runs", "runs"])

    def show(console):
        state = next(states, None)
        if state is None:
            raise KeyboardInterrupt
        console.records(["campaign", "state"], [["tiny", state]])

    assert repeated_view.watch(show, Terminal()) == 0
    told = capsys.readouterr().out
    assert re.findall("waits|runs", told) == ["waits", "runs"]


@pytest.mark.slow
def test_in_a_terminal_one_picture_takes_the_place_of_the_last(finished):
    pid, screen = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "pipelines", "status", "finished", "--watch"])
    read, until = b"", time.monotonic() + 60
    while read.count(b"Ctrl-C ends this view") < 3 and time.monotonic() < until:
        if select.select([screen], [], [], 0.2)[0]:
            read += os.read(screen, 65536)
    os.kill(pid, signal.SIGINT)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    first, *pictures = read.split(b"Ctrl-C ends this view, not the campaign.")
    assert b"done" in first
    assert b"lines do not fit into this window" in first  # of 24; the end of the picture, its findings, is there
    assert b"health" in first
    assert len(pictures) >= 3
    for picture in pictures[:2]:  # the lines of the one before are wiped first
        assert picture.count(b"\x1b[1A") >= first.count(b"\r\n") - 1
        assert picture.count(b"by source") <= 1
