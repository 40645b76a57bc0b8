"""Stage `report`, and the campaign's final report: the page of candidates, tables and plots; then MLflow's view of it.

Reports are derived from the ledger and the stages, so they are made again at will; publishing them in MLflow may fail
without harm and is made up for the next time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.feature_shifts import shift_told
from data.goals import Goals
from data.ledger.by_level import PURCHASES_SAID, LevelFigures, figures_by_level, purchases_told
from data.ledger.campaigns import Campaign, StageRow
from data.ledger.health import Finding
from data.ledger.summary import (
    arm_figures,
    by_source,
    feasible_share,
    outside_limits,
    place_told,
    repeated,
    screening_told,
    summarise,
)
from data.never_learnt import never_of, residual_told
from data.records import Arm, CandidateRow, JsonDict, RoundSummary, SourceFigures
from data.short_batches import short_told
from data.stocks import stock_told
from data.tables.remarks import REFUSED, reading_told, tables_told
from data.tables.spreadsheets import safe_text, write_csv
from data.wording import figure, shown_unit
from models.parts import space_of
from models.spaces.columns import COMPOUND, TEXT, columns_of, exported, with_compounds
from tasks.oracles.asking import waiting_since
from tasks.reporting.announcing import announce, announce_end
from tasks.reporting.beliefs import belief_after, belief_metrics, belief_pictures
from tasks.reporting.figures import round_figures
from tasks.reporting.inline_svg import Point
from tasks.reporting.nearest import nearest_known
from tasks.reporting.objectives import cells_of, columns_with, front_of, goals_with_units, level_column
from tasks.reporting.page import candidates_page, picture_of
from tasks.reporting.page_cells import Column, first_click, heading
from tasks.reporting.page_exports import file_parts
from tasks.reporting.page_lineage import best_found, best_lineages, lineage_lists
from tasks.reporting.page_settings import made_by, settings_text
from tasks.reporting.page_verdict import verdict_of
from tasks.reporting.publishing import health_of, of_several, publish_campaign, publish_round, stages_until
from tasks.reporting.verdict import best_text, nothing
from tasks.stages import CampaignContext, CampaignRef, StageRef, run_stage
from tasks.storage import write_json
from tasks.tracking import Tracker, attempt

_COLUMNS = [
    "rank", "id", TEXT, "value", "unit", "round", "arm", "source",
    "predicted_mean", "predicted_std", "score", "novelty", "state", "error", "message", COMPOUND, "same_compound",
]  # fmt: skip
SHOWN, SHOWN_BETWEEN = 300, 50
"""Most candidates on a page, and on that of a round without figures: pages were most of what a campaign kept."""
ALL_DRAWN, EACH_DRAWN = 5, 10
"""Rounds at first of which all have figures; afterwards each so-manieth, and the last."""
HOUR = "%Y-%m-%d %H:%M UTC"
NOT_DRAWN = f"Figures are drawn after rounds 0 to {ALL_DRAWN}, then each {EACH_DRAWN}th and the last."


@task(name="report", task_run_name="round {round}: report", cache_policy=NO_CACHE, persist_result=False)
def report(
    ref: CampaignRef, round: int, dataset: StageRef, proxy: StageRef | None, generator: StageRef | None
) -> StageRef:
    """Report a round, and show it in MLflow.

    Results: `candidates.html`, `candidates.csv`, `summary.json`, `plots/*.png` and `*.svg` (see `is_drawn`).
    """
    with ref.open() as context:
        inputs: dict[str, StageRef | str] = {"dataset": dataset}
        stage = run_stage(
            context,
            round,
            "report",
            inputs=inputs,
            settings={},
            compute=lambda folder: _write_round(context, folder, round),
            pinned=False,
        )
        tracker = attempt("connecting", lambda: Tracker(context.workspace, context.campaign))
        if tracker is not None:
            attempt(
                f"publishing round {round}", lambda: publish_round(context, tracker, stage, dataset, proxy, generator)
            )
        page = stage.path(context, "candidates.html").as_uri()
        announce(context, round, health_of(context, _rows(context, round), round), page)
        return stage


@task(name="final report", cache_policy=NO_CACHE, persist_result=False)
def final_report(ref: CampaignRef) -> str:
    """Report the campaign as the ledger has it now, whatever its state; returns the folder."""
    with ref.open() as context:
        folder = context.folder / "report"
        read = write_campaign(context, folder)
        tracker = attempt("connecting", lambda: Tracker(context.workspace, context.campaign))
        if tracker is not None:
            attempt("publishing the campaign", lambda: publish_campaign(context, tracker, folder, read))
        best = [row for row in read if context.goals.eligible(row)]
        goals = goals_with_units(context.config)
        announce_end(context, best_text(best, goals) if best else nothing(read, goals))
        return str(folder)


def write_campaign(context: CampaignContext, folder: Path) -> list[CandidateRow]:
    """Write the report of a campaign as the ledger has it now; return its candidates, best first."""
    folder.mkdir(parents=True, exist_ok=True)
    last = context.ledger.standing(context.campaign.id, context.goals).round
    rows = _rows(context, last)
    table = _table(context, rows)
    campaign = context.ledger.campaign_by_id(context.campaign.id)
    # The page goes from hand to hand: of files it tells the place in the campaign's folder.
    campaign = replace(campaign, message=campaign.message.replace(f"{context.folder}/", ""))
    _write(context, folder, last, rows, table, campaign=campaign)
    write_json(folder / "candidates.json", _exported(context, table, ranked=False))
    return rows


def _write_round(context: CampaignContext, folder: Path, round: int) -> dict[str, float]:
    rows = _rows(context, round)
    return _write(context, folder, round, rows, _table(context, rows), drawn=is_drawn(round, context.config.rounds))


def is_drawn(round: int, rounds: int) -> bool:
    """Return whether figures are drawn after a round; they cost more than a small round, and change little in one."""
    return round <= ALL_DRAWN or round % EACH_DRAWN == 0 or round == rounds


def _write(
    context: CampaignContext,
    folder: Path,
    round: int,
    rows: list[CandidateRow],
    table: list[JsonDict],
    *,
    drawn: bool = True,
    campaign: Campaign | None = None,
) -> dict[str, float]:
    """Write the files of a report; `campaign` as it is now, where the page speaks of more than a round."""
    summary = summarise(rows, round, context.goals)
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    goals, shown = goals_with_units(context.config), SHOWN if drawn else SHOWN_BETWEEN
    best = [] if campaign is None else best_found(rows, goals)
    pictures = round_figures(context, rows, round, plots, _points(rows, goals, shown), best) if drawn else []
    belief = belief_after(context, round)
    if belief is not None:
        pictures = [*belief_pictures(context, belief, round, folder), *pictures]
    lineages = [] if campaign is None else best_lineages(context, rows, goals)
    columns = columns_of(_table_columns(context), space_of(context.config))
    told = pd.DataFrame(_exported(context, table, ranked=True), columns=columns)
    write_csv(told.rename(columns=safe_text), folder / "candidates.csv")  # names of objectives are people's texts too
    figures = _figures(context, rows, summary)
    family = space_of(context.config).family
    stages = stages_until(context, round)
    sources = by_source(rows, stages, goals, family=family)
    health = health_of(context, rows, round)
    figures |= _by_level(context, round) | belief_metrics(belief)
    figures |= {"health": [_finding_told(finding) for finding in health]}
    write_json(folder / "summary.json", figures | {"by_source": [asdict(one) for one in sources]})
    space = space_of(context.config)
    booked = [row for row in context.ledger.bought(context.campaign.id) if row["round"] <= round]
    # A round's page is the same whenever it is made: only the campaign's own tells the hour, and only of what is open.
    waiting = {} if campaign is None else waiting_since(context)
    never = never_of(stages)
    page = candidates_page(
        [
            row
            | ({"since": f"{waiting[row['id']]:{HOUR}}"} if row["id"] in waiting else {})
            | ({"never_learnt": residual_told(never[row["id"]])} if row["id"] in never else {})
            for row in table[:shown]
        ],
        space=space,
        title=context.campaign.slug,
        subtitle=_subtitle(context, len(rows), shown, round) + ("" if drawn else f" {NOT_DRAWN}"),
        verdict=verdict_of(
            rows,
            goals,
            cost=sum(float(row["cost"]) for row in booked),
            calls=sum(int(row["calls"]) for row in booked),
            health=health,
            rounds=(round, context.config.rounds),
            campaign=campaign,
            waiting=_waiting_told(waiting),
        ),
        total=len(rows),
        summary={key: value for key, value in figures.items() if key not in ("health", "levels", "purchases")}
        | _all_rounds(rows, context.goals),
        goals=goals,
        plots=pictures,
        findings=[(str(f.level), f.message) for f in health],
        sources=[_source_texts(one) for one in sources],
        said=[
            *_reading(context),
            *_purchases_said(figures),
            *(told for of in (_stock_told, short_told, screening_told, shift_told) for told in of(stages)),
        ],
        lineages=lineage_lists(lineages, space, goals, _places(rows[:shown]), partial(picture_of, space=space)),
        levels=_level_columns(context, goals, figures),
        nearest=nearest_known(rows[:shown], rows, space),
        parts=file_parts(_exported(context, table[:shown], ranked=True), space, columns=columns),
        made_by=made_by(context),
        settings=settings_text(context),
    )
    (folder / "candidates.html").write_text(page, encoding="utf-8")
    own = set(figures) - set(_heldout(context, round))  # those are metrics of the stage that trained the proxy
    metrics = {key: float(figures[key]) for key in sorted(own) if isinstance(figures[key], int | float)}
    metrics |= {f"best/{name}": value for name, value in (summary.best_of or {}).items()}
    drift = [(f"{f.objective}/" if f.objective else "", f.figures) for f in health if f.kind == "calibration_drift"]
    return metrics | {f"{of}drift_{k}": v for of, found in drift for k, v in found.items()}


def _waiting_told(waiting: Mapping[str, datetime]) -> str:
    if not waiting:
        return ""
    first = f"{min(waiting.values()):{HOUR}}"
    n = len(waiting)
    return f"{n} candidate{' waits' if n == 1 else 's wait'} for an answer, the first since {first}."


def _level_columns(context: CampaignContext, goals: Goals, figures: JsonDict) -> list[Column]:
    """Return the page's columns of values at cheaper levels, each with the calls that were made there."""
    counted = {one["level"]: one["calls"] for one in figures.get("levels", ())}
    found = []
    for one in context.config.readings:
        goal = next(goal for goal in goals if goal.name == one.objective)
        for level in range(len(one.below)):
            calls = f"{counted[level]} call{'' if counted[level] == 1 else 's'}" if level in counted else ""
            note = ", ".join(filter(None, (shown_unit(goal.unit), calls)))
            label = f"{heading(goal)}, level {level}"
            found.append(Column(level_column(one.objective, level), label, first_click(goal), note, "level"))
    return found


