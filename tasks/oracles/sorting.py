"""Which call each line of a laboratory's results answers, or why it answers none."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.ledger.telling import ENDED, Told, calls_of
from data.objects import NotStandardError
from data.records import LARGEST_VALUE, CallState, JsonDict
from data.tables.results import Result
from data.wording import counted, figure
from models.spaces.base import BaseSpace
from tasks.oracles.asking import Column
from tasks.stages import CampaignContext


@dataclass(slots=True)
class Receipt:
    """What became of results that were told.

    Attributes:
        new: answers that were waited for.
        failed: of these, failures.
        partly: answers of which other values are still waited for.
        same: answers that were known already.
        corrected: answers that took the place of others, which are kept.
        replicates: repeated measurements beyond those that were asked for.
        unasked: objects that nobody had asked for.
        empty: lines without a value.
        open: what is still asked for.
        notes: sentences on how the results were read.
    """

    new: int = 0
    failed: int = 0
    partly: int = 0
    same: int = 0
    corrected: int = 0
    replicates: int = 0
    unasked: int = 0
    empty: int = 0
    open: int = 0
    notes: list[str] = field(default_factory=list)

    def told(self) -> str:
        """Return it as a sentence."""
        failures = "a failure" if self.new == 1 else "1 of them a failure" if self.failed == 1 else ""
        failures = failures or f"{self.failed} of them failures"
        parts = [counted(self.new, "answer") + " taken" + (f", {failures}" if self.failed else "")]
        parts += [f"{self.partly} in part, of which other values are waited for"] if self.partly else []
        parts += [f"{self.same} known already"] if self.same else []
        parts += [f"{self.corrected} corrected, with what they were before kept"] if self.corrected else []
        parts += [f"{counted(self.replicates, 'repeated measurement')} added"] if self.replicates else []
        parts += [f"{self.unasked} that nobody had asked for"] if self.unasked else []
        parts += [f"{counted(self.empty, 'line')} without a value"] if self.empty else []
        return "; ".join(parts) + f". {self.open} left to measure."


class Sorting:
    """Says of each result which call it answers, or why it answers none."""

    def __init__(
        self,
        context: CampaignContext,
        columns: Sequence[Column],
        space: BaseSpace[Any],
        *,
        correct: bool,
        reinstate: bool,
        replicate: bool,
        unasked: bool,
        present: Collection[int],
    ) -> None:
        self.columns, self.space = columns, space
        parts = {column.part for k, column in enumerate(columns) if k in present}
        self.parts = [part for part in dict.fromkeys(column.part for column in columns) if not parts or part in parts]
        self.correct, self.reinstate, self.replicate, self.unasked = correct, reinstate, replicate, unasked
        self.answers: list[Told] = []
        self.refused: list[tuple[int, str, str]] = []
        self.receipt = Receipt()
        later = {column.part for column in columns}
        calls = [row for row in calls_of(context.ledger, context.campaign.id) if row["part"] in later]
        self.calls: dict[tuple[str, str, int], JsonDict] = {
            (row["part"], row["object_id"], row["replicate"]): row for row in calls
        }
        self.withdrawn: dict[tuple[str, str], list[dict[str, float | None]]] = {}
        for row in context.ledger.corrected(context.campaign.id):
            self.withdrawn.setdefault((row["part"], row["object_id"]), []).append(outputs_of(row))
        self.objects = {row["object_id"]: row["object"] for row in calls}
        self._lines: dict[tuple[str, str, int], tuple[int, Any]] = {}
        self._by = ""

    def take(self, row: Result, part: str | None = None, by: str = "") -> None:
        """Sort one line.

        Args:
            row: the line.
            part: the campaign's oracle that it is of; None: those whose columns the table has.
            by: who told it; empty: who tells all of them.
        """
        self._by = by
        try:
            object_id, obj = self._object(row)
            for one in self._answered(row, object_id) if part is None else [part]:
                self._answer(row, object_id, obj, one)
        except NotStandardError as error:
            self.refused.append((row.line, row.id or row.text, str(error)))

    def _object(self, row: Result) -> tuple[str, str]:
        """Return identity and text of the object of a line.

        Raises:
            NotStandardError: it is none that was asked for, or the id and the text are of two.
        """
        named = ""
        if row.text:
            try:
                obj = self.space.standard(row.text)
            except NotStandardError as error:
                raise NotStandardError(f"the {self.space.text_name} {row.text!r} cannot be read: {error}") from error
            named = self.space.identity(obj)
        if row.id and row.id in self.objects:
            if named and named != row.id:
                raise NotStandardError(
                    f"the id is that of {self.objects[row.id]} and the {self.space.text_name} is {row.text}: which was "
                    "measured?"
                )
            return row.id, self.objects[row.id]
        if row.id and not (named and named == row.id):
            near = next((known for known in self.objects if known.casefold() == row.id.casefold()), None)
            if near is not None:
                raise NotStandardError(f"there is no id {row.id!r}; {near!r} differs from it in upper and lower case")
            if not (self.unasked and named):
                raise NotStandardError(f"nobody asked for the id {row.id!r}")
        if not named:
            raise NotStandardError("it names no object")
        if named in self.objects:
            return named, self.objects[named]
        if not self.unasked:
            raise NotStandardError("nobody asked for it; give --unasked to take it all the same")
        beyond = self.space.outside(obj)
        if beyond is not None:
            raise NotStandardError(
                f"nobody asked for it, and it is outside the campaign's space ({beyond}): no model of this campaign "
                "can learn from it. A campaign with a wider space takes it as data"
            )
        return named, obj

    def _answered(self, row: Result, object_id: str) -> list[str]:
        """Return the oracles that a line is of: those whose columns the table has.

        A failure among several is of those whose answers are waited for, if there are any: it is no reason to doubt
        what another one measured.
        """
        if not row.failed or len(self.parts) == 1:
            return self.parts
        waiting = [
            part
            for part in self.parts
            if any(
                (key[0], key[1]) == (part, object_id) and call["state"] not in ENDED for key, call in self.calls.items()
            )
        ]
        return waiting or self.parts

    def _answer(self, row: Result, object_id: str, obj: str, part: str) -> None:
        mine = {k: column for k, column in enumerate(self.columns) if column.part == part}
        told = {column.output: row.values[k] for k, column in mine.items() if k in row.values}
        if not told and not row.failed:
            return
        for value in told.values():
            if value is not None and not abs(value) <= LARGEST_VALUE:
                raise NotStandardError(f"{value:g} is no value; expected a finite number of at most {LARGEST_VALUE:g}")
        if row.failed and (part, object_id, 0) not in self.calls and not self.unasked:
            return  # another of the campaign's oracles was asked
        outputs: dict[str, float | None] = {} if row.failed else told
        number = self._replicate_of(row, object_id, part, outputs)
        key = (part, object_id, number)
        line, before = self._lines.get(key, (0, None))
        content = (outputs, row.failed)
        if line and before != content:
            raise NotStandardError(
                f"line {line} has another result of the same; mark repeated measurements in a column `replicate`, or "
                "give --replicate"
            )
        if line:
            self.receipt.same += 1
            return
        self._lines[key] = (row.line, content)
        self._sort(key, obj, outputs, row)

    def _replicate_of(self, row: Result, object_id: str, part: str, outputs: dict[str, float | None]) -> int:
        """Return which repetition a line is, from 0."""
        if row.replicate is not None:
            return row.replicate - 1
        numbers = sorted(number for p, key, number in {*self.calls, *self._lines} if (p, key) == (part, object_id))
        open_ones = []
        for number in numbers:
            call = self.calls.get((part, object_id, number))
            if call is None or (part, object_id, number) in self._lines:
                continue
            if call["state"] not in ENDED:
                open_ones.append(number)
            elif _same(call, outputs, row.failed):
                return number  # the same file told twice adds nothing
        if open_ones:
            self._refuse_vague_correction(part, object_id, numbers)
            return open_ones[0]
        if not self.replicate:
            self._refuse_vague_correction(part, object_id, numbers)
            return numbers[0] if numbers else 0
        return numbers[-1] + 1 if numbers else 0

    def _refuse_vague_correction(self, part: str, object_id: str, numbers: Sequence[int]) -> None:
        """Refuse a correction that may be of any of several measurements.

        Raises:
            NotStandardError: it is one.
        """
        calls = [self.calls[part, object_id, number] for number in numbers if (part, object_id, number) in self.calls]
        if (self.correct or self.reinstate) and len(calls) > 1 and any(call["state"] in ENDED for call in calls):
            told = "; ".join(f"{call['replicate'] + 1}: {_briefly(call)}" for call in calls)
            raise NotStandardError(
                f"it was asked for {len(calls)} times ({told}); say in a column `replicate` which of these it is"
            )

    def _sort(self, key: tuple[str, str, int], obj: str, outputs: dict[str, float | None], row: Result) -> None:
        part, object_id, number = key
        call = self.calls.get(key)
        # What was told of the same measurement before stays: the yield today, the purity tomorrow.
        names = [column.output for column in self.columns if column.part == part]
        whole = {**(outputs_of(call) if call is not None else {}), **outputs} if not row.failed else {}
        answer = Told(
            part,
            object_id,
            obj,
            number,
            {name: whole[name] for name in names if name in whole},
            whole=row.failed != "" or all(name in whole for name in names),
            reason=row.failed,
            unasked=object_id not in self.objects,
            seen=call,
            by=self._by,
        )
        withdrawn = self.withdrawn.get((part, object_id), [])
        was_told = bool(outputs) and outputs in withdrawn
        if self.reinstate and outputs and withdrawn.count(outputs) > 1 and not _same_as(call, outputs):
            raise NotStandardError(  # it may be the request that reinstated it, which comes again
                "this value was reinstated before and corrected again since; if it was measured again, give it a "
                "number in a column `replicate`"
            )
        if was_told and (call is None or call["state"] in ENDED) and row.replicate is None and not self.reinstate:
            raise NotStandardError(  # it may be an old request that comes again: it must undo no correction
                "this value was told before and corrected since; if it was right after all, give --reinstate; if it "
                "was measured again, give it a number in a column `replicate`"
            )
        if call is None:
            if object_id not in self.objects:
                self.receipt.unasked += 1
            elif not any((asked[0], asked[1]) == (part, object_id) for asked in self.calls):
                if not self.unasked:
                    names_told = " and ".join(repr(name) for name in outputs) or "it"
                    raise NotStandardError(
                        f"it was asked for, but nobody asked for {names_told}; give --unasked to take it all the same"
                    )
                self.receipt.unasked += 1
            elif number == 0 or row.replicate is None or self.replicate:
                self.receipt.replicates += 1
            else:
                raise NotStandardError(
                    f"replicate {number + 1} was not asked for; give --replicate to take repeated measurements beyond "
                    "those that were"
                )
        elif call["origin"] == "awaited" and call["state"] == CallState.RESERVED:
            raise NotStandardError("another campaign asked for it; tell it there, and this one takes it over")
        elif call["state"] not in ENDED:
            before = outputs_of(call)
            changed = [name for name, value in outputs.items() if name in before and before[name] != value]
            if changed and not self.correct:
                raise NotStandardError(
                    f"{changed[0]} was told before, as {figure(before[changed[0]])}; give --correct if that was wrong"
                )
            if not row.failed and all(before.get(name, "") == value for name, value in outputs.items()):
                self.receipt.same += 1
                return
            self.receipt.new += answer.whole
            self.receipt.partly += not answer.whole
            self.receipt.failed += bool(row.failed)
        elif _same(call, outputs, row.failed):
            self.receipt.same += 1
            return
        elif self.correct or (self.reinstate and was_told):
            self.receipt.corrected += 1
        else:
            raise NotStandardError(
                f"it is known already, {_known(call)}; give --correct if that was wrong, or --replicate if this is "
                "another measurement"
            )
        self.answers.append(answer)


def outputs_of(call: JsonDict) -> dict[str, float | None]:
    """Return what was told of a call so far, by name."""
    if call["outputs"] is not None:
        return dict(json.loads(call["outputs"]))
    return {} if call["value"] is None else {"": call["value"]}


def _same_as(call: JsonDict | None, outputs: dict[str, float | None]) -> bool:
    return call is not None and _same(call, outputs, "")


def _same(call: JsonDict, outputs: dict[str, float | None], failed: str) -> bool:
    if failed:
        return bool(call["state"] == CallState.FAILED and call["message"] == failed)
    told = outputs_of(call)
    known = all(name in told and told[name] == value for name, value in outputs.items())
    return bool(call["state"] == CallState.DONE and outputs and known)


def _briefly(call: JsonDict) -> str:
    """Return what is known of a call in a word or two."""
    return _known(call).partition(",")[0][3:] if call["state"] in ENDED else "waited for"


def _known(call: JsonDict) -> str:
    values = outputs_of(call)
    if not values:
        return f"as {call['state']}: {call['message']}" if call["message"] else f"as {call['state']}"
    told = ", ".join(f"{name} {figure(value)}".strip() for name, value in values.items())
    return f"as {told}, told by {call['told_by'] or 'somebody'} on {str(call['completed_at'])[:10]}"
