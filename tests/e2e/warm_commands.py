"""Runs `discover` in processes forked from one that has imported everything: many commands at once, each at no start.

One JSON line in, `{"arguments", "environment", "log"}`; one line out, `{"pid"}`. The command writes what it prints to the
log and, when it ends by itself, its exit code to `log.exit`.
"""

import json
import os
import signal
import sys
from pathlib import Path


def command(order: dict[str, object]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = str(order["log"])
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(order["environment"])
    from pipelines.cli import guarded

    code = 70
    try:
        code = guarded(order["arguments"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        partial = Path(f"{log}.partial")
        partial.write_text(str(code))
        partial.rename(f"{log}.exit")
        os._exit(code)


def main() -> None:
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    import pipelines.campaign  # noqa: F401
    from models.registry import GROUPS, kinds

    for group in GROUPS:
        kinds(group)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            command(json.loads(line))
        answers.write(json.dumps({"pid": child}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
