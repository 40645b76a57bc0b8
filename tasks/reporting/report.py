"""Stage `report`, and the campaign's final report: the page of candidates, tables and plots; then MLflow's view of it.

Reports are derived from the ledger and the stages, so they are made again at will; publishing them in MLflow may fail
without harm and is made up for the next time.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from data.config import digest
from data.goals import Goals
from data.ledger.by_level import PURCHASES_SAID, LevelFigures, figures_by_level, purchases_told
from data.ledger.campaigns import Campaign, CampaignState, StageRow
from data.ledger.health import Finding, findings, worst
from data.ledger.summary import (
    IMPORTED,
    by_round,
    by_source,
    gain_over_control,
    is_call,
    repeated,
    screening_told,
    summaries,
    summarise,
    volumes_told,
)
from data.masking import masked
from data.records import Arm, CallState, CandidateRow, JsonDict, RoundSummary, SourceFigures
from data.tables.remarks import REFUSED, reading_told
from data.tables.spreadsheets import safe_text, write_csv
from data.wording import figure, shown_unit
from models.parts import space_of
from models.spaces.columns import COMPOUND, TEXT, columns_of, exported, with_compounds
from tasks.reporting.figures import round_figures
from tasks.reporting.objectives import cells_of, columns_with, front_of, goals_with_units
from tasks.reporting.page import candidates_page
from tasks.stages import CampaignContext, CampaignRef, StageRef, run_stage
from tasks.storage import read_json, read_table, write_json
from tasks.tracking import Tracker, attempt

_COLUMNS = [
    "rank", "id", TEXT, "value", "unit", "round", "arm", "source",
    "predicted_mean", "predicted_std", "score", "novelty", "state", "error", "message", COMPOUND, "same_compound",
]  # fmt: skip
NOTE = 2
"""Version of the description: a newer one is published over an older."""
SHOWN, SHOWN_BETWEEN = 300, 50
"""Most candidates on a page, and on that of a round without figures: pages were most of what a campaign kept."""
ALL_DRAWN, EACH_DRAWN = 5, 10
"""Rounds at first of which all have figures; afterwards each so-manieth, and the last."""
NOT_DRAWN = f"Figures are drawn after rounds 0 to {ALL_DRAWN}, then each {EACH_DRAWN}th and the last."


@task(name="report", task_run_name="round {round}: report", cache_policy=NO_CACHE, persist_result=False)
def report(
    ref: CampaignRef, round: int, dataset: StageRef, proxy: StageRef | None, generator: StageRef | None
) -> StageRef:
    """Report a round, and show it in MLflow.

    Results: `candidates.html`, `candidates.csv`, `summary.json`, `plots/*.png` (see `is_drawn`).
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
                f"publishing round {round}", lambda: _publish_round(context, tracker, stage, dataset, proxy, generator)
            )
        return stage


@task(name="final report", cache_policy=NO_CACHE, persist_result=False)
def final_report(ref: CampaignRef) -> str:
    """Report the campaign as the ledger has it now, whatever its state; returns the folder."""
    with ref.open() as context:
        folder = context.folder / "report"
        read = write_campaign(context, folder)
        tracker = attempt("connecting", lambda: Tracker(context.workspace, context.campaign))
        if tracker is not None:
            attempt("publishing the campaign", lambda: _publish_campaign(context, tracker, folder, read))
        return str(folder)


