"""Runs one command for the oracle `command` and takes it, and all it started, down with it.

Started as a script, `python -I -S supervisor.py LIFE STATUS COMMAND...`, as leader of a session of its own. LIFE is the
reading end of a pipe that its starter holds open: when it closes, because the starter is gone however it ended, the
whole group is killed. STATUS is the writing end of a pipe that gets the command's exit code, or `!` and why it cannot
be started; then the group is killed too, so that nothing stays behind in the background.

Uses the standard library only and imports little: it is started for every call.
"""

from __future__ import annotations

import os
import select
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing takes longer than everything else here
    from typing import NoReturn


def main(life: int, status: int, command: list[str]) -> NoReturn:
    """Run the command; does not return."""
    os.set_inheritable(life, False)
    os.set_inheritable(status, False)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    try:
        # Python ignores the first two, a shell in the background the others; the command must not inherit that.
        defaults = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT]
        child = os.posix_spawnp(command[0], command, os.environ, setsigdef=defaults)
    except OSError as error:
        _end(status, f"!{error.strerror or error}")
    while True:
        ready, _, _ = select.select([life, woken], [], [])
        if life in ready:
            os.killpg(0, signal.SIGKILL)
        os.read(woken, 512)
        ended, code = os.waitpid(child, os.WNOHANG)
        if ended == child:
            _end(status, str(os.waitstatus_to_exitcode(code)))


def _end(status: int, told: str) -> NoReturn:
    os.write(status, told.encode())
    os.killpg(0, signal.SIGKILL)
    raise SystemExit(1)  # not reached: this process is in the group


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
