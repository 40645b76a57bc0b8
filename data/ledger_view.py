"""A look at the ledger without SQLAlchemy: `discover status` must answer at once, and that import takes too long.

Only for SQLite, only for reading, and with the very queries of `data/ledger.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from data.campaigns import Campaign, LedgerError, Spent, StageRow, campaign_of, stage_of
from data.ledger_queries import CAMPAIGNS, CANDIDATES, HEAD, LOCK, SPENT, STAGES
from data.processes import described_owner
from data.records import JsonDict


class LedgerView:
    """Reads one SQLite ledger."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        self._connection.row_factory = sqlite3.Row

    @classmethod
    def of(cls, path: Path) -> LedgerView | None:
        """Return a view of a ledger file, or None if there is none at the revision that this code reads."""
        if not path.is_file():
            return None
        view = cls(path)
        with contextlib.suppress(sqlite3.Error):
            if view._rows("SELECT version_num FROM alembic_version")[0]["version_num"] == HEAD:
                return view
        view.close()
        return None

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def campaigns(self) -> list[Campaign]:
        """Return every campaign and generation, oldest first."""
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

    def candidates(self, campaign_id: int) -> list[JsonDict]:
        """Return every candidate of a campaign with its measurement; keys as in `Ledger.candidates`."""
        return self._rows(CANDIDATES, campaign_id)

    def stages(self, campaign_id: int) -> list[StageRow]:
        """Return the finished stages of a campaign in the order in which they ended."""
        return [stage_of(row) for row in self._rows(STAGES, campaign_id)]

    def spent(self, campaign_id: int) -> Spent:
        """Return what the campaign has booked."""
        (row,) = self._rows(SPENT, campaign_id)
        return Spent(calls=row["calls"], cost=row["cost"])

    def owner(self, campaign_id: int) -> str | None:
        """Return a description of the living process that runs the campaign, or None."""
        rows = self._rows(LOCK, campaign_id)
        return described_owner(rows[0]) if rows else None

    def _rows(self, query: str, campaign_id: int | None = None) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(query, {"campaign_id": campaign_id})]
