"""All that the ledger has of one campaign, as plain rows."""

from __future__ import annotations

import sqlalchemy as sa

from data.ledger.engine import patient
from data.ledger.ledger import Ledger
from data.ledger.schema import campaigns, candidates, oracle_calls, revisions, stages
from data.records import JsonDict


@patient
def rows_of(ledger: Ledger, campaign_id: int) -> dict[str, list[JsonDict]]:
    """Return table -> rows of a campaign, as one look at the ledger sees them, in the order in which they were written.

    Locks are none of it, nor is the folder of the campaign file, which is a place on one machine.
    """
    revised = sa.select(revisions).join(oracle_calls, oracle_calls.c.id == revisions.c.call_id)
    queries = {
        "campaign": sa.select(campaigns).where(campaigns.c.id == campaign_id),
        "calls": sa.select(oracle_calls).where(oracle_calls.c.campaign_id == campaign_id).order_by(oracle_calls.c.id),
        "candidates": sa.select(candidates)
        .where(candidates.c.campaign_id == campaign_id)
        .order_by(candidates.c.round, candidates.c.position),
        "stages": sa.select(stages)
        .where(stages.c.campaign_id == campaign_id)
        .order_by(stages.c.finished_at, stages.c.round, stages.c.name),
        "revisions": revised.where(oracle_calls.c.campaign_id == campaign_id).order_by(revisions.c.id),
    }
    with ledger.read() as connection:
        found = {name: [dict(row) for row in connection.execute(query).mappings()] for name, query in queries.items()}
    for row in found["campaign"]:
        del row["base"]
    return found
