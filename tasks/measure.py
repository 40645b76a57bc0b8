"""Stage `measure`: buy the batch through the ledger, then write the data set of the next round."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import digest
from data.ledger.book import Elsewhere, OracleBook, Purchase, reserve
from data.ledger.campaigns import CampaignState
from data.ledger.sharing import take_over
from data.ledger.summary import by_round, failed_calls
from data.ledger.telling import ENDED, ask, enter
from data.readings import LACKING, CallRow, Readings
from data.records import CallState, CandidateRow, JsonDict, Measurement, measured_column, predicted_columns
from data.tables.spreadsheets import write_csv
from models.parts import oracle_of, parts_of_oracle, space_of, units_of
from models.protocols import Oracle
from models.proxies.checks import MINIMUM_LABELS
from tasks.engines.opening import in_flight, oracle_calls
from tasks.heeding import HoldAsked, refuse_further_calls, wait_while_paused
from tasks.levels import purchases_of, write_levels
from tasks.oracles.asking import changed_told, standing_of, write_asked
from tasks.oracles.booking import book_of, books_of
from tasks.oracles.undelivered import UndeliveredAnswers, enter_kept_answers
from tasks.progress import Event, emit
from tasks.remeasuring import again_of
from tasks.stages import BadInput, CampaignContext, CampaignRef, CampaignStopped, StageRef, run_stage
from tasks.storage import PENDING, REPEATS

log = logging.getLogger(__name__)

DATASET_COLUMNS = ["id", "object", "value", "unit", "round", "arm", "source", "predicted_mean", "predicted_std"]

WAIT_SECONDS = 0.5
"""Between two looks at what another campaign is buying."""

LOST = ("timeout", "crashed")
"""Failures after which the measurement may have been made all the same."""


@task(name="measure", task_run_name="round {round}: measure", cache_policy=NO_CACHE, persist_result=False)
def measure(ref: CampaignRef, round: int, batch: StageRef) -> StageRef:
    """Buy the candidates that the ledger has for this round.

    Results: `dataset.parquet` and `dataset.csv`: everything measured so far, this round included.

    Raises:
        CampaignStopped: the budget is spent, too many calls failed, or calls are in doubt.
    """
    with ref.open() as context:
        return run_stage(
            context,
            round,
            "measure",
            inputs={"batch": batch},
            settings=_settings(context),
            compute=lambda folder: _measure(context, folder, round, batch.path(context, "")),
        )


def _settings(context: CampaignContext) -> JsonDict:
    identities = [book.identity for book in books_of(context)]
    if context.config.readings.plain:
        return {"oracle": identities[0]}
    levels = context.settings("buying") if context.config.levelled else {}
    return {"oracles": identities, **context.settings("objectives"), **levels}


@dataclass(frozen=True)
class _Asked:
    """An oracle of the campaign with its calls.

    Attributes:
        oracle: as the campaign's file describes it.
        book: the campaign's calls to it.
        tolerated: share of a round's calls that may fail; of the objectives that read it, the least.
    """

    oracle: Oracle
    book: OracleBook
    tolerated: float


def _asked(context: CampaignContext, again: pd.DataFrame) -> list[_Asked]:
    """Return the oracles of a round; `again` is what it measures another time, each repetition in a book of its own."""
    config, readings = context.config, context.config.readings
    tolerated = {
        part: min(config.objectives[k].tolerated_failure_rate for k in readings.readers(part))
        for part in readings.parts
    }
    asked = [
        _Asked(oracle_of(config, context.campaign.base, book.part), book, tolerated[book.part])
        for book in books_of(context)
    ]
    # A repetition that fails loses nothing, so any share of them may.
    return asked + [
        _Asked(oracle_of(config, context.campaign.base, part), book_of(context, part, replicate), 1.0)
        for part, replicate in sorted(set(zip(again["part"], again["replicate"], strict=True)))
    ]


def _measure(context: CampaignContext, folder: Path, round: int, batch: Path) -> dict[str, float]:
    config, again = context.config, again_of(batch)
    every = _asked(context, again)
    enter_kept_answers(context)
    for asked in every:
        if not asked.book.later:
            asked.book.recover(asked.oracle.semantics)  # type: ignore[arg-type]  # the protocol says str, it is checked
    _stop_in_doubt(context, every)
    wanted = [*_repetitions(every, again), *_wanted(context, every, round, batch)]
    fitted = reserve(wanted, round, max_calls=config.budget.calls, max_cost=config.budget.cost)
    # People first: they take longest, and a computed value that fails must not keep a batch from them.
    for asked in every:
        if asked.book.later:
            asked.book.claim(round)
            ask(asked.book, round)
    if config.readings.later:
        write_asked(context, round)
    for asked in _from_cheap_to_true(every, config.readings):
        if not asked.book.later:
            _buy(context, asked, round)
    _stop_in_doubt(context, every)
    if fitted < len(wanted):
        what = "purchases" if config.levelled or len(again) else "candidates"
        spent = context.ledger.spent(context.campaign.id)
        raise CampaignStopped(
            CampaignState.BUDGET_EXHAUSTED,
            f"Round {round}: the budget is spent ({spent.calls} calls, cost {spent.cost:g}); {len(wanted) - fitted} of "
            f"{len(wanted)} {what} were not bought. Raise `budget` and give the same command again to go on.",
        )
    if config.readings.later and context.finished(round, "measure") is None:
        _await_answers(context, every, round)
        laboratories = {asked.book.identity for asked in every if asked.book.later}
        take_over(context.ledger, context.campaign.id, round, laboratories, config.readings.replicates)
        enter(context.ledger, context.campaign.id, round)
    rows = context.ledger.candidates(context.campaign.id, last=round, as_of=round)
    _check_enough(context, round, rows)
    return _write_dataset(rows, folder, round, context)


def _wanted(context: CampaignContext, every: list[_Asked], round: int, batch: Path) -> list[Purchase]:
    """Return what the round is to buy, in order: each candidate of each oracle, or what was chosen among levels."""
    ledger, config = context.ledger, context.config
    calls: dict[str, list[tuple[OracleBook, float]]] = {}
    at_first = [asked for asked in every if asked.book.replicate < config.readings.replicates]
    for asked in at_first:
        calls.setdefault(asked.book.part, []).append((asked.book, asked.oracle.cost))
    if config.levelled is None:
        rows = ledger.candidates(context.campaign.id, round, round)
        whole = tuple((asked.book, asked.oracle.cost) for asked in at_first)
        return [Purchase(row.id, row.object, whole) for row in rows]
    return [
        Purchase(one.object_id, one.object, tuple(call for part in one.parts for call in calls[part]))
        for one in purchases_of(context, round, batch)
    ]


def _from_cheap_to_true(every: list[_Asked], readings: Readings) -> list[_Asked]:
    """Return the oracles in the order in which they are asked: where a cheap one fails, no dear one was asked yet."""
    below = [part for one in readings for part, _ in one.below]
    return sorted(every, key=lambda asked: below.index(asked.book.part) if asked.book.part in below else len(below))


def _repetitions(every: list[_Asked], again: pd.DataFrame) -> list[Purchase]:
    """Return the purchases of what is measured again, in order."""
    calls = {(one.book.part, one.book.replicate): (one.book, one.oracle.cost) for one in every}
    columns = ["id", "object", "part", "replicate"]
    return [
        Purchase(str(key), str(obj), (calls[part, replicate],))
        for key, obj, part, replicate in again[columns].itertuples(index=False, name=None)
    ]


def _await_answers(context: CampaignContext, every: list[_Asked], round: int) -> None:
    """Stop while the answers that the round waits for are not there.

    Raises:
        CampaignStopped: waiting, or too many of the answers are failures.
    """
    told = standing_of(context, round)
    if not (told.enough or told.short):
        raise CampaignStopped(CampaignState.WAITING, told.message)
    if told.enough:
        for sentence in changed_told(context):  # the round goes on without them
            log.warning(sentence)
    for asked in every:
        if asked.book.later:
            answered = [row for row in _judged(asked.book, round) if row["state"] in ENDED]
            failed = sum(_as_read(context, asked.book, row).state == CallState.FAILED for row in answered)
            if failed > asked.tolerated * len(answered):
                raise _failing(context, asked, round)
    if told.short:
        raise CampaignStopped(CampaignState.WAITING, told.message)


def _stop_in_doubt(context: CampaignContext, every: list[_Asked]) -> None:
    in_doubt = [key for asked in every for key in asked.book.in_doubt()]
    if in_doubt:
        raise CampaignStopped(CampaignState.IN_DOUBT, _doubt(context, in_doubt))


def _buy(context: CampaignContext, asked: _Asked, round: int) -> None:
    """Make the round's calls, then wait for those that other campaigns are making; what they leave is made here."""
    book = asked.book
    while True:
        elsewhere = book.claim(round)
        try:
            _call(context, asked, round)
        except HoldAsked:
            wait_while_paused(context, round)
            continue
        if not elsewhere:
            return
        doubtful = [call for call in elsewhere if call.in_doubt]
        if doubtful and len(doubtful) == len(elsewhere):
            raise CampaignStopped(CampaignState.IN_DOUBT, _doubt_elsewhere(doubtful))
        names = ", ".join(sorted({call.campaign for call in elsewhere if not call.in_doubt}))
        total = len(book.rows(round))
        emit(Event(round, f"measure: waiting for campaign {names}", total - len(elsewhere), total))
        time.sleep(WAIT_SECONDS)