def write_campaign(context: CampaignContext, folder: Path) -> list[CandidateRow]:
    """Write the report of a campaign as the ledger has it now; return its candidates, best first."""
    folder.mkdir(parents=True, exist_ok=True)
    last = context.ledger.standing(context.campaign.id, context.goals).round
    rows = _rows(context, last)
    table = _table(context, rows)
    _write(context, folder, last, rows, table)
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
) -> dict[str, float]:
    summary = summarise(rows, round, context.goals)
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    pictures = round_figures(context, rows, round, plots) if drawn else {}
    goals = goals_with_units(context.config)
    columns = columns_of(_table_columns(context), space_of(context.config))
    told = pd.DataFrame(_exported(context, table, ranked=True), columns=columns)
    write_csv(told.rename(columns=safe_text), folder / "candidates.csv")  # names of objectives are people's texts too
    figures = _figures(context, rows, summary)
    family = space_of(context.config).family
    sources = by_source(rows, _stages(context, round), goals, family=family)
    health = _health(context, rows, round)
    figures |= _by_level(context, round)
    figures |= {"health": [_finding_told(finding) for finding in health]}
    write_json(folder / "summary.json", figures | {"by_source": [asdict(one) for one in sources]})
    shown = SHOWN if drawn else SHOWN_BETWEEN
    page = candidates_page(
        table[:shown],
        space=space_of(context.config),
        title=context.campaign.slug,
        subtitle=_subtitle(context, len(rows), shown, round) + ("" if drawn else f" {NOT_DRAWN}"),
        summary={key: value for key, value in figures.items() if key not in ("health", "levels", "purchases")},
        goals=goals,
        plots=pictures,
        findings=[(str(f.level), f.message) for f in health],
        sources=[_source_texts(one) for one in sources],
        said=[*_purchases_said(figures), *screening_told(_stages(context, round))],
    )
    (folder / "candidates.html").write_text(page, encoding="utf-8")
    own = set(figures) - set(_heldout(context, round))  # those are metrics of the stage that trained the proxy
    metrics = {key: float(figures[key]) for key in sorted(own) if isinstance(figures[key], int | float)}
    metrics |= {f"best/{name}": value for name, value in (summary.best_of or {}).items()}
    drift = [(f"{f.objective}/" if f.objective else "", f.figures) for f in health if f.kind == "calibration_drift"]
    return metrics | {f"{of}drift_{k}": v for of, found in drift for k, v in found.items()}


def _by_level(context: CampaignContext, round: int) -> dict[str, Any]:
    """Return what was bought at each level so far, and in sentences why; nothing where no objective has levels."""
    bought = [row for row in context.ledger.bought(context.campaign.id) if row["round"] <= round]
    levels = figures_by_level(bought, context.config.readings)
    told = purchases_told(_stages(context, round), context.workspace.home) if levels or context.config.remeasure else []
    return ({"levels": [asdict(one) for one in levels]} if levels else {}) | ({"purchases": told} if told else {})


def _purchases_said(figures: JsonDict) -> list[str]:
    """Return sentences for the page on what was bought at each level and beside new objects, of the last rounds."""
    levels = "; ".join(LevelFigures(**one).told() for one in figures.get("levels", ()))
    return [*([f"Bought so far: {levels}."] if levels else []), *figures.get("purchases", ())[-PURCHASES_SAID:]]


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
        "initial_best": initial,
        "acquisition_mean": summary.acquisition_mean,
        "control_mean": summary.control_mean,
        "acquisition_n": summary.acquisition.n if summary.acquisition else None,
        "acquisition_half": summary.acquisition.half if summary.acquisition else None,
        "control_n": summary.control.n if summary.control else None,
        "control_half": summary.control.half if summary.control else None,
        "calls": summary.calls,
        "budget": context.config.budget.calls,
        "failed": sum(row.state == CallState.FAILED for row in rows),
        "rounds": summary.round,
        **_of_several(summary),
        **{f"noise/{one.objective}": one.deviation for one in repeated(rows, goals)},
        **_heldout(context, summary.round),
    }


def _of_several(summary: RoundSummary) -> dict[str, Any]:
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


def _health(context: CampaignContext, rows: list[CandidateRow], round: int) -> list[Finding]:
    """Return the findings of a round."""
    return findings(rows, _stages(context, round), context.goals, only=round)


def _stages(context: CampaignContext, round: int) -> list[StageRow]:
    return [stage for stage in context.ledger.stages(context.campaign.id) if stage.round <= round]


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
        f"{told}{split} {label}": float(f"{stage.metrics[f'{of}{prefix}_{name}']:.3g}")
        for of, told in objectives
        for prefix, split in (("heldout", "held-out"), ("random", "random-split"))
        for name, label in names.items()
        if f"{of}{prefix}_{name}" in stage.metrics and (prefix == "heldout" or name in ("rmse", "coverage_90"))
    }


def _subtitle(context: CampaignContext, count: int, most: int, round: int) -> str:
    wanted = "; ".join(goal.told.replace("_", " ") for goal in goals_with_units(context.config))
    where = "the initial design" if round == 0 else f"{round} round{'s' if round > 1 else ''}"
    shown = f"the best {most} of {count}" if count > most else f"{count}"
    sentences = [f"{wanted[:1].upper()}{wanted[1:]}: {shown} candidates after {where}."]
    data = context.finished(0, "prepare_data")
    sentences += [] if data is None else _reading(context, context.workspace.home / data.uri)
    return " ".join(sentences)


def _reading(context: CampaignContext, folder: Path) -> list[str]:
    """Return what became of the rows, the same on every machine: the page goes from hand to hand."""
    told = reading_told(folder, f"{folder.relative_to(context.folder).as_posix()}/{REFUSED} in the campaign's folder")
    return [sentence if sentence.endswith(".") else f"{sentence}." for sentence in told]