def _points(rows: Sequence[CandidateRow], goals: Goals, shown: int) -> dict[str, Point]:
    """Return what is told of candidates where they are drawn; the first `shown` of them have a row in the page."""
    found = {}
    for rank, row in enumerate(rows, start=1):
        values = goals.values(row)
        told = ", ".join(f"{figure(values.get(goal.name))} {shown_unit(goal.unit)}".strip() for goal in goals)
        text = f"#{rank} {row.object}: {told}, {place_told(row)}" + (f", {row.arm}" if row.round else "")
        found[row.id] = Point(text, f"c{rank}" if rank <= shown else "")
    return found


def _places(rows: Sequence[CandidateRow]) -> dict[str, int]:
    return {row.id: rank for rank, row in enumerate(rows, start=1)}


def _by_level(context: CampaignContext, round: int) -> dict[str, Any]:
    """Return what was bought at each level so far, and in sentences why; nothing where no objective has levels."""
    bought = [row for row in context.ledger.bought(context.campaign.id) if row["round"] <= round]
    levels = figures_by_level(bought, context.config.readings)
    told = (
        purchases_told(stages_until(context, round), context.workspace.home)
        if levels or context.config.remeasure
        else []
    )
    return ({"levels": [asdict(one) for one in levels]} if levels else {}) | ({"purchases": told} if told else {})


