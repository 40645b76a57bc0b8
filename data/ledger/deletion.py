"""Deleting a campaign without forgetting what it bought.

A value that was bought is taken over by whatever campaign asks for it next, so its row outlives the campaign. Such rows
need a campaign to belong to: the campaign's own row stays, in the state `deleted` and under a name that no campaign can
have (`~ID`), so that the name is free and no list shows it. Its message is the name of the folder that it had. All the
rest goes: candidates, stages, labels that came with the data, values that were taken over, calls that brought nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from data.ledger.campaigns import Campaign, CampaignState, LedgerError, campaign_of, slug_of
from data.ledger.engine import patient, repeatedly
from data.ledger.ledger import Ledger
from data.ledger.lock import refuse_if_held
from data.ledger.schema import campaigns, candidates, locks, oracle_calls, revisions, stages
from data.readings import LABORATORY
from data.records import CallState

_OPEN = (CallState.RESERVED, CallState.SUBMITTED, CallState.IN_DOUBT)
_BOUGHT = sa.and_(oracle_calls.c.origin == "called", oracle_calls.c.state == CallState.DONE)


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is deleted of a name, and what is kept.

    Attributes:
        name: of the campaign.
        living: its generations, which are deleted.
        buried: generations that were deleted before, as far as their values go now or their folders may still be there.
        bought: values that the oracle was paid for.
        others: rows of calls that go in any case, by state, or by origin where the value is another's.
        candidates: that go.
    """

    name: str
    living: tuple[Campaign, ...]
    buried: tuple[Campaign, ...]
    bought: int
    others: Mapping[str, int]
    candidates: int

    @property
    def ids(self) -> list[int]:
        """Of all rows of campaigns that are touched."""
        return [one.id for one in (*self.living, *self.buried)]

    @property
    def folders(self) -> dict[str, Campaign]:
        """Names of the folders that go with what had them; a name that is in use again keeps its folder."""
        return {folder_name(one): one for one in (*self.buried, *self.living)}


def folder_name(campaign: Campaign) -> str:
    """Return the name of the folder that a campaign has, or had before it was deleted."""
    return campaign.message if campaign.state is CampaignState.DELETED else campaign.slug


@patient
def examine(
    ledger: Ledger, name: str, *, measurements: bool, unrepeatable: Mapping[int, Collection[str]] | None = None
) -> Deletion:
    """Return what a deletion would do, or refuse it; nothing is changed.

    Args:
        ledger: open.
        name: of the campaign: all generations of it.
        measurements: whether what was bought goes as well.
        unrepeatable: of each campaign the oracles (parts) that must never be called twice.

    Raises:
        LedgerError: there is no such campaign, another one waits for its calls, what became of calls is not known, or
            what others have taken over would be forgotten.
        CampaignLocked: a process runs it.
    """
    with ledger.read() as connection:
        found = _found(connection, name, measurements=measurements)
        if not found.ids:
            raise LedgerError.no_campaign(name, {one.name for one in ledger.campaigns()})
        _refuse(connection, found, measurements=measurements, unrepeatable=unrepeatable or {})
    return found


def delete(
    ledger: Ledger,
    name: str,
    *,
    expected: Deletion,
    measurements: bool,
    unrepeatable: Mapping[int, Collection[str]] | None = None,
) -> Deletion:
    """Delete a campaign's rows in one transaction, refused as by `examine`; return what was deleted.

    The rows of the campaigns themselves stay, in the state `deleted`, until `forget`: folders may still have to go.

    Args:
        ledger: open.
        name: of the campaign.
        expected: what `examine` told, which somebody agreed to.
        measurements: whether what was bought goes as well.
        unrepeatable: of each campaign the oracles (parts) that must never be called twice.

    Raises:
        LedgerError: as by `examine`; or something was begun or bought under the name since.
    """

    def once(again: bool) -> Deletion:
        with ledger.write() as connection:
            found = _found(connection, name, measurements=measurements)
            if again and not found.living:
                return expected  # the database took it, and the connection broke before it could say so
            if (found.ids, found.bought) != (expected.ids, expected.bought):
                raise LedgerError(f"Campaign {name!r} changed meanwhile; nothing was deleted. Give the command again.")
            _refuse(connection, found, measurements=measurements, unrepeatable=unrepeatable or {})
            for one in (*found.living, *found.buried):
                _remove(connection, one, measurements=measurements)
        return found

    return repeatedly(once)


