"""MLflow's view of a campaign: a run for it, and in it a run for each round, from its beginning on.

What is shown is derived from the ledger and the stages: publishing again, after a crash or into another database,
shows the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from data.config import digest
from data.goals import Goals
from data.ledger.campaigns import Campaign, CampaignState, StageRow
from data.ledger.course_health import Plan, campaign_findings
from data.ledger.health import Finding, worst
from data.ledger.summary import IMPORTED, arm_figures, by_round, by_source, gain_over_control, is_call, summaries
from data.records import Arm, CandidateRow, RoundSummary
from models.parts import space_of
from tasks.progress import Event
from tasks.reporting.objectives import goals_with_units
from tasks.reporting.registering import register
from tasks.reporting.round_metrics import every_metric, shown_curves, shown_metrics
from tasks.reporting.verdict import (
    PICTURES,
    best_text,
    campaign_verdict,
    picture_address,
    proxy_told,
    round_verdict,
    text,
)
from tasks.stages import CampaignContext, StageRef
from tasks.storage import read_table
from tasks.tracking import Tracker, attempt

SHAPE = 4
"""Version of what is shown: a newer one is published over an older."""
PAGE = "report/candidates.html"
VALUE = "batch/value"
"""Metric of a round that has what was measured, by the place in its batch."""
COLUMNS = ("round", "best", "top10_mean", "gain", "calls", "cost")
"""Metrics that the table of runs shows."""


def health_of(context: CampaignContext, rows: list[CandidateRow], round: int) -> list[Finding]:
    """Return the findings of a round."""
    return campaign_findings(
        [row for row in rows if row.round <= round],
        stages_until(context, round),
        context.goals,
        Plan.of(context.campaign),
        bought=context.ledger.bought(context.campaign.id),
        only=round,
    )


def stages_until(context: CampaignContext, round: int) -> list[StageRow]:
    """Return the finished stages of the rounds so far."""
    return [stage for stage in context.ledger.stages(context.campaign.id) if stage.round <= round]


def of_several(summary: RoundSummary) -> dict[str, Any]:
    """Return what there is besides of limits and of several objectives: names of metrics and of the page's figures."""
    volumes = summary.volumes
    found = {
        "feasible": summary.feasible,
        "acquisition_feasible": summary.acquisition_feasible,
        "control_feasible": summary.control_feasible,
        "best_of": summary.best_of,
        "front": summary.front,
        "hypervolume": summary.hypervolume,
        "hypervolume_calls": volumes and volumes.n,
        "acquisition_hypervolume": volumes and volumes.acquisition,
        "control_hypervolume": volumes and volumes.control,
    }
    return {name: value for name, value in found.items() if value is not None}


def publish_round(
    context: CampaignContext,
    tracker: Tracker,
    stage: StageRef,
    dataset: StageRef,
    proxy: StageRef | None,
    generator: StageRef | None,
) -> None:
    """Show a finished round.

    Args:
        context: of the campaign.
        tracker: of it.
        stage: that wrote the round's report.
        dataset: that wrote the data set which the round ended with.
        proxy: that trained the round's proxy; None: the initial design has none.
        generator: that trained its generator.
    """
    round, key = stage.round, digest([SHAPE, stage.sha256, dataset.sha256])
    run = tracker.run(round)
    if tracker.published(run) == key:
        return
    goals = goals_with_units(context.config)
    stages = [one for one in context.ledger.stages(context.campaign.id) if one.round == round]
    tracker.params(run, {"round": round, "seed": context.config.seed, **_components(context)})
    history = None if generator is None else _history(context, generator)
    curves = shown_curves(history)
    told_of = {name for name in curves.columns if name != "step"}
    tracker.metrics(run, [shown_metrics(stages, goals, curves=len(told_of) + 1)])
    table = read_table(dataset.path(context, "dataset.parquet"))
    name = f"{context.campaign.slug} after round {round}"
    tracker.dataset(run, name, dataset.sha256, dataset.path(context, "dataset.parquet"), len(table), "measured")
    if generator is not None:
        if told_of:
            tracker.metrics(run, [{str(k): v for k, v in row.items()} for row in curves.to_dict("records")])
        tracker.artifacts(run, generator.path(context, ""), "generator")
    if proxy is not None:
        for place in range(len(goals)):
            own = proxy.path(context, "" if len(goals) == 1 else str(place))
            register(context, tracker, run, own, place, f"for round {round}")
    rows = context.goals.ranked(context.ledger.course(context.campaign.id))
    until = [row for row in rows if row.round <= round]
    tracker.metrics(run, _values([row for row in until if row.round == round]), step="place")
    health = health_of(context, until, round)
    trained = next((one.metrics for one in stages if one.name == "train_proxy"), {})
    note = round_verdict(
        next((one for one in summaries(until, goals) if one.round == round), None),
        goals,
        bought=sum(row.round == round and row.state != "proposed" for row in until),
        proxy=proxy_told(trained, goals),
        health=health,
        page=tracker.link(run, PAGE),
    )
    tracker.tags(run, {**_health_tag(health), "mlflow.note.content": note})
    tracker.artifacts(run, stage.path(context, ""), "report")
    tracker.text(run, every_metric(stages).to_csv(index=False), "metrics.csv")
    tracker.artifacts(run, dataset.path(context, ""), "data")
    tracker.mark_published(run, key)


