"""Runs campaigns in processes forked from one that has imported everything, and kills them at chosen moments.

`python arena.py` reads one JSON command a line and answers with one: {"home", "config", "call_log", "kill"} ->
{"signal", "exit", "moments"}. A moment is a commit of the ledger or a file renamed into place, by the main thread; `kill`
= n dies at the n-th of its process. Forking from a warm process makes a run as cheap as the work in it.
"""

import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(command: dict[str, Any], report: int) -> None:
    """Run the campaign of a command in this process; never returns to the caller's loop."""
    import data.ledger.ledger
    from pipelines.campaign import run_campaign

    os.environ.update(DISCOVER_HOME=command["home"], CALL_LOG=command["call_log"], DISCOVER_WORKERS="1")
    os.environ.update(command.get("environment", {}))
    moments: list[str] = []

    def moment(what: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        moments.append(what)
        if command.get("kill") == len(moments) or command.get("kill_at") == what:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(data.ledger.ledger.Ledger, moment)
    try:
        state = run_campaign(Path(command["config"]), tuple(command.get("set", ()))).state
        answer = {"state": str(state), "moments": moments}
    except BaseException:
        answer = {"error": traceback.format_exc(), "moments": moments}
    os.write(report, json.dumps(answer).encode())
    os._exit(0)


def watch(ledger: Any, moment: Callable[[str], None]) -> None:
    """Have `moment` called before and after each stage is recorded, and before each rename and oracle row."""
    from data.ledger.book import OracleBook

    replace, finish, complete, submit = os.replace, ledger.finish_stage, OracleBook.complete, OracleBook.submit

    def replaced(source: Any, target: Any) -> None:
        moment(f"rename {Path(target).name}")
        replace(source, target)

    def finished(self: Any, campaign_id: int, row: Any) -> None:
        moment(f"before {row.round}/{row.name}")
        finish(self, campaign_id, row)
        moment(f"after {row.round}/{row.name}")

    def completed(self: Any, object_id: str, measurement: Any) -> None:
        complete(self, object_id, measurement)
        moment(f"answered {object_id}")

    def submitted(self: Any, object_ids: Any) -> None:
        moment(f"reserved {object_ids[0]}")
        submit(self, object_ids)

    os.replace, ledger.finish_stage = replaced, finished  # type: ignore[assignment]
    OracleBook.complete, OracleBook.submit = completed, submitted  # type: ignore[method-assign]


def warm_up() -> None:
    """Import and load what every campaign needs, so that the forked runs find it there."""
    for module in (
        "mlflow.store.model_registry.sqlalchemy_store",
        "mlflow.store.tracking.sqlalchemy_store",
        "pipelines.campaign",
    ):
        importlib.import_module(module)
    import tasks.reporting.report
    from data.chemistry.accessibility import synthetic_accessibility
    from data.chemistry.vocabulary import default_vocabulary
    from models.registry import GROUPS, kinds
    from pipelines.validation import checked_config

    for group in GROUPS:
        kinds(group)
    default_vocabulary()
    checked_config(Path(__file__).with_name("campaign.yaml"))  # makes the space of its generator, once for all
    synthetic_accessibility("CCO")
    tasks.reporting.report.round_figures = lambda *_: {}  # half of the time; what is drawn has tests of its own


def serve() -> None:
    """Import everything once, then fork a child per command."""
    from tasks.workspace import quiet_environment

    quiet_environment()
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    warm_up()
    for line in sys.stdin:
        command = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            run(command, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        answer = {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None}
        print(json.dumps(answer | (json.loads(told) if told else {})), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    serve()
