"""The ledger: campaigns, stages and candidates, in SQLite (WAL, synchronous=FULL) or PostgreSQL by URL.

It is the source of truth; Prefect and MLflow are views of it. Oracle calls, which cost money, have a module of their
own: `data/ledger/book.py`; who may write a campaign at a time is decided in `data/ledger/lock.py`.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.goals import Goals
from data.ledger.campaigns import (
    Campaign,
    CampaignState,
    LedgerError,
    Spent,
    StageRow,
    campaign_of,
    now,
    slug_of,
    stage_of,
)
from data.ledger.continuation import record, refuse_other_campaign, refuse_similar_name
from data.ledger.engine import clean_text, ledger_engine, patient, patiently, repeatedly, transaction
from data.ledger.migration import migrate
from data.ledger.processes import described_owner
from data.ledger.queries import (
    BEST_VALUES,
    BOOKED,
    BOUGHT,
    CAMPAIGNS,
    CANDIDATES,
    CANDIDATES_WITH_CALLS,
    CORRECTED,
    COURSE,
    LAST_ROUND,
    LOCK,
    NO_LAST,
    REVISIONS,
    SPENT,
    UNCERTAIN,
    Past,
    gathered,
    top_queries,
)
from data.ledger.schema import campaigns, candidates, oracle_calls, stages
from data.ledger.summary import standing
from data.masking import masked
from data.records import Arm, CandidateRow, JsonDict, RoundSummary, Standing

if TYPE_CHECKING:
    from data.config import CampaignConfig


_ANSWERED: set[str] = set()
"""Databases that this process has worked with: if one does not answer, it is away for a while and not misnamed."""


class Ledger:
    """Transactions on the ledger. Every method is one transaction; concurrent readers are never blocked for long."""

    def __init__(self, url: str, *, migrating: bool = True) -> None:
        """Open the ledger, creating or migrating its tables if need be.

        Args:
            url: SQLAlchemy URL, for example `sqlite:////folder/ledger.db` or `postgresql+psycopg://user@host/name`.
            migrating: False refuses a ledger of an earlier program instead of migrating it.

        Raises:
            LedgerError: nothing can be opened there, a newer program wrote it, or it cannot be migrated now.
        """
        self.url = url
        try:
            self.engine = ledger_engine(url)
            weakref.finalize(self, self.engine.dispose)  # a command that ends without `close` keeps no connection
            if url in _ANSWERED or self.engine.dialect.name == "sqlite":
                patiently(lambda: migrate(self, allowed=migrating))  # busy, or restarting while we use it
            else:
                migrate(self, allowed=migrating)
            _ANSWERED.add(url)
        except (sa.exc.SQLAlchemyError, ImportError, ValueError) as error:  # ValueError: a port that is no number
            raise LedgerError(_unusable(url, error)) from error
        except LedgerError as error:
            if isinstance(error.__cause__, sa.exc.DBAPIError):
                raise LedgerError(_unusable(url, error.__cause__)) from error
            raise

    @classmethod
    def at(cls, path: Path, *, migrating: bool = True) -> Ledger:
        """Open the SQLite ledger in a file."""
        return cls(f"sqlite:///{path}", migrating=migrating)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One write transaction: committed whole, or not at all."""
        with transaction(self.engine, read_only=False) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One read transaction: a consistent view that takes no write lock."""
        with transaction(self.engine, read_only=True) as connection:
            yield connection

    def check(self) -> None:
        """Look for damage: of pages, of rows that miss what they belong to. Reads the whole ledger.

        Raises:
            LedgerError: something is damaged; the message says what.
        """
        faults: list[str] = []
        if self.engine.dialect.name == "sqlite":
            with self.read() as connection:
                faults += [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(5)") if row[0] != "ok"]
                orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(5)
                faults += [f"row {row[1]} of {row[0]} belongs to no row of {row[2]}" for row in orphans]
        for campaign in self.campaigns():
            with self.read() as connection:
                counted = connection.execute(sa.text(BOOKED), {"campaign_id": campaign.id}).one()
                told = spent_of(connection, campaign.id)
            if told.calls != counted.calls or abs(told.cost - counted.cost) > 1e-9 * max(told.cost, counted.cost):
                faults.append(
                    f"campaign {campaign.slug} says {told.calls} calls of cost {told.cost:g} and has {counted.calls} "
                    f"of cost {counted.cost:g}"
                )
        if faults:
            raise LedgerError(
                f"The ledger {self.engine.url.render_as_string()} is damaged ({'; '.join(faults)}). Keep a copy of it "
                "and of the files -wal and -shm beside it, and restore the last sound copy; `sqlite3 ledger.db "
                ".recover` saves what can still be read. Do not run campaigns on it: they could buy measurements again."
            )

    # -- campaigns ---------------------------------------------------------------------------------------------------

    @patient
    def begin_campaign(
        self,
        config: CampaignConfig,
        base: Path,
        *,
        fresh: bool = False,
        oracles: Sequence[Mapping[str, str]] | None = None,
    ) -> Campaign:
        """Return the campaign of this name: the one that exists, with rounds and budget as now given, or a new one.

        Args:
            config: the whole configuration.
            base: folder from which the relative paths in it start.
            fresh: begin the name anew; the earlier generation and its measurements stay in the ledger.
            oracles: all that decides the values of each oracle, by name; None: not looked at.

        Raises:
            LedgerError: a stage of it is finished, and it was begun with another configuration, in another folder that
                still has it, or with another oracle; or the name is new and differs from another only in case.
        """
        with self.write() as connection:
            row = connection.execute(_latest(config.name)).mappings().first()
            values: dict[str, Any] = {
                "config": json.dumps(config.to_json()),
                "identity": config.identity(),
                "base": str(base),
                "oracle": record(oracles),
            }
            if row is None or fresh:
                if row is None:
                    refuse_similar_name(config.name, connection.scalars(sa.select(campaigns.c.name)))
                values |= {
                    "name": config.name,
                    "generation": 1 if row is None else row["generation"] + 1,
                    "state": CampaignState.RUNNING,
                    "message": "",
                    "seconds": 0.0,
                    "created_at": now(),
                }
                connection.execute(sa.insert(campaigns).values(values))
            else:
                if _has_begun(connection, row["id"]):
                    refuse_other_campaign(dict(row), config, base, oracles, _identities(connection, row["id"]))
                connection.execute(sa.update(campaigns).where(campaigns.c.id == row["id"]).values(values))
        return self.campaign(config.name)

    @patient
    def campaign(self, name: str) -> Campaign:
        """Return the latest generation of a campaign.

        Raises:
            LedgerError: no campaign has this name; the message lists those that exist.
        """
        with self.read() as connection:
            row = connection.execute(_latest(name)).mappings().first()
        if row is None:
            raise LedgerError.no_campaign(name, {campaign.name for campaign in self.campaigns()})
        return campaign_of(row)

    def campaign_of(self, told: str) -> Campaign:
        """Return the latest generation of a campaign, or the one whose folder has this name, such as `name~2`.

        Raises:
            LedgerError: there is none.
        """
        name, _, generation = told.partition("~")
        found = [one for one in self.campaigns() if one.name == name and generation == str(one.generation)]
        return found[0] if found else self.campaign(told)

    @patient
    def campaign_by_id(self, campaign_id: int) -> Campaign:
        """Return a campaign by its row id."""
        with self.read() as connection:
            row = connection.execute(sa.select(campaigns).where(campaigns.c.id == campaign_id)).mappings().one()
        return campaign_of(row)

    @patient
    def campaigns(self) -> list[Campaign]:
        """Return every campaign and generation, oldest first; those that were deleted are none."""
        with self.read() as connection:
            rows = connection.execute(sa.text(CAMPAIGNS)).mappings().all()
        return [campaign_of(row) for row in rows]

    @patient
    def set_state(self, campaign_id: int, state: CampaignState, message: str = "") -> None:
        """Record where a campaign stands."""
        with self.write() as connection:
            connection.execute(
                sa.update(campaigns)
                .where(campaigns.c.id == campaign_id)
                .values(state=state, message=clean_text(message))
            )

    @patient
    def add_seconds(self, campaign_id: int, seconds: float) -> None:
        """Add running time, so that a limit on wall time holds across restarts."""
        with self.write() as connection:
            connection.execute(
                sa.update(campaigns).where(campaigns.c.id == campaign_id).values(seconds=campaigns.c.seconds + seconds)
            )

    @patient
    def spent(self, campaign_id: int) -> Spent:
        """Return what a campaign has booked with all its oracles; imported values are not counted."""
        with self.read() as connection:
            return spent_of(connection, campaign_id)

    @patient
    def bought(self, campaign_id: int) -> list[JsonDict]:
        """Return the calls and the cost that a campaign has booked in each round with each oracle (`part`)."""
        with self.read() as connection:
            rows = connection.execute(sa.text(BOUGHT), {"campaign_id": campaign_id}).mappings()
            return [dict(row) for row in rows]

    @patient
    def corrected(self, campaign_id: int) -> list[JsonDict]:
        """Return what answers of a campaign were before they were corrected, oldest first, with what they are now."""
        with self.read() as connection:
            rows = connection.execute(sa.text(CORRECTED), {"campaign_id": campaign_id}).mappings()
            return [dict(row) for row in rows]

    @patient
    def uncertain(self) -> dict[str, int]:
        """Return how many reused values of each campaign nobody is known to have measured, where there are some."""
        with self.read() as connection:
            rows = connection.execute(sa.text(UNCERTAIN)).all()
        return {slug_of(row.name, row.generation): int(row.n) for row in rows}

    @patient
    def owner(self, campaign_id: int) -> str | None:
        """Return a description of the living process that runs a campaign, or None."""
        with self.read() as connection:
            row = connection.execute(sa.text(LOCK), {"campaign_id": campaign_id}).mappings().first()
        return None if row is None else described_owner(dict(row))

    # -- stages ------------------------------------------------------------------------------------------------------

    @patient
    def stages(self, campaign_id: int) -> list[StageRow]:
        """Return the finished stages in the order in which they ended."""
        with self.read() as connection:
            rows = connection.execute(
                sa.select(stages).where(stages.c.campaign_id == campaign_id).order_by(stages.c.finished_at)
            ).mappings()
            return [stage_of(row) for row in rows]

    @patient
    def stage(self, campaign_id: int, round: int, name: str) -> StageRow | None:
        """Return a finished stage, or None."""
        with self.read() as connection:
            row = (
                connection.execute(
                    sa.select(stages).where(
                        stages.c.campaign_id == campaign_id, stages.c.round == round, stages.c.name == name
                    )
                )
                .mappings()
                .first()
            )
        return None if row is None else stage_of(row)

    def finish_stage(self, campaign_id: int, row: StageRow) -> None:
        """Record a stage as finished. Its results must be on disk before."""
        repeatedly(lambda again: self._finish_stage(campaign_id, row, again=again))

    def _finish_stage(self, campaign_id: int, row: StageRow, *, again: bool) -> None:
        if again and self.stage(campaign_id, row.round, row.name) == row:
            return  # the database took it, and the connection broke before it could say so
        with self.write() as connection:
            connection.execute(
                sa.insert(stages).values(
                    campaign_id=campaign_id,
                    round=row.round,
                    name=row.name,
                    key=row.key,
                    uri=row.uri,
                    sha256=row.sha256,
                    metrics=json.dumps(row.metrics, sort_keys=True),
                    seconds=row.seconds,
                    finished_at=now(),
                )
            )

    # -- candidates --------------------------------------------------------------------------------------------------

    @patient
    def add_candidates(self, campaign_id: int, round: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record the batch of a round. Given again, the same batch changes nothing.

        Args:
            campaign_id: whose.
            round: 0 for the initial design.
            rows: object_id, object, arm, source, predicted_mean, predicted_std, score, novelty, the compound that
                their space tells, and `predicted`, JSON of what is predicted of each of several objectives; in batch
                order.

        Raises:
            LedgerError: the round already has another batch.
        """
        with self.write() as connection:
            existing = connection.scalars(
                sa.select(candidates.c.object_id)
                .where(
                    candidates.c.campaign_id == campaign_id, candidates.c.round == round, candidates.c.arm != Arm.TOLD
                )
                .order_by(candidates.c.position)
            ).all()
            if existing:
                if list(existing) != [row["object_id"] for row in rows]:
                    raise LedgerError(
                        f"Round {round} already has another batch of {len(existing)} in the ledger, and it may have "
                        "been bought. This is a defect if the configuration did not change: please report it."
                    )
                return
            values = [
                {"campaign_id": campaign_id, "round": round, "position": i, "compound": None, "predicted": None, **row}
                for i, row in enumerate(rows)
            ]
            if values:
                connection.execute(sa.insert(candidates), values)

    @patient
    def candidates(
        self, campaign_id: int, first: int = 0, last: int = NO_LAST, *, as_of: int | None = None
    ) -> list[CandidateRow]:
        """Return the candidates of a campaign's rounds with their measurements, by round and position.

        Args:
            campaign_id: whose.
            first: round.
            last: round, itself included.
            as_of: round at whose end the answers are looked at, where answers come later or an object is bought again;
                None: as they are now.
        """
        given = {"campaign_id": campaign_id, "first": first, "last": last}
        campaign = self.campaign_by_id(campaign_id)
        with self.read() as connection:
            if campaign.readings.plain:
                return [CandidateRow(*row) for row in connection.execute(sa.text(CANDIDATES), given)]
            rows = connection.execute(sa.text(CANDIDATES_WITH_CALLS), given).all()
            past = None
            if as_of is not None and campaign.readings.later:
                past = Past(as_of, connection.execute(sa.text(REVISIONS), {"campaign_id": campaign_id}).all())
            again = campaign.readings.levelled or campaign.readings.remeasured
            until = as_of if as_of is not None and again else NO_LAST
            return gathered(rows, campaign.readings, campaign.goals.main.name, past, until)

    @patient
    def course(self, campaign_id: int) -> list[CandidateRow]:
        """Return the candidates, without texts where there are many: what summaries and findings need of them."""
        if not self.campaign_by_id(campaign_id).readings.plain:
            return self.candidates(campaign_id)
        with self.read() as connection:
            rows = connection.execute(sa.text(COURSE), {"campaign_id": campaign_id})
            return [CandidateRow(*row) for row in rows]

    @patient
    def standing(self, campaign_id: int, goals: Goals) -> Standing:
        """Return how far a campaign is and its best values; of one plain objective without reading its candidates."""
        if not (goals.plain and self.campaign_by_id(campaign_id).readings.plain):
            return standing(self.course(campaign_id), goals)
        given = {"campaign_id": campaign_id, "n": RoundSummary.TOP}
        with self.read() as connection:
            last = connection.scalar(sa.text(LAST_ROUND), given)
            return Standing.of(last, list(connection.scalars(sa.text(BEST_VALUES[goals.main.sign > 0]), given)))

    @patient
    def ids_before(self, campaign_id: int, round: int) -> set[str]:
        """Return the ids of the candidates of all rounds before one."""
        with self.read() as connection:
            query = sa.select(candidates.c.object_id).where(
                candidates.c.campaign_id == campaign_id, candidates.c.round < round
            )
            return set(connection.scalars(query))

    @patient
    def top(self, campaign_id: int, n: int, goals: Goals) -> list[CandidateRow]:
        """Return the first n candidates in the order of `Goals.ranked`; of one plain objective without reading all."""
        if not (goals.plain and self.campaign_by_id(campaign_id).readings.plain):
            return goals.ranked(self.candidates(campaign_id))[:n]
        found: list[CandidateRow] = []
        with self.read() as connection:
            ids = 'COLLATE "C"' if connection.dialect.name == "postgresql" else ""
            for query in top_queries(maximise=goals.main.sign > 0, ids=ids):
                if len(found) < n:
                    given = {"campaign_id": campaign_id, "n": n - len(found)}
                    found += [CandidateRow(*row) for row in connection.execute(sa.text(query), given)]
        return found

    @patient
    def same_compounds(self, campaign_id: int, compounds: Collection[str]) -> list[CandidateRow]:
        """Return the candidates that are one of these compounds: id, object, compound, and what ranks them.

        Rows of which an earlier revision did not write what compound they are, are all among them.

        Args:
            campaign_id: whose.
            compounds: as the space of the objects tells them.
        """
        if not self.campaign_by_id(campaign_id).readings.plain:
            return [row for row in self.candidates(campaign_id) if row.compound is None or row.compound in compounds]
        newest = (
            sa.select(sa.func.max(oracle_calls.c.id))
            .where(
                oracle_calls.c.campaign_id == candidates.c.campaign_id,
                oracle_calls.c.object_id == candidates.c.object_id,
            )
            .correlate(candidates)
            .scalar_subquery()
        )
        query = (
            sa.select(
                candidates.c.object_id.label("id"),
                candidates.c.object,
                candidates.c.compound,
                candidates.c.predicted_mean,
                oracle_calls.c.value,
                oracle_calls.c.state,
            )
            .select_from(candidates.outerjoin(oracle_calls, oracle_calls.c.id == newest))
            .where(candidates.c.campaign_id == campaign_id)
        )
        with self.read() as connection:
            return [
                CandidateRow(**row)  # two questions: the index answers each, and not one with an `or`
                for wanted in (candidates.c.compound.in_(compounds), candidates.c.compound.is_(None))
                for row in connection.execute(query.where(wanted)).mappings()
            ]