def publish_campaign(context: CampaignContext, tracker: Tracker, folder: Path, rows: list[CandidateRow]) -> None:
    """Show the campaign as the ledger has it now.

    Args:
        context: of the campaign.
        tracker: of it.
        folder: of its report.
        rows: its candidates, best first.
    """
    run, goals = tracker.run(), goals_with_units(context.config)
    page = tracker.link(run, PAGE)
    (folder / "mlflow.txt").write_text(page + "\n")
    (folder / "mlflow-runs.txt").write_text(tracker.view() + "\n")
    campaign = context.ledger.campaign_by_id(context.campaign.id)
    key = digest([SHAPE, str(campaign.state), (folder / "candidates.csv").read_text()])
    if tracker.published(run) == key:
        return
    tracker.describe(_about(campaign, goals), _shown_columns(goals))
    tracker.params(run, context.config.to_json())
    last = max((row.round for row in rows), default=0)
    stages = stages_until(context, last)
    for summary in summaries(rows, goals):
        own = [stage for stage in stages if stage.round == summary.round]
        until = [row for row in rows if row.round <= summary.round]
        tracker.metrics(run, [{"step": summary.round, **_course(summary, own, until, goals)}])
    tracker.metrics(run, _best_by_call(rows, goals), step="call")
    spent = context.ledger.spent(campaign.id)
    tracker.metrics(run, [{"cost": spent.cost, "running_seconds": campaign.seconds}])
    health = health_of(context, rows, last)
    pictures = _draw(context, tracker, run, rows)
    note = campaign_verdict(
        campaign,
        rows,
        goals,
        spent=spent,
        sources=by_source(rows, stages, goals),
        health=health,
        page=page,
        pictures=pictures,
    )
    tracker.tags(run, {"discovery.state": str(campaign.state), **_health_tag(health), "mlflow.note.content": note})
    _show_data(context, tracker, run, last)
    tracker.artifacts(run, folder, "report")
    tracker.mark_published(run, key, _status(campaign.state))
    for round in range(last + 1):  # one that was interrupted, or waits, has a run that is not published
        _show_unfinished(context, tracker, round, campaign, rows)


def _status(state: CampaignState) -> str:
    """Return MLflow's word for a campaign that no process runs now; one that waits for people goes on."""
    told = {CampaignState.DONE: "FINISHED", CampaignState.FAILED: "FAILED", CampaignState.WAITING: "RUNNING"}
    return told.get(state, "KILLED")


def show_answers(context: CampaignContext) -> None:
    """Show what a laboratory has told of rounds that are not over; nothing is shown while a process runs the campaign.

    Where MLflow cannot be reached it is said, and the next run makes up for it.
    """
    if context.ledger.owner(context.campaign.id) is not None:
        return
    tracker = attempt("connecting", lambda: Tracker(context.workspace, context.campaign))
    if tracker is None:
        return
    campaign = context.ledger.campaign_by_id(context.campaign.id)
    rows = context.goals.ranked(context.ledger.candidates(campaign.id))
    for round in sorted({row.round for row in rows}):
        attempt(f"showing round {round}", partial(_show_unfinished, context, tracker, round, campaign, rows))


