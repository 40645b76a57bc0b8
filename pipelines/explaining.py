"""`discover explain`: what the prediction of a candidate rests on, in the terminal, as a figure or as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data.config import ConfigError
from data.records import CandidateRow
from models.parts import space_of
from models.proxies.attribution import NotAttributable
from models.spaces.base import BaseSpace
from pipelines.exports import FORMS
from pipelines.lineage import found_candidate, refuse_out
from pipelines.terminal import Terminal
from tasks.explaining import Explained, Explainer
from tasks.reporting.contributions import COLUMNS, explained_told, table_of
from tasks.reporting.objectives import goals_with_units
from tasks.stages import BadInput, CampaignContext
from tasks.workspace import Workspace, writing


def show_explanation(workspace: Workspace, name: str, candidate: str, out: Path | None, console: Terminal) -> None:
    """Print what the predictions of a candidate rest on, objective by objective, or write it into a file.

    Args:
        workspace: where the campaign is.
        name: of the campaign; NAME~2 is the second of a name that was begun anew.
        candidate: its id or an unambiguous beginning of it, its text in any spelling, or its rank.
        out: a file to write: a figure (SVG, PNG), or a table of all parts (CSV, JSON); None: it is printed.
        console: where it is told.

    Raises:
        ConfigError: the file is of no such kind, or no proxy of the campaign predicts from features.
        BadInput: there is no such candidate, there are several, or no proxy was trained yet.
        LedgerError: there is no such campaign.
        WorkspaceError: the file cannot be written.
    """
    if out is not None:
        refuse_out(out, workspace, COLUMNS)
    ledger = workspace.ledger()
    with CampaignContext(workspace, ledger, ledger.campaign_of(name)) as context:
        goals, space = goals_with_units(context.config), space_of(context.config)
        rows = goals.ranked(ledger.candidates(context.campaign.id))
        row = found_candidate(rows, candidate, space, name)
        explained = explained_of(context, row, name)
    rank = rows.index(row) + 1
    if out is None:
        console.say((f"#{rank}  ", "bold"), row.id)
        console.say(row.object)
        for one in explained:
            for sentence in explained_told(one, space):
                console.say(sentence, whole=False)
        return
    content = _content(explained, f"{name} #{rank}", space, out.suffix.lower())
    with writing(out):
        out.write_bytes(content)
    console.say(f"Explained   {out}")


def explained_of(context: CampaignContext, row: CandidateRow, name: str) -> list[Explained]:
    """Return what the predictions of a candidate rest on, objective by objective.

    Raises:
        BadInput: the campaign of this name has trained no proxy yet.
        ConfigError: its proxy does not predict from features.
    """
    goals = goals_with_units(context.config)
    explainer = Explainer.of(context, goals)
    if explainer is None:
        raise BadInput(
            f"Campaign {name} has trained no proxy yet, so nothing was predicted. `discover run` goes on with it."
        )
    try:
        return [explainer.explain(row, goal) for goal in goals]
    except NotAttributable as error:
        raise ConfigError(str(error)) from error


def _content(explained: list[Explained], title: str, space: BaseSpace[Any], ending: str) -> bytes:
    rows = [row for one in explained for row in table_of(one)]
    if ending == ".json":
        return (json.dumps(rows, indent=1) + "\n").encode()
    if ending == ".csv":
        return FORMS["csv"](rows, list(COLUMNS)).encode()
    from tasks.reporting import plots
    from tasks.reporting.contributions_plot import contributions_plot

    figure = contributions_plot([(title, one) for one in explained], space)
    return plots.svg(figure).encode() if ending == ".svg" else plots.png(figure)
