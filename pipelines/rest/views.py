"""What the REST interface shows of a workspace; nothing here writes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from data.ledger.campaigns import Campaign, CampaignState, shown_names
from data.ledger.engine import patience
from data.ledger.ledger import Ledger
from data.ledger.telling import calls_of
from data.objects import split
from data.records import CallState, JsonDict
from models.parts import space_of
from models.spaces.base import BaseSpace
from pipelines.inspection import exported_of
from pipelines.rest.bodies import (
    Asked,
    Batch,
    CampaignBody,
    Campaigns,
    CampaignSummary,
    Candidates,
    ObjectiveBody,
    Output,
    Pending,
    Rounds,
)
from pipelines.rest.problems import Problem
from tasks.oracles.asking import Column, awaited_told, columns_of, open_calls, standing_of
from tasks.reporting.objectives import goals_with_units
from tasks.stages import CampaignContext
from tasks.workspace import Workspace

PATIENCE_SECONDS = 10.0
"""How long a request waits for a ledger that is away."""


@contextmanager
def ledger_of(workspace: Workspace) -> Iterator[Ledger]:
    """Open the ledger for one request, whose sender is not kept waiting as long as a campaign waits."""
    with patience(PATIENCE_SECONDS):
        ledger = workspace.ledger(migrating=False)
        try:
            yield ledger
        finally:
            ledger.close()


def found_campaign(ledger: Ledger, name: str, *, latest: bool = False) -> Campaign:
    """Return a campaign by its name, or that of a generation where that is allowed.

    Raises:
        Problem: there is none.
    """
    every = ledger.campaigns()
    names = shown_names(every)
    mine = [one for one in every if one.name == name] or [one for one in every if names[one.id] == name and not latest]
    if not mine:
        known = sorted({one.name for one in every})
        told = f"expected {', '.join(known[:20])}" if known else "there is none at all yet"
        of = "; answers are for the latest generation of a name" if latest and "~" in name else ""
        raise Problem(404, "no-campaign", f"There is no campaign {name!r}; {told}{of}. /api/v1/campaigns lists them.")
    return max(mine, key=lambda one: one.generation)


def asking_context(workspace: Workspace, ledger: Ledger, name: str) -> CampaignContext:
    """Return a campaign that asks a laboratory.

    Raises:
        Problem: there is none, or it asks none.
    """
    campaign = found_campaign(ledger, name, latest=True)
    context = CampaignContext(workspace, ledger, campaign)
    if not columns_of(context):
        raise Problem(
            409,
            "asks-nobody",
            f"Campaign {name!r} asks no laboratory: its oracles answer by themselves. Ask and tell are for campaigns "
            "with an oracle of kind `laboratory`.",
        )
    return context


def campaigns(workspace: Workspace) -> Campaigns:
    """Return every campaign, oldest first."""
    with ledger_of(workspace) as ledger:
        every = ledger.campaigns()
        names = shown_names(every)
        return Campaigns(campaigns=[CampaignSummary(**_summary(ledger, one, names[one.id])) for one in every])


def campaign(workspace: Workspace, name: str) -> CampaignBody:
    """Return one campaign."""
    with ledger_of(workspace) as ledger:
        found = found_campaign(ledger, name)
        goals, space = goals_with_units(found.config), space_of(found.config)
        address = shown_names(ledger.campaigns())[found.id]
        return CampaignBody(
            **_summary(ledger, found, address),
            objectives=[ObjectiveBody(name=goal.name, unit=goal.unit, wanted=goal.told) for goal in goals],
            object=space.nouns[0],
            columns=list(space.fields or (space.column,)),
            outputs=_outputs(columns_of(CampaignContext(workspace, ledger, found))),
        )


def rounds(workspace: Workspace, name: str) -> Rounds:
    """Return what each round of a campaign bought and found."""
    from pipelines.frames import rounds_frame

    with ledger_of(workspace) as ledger:
        found = found_campaign(ledger, name)
        frame = rounds_frame(ledger.course(found.id), ledger.bought(found.id), found.goals)
        rows = [{key: _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]
        return Rounds(campaign=found.slug, rounds=[{str(key): value for key, value in row.items()} for row in rows])


def candidates(
    workspace: Workspace, name: str, *, offset: int, limit: int, round: int | None, state: str | None
) -> Candidates:
    """Return a page of a campaign's candidates, best first.

    Args:
        workspace: where it is.
        name: of the campaign.
        offset: candidates that are passed over.
        limit: most candidates of the page.
        round: only those of this one.
        state: only those in this one.
    """
    with ledger_of(workspace) as ledger:
        found = found_campaign(ledger, name)
        rows = [
            row
            for row in exported_of(ledger, found)
            if (round is None or row["round"] == round) and (state is None or str(row["state"]) == state)
        ]
    after = offset + limit
    return Candidates(
        campaign=found.slug,
        total=len(rows),
        offset=offset,
        limit=limit,
        next=after if after < len(rows) else None,
        candidates=[{key: _plain(value) for key, value in row.items()} for row in rows[offset:after]],
    )


def batch(workspace: Workspace, name: str) -> Batch:
    """Return what is to be measured: an entry per object and replicate."""
    with ledger_of(workspace) as ledger, asking_context(workspace, ledger, name) as context:
        columns, space = columns_of(context), space_of(context.config)
        entries: dict[tuple[str, int], Asked] = {}
        for call in open_calls(context):
            entry = entries.setdefault((call["object_id"], call["replicate"]), _asked(call, space))
            told = json.loads(call["outputs"]) if call["outputs"] else {}
            mine = [column for column in columns if column.part == call["part"]]
            entry.wanted.extend(_outputs([column for column in mine if column.output not in told]))
            entry.told.update({column.name: told[column.output] for column in mine if column.output in told})
        state = str(context.campaign.state)
        return Batch(campaign=context.campaign.slug, state=state, batch=list(entries.values()))


def _asked(call: JsonDict, space: BaseSpace[Any]) -> Asked:
    obj = call["object"]
    facts = space.facts_of(obj)
    return Asked(
        id=call["object_id"],
        object=obj,
        columns=split(obj) if space.fields else {space.column: obj},
        replicate=call["replicate"] + 1,
        round=call["round"],
        asked_at=_utc(call["reserved_at"]),
        wanted=[],
        told={},
        facts={fact.label: round_to(facts[key], fact.digits) for key, fact in space.facts.items() if key in facts},
    )


def round_to(value: float, digits: int) -> float | int | None:
    """Return a fact as it is shown; None where it is no number that JSON has."""
    return _plain(round(value, digits)) if math.isfinite(value) else None


def pending(workspace: Workspace, name: str) -> Pending:
    """Return how far the answers to what was asked are."""
    with ledger_of(workspace) as ledger, asking_context(workspace, ledger, name) as context:
        calls, waiting = calls_of(ledger, context.campaign.id), open_calls(context)
        later = {column.part for column in columns_of(context)}
        asked = [row["round"] for row in calls if row["part"] in later and row["origin"] != "imported"]
        awaited = sum(row["origin"] == "awaited" and row["state"] == CallState.RESERVED for row in calls)
        last = max(asked, default=None)
        standing = None if last is None else standing_of(context, last)
        idle = context.campaign.message or "Nothing was asked yet. `discover run` goes on."
        told = [idle if standing is None else standing.summary, *awaited_told(context, awaited)]
        return Pending(
            campaign=context.campaign.slug,
            state=str(context.campaign.state),
            round=last,
            enough=standing is not None and standing.enough,
            open=len(waiting),
            awaited=awaited,
            oldest=min((_utc(row["reserved_at"]) for row in waiting), default=None),
            message=" ".join(told),
        )


def _summary(ledger: Ledger, row: Campaign, address: str) -> dict[str, Any]:
    plan, standing, spent = json.loads(row.stored), ledger.standing(row.id, row.goals), ledger.spent(row.id)
    killed = row.state is CampaignState.RUNNING and ledger.owner(row.id) is None
    return {
        "name": row.name,
        "generation": row.generation,
        "address": address,
        "state": "killed" if killed else str(row.state),
        "message": row.message or None,
        "round": -1 if standing.round is None else standing.round,
        "rounds": plan["rounds"],
        "calls": spent.calls,
        "budget_calls": plan["budget"]["calls"],
        "cost": spent.cost,
        "best": _plain(standing.best),
        "created_at": _utc(row.created_at),
    }


def _outputs(columns: list[Column]) -> list[Output]:
    return [Output(name=column.name, unit=column.unit) for column in columns]


def _utc(time: str) -> str:
    return datetime.fromisoformat(time).astimezone(UTC).isoformat(timespec="milliseconds")


def _plain(value: Any) -> Any:
    """Return a cell as JSON has it: what is missing or not finite is null."""
    if hasattr(value, "item"):  # a number of numpy's
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return None if type(value).__name__ == "NAType" else str(value)
