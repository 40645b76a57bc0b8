"""`discover report`: a whole campaign as a folder that opens from disk, with no server, and can be archived.

All is made from the ledger and the stages: the same campaign gives the same bytes, on whatever day.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

import pandas as pd

from data.goals import Goals
from data.ledger.by_level import figures_by_level, purchases_told
from data.ledger.campaigns import StageRow
from data.ledger.summary import (
    by_source,
    free_told,
    repeated,
    repeated_told,
    screening_told,
    summaries,
    volumes_told,
)
from data.masking import masked
from data.pretraining import pretraining_told
from data.records import CandidateRow, JsonDict, RoundSummary
from data.tables.remarks import MERGED, REFUSED, reading_told
from data.tables.spreadsheets import safe_text, write_csv
from data.version import DISTRIBUTION, version
from models.parts import space_of
from pipelines.campaign_file import campaign_file, settings_file
from pipelines.status import latest_findings, round_headers, round_row, rounds_text, rounds_told
from pipelines.terminal import Terminal
from tasks.reporting import plots
from tasks.reporting.figures import round_drawings
from tasks.reporting.index_page import Index, Picture, index_page
from tasks.reporting.lineage import columns, lineage_told, table_of
from tasks.reporting.lineage_plot import lineage_plot, lineage_svg
from tasks.reporting.objectives import goals_with_units
from tasks.reporting.page_lineage import best_lineages
from tasks.reporting.report import write_campaign
from tasks.reporting.verdict import verdict
from tasks.stages import CampaignContext
from tasks.storage import write_json
from tasks.workspace import Workspace, WorkspaceError, writing

PACKAGES = ("numpy", "scipy", "pandas", "torch", "scikit-learn", "sqlalchemy", "matplotlib")
"""Whose versions decide figures."""

CAMPAIGN, ROUNDS, LINEAGE = "campaign", "rounds", "lineage"


def write_folder(workspace: Workspace, name: str, out: Path, console: Terminal) -> None:
    """Write a campaign as a folder.

    Args:
        workspace: where the campaign is.
        name: of the campaign.
        out: the folder, new or empty.
        console: where it is told.

    Raises:
        LedgerError: no such campaign.
        WorkspaceError: the folder is there and not empty, is in the workspace, or cannot be written.
    """
    ledger = workspace.ledger()
    with CampaignContext(workspace, ledger, ledger.campaign_of(name)) as context:
        target = refuse_full(out, workspace)
        with writing(target):
            target.mkdir(exist_ok=True)
            # Beside the workspace's own files nothing is half written: what is there is whole.
            scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            try:
                missing = _write(context, scratch)
                for child in sorted(scratch.iterdir()):
                    os.replace(child, target / child.name)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    for sentence in missing:
        console.say(("warning", "bold red"), f"  {sentence}")
    console.say(f"Report      {(target / 'index.html').as_uri()}")


def refuse_full(out: Path, workspace: Workspace) -> Path:
    """Return the folder that is to be written.

    Raises:
        WorkspaceError: it is a file, is not empty, or is in the workspace.
    """
    folder = out.expanduser().resolve()
    what = ""
    if folder.is_relative_to(workspace.home.resolve()):
        what = f"in the workspace {workspace.home}, whose files are the program's"
    elif folder.exists() and not folder.is_dir():
        what = "a file"
    elif folder.is_dir() and any(folder.iterdir()):
        what = "a folder with something in it"
    if what:
        raise WorkspaceError(f"--out is {out}, which is {what}. Nothing was written; name a new or an empty folder.")
    return folder


def _write(context: CampaignContext, folder: Path) -> list[str]:
    """Write everything; return sentences on what could not be found."""
    campaign, goals = context.campaign, goals_with_units(context.config)
    rows = write_campaign(context, folder / CAMPAIGN)
    stages = context.ledger.stages(campaign.id)
    pictures = [*_figures(context, rows, folder), *_lineages(context, rows, goals, folder)]
    pages, missing = _rounds(context, stages, folder)
    told = summaries(rows, goals)
    _tables(context, rows, stages, told, goals, folder)
    _refused(context, folder)
    settings = _settings(context, folder)
    versions = _versions()
    write_json(folder / "versions.json", dict(versions))
    findings = latest_findings(campaign, rows, stages, goals, context.ledger.bought(campaign.id))
    write_json(folder / "health.json", [asdict(finding) for finding in findings])
    first, worth = verdict(campaign, rows, goals, spent=context.ledger.spent(campaign.id), health=findings)
    index = Index(
        title=campaign.slug,
        verdict=first,
        found=[worth, *([masked(campaign.message)] if campaign.message else [])],
        wanted="; ".join(goal.told for goal in goals),
        facts=_facts(context, rows, told),
        files=_listed(folder),
        missing=missing,
        findings=[(str(finding.level), finding.message) for finding in findings],
        headers=round_headers(goals),
        rounds=[(round_row(one, goals), pages.get(one.round, "")) for one in told],
        said=_said(context, rows, stages, told, goals),
        figures=pictures,
        settings=settings,
        versions=versions,
    )
    (folder / "index.html").write_text(index_page(index), encoding="utf-8")
    return missing


def _figures(context: CampaignContext, rows: list[CandidateRow], folder: Path) -> list[Picture]:
    """Write the campaign's figures as SVG and PNG."""
    place = folder / "figures"
    place.mkdir()
    last = max((row.round for row in rows), default=0)
    found = []
    for stem, drawing in round_drawings(context, rows, last).items() if rows else ():
        figure = drawing.draw()
        text = plots.svg(figure)
        (place / f"{stem}.svg").write_text(text, encoding="utf-8")
        (place / f"{stem}.png").write_bytes(plots.png(figure))
        found.append(Picture(drawing.caption, text, (f"figures/{stem}.svg", f"figures/{stem}.png")))
    return found