def show_running(context: CampaignContext, tracker: Tracker, event: Event) -> None:
    """Show how far a running campaign is: its round is a run from its beginning on.

    Args:
        context: of the campaign.
        tracker: of it.
        event: what it is at.
    """
    parent, run = tracker.run(), tracker.run(event.round)
    told = f"round {event.round} of {context.config.rounds}: {event.stage.replace('_', ' ')}"
    told += f", {event.done} of {event.total}" if event.total else ""
    tracker.tags(parent, {"discovery.state": "running", "mlflow.note.content": f"**Running, {told}.**"})
    rows = context.ledger.candidates(context.campaign.id, event.round, event.round)
    tracker.metrics(run, _values(rows), step="place")
    tracker.tags(run, {"mlflow.note.content": f"**Running: {told}.** {_best_of_round(context, rows)}".strip()})
    for shown in (parent, run):
        tracker.status(shown, "RUNNING")


def _best_of_round(context: CampaignContext, rows: list[CandidateRow]) -> str:
    goals = goals_with_units(context.config)
    best = [row for row in goals.ranked(rows) if goals.eligible(row)]
    return text(best_text(best, goals)) if best else ""


def _values(rows: list[CandidateRow]) -> list[dict[str, float | None]]:
    """Return what was measured in a round by the place in its batch: a point for each answer, as they come."""
    return [{"place": row.position + 1, VALUE: row.value} for row in rows if row.value is not None]


def _show_unfinished(
    context: CampaignContext, tracker: Tracker, round: int, campaign: Campaign, rows: list[CandidateRow]
) -> None:
    """Show how far a round is that has bought something and is not over."""
    mine = [row for row in rows if row.round == round]
    if context.finished(round, "report") is not None or not mine:
        return
    run = tracker.run(round)
    asked = [row for row in mine if row.state not in ("proposed", "done", "failed", "abandoned")]
    measured = sum(context.goals.measured(row) for row in mine)
    since = _oldest_question(context, round)
    told = f"**{measured} of {len(mine)} measured, {len(asked)} not answered yet{since}.**"
    tracker.metrics(run, _values(mine), step="place")
    tracker.tags(run, {"mlflow.note.content": f"{told} {text(campaign.message)}".strip()})
    tracker.status(run, _status(campaign.state))


def _oldest_question(context: CampaignContext, round: int) -> str:
    """Return since when a laboratory has been asked, words; empty where none has."""
    if not context.config.readings.later:
        return ""
    from data.ledger.telling import calls_of

    times = [
        row["reserved_at"]
        for row in calls_of(context.ledger, context.campaign.id)
        if row["round"] == round and row["state"] == "submitted"
    ]
    return f", asked since {datetime.fromisoformat(min(times)).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if times else ""


def _about(campaign: Campaign, goals: Goals) -> str:
    wanted = "; ".join(goal.told.replace("_", " ") for goal in goals)
    return (
        f"Discovery campaign **{campaign.name}**: {wanted}. The run with the campaign's name says what became of it; "
        "its rounds are nested in it (open them by the box beside its name). The page of candidates is the artifact "
        f"`{PAGE}` of each run."
    )


def _shown_columns(goals: Goals) -> list[str]:
    metrics = [*COLUMNS, *(["hypervolume", "front"] if goals.several else [])]
    return ["tags.`discovery.state`", "tags.`discovery.health`", *(f"metrics.`{name}`" for name in metrics)]