@patient
def forget(ledger: Ledger, ids: Sequence[int]) -> None:
    """Remove the rows of deleted campaigns that no bought value belongs to."""
    with ledger.write() as connection:
        called = sa.exists().where(oracle_calls.c.campaign_id == campaigns.c.id)
        buried = sa.and_(campaigns.c.id.in_(ids), campaigns.c.state == CampaignState.DELETED)
        connection.execute(sa.delete(campaigns).where(buried, ~called))


def _found(connection: sa.Connection, name: str, *, measurements: bool) -> Deletion:
    # The row of a deleted campaign has a name too, and none that anybody may give.
    mine = sa.and_(campaigns.c.name == name, campaigns.c.state != CampaignState.DELETED)
    query = sa.select(campaigns).where(mine).order_by(campaigns.c.id)
    living = tuple(campaign_of(row) for row in connection.execute(query).mappings())
    deleted = sa.select(campaigns).where(campaigns.c.state == CampaignState.DELETED).order_by(campaigns.c.id)
    buried = [campaign_of(row) for row in connection.execute(deleted).mappings()]
    named = tuple(one for one in buried if one.message.partition("~")[0] == name)
    # Where the name is in use again, an earlier deletion of it is over; else its folders may still be there.
    buried_too = named if measurements or not living else ()
    ids = [one.id for one in (*living, *buried_too)]
    of_these = oracle_calls.c.campaign_id.in_(ids)
    bought = connection.scalar(sa.select(sa.func.count()).where(of_these, _BOUGHT)) or 0
    rest = sa.select(oracle_calls.c.origin, oracle_calls.c.state, sa.func.count()).where(of_these, ~_BOUGHT)
    others: Counter[str] = Counter()
    for origin, state, count in connection.execute(rest.group_by(oracle_calls.c.origin, oracle_calls.c.state)):
        others[state if origin == "called" else origin] += count
    told = sa.select(sa.func.count()).where(candidates.c.campaign_id.in_(ids))
    return Deletion(name, living, buried_too, bought, dict(others), connection.scalar(told) or 0)


def _refuse(
    connection: sa.Connection, found: Deletion, *, measurements: bool, unrepeatable: Mapping[int, Collection[str]]
) -> None:
    for one in found.living:
        refuse_if_held(connection, one)
    _refuse_awaited(connection, found)
    if measurements:
        _refuse_taken_over(connection, found)
    else:
        _refuse_unknown(connection, found, unrepeatable)


def _refuse_awaited(connection: sa.Connection, found: Deletion) -> None:
    """Refuse while another campaign waits for a call of this one."""
    mine, other = oracle_calls.alias("mine"), oracle_calls.alias("other")
    query = (
        sa.select(campaigns.c.name, campaigns.c.generation, sa.func.count().label("n"))
        .select_from(other.join(mine, _same(mine, other)).join(campaigns, campaigns.c.id == other.c.campaign_id))
        .where(
            *(mine.c.campaign_id.in_(found.ids), mine.c.origin == "called", mine.c.state.in_(_OPEN)),
            *(other.c.campaign_id.not_in(found.ids), other.c.origin == "awaited"),
            other.c.state == CallState.RESERVED,
        )
        .group_by(campaigns.c.id, campaigns.c.name, campaigns.c.generation)
        .order_by(campaigns.c.id)
    )
    waiting = [f"{slug_of(row.name, row.generation)} for {row.n}" for row in connection.execute(query)]
    if waiting:
        raise LedgerError(
            f"Campaign {found.name!r} stays: other campaigns wait for calls of it ({', '.join(waiting)}). Have it make "
            "them (`discover run`), or have the others go on first; then give the same command again."
        )