def _has_begun(connection: sa.Connection, campaign_id: int) -> bool:
    """Return whether anything depends on a campaign's configuration; a first stage that refused it leaves nothing."""
    return any(
        connection.scalar(sa.select(sa.exists().where(table.c.campaign_id == campaign_id)))
        for table in (stages, candidates, oracle_calls)
    )


def _identities(connection: sa.Connection, campaign_id: int) -> set[str]:
    """Return the identities of the oracles that a campaign has calls of."""
    query = sa.select(oracle_calls.c.identity).where(oracle_calls.c.campaign_id == campaign_id).distinct()
    return set(connection.scalars(query))


def _unusable(url: str, error: Exception) -> str:
    try:
        where = sa.make_url(url).render_as_string()  # without the password
    except (sa.exc.ArgumentError, ValueError):
        where = repr(masked(url))
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    if "no password supplied" in reason or "password authentication failed" in reason:
        return (
            f"The ledger {where} does not let this user in ({reason}). Give the password by the variable PGPASSWORD, "
            "or by a line HOST:PORT:DATABASE:USER:PASSWORD in ~/.pgpass, a file of mode 600."
        )
    return (
        f"The ledger {where} cannot be opened ({reason}). Mend or restore it, or have DISCOVER_HOME or DISCOVER_LEDGER "
        "name another: DISCOVER_LEDGER is a URL such as postgresql+psycopg://user@host/name."
    )


def spent_of(connection: sa.Connection, campaign_id: int) -> Spent:
    """Return what a campaign has booked, as a transaction sees it."""
    row = connection.execute(sa.text(SPENT), {"campaign_id": campaign_id}).one()
    return Spent(calls=int(row.calls), cost=float(row.cost))


def _latest(name: str) -> sa.Select[Any]:
    mine = sa.and_(campaigns.c.name == name, campaigns.c.state != CampaignState.DELETED)
    return sa.select(campaigns).where(mine).order_by(campaigns.c.generation.desc()).limit(1)
