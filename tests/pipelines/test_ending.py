"""Which signals end a command."""

import os
import signal

import pytest

from pipelines.running import terminating


@pytest.fixture
def dispositions():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_command_that_nohup_started_outlives_its_terminal(dispositions):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with terminating():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_ends_like_by_ctrl_c(dispositions, number):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt), terminating():
        os.kill(os.getpid(), number)