def _exported(context: CampaignContext, table: list[JsonDict], *, ranked: bool) -> list[JsonDict]:
    columns, space = _table_columns(context)[0 if ranked else 1 :], space_of(context.config)
    return [exported(row, columns, space) for row in table]


# -- MLflow ----------------------------------------------------------------------------------------------------------


def _publish_round(
    context: CampaignContext,
    tracker: Tracker,
    stage: StageRef,
    dataset: StageRef,
    proxy: StageRef | None,
    generator: StageRef | None,
) -> None:
    round, key = stage.round, digest([stage.sha256, dataset.sha256])
    run = tracker.run(round)
    if tracker.published(run) == key:
        return
    stages = [s for s in context.ledger.stages(context.campaign.id) if s.round == round]
    tracker.params(run, {"round": round, "seed": context.config.seed, **_components(context)})
    tracker.metrics(run, [{f"{s.name}/{k}": v for s in stages for k, v in s.metrics.items()}])
    tracker.metrics(run, [{f"seconds/{s.name}": s.seconds for s in stages}])
    table = read_table(dataset.path(context, "dataset.parquet"))
    name = f"{context.campaign.slug} after round {round}"
    tracker.dataset(run, name, dataset.sha256, dataset.path(context, "dataset.parquet"), len(table))
    if generator is not None:
        history = pd.read_csv(generator.path(context, "history.csv")) if _has_history(context, generator) else None
        if history is not None:
            tracker.metrics(run, [{str(k): v for k, v in row.items()} for row in history.to_dict("records")])
        tracker.artifacts(run, generator.path(context, ""), "generator")
    if proxy is not None:
        for place, goal in enumerate(context.goals):
            folder = proxy.path(context, "" if len(context.goals) == 1 else str(place))
            objective = "" if goal == context.goals.main else goal.name
            tracker.proxy_version(run, folder, read_json(folder / "training.json"), objective)
    rows = context.goals.ranked(context.ledger.course(context.campaign.id))
    tracker.tags(run, _health_tags(_health(context, [row for row in rows if row.round <= round], round)))
    tracker.artifacts(run, stage.path(context, ""), "report")
    tracker.artifacts(run, dataset.path(context, ""), "data")
    tracker.mark_published(run, key)


def _publish_campaign(context: CampaignContext, tracker: Tracker, folder: Path, rows: list[CandidateRow]) -> None:
    run = tracker.run()
    page = tracker.link(run, "report/candidates.html")
    (folder / "mlflow.txt").write_text(page + "\n")
    campaign = context.ledger.campaign_by_id(context.campaign.id)
    key = digest([NOTE, str(campaign.state), (folder / "candidates.csv").read_text()])
    if tracker.published(run) == key:
        return
    tracker.params(run, context.config.to_json())
    for summary in summaries(rows, context.goals):
        values = {
            name: getattr(summary, name)
            for name in ("calls", "best", "top10_mean", "acquisition_mean", "control_mean", "failed")
        }
        values |= _of_several(summary)
        values |= {f"best/{name}": value for name, value in values.pop("best_of", {}).items()}
        tracker.metrics(run, [{"step": summary.round, **values}])
    tracker.metrics(run, _best_by_call(rows, context.goals), step="call")
    spent = context.ledger.spent(campaign.id)
    tracker.metrics(run, [{"cost": spent.cost, "running_seconds": campaign.seconds}])
    tracker.tags(
        run,
        {
            "discovery.state": str(campaign.state),
            "discovery.message": campaign.message,
            "discovery.page": page,
            **_health_tags(_health(context, rows, max((row.round for row in rows), default=0))),
            "mlflow.note.content": _note(context, campaign, rows, page),
        },
    )
    tracker.artifacts(run, folder, "report")
    status = {CampaignState.DONE: "FINISHED", CampaignState.FAILED: "FAILED"}.get(campaign.state, "KILLED")
    tracker.mark_published(run, key, status)


def _health_tags(health: list[Finding]) -> dict[str, str]:
    """Return `discovery.health` (the gravest level) and a sentence per finding."""
    found = {
        ".".join(filter(None, ("discovery.finding", finding.kind, finding.objective))): finding.message
        for finding in health
    }
    return {"discovery.health": str(worst(health)), **found} if health else {}


def _has_history(context: CampaignContext, generator: StageRef) -> bool:
    return len(generator.path(context, "history.csv").read_text().strip()) > 0


