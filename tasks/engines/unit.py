"""A unit of work as a worker elsewhere does it: the oracle is asked about a few objects, in a process of its own there.

Text goes in and text comes out. `{"version", "folder", "campaign", "identity", "oracle", "space", "lasting", "jobs"}`
is answered by `{"answers": {key: answer}, "refused": sentence or null, "begun": bool}`. A worker measures nothing with
an oracle of another identity than the campaign has it in its ledger: another's value is no value. What it did not
answer was not asked, unless `begun` says that this is not certain.

The process that measures is that of `tasks.oracles`, so a hang, a crash or a print costs elsewhere what it costs here.
It waits for the next unit of the same round for some seconds, since starting one may take longer than the unit.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.config import digest
from data.records import Measurement
from data.version import version
from models.oracles.base import bound, parts_for_campaign
from models.registry import build, located
from models.spaces.base import BaseSpace
from tasks.oracles.lasting import dismiss
from tasks.oracles.pool import OraclePool, OracleStartError
from tasks.oracles.worker import answer_of

IDLE_SECONDS = 15.0
"""Seconds that a process waits for the next unit."""

_ends: dict[int, threading.Timer] = {}
"""What ends the waiting processes of a thread."""


class Refused(Exception):
    """This worker must not measure: a complete sentence."""


def measure(order: str) -> str:
    """Do a unit of work; JSON in, JSON out."""
    told = json.loads(order)
    answers: dict[str, Any] = {}
    refused, begun = None, False
    thread = threading.get_ident()
    if thread in _ends:
        _ends.pop(thread).cancel()
    try:
        space = build("space", told["space"])
        _refuse_other(told, space)
        answers = _measured(told, space)
        begun = True  # should the oracle have changed meanwhile, nobody knows which one answered
        _refuse_other(told, space)
    except Refused as refusal:
        answers, refused = {}, str(refusal)
    except _CannotStart as error:
        answers, refused, begun = error.answers, f"{_here()}: {error}", False
    except Exception as error:  # a library or a plugin is missing here
        answers, refused = {}, f"{_here()} cannot build the oracle. {type(error).__name__}: {error}"
    _ends[thread] = threading.Timer(IDLE_SECONDS, dismiss, [thread])
    _ends[thread].daemon = True
    _ends[thread].start()
    return json.dumps({"answers": answers, "refused": refused, "begun": begun})


def identity_of(spec: Mapping[str, Any], space: BaseSpace[Any], folder: Path, campaign: str) -> str:
    """Return the identity of an oracle as it is on this machine.

    Args:
        spec: as the campaign file has it.
        space: of the objects.
        folder: of the campaign file.
        campaign: name.
    """
    return digest(parts_for_campaign(bound(build("oracle", spec, base=folder), space), folder, campaign))


class _CannotStart(Exception):
    """The oracle cannot be loaded; `answers` are those that were there before."""

    def __init__(self, message: str, answers: dict[str, Any]) -> None:
        super().__init__(message)
        self.answers = answers


def _measured(told: Mapping[str, Any], space: BaseSpace[Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {}

    def on_result(key: str, measurement: Measurement) -> None:
        answers[key] = answer_of(measurement)

    folder = Path(told["folder"])
    try:
        with OraclePool(
            located("oracle", told["oracle"], folder), space, workers=1, search_path=[folder], lasting=told["lasting"]
        ) as pool:
            pool.run([(key, obj) for key, obj in told["jobs"]], lambda keys: None, on_result)
    except OracleStartError as error:
        raise _CannotStart(str(error), answers) from error
    return answers


def _refuse_other(told: Mapping[str, Any], space: BaseSpace[Any]) -> None:
    """Refuse to measure with anything but the oracle that the campaign asks.

    Raises:
        Refused: the program, the campaign's folder or the oracle is another one here.
    """
    if told["version"] != version():
        raise Refused(
            f"{_here()} has discovery-flows {version()}, the campaign {told['version']}. Install the same version "
            "there."
        )
    folder = Path(told["folder"])
    if not folder.is_dir():
        raise Refused(
            f"{_here()} has no folder {folder}, in which the campaign's oracle is. Keep it on a file system that the "
            "workers share, under the same path, or copy it there."
        )
    try:
        found = identity_of(told["oracle"], space, folder, told["campaign"])
    except ValueError as error:
        raise Refused(f"{_here()} does not have the campaign's oracle in {folder}. {error}") from error
    if found != told["identity"]:
        raise Refused(
            f"{_here()} has another oracle in {folder} than the campaign was begun with (identity {found[:12]}, "
            f"expected {told['identity'][:12]}): a file of it or a library that it imports is another. Nothing it "
            "says is taken. Give the worker the same files and the same versions."
        )


def _here() -> str:
    return f"The worker on {socket.gethostname()} (process {os.getpid()})"
