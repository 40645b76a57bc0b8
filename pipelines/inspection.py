"""Reading a campaign: status, candidates, and the small repairs a person may have to make."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data.campaigns import Campaign
from data.oracle_book import OracleBook
from data.records import JsonDict
from data.summary import ranked
from pipelines.status import number
from tasks.workspace import Workspace, writing

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


def exported(workspace: Workspace, name: str, top: int | None = None) -> list[JsonDict]:
    """Return a campaign's candidates best first, as mappings with the keys `FIELDS`."""
    ledger = workspace.ledger()
    campaign = ledger.campaign(name)
    unit = unit_of(workspace, campaign)
    rows = ranked(ledger.candidates(campaign.id), maximise=campaign.maximise)
    return [{key: {**row, "unit": unit}.get(key) for key in FIELDS} for row in rows[:top]]


def unit_of(workspace: Workspace, campaign: Campaign) -> str:
    """Return the unit of the campaign's values."""
    from models.registry import build  # imports the oracles, not torch

    return str(build("oracle", campaign.config.objective.oracle).unit)


def export_candidates(
    workspace: Workspace, name: str, top: int | None, format: str, out: Path | None, console: Console
) -> None:
    """Print or write a campaign's candidates.

    Raises:
        ConfigError: `top` is not positive.
        LedgerError: no such campaign.
        WorkspaceError: the file cannot be written.
    """
    if top is not None and top < 1:
        from data.config import ConfigError

        raise ConfigError(f"--top is {top}; expected at least 1, or leave it out to have all candidates.")
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
        with writing(out):
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
        BadInput: neither or both of value and abandon are given, or the value is no number to learn from.
        LedgerError: no such call is in doubt.
    """
    from data.records import LARGEST_VALUE
    from tasks.components import oracle_name, oracle_of
    from tasks.stages import BadInput

    if (value is None) == (not abandon):
        raise BadInput("Say what became of the call: --value X with what was measured, or --abandon. Not both.")
    if value is not None and not abs(value) <= LARGEST_VALUE:
        raise BadInput(
            f"--value is {value}; expected a finite number of at most {LARGEST_VALUE:g}, or --abandon for a call "
            "without one."
        )
    ledger = workspace.ledger()
    campaign = ledger.campaign(name)
    version = oracle_of(campaign.config, campaign.base).version
    book = OracleBook(ledger, campaign.id, oracle_name(campaign.config), version)
    book.settle(candidate, value)
    console.print(f"{candidate} is settled. `discover run` goes on.", highlight=False)