def _components(context: CampaignContext) -> dict[str, str]:
    config = context.config.to_json()
    parts = {name: config[name]["kind"] for name in ("proxy", "acquisition", "generator", "selector", "control")}
    return {**parts, "options": json.dumps({name: config[name] for name in parts}, sort_keys=True)}


def _best_by_call(rows: list[CandidateRow], goals: Goals) -> list[dict[str, float | None]]:
    """Return the best value so far by number of calls, in the order of purchase; a failed call counts as a call.

    Values that came with the data were known before the first call: they stand at call 0. What breaks a limit is not
    the best.
    """
    best: float | None = None
    for row in rows:
        if row.origin == IMPORTED:
            best = _better(best, row, goals)
    out: list[dict[str, float | None]] = [] if best is None else [{"call": 0, "best_so_far": best}]
    every = (part for of_round in by_round(rows).values() for part in of_round)
    bought = sorted(filter(is_call, every), key=lambda row: (row.round, row.position))
    for call, row in enumerate(bought, start=1):
        best = _better(best, row, goals)
        out.append({"call": call, "best_so_far": best})
    return out


def _better(best: float | None, row: CandidateRow, goals: Goals) -> float | None:
    if row.value is None or not goals.eligible(row):
        return best
    return row.value if best is None else max(best, row.value, key=goals.main.signed)


def _note(context: CampaignContext, campaign: Campaign, rows: list[CandidateRow], page: str) -> str:
    """Return the description of the campaign's run: what became of it, then its best candidates."""
    goals = goals_with_units(context.config)
    best = [row for row in rows if goals.eligible(row)]
    lines = [
        f"**{verdict(campaign)}** {found_text(rows, goals)} {gain_text(rows, goals)}",
        "",
        f"[Page of candidates with structures]({page})",
        "",
    ]
    for place, row in enumerate(best[:10], 1):
        lines.append(f"{place}. **{_values_told(row, goals)}** `{row.object}` ({_where(row)})")
    return "\n".join(lines)


def found_text(rows: list[CandidateRow], goals: Goals) -> str:
    """Return what is best of the candidates, which are ranked, or that there is nothing."""
    best = [row for row in rows if goals.eligible(row)]
    return _best_text(best, goals) if best else _nothing(rows, goals)


def _nothing(rows: list[CandidateRow], goals: Goals) -> str:
    return "Nothing keeps to the limits." if any(map(goals.measured, rows)) else "Nothing was measured."


def _values_told(row: CandidateRow, goals: Goals) -> str:
    """Return the value, or those of all objectives with their names."""
    if len(goals) == 1:
        return _told(row.value, shown_unit(goals.main.unit))
    values = goals.values(row)
    return ", ".join(
        f"{goal.name.replace('_', ' ')} {_told(values.get(goal.name), shown_unit(goal.unit))}" for goal in goals
    )


def _told(value: float | None, unit: str) -> str:
    return f"{figure(value)} {unit}".rstrip()


def verdict(campaign: Campaign) -> str:
    """Return how a campaign ended."""
    if campaign.state is CampaignState.DONE:
        return "Done."
    return f"Stopped: {campaign.state.value.replace('_', ' ')}. {masked(campaign.message)}".strip()


def _best_text(best: list[CandidateRow], goals: Goals) -> str:
    """Return what is best of each objective that is to be improved, and who has it."""
    told = []
    for goal in (goals[k] for k in goals.improved):
        # The first one of equally good ones: they are ranked.
        row = max(best, key=lambda row: goal.signed(goals.values(row)[goal.name])) if goals.several else best[0]
        value = _told(goals.values(row)[goal.name], shown_unit(goal.unit))
        told.append(f"Best {goal.name.replace('_', ' ')} {value} ({_where(row)}).")
    return " ".join(told)


def gain_text(rows: list[CandidateRow], goals: Goals) -> str:
    """Return how much better what the acquisition bought is than the control, on average; a gain is positive.

    Of several objectives it is the hypervolume that equally many calls of either arm reach.
    """
    if goals.several:
        told = summaries(rows, goals)
        volumes = told[-1].volumes if told else None
        return "There is no control arm to compare with." if volumes is None else volumes_told(volumes)
    found = gain_over_control(rows, goals)
    if found is None:
        return "There is no control arm to compare with."
    return (
        f"Gain over control {found.gain:+.4g} {shown_unit(goals.main.unit)}".rstrip()
        + f" (mean of {found.chosen} chosen by the proxy against {found.control} of the control)."
    )


def _where(row: CandidateRow) -> str:
    return "initial design" if row.round == 0 else f"round {row.round}, {row.source}"
