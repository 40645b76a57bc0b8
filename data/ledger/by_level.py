"""What a campaign bought at each level from cheap to true, for the terminal, the reports and MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.ledger.campaigns import StageRow
from data.readings import Readings

PURCHASES_TOLD = "purchases.json"
"""File of the stage that chooses a batch: in a sentence, what is bought at each level and why."""


PURCHASES_SAID = 3
"""Most rounds of which people are told what was bought beside new objects, or at which level; the last ones."""


@dataclass(frozen=True, slots=True)
class LevelFigures:
    """What was bought at a level.

    Attributes:
        level: from 0, the cheapest.
        calls: booked, repeated measurements and failed ones among them.
        cost: of these.
        true: whether it is the true level.
    """

    level: int
    calls: int
    cost: float
    true: bool

    def told(self) -> str:
        """Return the figures in words."""
        name = "the true level" if self.true else f"level {self.level}"
        return f"{self.calls} call{'' if self.calls == 1 else 's'} at {name}, cost {self.cost:g}"


def figures_by_level(bought: Iterable[Mapping[str, Any]], readings: Readings) -> list[LevelFigures]:
    """Return what was bought at each level, from cheap to true; nothing where no objective has levels.

    Args:
        bought: calls and cost by round and part, as the ledger gives them.
        readings: of the campaign.
    """
    levelled = readings.levelled
    if levelled is None:
        return []
    rows = list(bought)
    parts = [part for part, _ in levelled.levels]
    return [
        LevelFigures(
            level,
            sum(int(row["calls"]) for row in rows if row["part"] == part),
            sum(float(row["cost"]) for row in rows if row["part"] == part),
            level == len(parts) - 1,
        )
        for level, part in enumerate(parts)
    ]


def purchases_told(stages: Iterable[StageRow], home: Path) -> list[str]:
    """Return a sentence for each round that chose among levels: what was bought at each, what went up, and why.

    Args:
        stages: finished ones of the campaign.
        home: folder of the workspace.
    """
    found = []
    for stage in stages:
        file = home / stage.uri / PURCHASES_TOLD
        if stage.name == "select_batch" and file.is_file():
            found.append(f"Round {stage.round}: {json.loads(file.read_text(encoding='utf-8'))['told']}")
    return found
