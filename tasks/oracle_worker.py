"""The process in which an oracle runs: `python -P -m tasks.oracle_worker PARENT`, spoken to in JSON lines.

The first line on standard input is `{"oracle": config, "search_path": [folder, ...]}`; the answer is `{"ready": true}`
or `{"error": sentence}`. Each later line is a call, `{"call": n, "keys": [...], "molecules": [...]}`; it is answered
by one line per molecule, in order: `{"call": n, "value": ..., "error": ..., "message": ..., "seconds": ...}`. The end
of standard input ends the process. What the oracle prints goes to standard error, where it is not taken for an answer.

The process is a child that must not outlive its parent: on Linux the kernel kills it when the parent dies.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from data.records import Measurement
from models.oracles.base import failed, measured
from models.registry import build

_PR_SET_PDEATHSIG = 1


def main(parent: int) -> int:
    """Serve calls of the process `parent` until standard input ends; return the exit code."""
    die_with_parent(parent)
    requests, answers = _take_streams()
    start = requests.readline()
    if not start:
        return 0
    try:
        oracle = _start(json.loads(start))
    except Exception as error:  # whatever the user's module raises on import is the answer
        _send(answers, {"error": f"{type(error).__name__}: {error}"})
        return 1
    _send(answers, {"ready": True})
    for line in requests:
        call = json.loads(line)
        for measurement in usable_measurements(oracle, call["molecules"], call["keys"]):
            _send(answers, {"call": call["call"], **_answer(measurement)})
    return 0


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere the end of input must do)."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the request was made.
    if os.getppid() != parent:
        raise SystemExit(1)


def _take_streams() -> tuple[TextIO, TextIO]:
    """Move the protocol to descriptors of its own, so that a user's `print` and `input` cannot reach it."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _start(request: Mapping[str, Any]) -> Any:
    sys.path[:0] = request["search_path"]
    oracle = build("oracle", request["oracle"])
    prepare = getattr(oracle, "prepare", None)
    if prepare is not None:
        prepare()
    return oracle


def usable_measurements(oracle: Any, molecules: Sequence[str], keys: Sequence[str]) -> Iterator[Measurement]:
    """Yield exactly one usable measurement per molecule, also from an oracle that does not keep its promise."""
    started = time.perf_counter()
    answers = oracle.evaluate(molecules, keys=keys)
    for position, smiles in enumerate(molecules):
        try:
            measurement = next(answers, None)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            yield from (failed(rest, "raised", message, started) for rest in molecules[position:])
            return
        if measurement is None:
            yield failed(smiles, "wrong_answer", f"The oracle answered only {position} of {len(molecules)}.", started)
        elif measurement.value is not None and not math.isfinite(measurement.value):
            yield measured(smiles, measurement.value, started)
        else:
            yield measurement


def _answer(measurement: Measurement) -> dict[str, Any]:
    return {
        "value": measurement.value,
        "error": measurement.error,
        "message": measurement.message,
        "seconds": measurement.seconds,
    }


def _send(answers: TextIO, message: Mapping[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1])))
