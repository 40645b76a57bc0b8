"""The process in which an oracle of ours or of a plugin runs: `python -P -m tasks.oracles.worker PARENT`.

It is spoken to in JSON lines, as is the process in which a user's function runs (`models/oracles/function_worker.py`).

The first line on standard input is `{"oracle": config, "search_path": [folder, ...], "space": config}`; the answer is
`{"ready": true}` or `{"error": sentence}`. Each later line is a call, `{"call": n, "keys": [...], "objects": [...]}`;
it is answered by one line per object, in order: `{"call": n, "value": ..., "error": ..., "message": ..., "seconds":
...}`. Without a space the objects are molecules. The end of standard input ends the process. What the oracle prints
goes to standard error, where it is not taken for an answer.

The process is a child that must not outlive its parent: on Linux the kernel kills it when the parent dies.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter  # bound before a plugin can put another clock in its place
from typing import Any

from data.records import Measurement
from models.oracles.base import bound, failed, measured, measured_outputs
from models.oracles.function_answers import WrongAnswer, numbers_of
from models.oracles.function_worker import die_with_parent, send, take_streams
from models.registry import build
from models.spaces.base import BaseSpace
from models.spaces.usual import usual_space


def main(parent: int) -> int:
    """Serve calls of the process `parent` until standard input ends; return the exit code."""
    die_with_parent(parent)
    requests, answers = take_streams()
    start = requests.readline()
    if not start:
        return 0
    try:
        oracle, space = _start(json.loads(start))
    except BaseException as error:  # whatever a library raises on import is the answer, a call of sys.exit too
        send(answers, {"error": f"{type(error).__name__}: {error}"})
        return 1
    send(answers, {"ready": True})
    own = os.getpid()
    for line in requests:
        call = json.loads(line)
        for measurement in usable_measurements(oracle, call["objects"], call["keys"], space):
            if os.getpid() != own:  # the oracle forked, and this is the copy that came back
                os._exit(0)
            send(answers, {"call": call["call"], **answer_of(measurement)})
    return 0


def _start(request: Mapping[str, Any]) -> tuple[Any, BaseSpace[Any]]:
    sys.path[:0] = request["search_path"]
    space = build("space", request["space"]) if "space" in request else usual_space()
    oracle = bound(build("oracle", request["oracle"]), space)
    prepare = getattr(oracle, "prepare", None)
    if prepare is not None:
        prepare()
    return oracle, space


def usable_measurements(
    oracle: Any, objects: Sequence[str], keys: Sequence[str], space: BaseSpace[Any]
) -> Iterator[Measurement]:
    """Yield exactly one usable measurement per object, also from an oracle that does not keep its promise."""
    started = perf_counter()
    answers: Iterator[Measurement] | None = None
    for position, obj in enumerate(objects):
        try:
            if answers is None:  # lists of its own: one that it sorts is not the one that is gone through here
                answers = iter(oracle.evaluate(list(objects), keys=list(keys)))
            measurement = next(answers, None)
            checked = measurement if measurement is None else _checked(obj, measurement, started, space)
        except BaseException as error:  # a call of sys.exit is a failure of its objects, and not of all that follow
            message = f"{type(error).__name__}: {error}"
            yield from (failed(rest, "raised", message, started) for rest in objects[position:])
            return
        if checked is None:
            yield failed(obj, "wrong_answer", f"The oracle answered only {position} of {len(objects)}.", started)
        else:
            yield checked


def _checked(obj: str, measurement: Any, started: float, space: BaseSpace[Any]) -> Measurement:
    """Return what an oracle yielded for an object, or the failure that it is no measurement of this object."""
    if not isinstance(measurement, Measurement):
        told = f"The oracle yielded a {type(measurement).__name__}; expected a Measurement for each object, in order."
        return failed(obj, "wrong_answer", told, started)
    if measurement.object != obj and space.named(measurement.object) != space.named(obj):
        told = (
            f"The oracle answered for {measurement.object!r} where {obj!r} was asked; expected a Measurement for "
            "each object, in the order of the list that it was given."
        )
        return failed(obj, "wrong_answer", told, started)
    seconds = float(measurement.seconds)
    if measurement.outputs is not None:
        (outputs,) = numbers_of([dict(measurement.outputs)], [obj], [""], outputs=tuple(measurement.outputs))
        if isinstance(outputs, dict):
            return replace(measured_outputs(obj, outputs, started), seconds=seconds)
        return failed(obj, "wrong_answer", f"The oracle answered {outputs or 'no value'}", started)
    if measurement.value is None:
        return Measurement(obj, None, str(measurement.error), str(measurement.message), seconds)
    (value,) = numbers_of([measurement.value], [obj], [""])
    if isinstance(value, WrongAnswer | dict) or value is None:
        return failed(obj, "wrong_answer", f"The oracle answered {value or 'no value'}", started)
    found = measured(obj, value, started)
    return found if found.error else Measurement(obj, value, seconds=seconds)


def answer_of(measurement: Measurement) -> dict[str, Any]:
    """Return a measurement as processes tell it: all but its object, JSON-able."""
    return {
        "value": measurement.value,
        **({} if measurement.outputs is None else {"outputs": dict(measurement.outputs)}),
        "error": measurement.error,
        "message": measurement.message,
        "seconds": measurement.seconds,
    }


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1])))
