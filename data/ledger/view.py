"""A look at the ledger without SQLAlchemy: `discover status` must answer at once, and that import takes too long.

Only for SQLite, only for reading, and with the very queries of `data/ledger/ledger.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from data.goals import Goals
from data.ledger.campaigns import Campaign, LedgerError, Spent, StageRow, campaign_of, stage_of
from data.ledger.processes import described_owner
from data.ledger.queries import (
    BEST_VALUES,
    BOUGHT,
    CAMPAIGNS,
    CANDIDATES,
    CANDIDATES_WITH_CALLS,
    CORRECTED,
    COURSE,
    HEAD,
    LAST_ROUND,
    LOCK,
    NO_LAST,
    SPENT,
    STAGES,
    gathered,
)
from data.ledger.summary import standing
from data.records import CandidateRow, JsonDict, RoundSummary, Standing


def refuse_outdated(path: Path) -> None:
    """Refuse to look at a ledger file of an earlier program; the file is not touched.

    Raises:
        LedgerError: it is one.
    """
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_opened(path)) as connection:
        (row,) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        if row[0] < HEAD:
            raise LedgerError(outdated(path, row[0]))


def outdated(where: object, revision: str) -> str:
    """Return the sentence for a command that only looks, and so does not bring a ledger up to date."""
    return (
        f"The ledger {where} was written by an earlier discovery-flows (revision {revision}, this program has {HEAD}). "
        "`discover status` changes nothing; run any other command, such as `discover doctor`, to migrate it. A copy is "
        "kept beside it."
    )


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)


class LedgerView:
    """Reads one SQLite ledger."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = _opened(path)
        self._cursor = self._connection.cursor()

    @classmethod
    def of(cls, path: Path) -> LedgerView | None:
        """Return a view of a ledger file, or None if there is none at the revision that this code reads."""
        if not path.is_file():
            return None
        view = cls(path)
        with contextlib.suppress(LedgerError):
            if view._rows("SELECT version_num FROM alembic_version")[0]["version_num"] == HEAD:
                return view
        view.close()
        return None

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def campaigns(self) -> list[Campaign]:
        """Return every campaign and generation, oldest first; those that were deleted are none."""
        return [campaign_of(row) for row in self._rows(CAMPAIGNS)]

    def campaign(self, name: str) -> Campaign:
        """Return the latest generation of a campaign.

        Raises:
            LedgerError: no campaign has this name.
        """
        found = [campaign for campaign in self.campaigns() if campaign.name == name]
        if not found:
            raise LedgerError.no_campaign(name, {campaign.name for campaign in self.campaigns()})
        return found[-1]

    def candidates(self, campaign_id: int, first: int = 0, last: int = NO_LAST) -> list[CandidateRow]:
        """Return the candidates of a campaign's rounds with their measurements, as `Ledger.candidates` does."""
        campaign = self._campaign_by_id(campaign_id)
        if campaign.readings.plain:
            return [CandidateRow(*row) for row in self._asked(CANDIDATES, campaign_id, first=first, last=last)]
        rows = self._asked(CANDIDATES_WITH_CALLS, campaign_id, first=first, last=last)
        return gathered(rows, campaign.readings, campaign.goals.main.name)

    def _campaign_by_id(self, campaign_id: int) -> Campaign:
        return next(campaign for campaign in self.campaigns() if campaign.id == campaign_id)

    def course(self, campaign_id: int) -> list[CandidateRow]:
        """Return what summaries and findings need of every candidate."""
        if not self._campaign_by_id(campaign_id).readings.plain:
            return self.candidates(campaign_id)
        return [CandidateRow(*row) for row in self._asked(COURSE, campaign_id)]

    def standing(self, campaign_id: int, goals: Goals) -> Standing:
        """Return how far a campaign is and its best values; of one plain objective without reading its candidates."""
        if not (goals.plain and self._campaign_by_id(campaign_id).readings.plain):
            return standing(self.course(campaign_id), goals)
        (last,) = self._rows(LAST_ROUND, campaign_id)
        values = self._rows(BEST_VALUES[goals.main.sign > 0], campaign_id, n=RoundSummary.TOP)
        return Standing.of(last["last"], [row["value"] for row in values])

    def stages(self, campaign_id: int) -> list[StageRow]:
        """Return the finished stages of a campaign in the order in which they ended."""
        return [stage_of(row) for row in self._rows(STAGES, campaign_id)]

    def bought(self, campaign_id: int) -> list[JsonDict]:
        """Return the calls and the cost that a campaign has booked in each round with each oracle (`part`)."""
        return self._rows(BOUGHT, campaign_id)

    def corrected(self, campaign_id: int) -> list[JsonDict]:
        """Return what answers of a campaign were before they were corrected, oldest first, with what they are now."""
        return self._rows(CORRECTED, campaign_id)

    def spent(self, campaign_id: int) -> Spent:
        """Return what the campaign has booked."""
        (row,) = self._rows(SPENT, campaign_id)
        return Spent(calls=row["calls"], cost=row["cost"])

    def owner(self, campaign_id: int) -> str | None:
        """Return a description of the living process that runs the campaign, or None."""
        rows = self._rows(LOCK, campaign_id)
        return described_owner(rows[0]) if rows else None

    def _rows(self, query: str, campaign_id: int | None = None, **more: int) -> list[dict[str, Any]]:
        found = self._asked(query, campaign_id, **more)
        names = [column[0] for column in self._cursor.description]
        return [dict(zip(names, row, strict=True)) for row in found]

    def _asked(self, query: str, campaign_id: int | None = None, **more: int) -> list[tuple[Any, ...]]:
        try:
            return self._cursor.execute(query, {"campaign_id": campaign_id, **more}).fetchall()
        except sqlite3.Error as error:
            raise LedgerError(
                f"The ledger {self._path} cannot be read ({error}). Look with `discover doctor`; if it is damaged, "
                "keep it and restore a copy."
            ) from error
