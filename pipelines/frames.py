"""What a campaign holds as data frames of fixed columns and dtypes, for `pipelines.api`.

Numbers are `float64` with NaN where there is none, whole numbers and truths that are always there `int64` and `bool`,
others `Int64` and `boolean`, times `datetime64[ms, UTC]`, texts `string`. A text that is empty or not there is `<NA>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import pandas as pd

from data.goals import Goals
from data.ledger.campaigns import Campaign, Spent
from data.ledger.health import Finding
from data.ledger.summary import summaries
from data.readings import CallRow, Readings, oracles_of
from data.records import CallState, CandidateRow, JsonDict, RoundSummary, Standing
from models.spaces.base import BaseSpace
from models.spaces.columns import COLUMNS, columns_of
from tasks.explaining import Explained
from tasks.lineage import Lineage
from tasks.reporting.contributions import table_of as parts_of
from tasks.reporting.lineage import columns, table_of
from tasks.reporting.objectives import column_of, columns_with

FLOAT, WHOLE, TRUTH, MAYBE, TEXT, TIME = "float64", "int64", "bool", "boolean", "string", "datetime64[ms, UTC]"
COUNT = "Int64"
"""Of whole numbers that may be missing."""

_OF_CANDIDATES = {
    "value": FLOAT,
    "predicted_mean": FLOAT,
    "predicted_std": FLOAT,
    "novelty": FLOAT,
    "round": WHOLE,
    "feasible": MAYBE,
    "front": MAYBE,
}
"""Of the columns of candidates that are no text, those of objectives and of what tells an object aside."""

MEASUREMENTS = {
    "call": WHOLE,
    "id": TEXT,
    "object": TEXT,
    "objective": TEXT,
    "output": TEXT,
    "value": FLOAT,
    "unit": TEXT,
    "state": TEXT,
    "error": TEXT,
    "message": TEXT,
    "round": WHOLE,
    "arm": TEXT,
    "replicate": WHOLE,
    "level": WHOLE,
    "true": TRUTH,
    "origin": TEXT,
    "oracle": TEXT,
    "cost": FLOAT,
    "seconds": FLOAT,
    "told_by": TEXT,
    "booked_at": TIME,
    "answered_at": TIME,
    "current": TRUTH,
}

CORRECTIONS = {
    "id": TEXT,
    "object": TEXT,
    "objective": TEXT,
    "replicate": WHOLE,
    "value": FLOAT,
    "message": TEXT,
    "told_by": TEXT,
    "told_at": TIME,
    "value_now": FLOAT,
    "message_now": TEXT,
    "replaced_by": TEXT,
    "replaced_at": TIME,
}

ROUNDS = {
    "round": WHOLE,
    "calls": WHOLE,
    "cost": FLOAT,
    "failed": WHOLE,
    "best": FLOAT,
    "top10_mean": FLOAT,
    "acquisition_mean": FLOAT,
    "acquisition_half": FLOAT,
    "acquisition_n": WHOLE,
    "control_mean": FLOAT,
    "control_half": FLOAT,
    "control_n": WHOLE,
}
_OF_LIMITS = {"feasible": FLOAT, "acquisition_feasible": FLOAT, "control_feasible": FLOAT}
_OF_SEVERAL = {
    "front": WHOLE,
    "hypervolume": FLOAT,
    "acquisition_hypervolume": FLOAT,
    "control_hypervolume": FLOAT,
    "hypervolume_calls": COUNT,
}

LINEAGE = {
    "step": COUNT,
    "id": TEXT,
    "object": TEXT,
    "operation": TEXT,
    "parents": TEXT,
    "round": COUNT,
    "arm": TEXT,
    "source": TEXT,
    "state": TEXT,
    "value": FLOAT,
    "unit": TEXT,
    "predicted_mean": FLOAT,
    "predicted_std": FLOAT,
}

EXPLAINED = {"part": TEXT, "contribution": FLOAT, "standard_error": FLOAT, "objective": TEXT, "unit": TEXT}

FINDINGS = {"round": WHOLE, "kind": TEXT, "level": TEXT, "objective": TEXT, "message": TEXT}

CAMPAIGNS = {
    "name": TEXT,
    "generation": WHOLE,
    "state": TEXT,
    "round": WHOLE,
    "rounds": WHOLE,
    "calls": WHOLE,
    "budget_calls": COUNT,
    "cost": FLOAT,
    "best": FLOAT,
    "top10_mean": FLOAT,
    "seconds": FLOAT,
    "created_at": TIME,
    "message": TEXT,
}


def candidates_frame(rows: Sequence[JsonDict], space: BaseSpace[Any], goals: Goals, readings: Readings) -> pd.DataFrame:
    """Return exported candidates (`pipelines.inspection.exported_of`), in their order."""
    inner = columns_with(COLUMNS, goals, readings)
    numbers = dict.fromkeys([column_of(goal, name) for goal in goals for name in _PREDICTED], FLOAT)
    numbers |= {name: FLOAT for name in inner if name not in columns_with(COLUMNS, goals, Readings(()))}  # levels
    known = set(columns_of(inner, space)) - set(_fields(inner, space))
    dtypes = {
        name: (_OF_CANDIDATES | numbers).get(name, TEXT) if name in known else _of_field([row[name] for row in rows])
        for name in columns_of(inner, space)
    }
    return _frame(rows, dtypes)


_PREDICTED = ("value", "predicted_mean", "predicted_std")


def _fields(columns: Sequence[str], space: BaseSpace[Any]) -> Sequence[str]:
    """Return the columns of what tells an object together: they follow its text."""
    every = columns_of(columns, space)
    return every[every.index("id") + 2 :][: len(space.fields)]


def _of_field(cells: Iterable[Any]) -> str:
    """Return the dtype of what tells an object: numbers where there is no other text."""
    told = [cell for cell in cells if cell is not None]
    return FLOAT if told and all(isinstance(cell, int | float) for cell in told) else TEXT


def measurements_frame(
    calls: Sequence[JsonDict], arms: Mapping[str, str], goals: Goals, readings: Readings, objectives: Sequence[JsonDict]
) -> pd.DataFrame:
    """Return a row for each value of each call; a call without a value has a row for each objective that reads it.

    Args:
        calls: as `data.ledger.telling.calls_of` gives them.
        arms: of the candidates, by id.
        goals: of the campaign, with units.
        readings: of the campaign.
        objectives: as the stored configuration has them.
    """
    places = _Places(goals, readings, objectives)
    newest = {(call["object_id"], call["part"], call["replicate"]): 0 for call in calls}
    for call in calls:
        key = (call["object_id"], call["part"], call["replicate"])
        newest[key] = max(newest[key], call["id"])
    rows = []
    for call in calls:
        shared = {
            "call": call["id"],
            "id": call["object_id"],
            "object": call["object"],
            "round": call["round"],
            "arm": arms.get(call["object_id"]),
            "replicate": call["replicate"] + 1,
            "origin": call["origin"],
            "oracle": call["oracle"],
            "cost": call["cost"],
            "seconds": call["seconds"],
            "told_by": call["told_by"],
            "booked_at": call["reserved_at"],
            "answered_at": call["completed_at"],
            "current": newest[call["object_id"], call["part"], call["replicate"]] == call["id"],
        }
        rows += [shared | one for one in places.values_of(call)]
    return _frame(rows, MEASUREMENTS)


class _Places:
    """Which objective reads which value of which oracle, and at which level."""

    def __init__(self, goals: Goals, readings: Readings, objectives: Sequence[JsonDict]) -> None:
        self._units = {goal.name: goal.unit for goal in goals}
        self._readers: dict[str, list[tuple[str, str | None, int, bool]]] = {}
        self._unread: dict[str, Mapping[str, Any]] = {}
        for reading, objective in zip(readings, objectives, strict=True):
            levels = reading.levels
            for level, ((part, output), oracle) in enumerate(zip(levels, oracles_of(objective), strict=True)):
                found = (reading.objective, output, level, level == len(levels) - 1)
                self._readers.setdefault(part, []).append(found)
                outputs = oracle.get("outputs")
                self._unread[part] = outputs if isinstance(outputs, Mapping) else {}

    def values_of(self, call: JsonDict) -> list[JsonDict]:
        """Return what the call says to each objective that reads it, then its outputs that none reads."""
        part, outputs = call["part"], None if call["outputs"] is None else json.loads(call["outputs"])
        row = CallRow(part, call["value"], call["state"], call["error"], call["message"] or "", call["origin"], outputs)
        rows: list[JsonDict] = []
        for objective, output, level, true in self._readers.get(part, ()):
            told = row.unread(output) if row.read(output) is None else row
            place = {"objective": objective, "output": output, "unit": self._units[objective]}
            rows.append(_said(told, output) | place | {"level": level, "true": true})
        read = {output for _, output, _, _ in self._readers.get(part, ())}
        for output in (outputs or {}) if rows else ():
            if output not in read:
                unit = self._unread[part].get(output)
                rows.append(_said(row, output) | {"output": output, "unit": unit, **_level(rows[0])})
        return rows or [_said(row, None) | {"level": 0, "true": True}]


def _level(row: JsonDict) -> JsonDict:
    return {"level": row["level"], "true": row["true"]}


def _said(row: CallRow, output: str | None) -> JsonDict:
    """Return what a call says; a value that was told is there although others of its experiment are waited for."""
    partly = (row.outputs or {}).get(output) if output is not None and row.state == CallState.SUBMITTED else None
    value = row.read(output) if partly is None else partly
    return {"value": value, "state": str(row.state), "error": row.error, "message": row.message}


def corrections_frame(revisions: Sequence[JsonDict], readings: Readings) -> pd.DataFrame:
    """Return what answers were before they were corrected (`Ledger.corrected`), oldest first."""
    rows = []
    for one in revisions:
        before, after = (json.loads(one[name]) if one[name] else {} for name in ("outputs", "outputs_now"))
        shared = {
            "id": one["object_id"],
            "replicate": one["replicate"] + 1,
            **{name: one[name] for name in CORRECTIONS if name in one and name not in ("id", "replicate", "value")},
        }
        for reading in readings:
            for output in [output for part, output in reading.levels if part == one["part"]]:
                values = (before.get(output), after.get(output)) if output else (one["value"], one["value_now"])
                told = dict(zip(("value", "value_now"), values, strict=True))
                rows.append({**shared, "objective": reading.objective, **told})
    return _frame(rows, CORRECTIONS)


def rounds_frame(rows: Sequence[CandidateRow], bought: Sequence[JsonDict], goals: Goals) -> pd.DataFrame:
    """Return a row for each round that has candidates.

    Args:
        rows: the campaign's candidates (`Ledger.course`).
        bought: calls and cost by round and oracle (`Ledger.bought`).
        goals: of the campaign.
    """
    costs: dict[int, float] = {}
    for one in sorted(bought, key=lambda one: int(one["round"])):
        costs[one["round"]] = costs.get(one["round"], 0.0) + float(one["cost"])
    so_far = dict(zip(costs, accumulate(costs.values()), strict=True))
    improved = [goals[k] for k in goals.improved] if goals.several else []
    dtypes = ROUNDS | (_OF_LIMITS if goals.limited else {}) | (_OF_SEVERAL if goals.several else {})
    dtypes |= {column_of(goal, "best"): FLOAT for goal in improved}
    found = []
    for summary in summaries(rows, goals):
        cost = max((cost for round, cost in so_far.items() if round <= summary.round), default=0.0)
        best = {column_of(goal, "best"): (summary.best_of or {}).get(goal.name) for goal in improved}
        found.append({**_round_row(summary), "cost": cost, **best})
    return _frame(found, dtypes)


def _round_row(summary: RoundSummary) -> JsonDict:
    arms = {"acquisition": summary.acquisition, "control": summary.control}
    row: JsonDict = {name: getattr(summary, name, None) for name in (*ROUNDS, *_OF_LIMITS, *_OF_SEVERAL)}
    for arm, figures in arms.items():
        row |= {f"{arm}_n": figures.n if figures else 0, f"{arm}_half": figures.half if figures else None}
    volumes = summary.volumes
    if volumes is not None:
        row |= {"acquisition_hypervolume": volumes.acquisition, "control_hypervolume": volumes.control}
        row |= {"hypervolume_calls": volumes.n}
    return row


def findings_frame(found: Iterable[Finding]) -> pd.DataFrame:
    """Return a row for each finding, in order."""
    return _frame([{name: getattr(one, name) for name in FINDINGS} for one in found], FINDINGS)


def lineage_frame(lineage: Lineage, goals: Goals) -> pd.DataFrame:
    """Return a row for each member of a lineage, parents before what was made of them."""
    own = {name: TEXT if name.endswith(".unit") else FLOAT for name in columns(goals) if name not in LINEAGE}
    return _frame(table_of(lineage, goals), LINEAGE | own)


def explained_frame(explained: Iterable[Explained]) -> pd.DataFrame:
    """Return a row for each part of each prediction."""
    return _frame([row for one in explained for row in parts_of(one)], EXPLAINED)


def campaigns_frame(found: Iterable[tuple[Campaign, str, Standing, Spent]]) -> pd.DataFrame:
    """Return a row for each campaign, its state as a word, how far it is, and what it has booked."""
    rows = []
    for campaign, state, standing, spent in found:
        plan = json.loads(campaign.stored)
        rows.append(
            {
                "name": campaign.name,
                "generation": campaign.generation,
                "state": state,
                "round": standing.round,
                "rounds": plan["rounds"],
                "calls": spent.calls,
                "budget_calls": plan["budget"]["calls"],
                "cost": spent.cost,
                "best": standing.best,
                "top10_mean": standing.top10_mean,
                "seconds": campaign.seconds,
                "created_at": campaign.created_at,
                "message": campaign.message,
            }
        )
    return _frame(rows, CAMPAIGNS)


def _frame(rows: Sequence[Mapping[str, Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a frame of these columns and dtypes; what a row has not is missing."""
    return pd.DataFrame({name: _series([row.get(name) for row in rows], dtype) for name, dtype in dtypes.items()})


def _series(cells: Sequence[Any], dtype: str) -> pd.Series[Any]:
    if dtype == TEXT:
        return pd.Series([None if cell is None or cell == "" else str(cell) for cell in cells], dtype="string")
    if dtype == TIME:
        times = pd.to_datetime(pd.Series(cells, dtype="object"), utc=True, format="ISO8601")
        return times.dt.as_unit("ms")
    return pd.Series(cells, dtype=dtype)
