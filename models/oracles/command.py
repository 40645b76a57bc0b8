"""A measurement by any program: texts of objects in, a CSV of values out."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from data.records import Measurement
from models.oracles.base import OUTPUTS, BaseOracle, OracleOptions, Outputs, failed, measured, measured_outputs
from models.oracles.command_tables import CallFailure, Layout, values_of
from models.oracles.source_files import files_parts, portable, program_parts, variables_parts, without_written
from models.oracles.subprocesses import LARGEST_OUTPUT, Finished, run
from models.oracles.uncounted import remarks_on, uncounted
from models.registry import ComponentError, FolderPath

PLACES = ("python", "input", "output")
"""What stands in braces in a command and is replaced."""

_OVERHEAD = 5.0
"""Seconds per object beyond the command's own, so that its end is told by us and not by a killed process."""

_SAID = 600
"""Characters of standard error in a message: its end, where programs say what went wrong."""


Answer = float | str | dict[str, float | str]
"""Of one object: its value, or a sentence that says why it has none; by name where it has several."""


class Command(BaseOracle["Command.Options"]):
    """Run a program: an object per line on stdin or in {input}; a CSV with their values on stdout or in {output}.

    It gets one line per object, without a header, on standard input, or in a file whose path takes the place of
    `{input}` in the command. A line is the object's text alone (a SMILES, letters, `name=value, name=value`) or, with
    `input: object_key`, the text, a blank and the idempotency key. It answers with a CSV with a header on standard
    output, or in a file whose path takes the place of `{output}`. `{python}` is the interpreter that runs the campaign.
    No shell is involved, and the program runs in `folder`, by default the campaign file's. Rows are told apart by the
    object (`match: object`, by its text or, where the program writes it in another way, by identity; where several
    columns tell an object, they may stand in the place of its text), by key (`match: key`) or by their order.

    A failed call is made again `retries` times, unless the oracle is `unsafe`. A call with several objects that still
    fails and is `pure` is then made once more for each object alone, so that one bad object costs only itself. What the
    program started is killed with it.

    Values are known by content: of the program's file, of argument files, and of the scripts and modules that these
    name (read, not run; `models/oracles/source_files.py` says how). Other files that decide values are named by the
    option `files`. Where the folder is does not matter.

    Failure classes: `exit_code` (not 0), `timeout`, `crashed` (killed from outside, or it wrote without end),
    `not_started`, `wrong_answer` (no table, no row of the object, no number in it), `not_finite`. The message has the
    end of standard error.
    """

    kind = "command"
    by_content = frozenset({"command", "folder", "files", "writes", "environment", "input"})

    class Options(OracleOptions):
        """Options of the oracle `command`."""

        command: tuple[str, ...] = Field(
            description=(
                "program and arguments, a list or one line of text; no shell. {python}: the interpreter; {input}: path "
                "of a file with an object per line, no header (without {input} it comes on standard input); {output}: "
                "path for the answer (without {output} it is standard output), a CSV with a header and the columns of "
                "`match` and `value`"
            )
        )
        folder: FolderPath = Field(default=Path("."), description="where it runs; starts at the campaign file's folder")
        files: tuple[str, ...] = Field(
            default=(), description="files and folders in `folder` that decide values, such as weights; content counts"
        )
        environment: tuple[str, ...] = Field(
            default=(), description="variables of the environment that decide values; a digest of each counts"
        )
        writes: tuple[str, ...] = Field(
            default=(),
            description="files, folders or patterns (`*.json`) it writes itself, which decide nothing",
        )
        match: Literal["smiles", "object", "key", "order"] = Field(
            default="smiles",
            description="what tells whose value a row is; object (or smiles): its text; order: as many rows as objects",
        )
        input: Literal["smiles", "smiles_key", "object", "object_key"] | None = Field(
            default=None,
            description=(
                "a line of input; object (or smiles): its text alone; object_key (or smiles_key): text, a blank, the "
                "idempotency key; null: object_key if `match` is key or `semantics` not pure, else object"
            ),
        )
        column: str | None = Field(
            default=None, description="column to match by; null: the space's own, such as `smiles`, or `key`"
        )
        value: str = Field(default="value", description="column of values; an empty cell is a failure of its object")
        outputs: Outputs = OUTPUTS
        delimiter: str = Field(default=",", min_length=1, max_length=1, description="between cells")
        retries: int = Field(default=0, ge=0, le=20, description="how often a failed call is made again")
        wait: float = Field(default=1.0, ge=0, le=3600, description="seconds before a call is made again")
        unit: str = Field(default="", description="unit of the values")
        version: str = Field(
            default="1", min_length=1, description="change it when the program changes: old values then do not count"
        )
        semantics: Literal["pure", "idempotent", "unsafe"] = Field(
            default="pure",
            description="pure: may be called again freely; idempotent: again with the same key; unsafe: never twice",
        )

        @field_validator("match", "input", mode="before")
        @classmethod
        def _older_words(cls, word: Any) -> Any:
            # Identities of oracles were made with these words, before objects were of any other kind.
            return {"object": "smiles", "object_key": "smiles_key"}.get(word, word) if isinstance(word, str) else word

        @field_validator("command", mode="before")
        @classmethod
        def _words(cls, command: Any) -> Any:
            words = shlex.split(command) if isinstance(command, str) else command
            if not words:
                raise ValueError("expected a program and its arguments, for example `./dock.sh {input} {output}`")
            return words

        @field_validator("command")
        @classmethod
        def _places(cls, words: tuple[str, ...]) -> tuple[str, ...]:
            for word in words:
                for name in re.findall(r"(?<!\$)\{([A-Za-z_]+)\}", word):
                    near = difflib.get_close_matches(name.lower(), PLACES, n=1, cutoff=0.8)
                    # Braces within a word may be the program's own, as in awk and in one line of Python.
                    if name not in PLACES and (near or word == f"{{{name}}}"):
                        hint = f" Did you mean {{{near[0]}}}?" if near else ""
                        raise ValueError(
                            f"there is no {{{name}}}; a command has {{python}}, {{input}}, {{output}}.{hint}"
                        )
            return words

        @model_validator(mode="after")
        def _keys_to_match(self) -> Self:
            if self.match == "key" and self.input == "smiles":
                raise ValueError("`match: key` needs the keys; leave out `input`, or give `input: object_key`")
            return self

        @model_validator(mode="after")
        def _never_twice(self) -> Self:
            if self.semantics == "unsafe" and self.retries:
                raise ValueError("an `unsafe` oracle is never called twice; set `retries` to 0, or say `idempotent`")
            return self

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        given = self.options
        self.unit: str = given.unit
        self.version: str = given.version
        self.cost: float = given.cost
        self.semantics: str = given.semantics
        self.chunk: int = given.chunk
        # All tries, one alone and the waiting between them, for the case of a call with one molecule.
        self.timeout: float = given.timeout * (given.retries + 2) + given.wait * given.retries + _OVERHEAD

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"command:{shlex.join(self.options.command)}"

    def contents(self, base: Path) -> dict[str, str]:
        """Return the command without the places of its files, and the contents of these.

        Raises:
            ComponentError: one that `files` names is not there.
        """
        words, folder = self.options.command, base / self.options.folder.expanduser()
        lines = {} if self._names_keys else {"option input": "smiles"}  # keys were there before there was the option
        return {
            **lines,
            "option command": shlex.join(portable(words, folder)),
            **without_written(program_parts(words, folder), self.options.writes),
            **files_parts(self.options.files, folder),
            **variables_parts(self.options.environment),
        }

    def remarks(self, base: Path) -> list[str]:
        """Return what the program reads, as far as it is Python, that its identity does not count."""
        sources: dict[str, str] = {}
        program_parts(self.options.command, base / self.options.folder.expanduser(), sources)
        return remarks_on(
            uncounted(sources), label=self.label, files=self.options.files, environment=self.options.environment
        )

    def check(self) -> None:
        """Look for the program.

        Raises:
            ComponentError: the folder or the program is not there, or is not executable.
        """
        folder, program = self.options.folder.expanduser(), self._words({})[0]
        if not folder.is_dir():
            raise ComponentError(f"There is no folder {folder} for the oracle `command` to run in; check `folder`.")
        if os.path.dirname(program):
            path = folder / program
            if not path.is_file():
                raise ComponentError(f"There is no program {path} for the oracle `command`; check `command`.")
            if not os.access(path, os.X_OK):
                raise ComponentError(
                    f"{path} is not executable; run `chmod +x {shlex.quote(str(path))}`, or name its interpreter first."
                )
        elif shutil.which(program) is None:
            beside = f" To run the file in {folder}, write ./{program}." if (folder / program).is_file() else ""
            raise ComponentError(f"There is no program {program!r} on the PATH for the oracle `command`.{beside}")

    def prepare(self) -> None:
        """Look for the program.

        Raises:
            ComponentError: it is not there, or is not executable.
        """
        self.check()

    def evaluate(self, objects: Sequence[str], *, keys: Sequence[str]) -> Iterator[Measurement]:
        """Yield one Measurement per object, in order; a call that fails is an error of each and ends nothing."""
        started = perf_counter()
        try:
            values = self._repeated(objects, keys, self.options.retries)
        except CallFailure as failure:
            if self.semantics == "pure" and len(objects) > 1 and failure.error in ("exit_code", "wrong_answer"):
                for obj, key in zip(objects, keys, strict=True):
                    yield self._alone(obj, key)
                return
            yield from (failed(obj, failure.error, str(failure), started) for obj in objects)
            return
        for obj, value in zip(objects, values, strict=True):
            yield self._measurement(obj, value, started)

    def _alone(self, obj: str, key: str) -> Measurement:
        started = perf_counter()
        try:
            (value,) = self._call([obj], [key])
        except CallFailure as failure:
            return failed(obj, failure.error, str(failure), started)
        return self._measurement(obj, value, started)

    def _measurement(self, obj: str, value: Answer, started: float) -> Measurement:
        if isinstance(value, dict):
            return measured_outputs(obj, value, started)
        if isinstance(value, str):
            return failed(obj, "wrong_answer", value, started)
        return measured(obj, value, started)

    def _repeated(self, objects: Sequence[str], keys: Sequence[str], retries: int) -> list[Answer]:
        for left in range(retries, -1, -1):
            try:
                return self._call(objects, keys)
            except CallFailure as failure:
                if not left or failure.error == "not_started":
                    tries = f" (tried {retries + 1} times)" if retries else ""
                    raise CallFailure(failure.error, f"{failure}{tries}") from failure
                time.sleep(self.options.wait)
        raise AssertionError("a loop over at least one try")

    def _call(self, objects: Sequence[str], keys: Sequence[str]) -> list[Answer]:
        """Return, per object, its value or why it has none.

        Raises:
            CallFailure: the call as a whole gave nothing.
        """
        lines = [f"{obj} {key}" for obj, key in zip(objects, keys, strict=True)]
        text = "".join(f"{line}\n" for line in (lines if self._names_keys else objects)).encode()
        with tempfile.TemporaryDirectory(prefix="discover-oracle-") as scratch:
            places = {
                "input": str(Path(scratch) / f"input.{self.space.suffix}"),
                "output": str(Path(scratch) / "output.csv"),
            }
            Path(places["input"]).write_bytes(text)
            ended = run(
                self._words(places),
                given=b"" if self._mentions("{input}") else text,
                folder=self.options.folder.expanduser(),
                seconds=self.options.timeout * len(objects),
            )
            _require_success(ended)
            table = _read(Path(places["output"]), ended) if self._mentions("{output}") else ended.output
        options = self.options
        match = "object" if options.match == "smiles" else options.match
        columns = tuple(options.outputs) or (options.value,)
        layouts = [Layout(match, options.column, value, options.delimiter, self.space) for value in columns]
        found = [values_of(table, layout, objects, keys, _said(ended)) for layout in layouts]
        if not options.outputs:
            return list(found[0])
        return [dict(zip(columns, row, strict=True)) for row in zip(*found, strict=True)]

    @property
    def _names_keys(self) -> bool:
        options = self.options
        if options.input is not None:
            return bool(options.input == "smiles_key")
        return bool(options.match == "key" or options.semantics != "pure")

    def _mentions(self, place: str) -> bool:
        return any(place in word for word in self.options.command)

    def _words(self, places: Mapping[str, str]) -> list[str]:
        words = list(self.options.command)
        for name, text in {"python": sys.executable, **places}.items():
            words = [word.replace(f"{{{name}}}", text) for word in words]
        return words


def _require_success(ended: Finished) -> None:
    if ended.reason is not None:
        error = "timeout" if "within" in ended.reason else "not_started" if "started" in ended.reason else "crashed"
        raise CallFailure(error, f"The command gave no answer: {ended.reason}. {_said(ended)}")
    if ended.code:
        how = f"with exit code {ended.code}" if ended.code > 0 else f"by signal {-ended.code}"
        raise CallFailure("exit_code", f"The command ended {how}. {_said(ended)}")


def _said(ended: Finished) -> str:
    words = " | ".join(line.strip() for line in ended.errors[-_SAID:].splitlines() if line.strip())
    if not words:
        return "It wrote nothing to standard error."
    return f"The end of its standard error: {words}{'' if words.endswith(('.', '!', '?')) else '.'}"


def _read(path: Path, ended: Finished) -> bytes:
    if not path.is_file():
        raise CallFailure("wrong_answer", f"The command ended well but wrote no file {{output}}. {_said(ended)}")
    if path.stat().st_size > LARGEST_OUTPUT:
        raise CallFailure("wrong_answer", f"The command wrote more than {LARGEST_OUTPUT // 2**20} MiB to {{output}}.")
    return path.read_bytes()
