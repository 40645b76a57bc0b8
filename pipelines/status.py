"""`discover status`: where campaigns stand. Answers at once, so it imports neither SQLAlchemy nor the schema."""

from __future__ import annotations

import json
import os
from typing import Protocol

from rich.console import Console
from rich.table import Table

from data.campaigns import Campaign, CampaignState, Spent, StageRow
from data.health import Level, findings, of_round
from data.ledger_view import LedgerView, refuse_outdated
from data.records import JsonDict
from data.summary import summaries
from tasks.workspace import LEDGER_VARIABLE, Workspace


class Reader(Protocol):
    """What a look at the campaigns needs; the ledger and its light view both have it."""

    def campaigns(self) -> list[Campaign]:
        """Return every campaign and generation, oldest first."""

    def campaign(self, name: str) -> Campaign:
        """Return the latest generation of a campaign."""

    def candidates(self, campaign_id: int) -> list[JsonDict]:
        """Return a campaign's candidates."""

    def stages(self, campaign_id: int) -> list[StageRow]:
        """Return a campaign's finished stages."""

    def spent(self, campaign_id: int) -> Spent:
        """Return what a campaign has booked."""

    def owner(self, campaign_id: int) -> str | None:
        """Return who runs a campaign, or None."""


def reader(workspace: Workspace) -> Reader:
    """Return the quickest way into the workspace's ledger, which is never migrated for a look.

    Raises:
        LedgerError: an earlier program wrote it.
    """
    if not os.environ.get(LEDGER_VARIABLE):
        refuse_outdated(workspace.ledger_file)
    view = None if os.environ.get(LEDGER_VARIABLE) else LedgerView.of(workspace.ledger_file)
    return workspace.ledger(migrating=False) if view is None else view


def show_campaigns(workspace: Workspace, console: Console) -> None:
    """Print a line per campaign."""
    ledger = reader(workspace)
    found = ledger.campaigns()
    if not found:
        console.print("No campaign yet. `discover run campaigns/electron_acceptors.yaml` starts one.")
        return
    table = Table("campaign", "state", "rounds", "calls", "best", "top-10 mean", "running time", box=None)
    for campaign in found:
        rounds = summaries(ledger.candidates(campaign.id), maximise=campaign.maximise)
        last = rounds[-1] if rounds else None
        spent = ledger.spent(campaign.id)
        plan = json.loads(campaign.stored)  # without the schema, which takes longer to load than all the rest
        limit = plan["budget"]["calls"]
        table.add_row(
            campaign.slug,
            state_text(ledger, campaign),
            f"{last.round if last else 0} of {plan['rounds']}",
            f"{spent.calls}" + (f" of {limit}" if limit else ""),
            number(last.best if last else None),
            number(last.top10_mean if last else None),
            f"{campaign.seconds:.0f} s",
        )
    console.print(table)


def show_campaign(workspace: Workspace, name: str, console: Console) -> None:
    """Print a campaign's rounds and where it stands."""
    ledger = reader(workspace)
    campaign = ledger.campaign(name)
    rows = ledger.candidates(campaign.id)
    console.print(f"[bold]{campaign.slug}[/bold]  {state_text(ledger, campaign)}")
    if campaign.message:
        console.print(campaign.message, markup=False, highlight=False)
    objective = json.loads(campaign.stored)["objectives"][0]
    console.print(
        f"{objective['goal']} {objective['name']}, {len(rows)} candidates, {campaign.seconds:.0f} s of running time"
    )
    table = Table("round", "calls", "failed", "best", "top-10 mean", "acquisition mean", "control mean", box=None)
    for summary in summaries(rows, maximise=campaign.maximise):
        table.add_row(
            str(summary.round),
            str(summary.calls),
            str(summary.failed),
            number(summary.best),
            number(summary.top10_mean),
            number(summary.acquisition_mean),
            number(summary.control_mean),
        )
    console.print(table)
    show_health(ledger, campaign, rows, console)


def show_health(ledger: Reader, campaign: Campaign, rows: list[JsonDict], console: Console) -> None:
    """Print the findings of the latest round that bought by a proxy, the warnings marked."""
    found = findings(rows, ledger.stages(campaign.id), maximise=campaign.maximise)
    bought = {row["round"] for row in rows if row["value"] is not None}
    latest = max((finding.round for finding in found if finding.round in bought), default=None)
    for finding in [] if latest is None else of_round(found, latest):
        mark = "[bold red]warning[/bold red]" if finding.level is Level.WARNING else "health"
        console.print(f"{mark}  ", end="")
        console.print(finding.message, markup=False, highlight=False)


def state_text(ledger: Reader, campaign: Campaign) -> str:
    """Return the state, corrected for a process that died without saying so."""
    if campaign.state is CampaignState.RUNNING:
        owner = ledger.owner(campaign.id)
        return f"running: {owner}" if owner else "killed; the same command goes on"
    return campaign.state.value.replace("_", " ")


def number(value: float | None) -> str:
    """Return a figure for a table, a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"