def _lineages(context: CampaignContext, rows: Sequence[CandidateRow], goals: Goals, folder: Path) -> list[Picture]:
    """Write how the best candidates that were found came to be, as figures and with all ancestors."""
    place, space, found = folder / LINEAGE, space_of(context.config), []
    for rank, lineage in best_lineages(context, rows, goals):
        place.mkdir(exist_ok=True)
        stem = f"{LINEAGE}/{rank:03d}"
        told = f"How #{rank} came to be: {lineage_told(lineage, space)[0]}"
        title = f"{context.campaign.slug} #{rank}, {lineage.candidate.id}"
        text = lineage_svg(lineage_plot(lineage, space, goals, title))
        (folder / f"{stem}.svg").write_text(text, encoding="utf-8")
        write_csv(pd.DataFrame(table_of(lineage, goals), columns=columns(goals)), folder / f"{stem}.csv")
        found.append(Picture(told, text, (f"{stem}.svg", f"{stem}.csv")))
    return found


def _rounds(context: CampaignContext, stages: Iterable[StageRow], folder: Path) -> tuple[dict[int, str], list[str]]:
    """Copy the report of each round; return the paths of their pages, and what is not there."""
    pages, missing = {}, []
    for stage in stages:
        if stage.name != "report":
            continue
        source, name = context.workspace.home / stage.uri, f"{ROUNDS}/{stage.round:03d}"
        if not (source / "candidates.html").is_file():
            missing.append(
                f"The report of round {stage.round} is not in the workspace any more, and so not here; `discover run` "
                "makes it again."
            )
            continue
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            copy = folder / name / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        pages[stage.round] = f"{name}/candidates.html"
    return pages, missing


def _tables(
    context: CampaignContext,
    rows: list[CandidateRow],
    stages: Sequence[StageRow],
    told: Sequence[RoundSummary],
    goals: Goals,
    folder: Path,
) -> None:
    """Write what the page shows as tables with exact values, and the candidates where they are looked for."""
    os.replace(folder / CAMPAIGN / "candidates.csv", folder / "candidates.csv")
    shutil.rmtree(folder / CAMPAIGN / "plots")  # the page has them inside, and `figures` has them as files
    family = space_of(context.config).family
    sources = [asdict(one) for one in by_source(rows, stages, goals, family=family)]
    ran = [
        {"round": one.round, "stage": one.name, "seconds": one.seconds, "key": one.key, "sha256": one.sha256,
         "metrics": json.dumps(one.metrics, sort_keys=True)}
        for one in stages
    ]  # fmt: skip
    bought = context.ledger.bought(context.campaign.id)
    corrected = context.ledger.corrected(context.campaign.id)
    tables = {"rounds": [_flat(asdict(one)) for one in told], "sources": sources, "stages": ran, "bought": bought}
    for name, lines in (tables | ({"corrected": corrected} if corrected else {})).items():
        write_csv(pd.DataFrame(lines).rename(columns=safe_text), folder / f"{name}.csv")