def _purchases_said(figures: JsonDict) -> list[str]:
    """Return sentences for the page on what was bought at each level and beside new objects, of the last rounds."""
    levels = "; ".join(LevelFigures(**one).told() for one in figures.get("levels", ()))
    return [*([f"Bought so far: {levels}."] if levels else []), *figures.get("purchases", ())[-PURCHASES_SAID:]]


def _stock_told(stages: list[StageRow]) -> list[str]:
    return [f"Libraries: {told[:1].lower()}{told[1:]}" for told in stock_told(stages)]


def _finding_told(finding: Finding) -> dict[str, str]:
    told = {"kind": finding.kind, "level": str(finding.level), "message": finding.message}
    return told | ({"objective": finding.objective} if finding.objective else {})


def _rows(context: CampaignContext, round: int) -> list[CandidateRow]:
    """Return the candidates of the rounds so far, best first."""
    found = context.ledger.candidates(context.campaign.id, last=round)
    return with_compounds(context.goals.ranked(found), space_of(context.config))


def _table(context: CampaignContext, rows: list[CandidateRow]) -> list[JsonDict]:
    """Return them for the page and the tables, with rank, units and the facts of the space."""
    goals, space = goals_with_units(context.config), space_of(context.config)
    front = front_of(rows, goals)
    return [
        {**cells_of(row, goals, front), "rank": rank, **space.facts_of(row.object)}
        for rank, row in enumerate(rows, start=1)
    ]


