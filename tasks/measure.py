"""Stage `measure`: buy the batch through the ledger, then write the data set of the next round."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import digest
from data.ledger.book import Elsewhere, OracleBook
from data.ledger.campaigns import CampaignState
from data.records import CallState, CandidateRow, JsonDict, Measurement
from data.tables.spreadsheets import write_csv
from models.parts import oracle_of, oracle_spec, parts_of_oracle, space_of
from models.protocols import Oracle
from models.proxies.checks import MINIMUM_LABELS
from tasks.oracles.booking import book_of
from tasks.oracles.pool import OraclePool
from tasks.oracles.undelivered import UndeliveredAnswers, enter_kept_answers
from tasks.progress import Event, emit
from tasks.stages import BadInput, CampaignContext, CampaignRef, CampaignStopped, StageRef, run_stage

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
            compute=lambda folder: _measure(context, folder, round),
        )


def _settings(context: CampaignContext) -> JsonDict:
    return {"oracle": book_of(context).identity}


def workers() -> int:
    """Return how many oracle processes run side by side: `$DISCOVER_WORKERS`, else the number of cores."""
    return max(1, int(os.environ.get("DISCOVER_WORKERS") or os.cpu_count() or 1))


def _measure(context: CampaignContext, folder: Path, round: int) -> dict[str, float]:
    config = context.config
    oracle = oracle_of(config, context.campaign.base)
    book = book_of(context)
    enter_kept_answers(context)
    in_doubt = book.recover(oracle.semantics)  # type: ignore[arg-type]  # the protocol says str, the oracle checks
    if in_doubt:
        raise CampaignStopped(CampaignState.IN_DOUBT, _doubt(context, in_doubt))
    rows = context.ledger.candidates(context.campaign.id, round, round)
    wanted = [(row.id, row.object) for row in rows]
    fitted = book.reserve(
        round,
        wanted,
        cost=oracle.cost,
        max_calls=config.budget.calls,
        max_cost=config.budget.cost,
    )
    _buy(context, book, oracle, round)
    in_doubt = book.in_doubt()
    if in_doubt:
        raise CampaignStopped(CampaignState.IN_DOUBT, _doubt(context, in_doubt))
    if fitted < len(wanted):
        spent = book.spent()
        raise CampaignStopped(
            CampaignState.BUDGET_EXHAUSTED,
            f"Round {round}: the budget is spent ({spent.calls} calls, cost {spent.cost:g}); {len(wanted) - fitted} of "
            f"{len(wanted)} candidates were not bought. Raise `budget` and give the same command again to go on.",
        )
    rows = context.ledger.candidates(context.campaign.id, last=round)
    _check_enough(context, round, rows)
    return _write_dataset(rows, folder, round, oracle)


def _buy(context: CampaignContext, book: OracleBook, oracle: Oracle, round: int) -> None:
    """Make the round's calls, then wait for those that other campaigns are making; what they leave is made here."""
    while True:
        elsewhere = book.claim(round)
        _call(context, book, oracle, round)
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
        f"{len(calls)} calls were sent by another campaign and never answered, and the oracle must not be called "
        f"twice: {told}{' ...' if len(calls) > 5 else ''}. Find out what became of them, then "
        f"`discover settle {name} ID --value X`, or `discover settle {name} ID --abandon`, and give the command again."
    )


def _check_enough(context: CampaignContext, round: int, rows: list[CandidateRow]) -> None:
    """Stop before the stage is finished, so that the failed calls can still be made again."""
    measured = sum(row.state == CallState.DONE for row in rows)
    if measured < MINIMUM_LABELS and round < context.config.rounds:
        nouns = space_of(context.config).nouns[1]
        raise CampaignStopped(
            CampaignState.ORACLE_FAILING,
            f"Round {round}: only {measured} {nouns} are measured, {len(rows) - measured} failed; a proxy needs at "
            f"least {MINIMUM_LABELS}. Mend what the oracle needs and give the same command with --retry-failed; "
            "with other code of it, begin anew with --fresh.",
        )


