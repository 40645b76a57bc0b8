"""Answers of an oracle that the ledger does not take: kept in memory, and in a file that the next run reads.

The file is made before the first call of a round, with room for the answers of all calls in flight, so that a disk that
fills up meanwhile takes them. One JSON line per answer; blank lines are room. It goes when the ledger has every answer.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from data.ledger.book import OracleBook
from data.ledger.campaigns import Campaign
from data.ledger.engine import LedgerUnavailable, clean_text, patiently
from data.ledger.ledger import Ledger
from data.records import LARGEST_VALUE, Measurement
from tasks.oracles.child import uninterrupted
from tasks.private_files import private_folder
from tasks.stages import CampaignContext
from tasks.workspace import Workspace, writing

_LONGEST_MESSAGE = 200
_LINE = 1024
"""Bytes that one answer takes at most, but for messages in rare alphabets."""
_LARGEST_ROOM = 2**18


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer in a file, with the call that it answers."""

    name: str
    generation: int
    begun: str
    """When the campaign was begun: another ledger may have one of the same name."""
    identity: str
    oracle: str
    object_id: str
    object: str
    value: float | None
    error: str | None
    message: str
    seconds: float
    outputs: dict[str, float | None] | None = None
    replicate: int = 0
    """Which repetition of the measurement, from 0."""

    @property
    def measurement(self) -> Measurement:
        """What the oracle answered."""
        return Measurement(self.object, self.value, self.error, self.message, self.seconds, self.outputs)

    def is_of(self, campaign: Campaign) -> bool:
        """Return whether a campaign of the ledger made the call."""
        mine = (self.name, self.generation, self.begun)
        return mine == (campaign.name, campaign.generation, campaign.created_at)


class UndeliveredAnswers:
    """Delivers a campaign's answers to the ledger, and keeps those that it does not take.

    A context manager around the calls. When it is left, answers that the ledger still refuses are in the file; those
    that had no room there either are printed on stderr, each with the command that enters it.

    Args:
        context: whose answers.
        book: takes them.
        in_flight: calls that may be under way at once.

    Raises:
        WorkspaceError: the file cannot be made; no call was made yet.
    """

    unkept = 0
    """Answers of this process that stand in no file: they were printed."""

    def __init__(self, context: CampaignContext, book: OracleBook, in_flight: int) -> None:
        self._campaign, self._book = context.campaign, book
        self._waiting: dict[str, Measurement] = {}
        self._taken: set[str] = set()
        self._kept: set[str] = set()
        self._refused = False
        self.file = folder_of(context.workspace) / f"{context.campaign.slug}-{uuid4().hex[:12]}.jsonl"
        with writing(self.file):
            private_folder(self.file.parent)
            self._descriptor = os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            self._end = 0
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # while this process lives, nobody else reads the file
            try:
                self._write(b"\n" * min(_LINE * in_flight, _LARGEST_ROOM))
                os.fsync(self._descriptor)
            except OSError:
                self._remove()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():
            if self._waiting:
                with suppress(Exception):  # what ended the block is what is told
                    self._enter()
            if not self._waiting:
                self._remove()
                return
            self._keep()
            os.close(self._descriptor)
            self._tell()

    def deliver(self, key: str, measurement: Measurement) -> None:
        """Record an answer in the ledger, waiting for a while if it is busy; in the file before it is waited for.

        Raises:
            LedgerError: the ledger does not take it. It is kept, and tried again with the next one.
        """
        self._waiting[key] = measurement
        try:
            self._enter()
        except Exception as error:
            self._keep()
            known, self._refused = self._refused, True
            if known or not isinstance(error, LedgerUnavailable):  # once a ledger was waited for in vain is enough
                raise
            patiently(self._enter)
            self._refused = False

    def hold(self, key: str, measurement: Measurement) -> None:
        """Take an answer for when the block is left: what had arrived when it was interrupted."""
        if key not in self._taken:
            self._waiting[key] = measurement

    def _enter(self) -> None:
        self._book.deliver(self._waiting)
        self._taken |= self._waiting.keys()
        self._waiting.clear()

    def _keep(self) -> None:
        for key, measurement in self._waiting.items():
            if key in self._kept:
                continue
            with suppress(OSError), uninterrupted():  # an answer that is written is known to be
                self._write(_line(self._campaign, self._book, key, measurement))
                os.fsync(self._descriptor)
                self._kept.add(key)

    def _write(self, content: bytes) -> None:
        """Write behind the answers that are there, whole or not at all.

        Raises:
            OSError: there is no room.
        """
        written = os.pwrite(self._descriptor, content, self._end)
        if written < len(content):
            os.pwrite(self._descriptor, b"\n" * written, self._end)
            os.pwrite(self._descriptor, content, self._end)  # says what is the matter
        if content.strip():
            self._end += len(content)

    def _remove(self) -> None:
        os.close(self._descriptor)
        self.file.unlink(missing_ok=True)

    def _tell(self) -> None:
        kept = len(self._waiting.keys() & self._kept)
        lines = []
        if kept:
            lines.append(
                f"{_answers(kept)} not taken by the ledger and kept in {self.file}. The next run of campaign "
                f"{self._campaign.name} enters {'it' if kept == 1 else 'them'} first."
            )
        unkept = {key: found for key, found in self._waiting.items() if key not in self._kept}
        if unkept:
            UndeliveredAnswers.unkept += len(unkept)
            lines.append(
                f"{_answers(len(unkept))} taken neither by the ledger nor by {self.file}. Keep these lines, and give "
                "them as commands when the ledger can be written, before the campaign goes on:"
            )
            for key, found in unkept.items():
                what = "--abandon" if found.value is None else f"--value {float(found.value)!r}"
                if found.outputs:
                    values = {name: value for name, value in found.outputs.items() if value is not None}
                    what = " ".join(shlex.quote(f"--value={name}={value!r}") for name, value in values.items())
                lines.append(f"discover settle {shlex.quote(self._campaign.name)} {key} {what}")
        print("\n".join(lines), file=sys.stderr, flush=True)