def _doubt_elsewhere(calls: list[Elsewhere]) -> str:
    told = ", ".join(f"{call.object_id} of campaign {call.campaign}" for call in calls[:5])
    name = calls[0].campaign.partition("~")[0]
    return (
        f"{_sent(len(calls))} by another campaign and never answered, and the oracle must not be called "
        f"twice: {told}{' ...' if len(calls) > 5 else ''}. Find out what became of them, then "
        f"`discover settle {name} ID --value X`, or `discover settle {name} ID --abandon`, and give the command again."
    )


def _check_enough(context: CampaignContext, round: int, rows: list[CandidateRow]) -> None:
    """Stop before the stage is finished, so that the failed calls can still be made again."""
    measured = sum(row.value is not None for row in rows)
    if measured < MINIMUM_LABELS and round < context.config.rounds:
        nouns = space_of(context.config).nouns[1]
        raise CampaignStopped(
            CampaignState.ORACLE_FAILING,
            f"Round {round}: only {measured} {nouns} are measured, {len(rows) - measured} are not; a proxy needs at "
            f"least {MINIMUM_LABELS}. Mend what the oracle needs and give the same command with --retry-failed; "
            "with other code of it, begin anew with --fresh.",
        )


def _call(context: CampaignContext, asked: _Asked, round: int) -> None:
    oracle, book = asked.oracle, asked.book
    jobs = book.reserved(round)
    before = _own(book, round)
    judged = _judged(book, round)
    limit = asked.tolerated * len(judged)
    failed = sum(_as_read(context, book, row).state == CallState.FAILED for row in judged)
    done = len(before) - len(jobs)
    total = len(before)
    if failed > limit:
        raise _failing(context, asked, round)
    if not jobs:
        return

    def is_doubtful(measurement: Measurement) -> bool:
        return oracle.semantics == "unsafe" and measurement.error in LOST

    def on_result(key: str, measurement: Measurement) -> None:
        nonlocal failed, done
        if is_doubtful(measurement):
            book.doubt(key, measurement.message)
            return
        answers.deliver(key, measurement)
        done += 1
        failed += measurement.error is not None or _lacks(context, book, measurement.outputs)
        _refuse_other_outputs(context, book, measurement)
        value = {} if measurement.value is None else {"value": measurement.value}
        emit(Event(round, "measure", done, total, value))
        if failed > limit:  # the tolerated rate cannot be kept any more: the rest of the batch is not bought
            raise _Enough

    def on_submit(keys: list[str]) -> None:
        refuse_further_calls(context)
        _refuse_changed_oracle(context, book)
        book.submit(keys)

    def on_left(key: str, measurement: Measurement) -> None:
        if not is_doubtful(measurement):
            answers.hold(key, measurement)

    try:
        with (
            UndeliveredAnswers(context, book, in_flight(context, oracle, len(jobs))) as answers,
            oracle_calls(context, oracle, book, len(jobs)) as engine,
        ):
            engine.run(jobs, on_submit=on_submit, on_result=on_result, on_left=on_left)
    except _Enough:  # the calls that were in flight have been answered too
        raise _failing(context, asked, round) from None
    _refuse_changed_oracle(context, book)


