"""Reading a campaign: status, candidates, and the small repairs a person may have to make."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data.campaign_lock import lock_owner, release_lock
from data.ledger import Campaign, CampaignState, Ledger
from data.oracle_book import OracleBook, campaign_spent
from data.records import JsonDict
from data.summary import ranked, summaries
from tasks.workspace import Workspace

FIELDS = (
    "id",
    "smiles",
    "value",
    "unit",
    "round",
    "arm",
    "predicted_mean",
    "predicted_std",
    "source",
    "state",
    "novelty",
    "error",
    "message",
)
"""Keys of an exported candidate, in order."""


def show_campaigns(workspace: Workspace, console: Console) -> None:
    """Print a line per campaign."""
    ledger = workspace.ledger()
    found = ledger.campaigns()
    if not found:
        console.print("No campaign yet. `discover run campaigns/electron_acceptors.yaml` starts one.")
        return
    table = Table("campaign", "state", "rounds", "calls", "best", "top-10 mean", "running time", box=None)
    for campaign in found:
        rounds = summaries(ledger.candidates(campaign.id), maximise=_maximise(campaign))
        last = rounds[-1] if rounds else None
        spent = campaign_spent(ledger, campaign.id)
        limit = campaign.config.budget.calls
        table.add_row(
            campaign.slug,
            state_text(ledger, campaign),
            f"{last.round if last else 0} of {campaign.config.rounds}",
            f"{spent.calls}" + (f" of {limit}" if limit else ""),
            number(last.best if last else None),
            number(last.top10_mean if last else None),
            f"{campaign.seconds:.0f} s",
        )
    console.print(table)


def show_campaign(workspace: Workspace, name: str, console: Console) -> None:
    """Print a campaign's rounds and where it stands."""
    ledger = workspace.ledger()
    campaign = ledger.campaign(name)
    rows = ledger.candidates(campaign.id)
    console.print(f"[bold]{campaign.slug}[/bold]  {state_text(ledger, campaign)}")
    if campaign.message:
        console.print(campaign.message, markup=False, highlight=False)
    objective = campaign.config.objective
    console.print(
        f"{objective.goal} {objective.name}, {len(rows)} candidates, {campaign.seconds:.0f} s of running time"
    )
    table = Table("round", "calls", "failed", "best", "top-10 mean", "acquisition mean", "control mean", box=None)
    for summary in summaries(rows, maximise=_maximise(campaign)):
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


def state_text(ledger: Ledger, campaign: Campaign) -> str:
    """Return the state, corrected for a process that died without saying so."""
    if campaign.state is CampaignState.RUNNING:
        owner = lock_owner(ledger, campaign)
        return f"running: {owner}" if owner else "killed; the same command goes on"
    return campaign.state.value.replace("_", " ")


def exported(workspace: Workspace, name: str, top: int | None = None) -> list[JsonDict]:
    """Return a campaign's candidates best first, as mappings with the keys `FIELDS`."""
    ledger = workspace.ledger()
    campaign = ledger.campaign(name)
    unit = unit_of(workspace, campaign)
    rows = ranked(ledger.candidates(campaign.id), maximise=_maximise(campaign))
    return [{key: {**row, "unit": unit}.get(key) for key in FIELDS} for row in rows[:top]]


def unit_of(workspace: Workspace, campaign: Campaign) -> str:
    """Return the unit of the campaign's values."""
    from models.registry import build  # imports the oracles, not torch

    return str(build("oracle", campaign.config.objective.oracle).unit)


def export_candidates(
    workspace: Workspace, name: str, top: int | None, format: str, out: Path | None, console: Console
) -> None:
    """Print or write a campaign's candidates."""
    rows = exported(workspace, name, top)
    if format == "table":
        text = None
    elif format == "json":
        text = json.dumps(rows, indent=1) + "\n"
    elif format == "csv":
        text = as_csv(rows)
    else:
        text = as_sdf(rows)
    if out is not None:
        out.write_text(text if text is not None else as_csv(rows), encoding="utf-8")
        console.print(f"{len(rows)} candidates written to {out}", highlight=False)
    elif text is None:
        console.print(candidate_table(rows))
    else:
        print(text, end="")


def candidate_table(rows: list[JsonDict]) -> Table:
    """Return candidates as a table for the terminal."""
    unit = rows[0]["unit"] if rows else ""
    table = Table("", f"value ({unit})", "predicted", "round", "arm", "source", "SMILES", box=None)
    for position, row in enumerate(rows, start=1):
        predicted = "" if row["predicted_mean"] is None else f"{row['predicted_mean']:.2f} ± {row['predicted_std']:.2f}"
        value = row["state"] if row["value"] is None else number(row["value"])
        table.add_row(str(position), value, predicted, str(row["round"]), row["arm"], row["source"], row["smiles"])
    return table


def as_csv(rows: list[JsonDict]) -> str:
    """Return candidates as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_sdf(rows: list[JsonDict]) -> str:
    """Return candidates as an SD file with 2-D coordinates, every field a property."""
    from rdkit import Chem
    from rdkit.Chem import rdDepictor

    text = io.StringIO()
    with Chem.SDWriter(text) as writer:
        for row in rows:
            mol = Chem.MolFromSmiles(row["smiles"])
            rdDepictor.Compute2DCoords(mol)
            mol.SetProp("_Name", row["id"])
            for key, value in row.items():
                if value is not None and value != "":
                    mol.SetProp(key, str(value))
            writer.write(mol)
    return text.getvalue()


def settle_call(
    workspace: Workspace, name: str, candidate: str, value: float | None, abandon: bool, console: Console
) -> None:
    """Settle a call that is in doubt.

    Raises:
        BadInput: neither or both of value and abandon are given.
        LedgerError: no such call is in doubt.
    """
    from tasks.components import oracle_name, oracle_of
    from tasks.stages import BadInput

    if (value is None) == (not abandon):
        raise BadInput("Say what became of the call: --value X with what was measured, or --abandon. Not both.")
    ledger = workspace.ledger()
    campaign = ledger.campaign(name)
    book = OracleBook(ledger, campaign.id, oracle_name(campaign.config), oracle_of(campaign.config).version)
    book.settle(candidate, value)
    console.print(f"{candidate} is settled. `discover run` goes on.", highlight=False)


def remove_lock(workspace: Workspace, name: str, console: Console) -> None:
    """Remove a campaign's lock."""
    ledger = workspace.ledger()
    release_lock(ledger, ledger.campaign(name))
    console.print(f"{name} is free.", highlight=False)


def number(value: float | None) -> str:
    """Return a figure for a table, a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def _maximise(campaign: Campaign) -> bool:
    return campaign.config.objective.goal == "maximise"