def _flat(values: JsonDict, prefix: str = "") -> JsonDict:
    """Return nested mappings as one, with dots in its keys."""
    found: JsonDict = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _refused(context: CampaignContext, folder: Path) -> None:
    """Copy the refused rows of the data, where there are any."""
    data = context.finished(0, "prepare_data")
    for name in (REFUSED, MERGED):
        if data is not None and data.path(context, name).is_file():
            shutil.copyfile(data.path(context, name), folder / name)


def _settings(context: CampaignContext, folder: Path) -> str:
    """Write the campaign file as the ledger has it, and all that it means; return the file."""
    text = campaign_file(context.campaign)
    (folder / "campaign.yaml").write_text(text, encoding="utf-8")
    (folder / "settings.json").write_text(settings_file(context.ledger, context.campaign), encoding="utf-8")
    return text


def _versions() -> list[tuple[str, str]]:
    found = [(DISTRIBUTION, version()), ("python", sys.version.split()[0])]
    for name in PACKAGES:
        try:
            found.append((name, installed(name)))
        except PackageNotFoundError:  # where it is another distribution's
            continue
    return found


def _facts(context: CampaignContext, rows: list[CandidateRow], told: Sequence[RoundSummary]) -> list[tuple[str, str]]:
    spent, budget = context.ledger.spent(context.campaign.id), context.config.budget
    calls = f"{spent.calls:,}" + (f" of {budget.calls:,}" if budget.calls else "")
    cost = f"{spent.cost:g}" + (f" of {budget.cost:g}" if budget.cost else "")
    done = max((one.round for one in told), default=0)
    return [
        ("Calls", calls),
        ("Cost", cost),
        ("Rounds", rounds_text(done, context.config.rounds)),
        ("Candidates", f"{len(rows):,}"),
        ("Running time", f"{context.campaign.seconds:.0f} s"),
        ("Begun", context.campaign.created_at[:16].replace("T", " ") + " UTC"),
    ]


def _said(
    context: CampaignContext,
    rows: list[CandidateRow],
    stages: Sequence[StageRow],
    told: Sequence[RoundSummary],
    goals: Goals,
) -> list[str]:
    """Return sentences on arms, levels, repetitions, screens and the data."""
    found = rounds_told(told, goals)
    found += [volumes_told(told[-1].volumes)] if told and told[-1].volumes is not None else []
    found += [f"Cost: {free}."] if (free := free_told(rows)) else []
    levels = figures_by_level(context.ledger.bought(context.campaign.id), context.config.readings)
    found += ["Levels: " + "; ".join(one.told() for one in levels) + "."] if levels else []
    found += purchases_told(stages, context.workspace.home) if levels or context.config.remeasure else []
    found += [repeated_told(one, goals) for one in repeated(rows, goals)]
    found += [*screening_told(stages), *pretraining_told(stages)]
    data = context.finished(0, "prepare_data")
    return found + ([] if data is None else reading_told(context.workspace.home / data.uri, REFUSED))


def _listed(folder: Path) -> list[tuple[str, str]]:
    told: dict[str, str] = {
        f"{CAMPAIGN}/candidates.html": "the candidates, with pictures: sortable and filterable",
        "candidates.csv": "the candidates, best first",
        f"{CAMPAIGN}/candidates.json": "the same for programs",
        "rounds.csv": "what each round bought and found",
        "sources.csv": "what each source proposed, and what came of it",
        "bought.csv": "calls and cost of each round and oracle",
        "corrected.csv": "answers that were corrected, and what they are now",
        "stages.csv": "the stages with time, sha256 and metrics",
        REFUSED: "rows of the data that were refused, each with its reason",
        MERGED: "rows of the data that are one candidate, with what became of the value of each",
        "campaign.yaml": "the campaign file as the ledger has it, defaults left out",
        "settings.json": "the same with all defaults, and what the oracle was",
        "health.json": "findings on the campaign's health",
        "versions.json": "versions of what wrote this folder",
    }
    return [(path, text) for path, text in told.items() if (folder / path).exists()]