def _refuse_changed_oracle(context: CampaignContext, book: OracleBook) -> None:
    """Refuse to go on once the oracle's files were changed while it measures: values of two are not mixed."""
    campaign = context.campaign
    if digest(parts_of_oracle(campaign.config, campaign.base, book.part)) != book.identity:
        raise BadInput(
            f"The files of the oracle {book.oracle} were changed while campaign {campaign.name!r} was measuring. "
            "Restore them and give the same command again, or begin anew with --fresh. Files that the oracle "
            "writes itself are named by its option `writes`."
        )


def _as_read(context: CampaignContext, book: OracleBook, row: JsonDict) -> CallRow:
    """Return a call as it counts: an answer that lacks a value which an objective reads is a failure, and says so."""
    outputs = json.loads(row["outputs"]) if row["outputs"] else None
    told = (row["value"], row["state"], row["error"], row["message"] or "", row["origin"], outputs)
    return context.config.readings.judged(CallRow(book.part, *told))


def _lacks(context: CampaignContext, book: OracleBook, outputs: Mapping[str, float | None] | None) -> bool:
    """Return whether an answer of several values lacks one that an objective reads."""
    answer = CallRow(book.part, None, CallState.DONE, None, "", "called", outputs)
    return outputs is not None and context.config.readings.judged(answer).state == CallState.FAILED