def _table_columns(context: CampaignContext) -> list[str]:
    place = _COLUMNS.index("novelty") + 1
    columns = [*_COLUMNS[:place], *space_of(context.config).facts, *_COLUMNS[place:]]
    return columns_with(columns, context.goals, context.config.readings)


def _figures(context: CampaignContext, rows: list[CandidateRow], summary: RoundSummary) -> dict[str, Any]:
    goals = context.goals
    best = [row.value for row in rows if row.arm == Arm.INITIAL and row.value is not None and goals.eligible(row)]
    initial = max(best, key=goals.main.signed) if best else None
    return {
        "best": summary.best,
        "top10_mean": summary.top10_mean,
        "top_n": summary.top_n,
        "initial_best": initial,
        "acquisition_mean": summary.acquisition_mean,
        "control_mean": summary.control_mean,
        "acquisition_n": summary.acquisition.n if summary.acquisition else None,
        "acquisition_half": summary.acquisition.half if summary.acquisition else None,
        "control_n": summary.control.n if summary.control else None,
        "control_half": summary.control.half if summary.control else None,
        "calls": summary.calls,
        "budget": context.config.budget.calls,
        "failed": summary.failed,
        "rounds": summary.round,
        **of_several(summary),
        **{f"noise/{one.objective}": one.deviation for one in repeated(rows, goals)},
        **_heldout(context, summary.round),
    }


def _all_rounds(rows: Sequence[CandidateRow], goals: Goals) -> dict[str, Any]:
    """Return what both arms bought in all rounds so far: the page compares them on the basis of the gain beside it."""
    found: dict[str, Any] = {}
    for arm in (Arm.ACQUISITION, Arm.CONTROL):
        own = [row for row in rows if row.arm == arm]
        figures = arm_figures(own, arm, goals)
        found |= {f"{arm}_mean": figures and figures.mean, f"{arm}_n": figures and figures.n}
        found |= {f"{arm}_half": figures and figures.half, f"{arm}_outside": outside_limits(own, arm, goals)}
        found |= {f"{arm}_feasible": feasible_share(own, goals)}
    return found | {"feasible": feasible_share(rows, goals)}


def _source_texts(one: SourceFigures) -> list[str]:
    counts = ["–" if n is None else str(n) for n in (one.proposed, one.screened, one.bought)]
    values = ("–" if value is None else figure(value) for value in (one.mean, one.best))
    return [one.source, *counts, *values, str(one.hits), "–" if one.families is None else str(one.families)]


def _heldout(context: CampaignContext, round: int) -> dict[str, float]:
    """Return how well the round's proxy predicted what it was not trained on."""
    stage = context.finished(round, "train_proxy")
    if stage is None:
        return {}
    names = {
        "rmse": "RMSE",
        "spearman": "Spearman",
        "nll": "NLL",
        "coverage_90": "coverage of 90 % intervals",
        "enrichment_10": "enrichment of the top 10 %",
    }
    several = len(context.goals) > 1
    objectives = [(f"{goal.name}/", f"{goal.name} ") for goal in context.goals] if several else [("", "")]
    return {
        f"{told}{split} {label}": float(stage.metrics[f"{of}{prefix}_{name}"])
        for of, told in objectives
        for prefix, split in (("heldout", "held-out"), ("random", "random-split"))
        for name, label in names.items()
        if f"{of}{prefix}_{name}" in stage.metrics and (prefix == "heldout" or name in ("rmse", "coverage_90"))
    }


def _subtitle(context: CampaignContext, count: int, most: int, round: int) -> str:
    wanted = "; ".join(goal.told.replace("_", " ") for goal in goals_with_units(context.config))
    where = "the initial design" if round == 0 else f"{round} round{'s' if round > 1 else ''}"
    shown = f"the best {most} of {count}" if count > most else f"{count}"
    return f"{wanted[:1].upper()}{wanted[1:]}: {shown} candidates after {where}."


def _reading(context: CampaignContext) -> list[str]:
    """Return what became of the rows, the same on every machine: the page goes from hand to hand."""
    data = context.finished(0, "prepare_data")
    if data is None:
        return []
    folder = context.workspace.home / data.uri
    told = reading_told(folder, f"{folder.relative_to(context.folder).as_posix()}/{REFUSED} in the campaign's folder")
    tables = context.finished(0, "read_tables")
    if tables is not None:
        told += [f"{role.capitalize()} {sentence}" for role, sentence, _ in tables_told(tables.path(context, ""))]
    return [sentence if sentence.endswith(".") else f"{sentence}." for sentence in told]


def _exported(context: CampaignContext, table: list[JsonDict], *, ranked: bool) -> list[JsonDict]:
    columns, space = _table_columns(context)[0 if ranked else 1 :], space_of(context.config)
    return [exported(row, columns, space) for row in table]
