"""What the ledger has measured of an oracle, whoever asked."""

from __future__ import annotations

import json

import sqlalchemy as sa

from data.ledger.engine import patient
from data.ledger.ledger import Ledger
from data.ledger.schema import oracle_calls
from data.records import CallState, JsonDict


@patient
def identities_of(ledger: Ledger, campaign_id: int, part: str) -> set[str]:
    """Return the identities under which a campaign has answers of one of its oracles.

    Args:
        ledger: open.
        campaign_id: of the campaign.
        part: which oracle, as `data.readings` names them.
    """
    mine = sa.and_(oracle_calls.c.campaign_id == campaign_id, oracle_calls.c.part == part)
    with ledger.read() as connection:
        rows = connection.scalars(
            sa.select(oracle_calls.c.identity).where(mine, oracle_calls.c.state == CallState.DONE).distinct()
        )
        return set(rows)


@patient
def measurements(
    ledger: Ledger, identity: str, campaign_id: int | None = None, output: str | None = None
) -> list[JsonDict]:
    """Return every measurement of an oracle: object_id, object, replicate, value, completed_at and campaign_id.

    Labels that came with the data of a campaign are its own affair: only those of `campaign_id` are among them. Each
    repetition of an object stands once, with the campaign's own value or else the first one, ordered by object id.

    Args:
        ledger: open.
        identity: of the oracle.
        campaign_id: whose values come first.
        output: which of the values, of an oracle that answers with several; None: it answers with one.
    """
    own = oracle_calls.c.campaign_id == (-1 if campaign_id is None else campaign_id)
    with ledger.read() as connection:
        rows = connection.execute(
            sa.select(
                oracle_calls.c.object_id,
                oracle_calls.c.object,
                oracle_calls.c.replicate,
                oracle_calls.c.value,
                oracle_calls.c.outputs,
                oracle_calls.c.completed_at,
                oracle_calls.c.campaign_id,
            )
            .where(
                oracle_calls.c.identity == identity,
                oracle_calls.c.state == CallState.DONE,
                sa.or_(oracle_calls.c.origin == "called", sa.and_(own, oracle_calls.c.origin == "imported")),
            )
            .order_by(sa.case((own, 0), else_=1), oracle_calls.c.id)
        ).mappings()
        first: dict[tuple[str, int], JsonDict] = {}
        for row in rows:
            read = dict(row)
            outputs = read.pop("outputs")
            if output is not None:
                read["value"] = json.loads(outputs).get(output) if outputs else None
            if read["value"] is not None:
                first.setdefault((read["object_id"], read["replicate"]), read)
    return [first[key] for key in sorted(first)]