def _call(context: CampaignContext, book: OracleBook, oracle: Oracle, round: int) -> None:
    jobs = book.reserved(round)
    before = _own(book, round)
    limit = context.config.objective.tolerated_failure_rate * len(before)
    failed = sum(row["state"] == CallState.FAILED for row in before)
    done = len(before) - len(jobs)
    total = len(before)
    if failed > limit:
        raise _failing(context, book, round)
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
        failed += measurement.error is not None
        value = {} if measurement.value is None else {"value": measurement.value}
        emit(Event(round, "measure", done, total, value))
        if failed > limit:  # the tolerated rate cannot be kept any more: the rest of the batch is not bought
            raise _Enough

    spec, space = oracle_spec(context.config, context.campaign.base), space_of(context.config)

    def on_submit(keys: list[str]) -> None:
        _refuse_changed_oracle(context, book)
        book.submit(keys)

    def on_left(key: str, measurement: Measurement) -> None:
        if not is_doubtful(measurement):
            answers.hold(key, measurement)

    side_by_side = min(workers(), len(jobs))
    try:
        with (
            UndeliveredAnswers(context, book, min(side_by_side * oracle.chunk, len(jobs))) as answers,
            OraclePool(
                spec,
                space,
                workers=side_by_side,
                search_path=[context.campaign.base],
                lasting=book.identity if getattr(oracle, "lasting", False) else None,
            ) as pool,
        ):
            pool.run(jobs, on_submit=on_submit, on_result=on_result, on_left=on_left)
    except _Enough:  # the calls that were in flight have been answered too
        raise _failing(context, book, round) from None
    _refuse_changed_oracle(context, book)


def _refuse_changed_oracle(context: CampaignContext, book: OracleBook) -> None:
    """Refuse to go on once the oracle's files were changed while it measures: values of two are not mixed."""
    campaign = context.campaign
    if digest(parts_of_oracle(campaign.config, campaign.base)) != book.identity:
        raise BadInput(
            f"The files of the oracle {book.oracle} were changed while campaign {campaign.name!r} was measuring. "
            "Restore them and give the same command again, or begin anew with --fresh. Files that the oracle "
            "writes itself are named by its option `writes`."
        )


class _Enough(Exception):
    """More calls have failed than are tolerated."""


def _own(book: OracleBook, round: int) -> list[JsonDict]:
    """Return the calls of which the tolerated rate is one: also values bought before, whoever paid for them."""
    return [row for row in book.rows(round) if row["origin"] in ("called", "reused")]


def _failing(context: CampaignContext, book: OracleBook, round: int) -> CampaignStopped:
    """Return what ends the campaign, with the numbers of calls that the ledger has now."""
    rows = _own(book, round)
    errors = [row for row in rows if row["state"] == CallState.FAILED]
    counts = pd.Series([row["error"] for row in errors]).value_counts()
    told = ", ".join(f"{n} x {error}" for error, n in counts.items())
    unmade = sum(row["state"] == CallState.RESERVED for row in rows)
    message = str(max(errors, key=lambda row: row["completed_at"] or "")["message"] or "none").strip()
    return CampaignStopped(
        CampaignState.ORACLE_FAILING,
        f"Round {round}: {len(errors)} of {len(rows)} oracle calls failed ({told}), above the tolerated rate of "
        f"{context.config.objective.tolerated_failure_rate:g}{_unmade(unmade)}. The last message: {message}"
        f"{'' if message.endswith(('.', '!', '?')) else '.'} "
        "Mend what it needs and give the same command with --retry-failed; with other code, begin anew with --fresh.",
    )


def _unmade(calls: int) -> str:
    if not calls:
        return ""
    return f"; {calls} {'was' if calls == 1 else 'were'} not made"


def _doubt(context: CampaignContext, ids: list[str]) -> str:
    name = context.campaign.name
    return (
        f"{len(ids)} calls were sent and never answered, and the oracle must not be called twice: "
        f"{', '.join(ids[:5])}{' ...' if len(ids) > 5 else ''}. Find out what became of them, then "
        f"`discover settle {name} ID --value X`, or `discover settle {name} ID --abandon`, and give the command again."
    )


def _write_dataset(rows: list[CandidateRow], folder: Path, round: int, oracle: Oracle) -> dict[str, float]:
    frame = pd.DataFrame(rows, columns=CandidateRow._fields).assign(unit=oracle.unit)
    measured = frame[frame["state"] == CallState.DONE][DATASET_COLUMNS].reset_index(drop=True)
    measured = measured.astype({"value": "float64", "predicted_mean": "float64", "predicted_std": "float64"})
    measured.to_parquet(folder / "dataset.parquet", index=False)
    write_csv(measured, folder / "dataset.csv")
    here = frame[frame["round"] == round]
    return {
        "measured": float((here["state"] == CallState.DONE).sum()),
        "failed": float((here["state"] == CallState.FAILED).sum()),
        "dataset": len(measured),
    }
