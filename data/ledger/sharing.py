"""What a laboratory's answers are to other campaigns: its repetitions, and what nobody had asked for.

A campaign takes over the first measurements of its objects when it books them (`data.ledger.book`). Here it takes over
what a laboratory told beyond what was asked: repetitions told in another campaign of the same protocol or in an earlier
generation of the same campaign, and objects that were told unasked to such a generation. They count as calls that cost
nothing, as they did where they were told.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from data.ledger.engine import patient
from data.ledger.ledger import Ledger
from data.ledger.schema import campaigns, candidates, oracle_calls
from data.records import Arm, CallState, JsonDict


@patient
def take_over(ledger: Ledger, campaign_id: int, round: int, identities: Collection[str], asked: int) -> int:
    """Take over what was told elsewhere beyond what was asked; return how many answers. Done again, it adds nothing.

    Args:
        ledger: open.
        campaign_id: whose.
        round: to which the calls are counted.
        identities: of the campaign's laboratories.
        asked: measurements that each object is asked for.
    """
    with ledger.write() as connection:
        mine = connection.execute(sa.select(campaigns).where(campaigns.c.id == campaign_id)).mappings().one()
        rows = [
            *_repetitions(connection, campaign_id, round, identities, asked),
            *(_unasked(connection, dict(mine), round, identities) if round == 0 else ()),
        ]
        if rows:
            connection.execute(sa.insert(oracle_calls), rows)
            spent = {"calls": campaigns.c.calls + len(rows)}
            connection.execute(sa.update(campaigns).where(campaigns.c.id == campaign_id).values(spent))
        return len(rows)


def _repetitions(
    connection: sa.Connection, campaign_id: int, round: int, identities: Collection[str], asked: int
) -> list[JsonDict]:
    """Return rows of repetitions, told in other campaigns, of what this one has measured."""
    mine, other = oracle_calls.alias("mine"), oracle_calls.alias("other")
    known = oracle_calls.alias("known")
    query = (
        sa.select(other, mine.c.part.label("own_part"))
        .join(mine, sa.and_(mine.c.identity == other.c.identity, mine.c.object_id == other.c.object_id))
        .where(
            mine.c.campaign_id == campaign_id,
            mine.c.replicate == 0,
            mine.c.state == CallState.DONE,
            other.c.identity.in_(identities),
            other.c.campaign_id != campaign_id,
            other.c.origin == "called",
            other.c.state == CallState.DONE,
            other.c.replicate >= asked,
            ~sa.exists().where(
                known.c.campaign_id == campaign_id,
                known.c.identity == other.c.identity,
                known.c.object_id == other.c.object_id,
                known.c.replicate == other.c.replicate,
            ),
        )
        .order_by(other.c.id)
    )
    found: dict[tuple[str, str, int], JsonDict] = {}
    for row in connection.execute(query).mappings():
        key = (row["identity"], row["object_id"], row["replicate"])
        found.setdefault(key, _reused(dict(row), campaign_id, round, row["own_part"]))
    return list(found.values())


def _unasked(connection: sa.Connection, mine: JsonDict, round: int, identities: Collection[str]) -> list[JsonDict]:
    """Add the objects that were told unasked to earlier generations as candidates; return the rows of their answers."""
    told, earlier = candidates.alias("told"), campaigns.alias("earlier")
    query = (
        sa.select(oracle_calls)
        .join(earlier, earlier.c.id == oracle_calls.c.campaign_id)
        .join(
            told,
            sa.and_(told.c.campaign_id == oracle_calls.c.campaign_id, told.c.object_id == oracle_calls.c.object_id),
        )
        .where(
            earlier.c.name == mine["name"],
            earlier.c.generation < mine["generation"],
            told.c.arm == str(Arm.TOLD),
            oracle_calls.c.identity.in_(identities),
            oracle_calls.c.origin == "called",
            oracle_calls.c.state == CallState.DONE,
        )
        .order_by(oracle_calls.c.id)
    )
    own = sa.select(candidates.c.object_id, candidates.c.arm).where(candidates.c.campaign_id == mine["id"])
    known = {row.object_id: row.arm for row in connection.execute(own)}
    have = sa.select(oracle_calls.c.identity, oracle_calls.c.object_id, oracle_calls.c.replicate)
    booked = {tuple(row) for row in connection.execute(have.where(oracle_calls.c.campaign_id == mine["id"]))}
    last = connection.scalar(
        sa.select(sa.func.max(candidates.c.position)).where(
            candidates.c.campaign_id == mine["id"], candidates.c.round == round
        )
    )
    rows: list[JsonDict] = []
    for row in connection.execute(query).mappings().all():
        key = (row["identity"], row["object_id"], row["replicate"])
        if key in booked or known.get(row["object_id"], str(Arm.TOLD)) != str(Arm.TOLD):
            continue  # what the new generation asks for itself it takes over when it books it
        booked.add(key)
        if row["object_id"] not in known:
            known[row["object_id"]] = str(Arm.TOLD)
            last = 0 if last is None else last + 1
            told_again: dict[str, Any] = {
                "campaign_id": mine["id"], "round": round, "position": last, "object_id": row["object_id"],
                "object": row["object"], "arm": str(Arm.TOLD), "source": "told",
            }  # fmt: skip
            connection.execute(sa.insert(candidates).values(told_again))
        rows.append(_reused(dict(row), mine["id"], round, row["part"]))
    return rows


def _reused(row: JsonDict, campaign_id: int, round: int, part: str) -> JsonDict:
    """Return an answer of another campaign as a row of this one."""
    kept = {name: row[name] for name in oracle_calls.c.keys() if name != "id"}  # noqa: SIM118  # columns, no mapping
    return {
        **kept,
        "campaign_id": campaign_id,
        "round": round,
        "part": part,
        "origin": "reused",
        "cost": 0.0,
        "attempts": 0,
        "entered": None,
    }