def _course(summary: RoundSummary, stages: list[StageRow], rows: list[CandidateRow], goals: Goals) -> dict[str, Any]:
    """Return the figures of a round that are curves over rounds on the campaign's run."""
    values: dict[str, Any] = {
        name: getattr(summary, name) for name in ("round", "calls", "best", "top10_mean", "failed")
    }
    # Of all rounds so far, as the gain is: it is their difference. Those of a round are `batch/...` of its own run.
    for arm in (Arm.ACQUISITION, Arm.CONTROL):
        figures = arm_figures(rows, arm, goals)
        values[f"{arm}_mean"] = None if figures is None else figures.mean
    values |= of_several(summary)
    values |= {f"best/{name}": value for name, value in values.pop("best_of", {}).items()}
    gain = None if goals.several else gain_over_control(rows, goals)
    if gain is not None:
        values["gain"] = gain.mean
    shown = shown_metrics(stages, goals)
    curves = [name for name in shown if name.startswith(("proxy/", "calibration/"))]
    return values | {name: shown[name] for name in curves if name.endswith(("spearman", "rmse", "coverage_90"))}


def _show_data(context: CampaignContext, tracker: Tracker, run: str, last: int) -> None:
    """Show what the campaign began with, and what it has measured."""
    prepared = context.finished(0, "prepare_data")
    if prepared is not None:
        file = prepared.path(context, "library.parquet")
        kind = context.config.data.pool["kind"]
        tracker.dataset(run, f"source {kind}", prepared.sha256, file, int(prepared.metrics.get("library", 0)), "source")
    measured = next((one for r in range(last, -1, -1) if (one := context.finished(r, "measure")) is not None), None)
    if measured is not None:
        file = measured.path(context, "dataset.parquet")
        name = f"{context.campaign.slug} after round {measured.round}"
        tracker.dataset(run, name, measured.sha256, file, int(measured.metrics["dataset"]), "measured")


def _draw(context: CampaignContext, tracker: Tracker, run: str, rows: list[CandidateRow]) -> dict[str, str]:
    """Have drawings of the best candidates among the artifacts; return their addresses by id."""
    space, found = space_of(context.config), {}
    if not space.draws():
        return {}
    for place, row in enumerate([row for row in rows if context.goals.eligible(row)][:PICTURES], 1):
        drawing = space.draw(row.object)
        if drawing is not None:
            path = f"report/best_{place}.svg"
            tracker.text(run, _on_white(drawing), path)
            found[row.id] = picture_address(run, path)
    return found


def _on_white(drawing: str) -> str:
    """Return a drawing that is a file of its own: with a size, and a ground on which dark lines are seen."""
    head, tag, rest = drawing.partition(">")
    sized = head.replace("<svg", '<svg width="240" height="173"', 1)
    return f'{sized}{tag}<rect width="100%" height="100%" rx="6" fill="#ffffff"/>{rest}'


def _health_tag(health: list[Finding]) -> dict[str, str]:
    return {"discovery.health": str(worst(health))} if health else {}


def _history(context: CampaignContext, generator: StageRef) -> pd.DataFrame | None:
    """Return what a generator told step by step, None where it told nothing."""
    file = generator.path(context, "history.csv")
    return pd.read_csv(file) if file.read_text().strip() else None


def _components(context: CampaignContext) -> dict[str, str]:
    config = context.config.to_json()
    parts = {name: config[name]["kind"] for name in ("proxy", "acquisition", "generator", "selector", "control")}
    return {**parts, "options": json.dumps({name: config[name] for name in parts}, sort_keys=True)}


def _best_by_call(rows: list[CandidateRow], goals: Goals) -> list[dict[str, float | None]]:
    """Return the best value so far by number of calls, in the order of purchase; a failed call counts as a call.

    Values that came with the data were known before the first call: they stand at call 0. What breaks a limit is not
    the best.
    """
    best = _best_of((row for row in rows if row.origin == IMPORTED), None, goals)
    out: list[dict[str, float | None]] = [] if best is None else [{"call": 0, "best_so_far": best}]
    every = (part for of_round in by_round(rows).values() for part in of_round)
    bought = sorted(filter(is_call, every), key=lambda row: (row.round, row.position))
    for call, row in enumerate(bought, start=1):
        best = _best_of((row,), best, goals)
        out.append({"call": call, "best_so_far": best})
    return out


def _best_of(rows: Iterable[CandidateRow], best: float | None, goals: Goals) -> float | None:
    for row in rows:
        if row.value is not None and goals.eligible(row):
            best = row.value if best is None else max(best, row.value, key=goals.main.signed)
    return best