def _answers(n: int) -> str:
    return "1 answer of the oracle was" if n == 1 else f"{n} answers of the oracle were"


def folder_of(workspace: Workspace) -> Path:
    """Folder of the files of answers."""
    return workspace.home / "undelivered"


def kept_answers(workspace: Workspace) -> dict[Path, list[KeptAnswer]]:
    """Return the answers that earlier runs left, by file; lines that are none are left out."""
    found = {}
    for file in _files(workspace):
        with _left_alone(file) as lines:
            found[file] = [answer for answer in lines or () if answer]
    return found


def enter_kept_answers(context: CampaignContext) -> None:
    """Enter what earlier runs of any campaign kept into the ledger; says how much.

    Only calls that wait for an answer take one. A file goes when the ledger has all of it; answers for another ledger
    stay, and a file with lines that cannot be read is moved aside.
    """
    for file in _files(context.workspace):
        with _left_alone(file) as lines:
            if lines is None:
                continue
            answers = [answer for answer in lines if answer]
            known, taken = _enter(context.ledger, answers) if answers else (0, 0)
            if taken:
                print(f"{_answers(taken)} kept by an earlier run; the ledger has what was kept now.", file=sys.stderr)
            if known < len(answers):
                continue
            if known < len(lines):
                aside = file.with_suffix(".unreadable")
                os.replace(file, aside)
                print(f"{aside} has lines that are no answers; look what they hold.", file=sys.stderr)
            else:
                file.unlink(missing_ok=True)


def _enter(ledger: Ledger, answers: list[KeptAnswer]) -> tuple[int, int]:
    """Return how many answers are of campaigns of this ledger, and for how many of them a call waited."""
    known = taken = 0
    for campaign in ledger.campaigns():
        of_book: dict[tuple[str, str, int], dict[str, Measurement]] = {}
        for answer in answers:
            if answer.is_of(campaign):
                known += 1
                asked = (answer.oracle, answer.identity, answer.replicate)
                of_book.setdefault(asked, {})[answer.object_id] = answer.measurement
        for (oracle, identity, replicate), found in of_book.items():
            book = OracleBook(ledger, campaign.id, oracle, "", identity, replicate=replicate)
            taken += patiently(partial(book.deliver, found))
    return known, taken


def answer_for(workspace: Workspace, name: str, object_id: str) -> tuple[KeptAnswer, Path] | None:
    """Return the kept answer to a call of any generation of a campaign, and its file."""
    for file, answers in kept_answers(workspace).items():
        for answer in answers:
            if (answer.name, answer.object_id) == (name, object_id):
                return answer, file
    return None


def _files(workspace: Workspace) -> list[Path]:
    return sorted(folder_of(workspace).glob("*.jsonl"))


def _line(campaign: Campaign, book: OracleBook, key: str, measurement: Measurement) -> bytes:
    kept = KeptAnswer(
        campaign.name,
        campaign.generation,
        campaign.created_at,
        book.identity,
        book.oracle,
        key,
        measurement.object,
        None if measurement.value is None else float(measurement.value),
        measurement.error,
        clean_text(measurement.message, _LONGEST_MESSAGE),
        float(measurement.seconds),
        None if measurement.outputs is None else dict(measurement.outputs),
        book.replicate,
    )
    return json.dumps(asdict(kept)).encode() + b"\n"


@contextmanager
def _left_alone(file: Path) -> Iterator[list[KeptAnswer | None] | None]:
    """Hold a file for a block and give its answers, None for a line that is none; no list while its run lives."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield [_answer(line) for line in opened.read().splitlines() if line.strip()]
    except (BlockingIOError, FileNotFoundError):  # in use, or its run has just delivered it
        yield None


def _answer(line: bytes) -> KeptAnswer | None:
    try:
        told = json.loads(line)
        if "smiles" in told:  # kept by an earlier discovery-flows
            told["object"] = told.pop("smiles")
        answer = KeptAnswer(**told)
        values = [answer.measurement.value, *(answer.outputs or {}).values()]
        sound = all(value is None or abs(value) <= LARGEST_VALUE for value in values)
    except (ValueError, TypeError):
        return None
    return answer if sound else None