def _refuse_other_outputs(context: CampaignContext, book: OracleBook, measurement: Measurement) -> None:
    """Refuse to buy more of an oracle that answers with other outputs than the objectives read; this one is kept."""
    if measurement.error is not None:
        return
    outputs = measurement.outputs or {}
    read = (
        (one.objective, output) for one in context.config.readings for part, output in one.levels if part == book.part
    )
    for objective, output in read:
        if (not outputs) if output is None else (output in outputs):
            continue
        named = ", ".join(map(repr, outputs)) or "one value without a name"
        wanted = "one value without a name" if output is None else f"the output {output!r}"
        raise BadInput(
            f"The oracle {book.oracle} answered {named} for {measurement.object}, and the objective "
            f"{objective!r} reads {wanted}. Name what it answers as `output`, or mend the oracle and "
            "begin anew with --fresh. What was bought is kept."
        )


class _Enough(Exception):
    """More calls have failed than are tolerated."""


def _own(book: OracleBook, round: int | None) -> list[JsonDict]:
    """Return the calls of which the tolerated rate is one: also values bought before, whoever paid for them."""
    return [row for row in book.rows(round) if row["origin"] in ("called", "reused")]


FEWEST_JUDGED = 5
"""Calls of which a share of failures says something: one call of one that failed does not."""


def _judged(book: OracleBook, round: int) -> list[JsonDict]:
    """Return the round's own calls; where these are few, the last ones of earlier rounds before them."""
    rows = _own(book, round)
    if len(rows) >= FEWEST_JUDGED:
        return rows
    earlier = [row for row in _own(book, None) if row["round"] < round and row["state"] in ENDED]
    return [*earlier[len(rows) - FEWEST_JUDGED :], *rows]


