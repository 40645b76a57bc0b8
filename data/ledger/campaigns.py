"""Campaigns and stages as values: what the ledger's rows mean, with no database in sight."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.goals import Goals, goals_of
from data.readings import Readings

if TYPE_CHECKING:
    from data.config import CampaignConfig


class LedgerError(RuntimeError):
    """The ledger refuses: what it holds contradicts what was asked."""

    @classmethod
    def no_campaign(cls, name: str, names: set[str]) -> LedgerError:
        """Return the error for a name that no campaign has."""
        others = f"it has {', '.join(sorted(names))}" if names else "it has no campaign at all"
        return cls(
            f"The ledger has no campaign {name!r}; {others}. A run that ended while it was loading leaves none, and "
            "bought nothing. `discover run CONFIG` starts one."
        )


class CampaignState(StrEnum):
    """Where a campaign stands. All but `done` and `deleted` go on when the same command is given again."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    DONE = "done"
    BUDGET_EXHAUSTED = "budget_exhausted"
    ORACLE_FAILING = "oracle_failing"
    NO_CANDIDATES = "no_candidates"
    IN_DOUBT = "in_doubt"
    WAITING = "waiting"
    WALL_TIME_EXHAUSTED = "wall_time_exhausted"
    STALLED = "stalled"
    """`budget.stalled` rounds brought nothing better."""
    PAUSING = "pausing"
    """A person asked the process that runs it to hold; it does between two calls or steps."""
    PAUSED = "paused"
    """Held until `discover resume`: by the process that runs it, or without one."""
    STOPPING = "stopping"
    """A person asked the process that runs it to end."""
    STOPPED = "stopped"
    FAILED = "failed"
    DELETED = "deleted"
    """Kept for what it bought, and never shown: see `data/ledger/deletion.py`."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A row of the ledger: one campaign of one generation."""

    id: int
    name: str
    generation: int
    stored: str
    """The configuration as the ledger keeps it: JSON, defaults included."""
    base: Path
    state: CampaignState
    message: str
    seconds: float
    created_at: str

    @property
    def config(self) -> CampaignConfig:
        """The configuration."""
        return parsed_config(self.stored, self.name).beside(self.base)

    @property
    def goals(self) -> Goals:
        """What is wanted of each objective; read without the schema, which `discover status` does not wait for."""
        return goals_of(json.loads(self.stored)["objectives"])

    @property
    def readings(self) -> Readings:
        """Which answers each objective reads."""
        stored = json.loads(self.stored)
        return Readings.of(stored["objectives"], remeasured=bool(stored.get("remeasure")))

    @property
    def maximise(self) -> bool:
        """Whether larger values of the first objective to be improved are better."""
        return self.goals.main.sign > 0

    @property
    def slug(self) -> str:
        """Name of the campaign's folder: the name, and the generation where there were several."""
        return slug_of(self.name, self.generation)


def slug_of(name: str, generation: int) -> str:
    """Return the name of a campaign's folder; no name has a `~`, so no other campaign can have this one."""
    return name if generation == 1 else f"{name}~{generation}"


def shown_names(campaigns: Iterable[Campaign]) -> dict[int, str]:
    """Return the names by which campaigns are told apart, by row id; commands take them too.

    The name is enough while there is one campaign of it. Where `--fresh` began others each has its generation, the
    first one `NAME~1`: the bare name is that of the latest wherever a command takes one.
    """
    every = list(campaigns)
    counts = Counter(one.name for one in every)
    return {one.id: f"{one.name}~{one.generation}" if counts[one.name] > 1 else one.slug for one in every}


@dataclass(frozen=True, slots=True)
class StageRow:
    """A finished stage: what went in (key), where its results are, and their sha256."""

    round: int
    name: str
    key: str
    uri: str
    sha256: str
    metrics: dict[str, float]
    seconds: float


def stage_of(row: Any) -> StageRow:
    """Return a finished stage from its row, a mapping of column names."""
    return StageRow(
        round=row["round"],
        name=row["name"],
        key=row["key"],
        uri=row["uri"],
        sha256=row["sha256"],
        metrics=json.loads(row["metrics"]),
        seconds=row["seconds"],
    )


@dataclass(frozen=True, slots=True)
class Spent:
    """What a campaign has booked."""

    calls: int
    cost: float


def now() -> str:
    """Return the current time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@lru_cache(maxsize=64)
def parsed_config(stored: str, name: str) -> CampaignConfig:
    """Return a stored configuration as the schema's object."""
    from data.config import parse_config  # `discover status` does without it

    return parse_config(json.loads(stored), source=f"the stored configuration of {name}")


def campaign_of(row: Any) -> Campaign:
    """Return a campaign from its row, a mapping of column names."""
    return Campaign(
        id=row["id"],
        name=row["name"],
        generation=row["generation"],
        stored=row["config"],
        base=Path(row["base"]),
        state=CampaignState(row["state"]),
        message=row["message"],
        seconds=row["seconds"],
        created_at=row["created_at"],
    )