def _refuse_unknown(connection: sa.Connection, found: Deletion, unrepeatable: Mapping[int, Collection[str]]) -> None:
    """Refuse while a call was sent that must not be made again and whose answer is not there."""
    rows = connection.execute(
        sa.select(oracle_calls).where(
            oracle_calls.c.campaign_id.in_(found.ids),
            oracle_calls.c.state.in_([CallState.SUBMITTED, CallState.IN_DOUBT]),
        )
    ).all()
    # Generations may wait for the same.
    asked = list(dict.fromkeys(row.object_id for row in rows if row.oracle.partition(":")[0] == LABORATORY))
    doubtful = list(
        dict.fromkeys(
            row.object_id
            for row in rows
            if row.oracle.partition(":")[0] != LABORATORY
            and (row.state == CallState.IN_DOUBT or row.part in unrepeatable.get(row.campaign_id, ()))
        )
    )
    if asked:
        raise LedgerError(
            f"Campaign {found.name!r} stays: {_listed(asked)} asked of a laboratory and not answered. Tell what came "
            f"of it (`discover tell {found.name} RESULTS.csv`, `failed` for what will not come), or give up what was "
            "bought with --measurements."
        )
    if doubtful:
        raise LedgerError(
            f"Campaign {found.name!r} stays: {_listed(doubtful)} sent to an oracle that must not be called twice, and "
            f"nobody knows what came of it. Find out, then `discover settle {found.name} ID --value X` or `--abandon`; "
            "or give up what was bought with --measurements."
        )


def _refuse_taken_over(connection: sa.Connection, found: Deletion) -> None:
    """Refuse to forget who measured what other campaigns show."""
    mine, other, third = (oracle_calls.alias(name) for name in ("mine", "other", "third"))
    elsewhere = sa.exists().where(
        *(_same(third, other), third.c.campaign_id.not_in(found.ids)),
        *(third.c.origin == "called", third.c.state == CallState.DONE),
    )
    query = (
        sa.select(campaigns.c.name, campaigns.c.generation, sa.func.count().label("n"))
        .select_from(other.join(mine, _same(mine, other)).join(campaigns, campaigns.c.id == other.c.campaign_id))
        .where(
            *(mine.c.campaign_id.in_(found.ids), mine.c.origin == "called", mine.c.state == CallState.DONE),
            *(other.c.campaign_id.not_in(found.ids), other.c.origin == "reused", ~elsewhere),
        )
        .group_by(campaigns.c.id, campaigns.c.name, campaigns.c.generation)
        .order_by(campaigns.c.id)
    )
    taken = [f"{slug_of(row.name, row.generation)} {row.n}" for row in connection.execute(query)]
    if taken:
        raise LedgerError(
            f"The measurements of campaign {found.name!r} stay: other campaigns have taken values over "
            f"({', '.join(taken)}), and nobody would be known to have measured them. Delete those first, or leave out "
            "--measurements."
        )


def _remove(connection: sa.Connection, one: Campaign, *, measurements: bool) -> None:
    """Remove a campaign's rows but those of what it bought, and put it out of sight; again, it changes nothing."""
    mine = oracle_calls.c.campaign_id == one.id
    goes = mine if measurements else sa.and_(mine, ~_BOUGHT)
    calls = sa.select(oracle_calls.c.id).where(goes)
    connection.execute(sa.delete(revisions).where(revisions.c.call_id.in_(calls)))
    connection.execute(sa.delete(oracle_calls).where(goes))
    for table in (candidates, stages, locks):
        connection.execute(sa.delete(table).where(table.c.campaign_id == one.id))
    kept = connection.execute(
        sa.select(sa.func.count().label("n"), sa.func.coalesce(sa.func.sum(oracle_calls.c.cost), 0.0).label("cost"))
        .select_from(oracle_calls)
        .where(mine)
    ).one()
    values: dict[str, Any] = {"calls": kept.n, "cost": kept.cost}
    if one.state is not CampaignState.DELETED:
        values |= {"name": f"~{one.id}", "generation": 1, "state": CampaignState.DELETED, "message": one.slug}
    connection.execute(sa.update(campaigns).where(campaigns.c.id == one.id).values(values))


def _same(first: Any, second: Any) -> sa.ColumnElement[bool]:
    """Return whether two calls are of one purchase."""
    return sa.and_(
        first.c.identity == second.c.identity,
        first.c.object_id == second.c.object_id,
        first.c.replicate == second.c.replicate,
    )


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return f"{', '.join(ids[:5])}{more} {'was' if len(ids) == 1 else 'were'}"