def _failing(context: CampaignContext, asked: _Asked, round: int) -> CampaignStopped:
    """Return what ends the campaign, with the numbers of calls that the ledger has now."""
    rows = _judged(asked.book, round)
    read = [(row["completed_at"] or "", _as_read(context, asked.book, row)) for row in rows]
    errors = [(at, call) for at, call in read if call.state == CallState.FAILED]
    counts = pd.Series([_KINDS.get(call.error or "", call.error) for _, call in errors]).value_counts()
    told = ", ".join(f"{n} x {error}" for error, n in counts.items())
    earlier = " of this round and the last ones" if any(row["round"] < round for row in rows) else ""
    unmade = sum(row["state"] == CallState.RESERVED for row in rows)
    message = max(errors, key=lambda error: error[0])[1].message.strip() or "none"
    return CampaignStopped(
        CampaignState.ORACLE_FAILING,
        f"Round {round}: {len(errors)} of {len(rows)} oracle calls{earlier} failed ({told}), above the tolerated rate "
        f"of {asked.tolerated:g}{_unmade(unmade)}. The last message: {message}"
        f"{'' if message.endswith(('.', '!', '?')) else '.'} "
        f"{_RETRY if any(call.error != LACKING for _, call in errors) else _ANEW}",
    )


_RETRY = "Mend what it needs and give the same command with --retry-failed; with other code, begin anew with --fresh."
_ANEW = (
    "These answers are kept and not asked for again: mend the oracle, or leave out the objective that it has no values "
    "of, and begin anew with --fresh."
)
_KINDS = {LACKING: "a value missing"}
"""Words for classes of failures that are the program's own."""


def _unmade(calls: int) -> str:
    if not calls:
        return ""
    return f"; {calls} {'was' if calls == 1 else 'were'} not made"


def _sent(calls: int) -> str:
    return "1 call was sent" if calls == 1 else f"{calls} calls were sent"


def _doubt(context: CampaignContext, ids: list[str]) -> str:
    name = context.campaign.name
    return (
        f"{_sent(len(ids))} and never answered, and the oracle must not be called twice: "
        f"{', '.join(ids[:5])}{' ...' if len(ids) > 5 else ''}. Find out what became of them, then "
        f"`discover settle {name} ID --value X`, or `discover settle {name} ID --abandon`, and give the command again."
    )


def _write_dataset(rows: list[CandidateRow], folder: Path, round: int, context: CampaignContext) -> dict[str, float]:
    units, objectives = units_of(context.config), context.config.objectives
    frame = pd.DataFrame(rows, columns=CandidateRow._fields)
    frame = frame.assign(unit=units[context.goals.main.name])
    numbers = ["value", "predicted_mean", "predicted_std"]
    columns = list(DATASET_COLUMNS)
    known = frame["state"] == CallState.DONE
    if not context.config.readings.plain:
        # What has some of its values teaches the proxies of these.
        known = pd.Series([bool(row.values) for row in rows], dtype=bool)
    if len(objectives) > 1:
        for one in objectives:
            own: dict[str, Any] = {
                measured_column(one.name): [(row.values or {}).get(one.name) for row in rows],
                **{
                    column: [(row.predicted or {}).get(one.name, (None, None))[at] for row in rows]
                    for at, column in enumerate(predicted_columns(one.name))
                },
            }
            frame = frame.assign(**own)
            numbers += own
            columns += own
    measured = frame[known][columns].reset_index(drop=True).astype(dict.fromkeys(numbers, "float64"))
    _write_repeats(rows, folder)
    told = {} if context.config.levelled is None else write_levels(context, rows, folder, round)
    if context.config.readings.later:
        pending = frame[frame["state"].isin([CallState.RESERVED, CallState.SUBMITTED])]
        pending[["id", "object"]].to_parquet(folder / PENDING, index=False)
    measured.to_parquet(folder / "dataset.parquet", index=False)
    write_csv(measured, folder / "dataset.csv")
    here = frame[frame["round"] == round]
    return {
        "measured": float((here["state"] == CallState.DONE).sum()),
        "failed": float(sum(map(failed_calls, by_round(rows).get(round, ())))),
        "dataset": len(measured),
        **told,
    }


def _write_repeats(rows: list[CandidateRow], folder: Path) -> None:
    """Write every measurement of what was measured several times; no file where nothing was."""
    told = [
        (row.id, objective, number, value)
        for row in rows
        for objective, values in (row.repeats or {}).items()
        for number, value in enumerate(values, start=1)
    ]
    if told:
        table = pd.DataFrame(told, columns=["id", "objective", "replicate", "value"])
        table.to_parquet(folder / REPEATS, index=False)
