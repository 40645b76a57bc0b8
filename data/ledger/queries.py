"""Queries that both ways into the ledger use: `ledger.py` and, for `discover status`, `view.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from data.readings import CallRow, Readings, together
from data.records import CallState, CandidateRow

HEAD = "0006"
"""Revision of the tables that this code works with."""

CAMPAIGNS = "SELECT * FROM campaigns WHERE state <> 'deleted' ORDER BY id"

_CANDIDATE = """
SELECT c.object_id AS id, c.object, o.value, c.round, c.position, c.arm, c.source, c.predicted_mean, c.predicted_std,
       c.score, c.novelty, COALESCE(o.state, 'proposed') AS state, o.error, COALESCE(o.message, '') AS message,
       o.origin, c.compound
"""
"""The fields of `data.records.CandidateRow`, in their order."""
# One row per candidate, its newest call: a campaign that two versions of an oracle have measured has two of some.
_NEWEST = """
FROM candidates c
LEFT JOIN oracle_calls o ON o.id = (
    SELECT MAX(x.id) FROM oracle_calls x WHERE x.campaign_id = c.campaign_id AND x.object_id = c.object_id)
WHERE c.campaign_id = :campaign_id
"""

# One row per candidate, oracle of its campaign and replicate, the newest call of each.
CANDIDATES_WITH_CALLS = """
SELECT c.object_id AS id, c.object, c.round, c.position, c.arm, c.source, c.predicted_mean, c.predicted_std, c.score,
       c.novelty, c.compound, c.predicted, o.part, o.value, o.state, o.error, o.message, o.origin, o.outputs, o.id,
       o.replicate, o.entered, o.round AS bought
FROM candidates c
LEFT JOIN oracle_calls o ON o.campaign_id = c.campaign_id AND o.object_id = c.object_id AND NOT EXISTS (
    SELECT 1 FROM oracle_calls x WHERE x.campaign_id = o.campaign_id AND x.object_id = o.object_id
    AND x.part = o.part AND x.replicate = o.replicate AND x.id > o.id)
WHERE c.campaign_id = :campaign_id AND c.round BETWEEN :first AND :last
ORDER BY c.round, c.position, o.part, o.replicate
"""
"""For campaigns that read several values; `gathered` makes one candidate of the rows of each."""

CANDIDATES = f"{_CANDIDATE}{_NEWEST}AND c.round BETWEEN :first AND :last ORDER BY c.round, c.position"

NO_LAST = 2**31 - 1
"""A `:last` that leaves nothing out."""

COURSE = f"""
SELECT c.object_id AS id, '' AS object, o.value, c.round, c.position, c.arm, c.source, c.predicted_mean,
       c.predicted_std, NULL AS score, NULL AS novelty, COALESCE(o.state, 'proposed') AS state, NULL AS error,
       '' AS message, o.origin, NULL AS compound
{_NEWEST}ORDER BY c.round, c.position
"""
"""The same, without texts: what summaries and findings need."""

# The same rows from the side of the calls, which has an index by value.
_FROM_CALLS = """
FROM oracle_calls o
JOIN candidates c ON c.campaign_id = o.campaign_id AND c.object_id = o.object_id
WHERE o.campaign_id = :campaign_id AND NOT EXISTS (
    SELECT 1 FROM oracle_calls x WHERE x.campaign_id = o.campaign_id AND x.object_id = o.object_id AND x.id > o.id)
"""

LAST_ROUND = "SELECT MAX(round) AS last FROM candidates WHERE campaign_id = :campaign_id"

BEST_VALUES = {
    True: f"SELECT o.value {_FROM_CALLS} AND o.state = 'done' ORDER BY o.value DESC LIMIT :n",
    False: f"SELECT o.value {_FROM_CALLS} AND o.state = 'done' ORDER BY o.value LIMIT :n",
}
"""By whether larger values are better."""

STAGES = "SELECT * FROM stages WHERE campaign_id = :campaign_id ORDER BY finished_at"

BOUGHT = """
SELECT round, part, COUNT(*) AS calls, COALESCE(SUM(cost), 0.0) AS cost FROM oracle_calls
WHERE campaign_id = :campaign_id AND origin <> 'imported' GROUP BY round, part ORDER BY round, part
"""
"""What a campaign has booked in each round with each of its oracles."""

SPENT = "SELECT calls, cost FROM campaigns WHERE id = :campaign_id"

BOOKED = """
SELECT COUNT(*) AS calls, COALESCE(SUM(cost), 0.0) AS cost FROM oracle_calls
WHERE campaign_id = :campaign_id AND origin <> 'imported'
"""
"""The same, counted: for `doctor`."""

UNCERTAIN = """
SELECT p.name, p.generation, COUNT(*) AS n FROM oracle_calls r JOIN campaigns p ON p.id = r.campaign_id
WHERE r.origin = 'reused' AND NOT EXISTS (
    SELECT 1 FROM oracle_calls c
    WHERE c.identity = r.identity AND c.object_id = r.object_id AND c.origin = 'called' AND c.state = 'done')
GROUP BY p.id, p.name, p.generation ORDER BY p.id
"""
"""Reused values whose measurement nobody made: an earlier version took them over from another one."""

LOCK = "SELECT * FROM locks WHERE campaign_id = :campaign_id"


REVISIONS = """
SELECT r.call_id, r.value, r.state, r.error, r.message, r.outputs, r.entered FROM revisions r
JOIN oracle_calls o ON o.id = r.call_id WHERE o.campaign_id = :campaign_id ORDER BY r.id
"""
"""What answers of a campaign were before they were corrected."""


CORRECTED = """
SELECT o.object_id, o.object, o.part, o.replicate, r.value, r.outputs, r.error, r.message, r.told_by, r.told_at,
       r.replaced_at, o.told_by AS replaced_by, o.value AS value_now, o.outputs AS outputs_now, o.message AS message_now
FROM revisions r JOIN oracle_calls o ON o.id = r.call_id WHERE o.campaign_id = :campaign_id ORDER BY r.id
"""
"""The same, with what they are now, for people."""


def gathered(
    rows: Iterable[Sequence[Any]], readings: Readings, main: str, past: Past | None = None, last: int = NO_LAST
) -> list[CandidateRow]:
    """Return the candidates of the rows of `CANDIDATES_WITH_CALLS`, in their order.

    Args:
        rows: as the database gives them.
        readings: of the campaign.
        main: the objective whose value stands for a candidate where there is room for one.
        past: None takes the answers as they are now.
        last: round; what was bought later is left out.
    """
    found = []
    for _, of_one in groupby(rows, key=lambda row: (row[2], row[3])):
        several = list(of_one)
        id, obj, round, position, arm, source, mean, std, score, novelty, compound, predicted = several[0][:12]
        row = CandidateRow(
            id, obj, None, round, position, arm, source, mean, std, score, novelty, compound=compound
        )._replace(predicted=None if predicted is None else {k: (m, s) for k, (m, s) in json.loads(predicted).items()})
        calls = []
        for part, value, state, error, message, origin, outputs, call_id, replicate, entered, bought in (
            one[12:] for one in several
        ):
            if state is None or bought > last:
                continue
            named = None if outputs is None else json.loads(outputs)
            call = CallRow(part, value, state, error, message or "", origin, named, replicate, bought)
            calls.append(call if past is None else past.seen(call, call_id, entered))
        found.append(together(row, calls, readings, main))
    return found


class Past:
    """Answers as they were at the end of a round.

    Args:
        round: of which the data are asked for.
        revisions: the rows of `REVISIONS`.
    """

    def __init__(self, round: int, revisions: Iterable[Sequence[Any]]) -> None:
        self._round = round
        self._earlier: dict[int, tuple[Any, ...]] = {}
        for call_id, *answer, entered in revisions:
            if entered is not None and entered <= round:
                self._earlier[call_id] = tuple(answer)

    def seen(self, call: CallRow, call_id: int, entered: int | None) -> CallRow:
        """Return a call as it was: an answer that had not entered by then is not there, or is what it was before."""
        if entered is not None and entered <= self._round:
            return call
        if call_id not in self._earlier:
            answered = call.state in (CallState.DONE, CallState.FAILED, CallState.ABANDONED)
            unseen = replace(call, value=None, state=CallState.SUBMITTED, error=None, message="", outputs=None)
            return unseen if answered else call
        value, state, error, message, outputs = self._earlier[call_id]
        named = None if outputs is None else json.loads(outputs)
        return replace(call, value=value, state=state, error=error, message=message or "", outputs=named)


def top_queries(*, maximise: bool, ids: str) -> tuple[str, ...]:
    """Return queries of the `:n` first candidates of each group of `data.ledger.summary.ranked`, in its order.

    Args:
        maximise: whether larger values are better.
        ids: an ordering of object ids by their bytes, in the database's words.
    """
    down = "DESC" if maximise else "ASC"
    by_value, lost = f"ORDER BY o.value {down}, c.object_id {ids} LIMIT :n", "('failed', 'abandoned')"
    by_mean = f"ORDER BY COALESCE({'-' if maximise else ''}c.predicted_mean, 0.0), c.object_id {ids} LIMIT :n"
    return (
        f"{_CANDIDATE}{_FROM_CALLS} AND o.state = 'done' AND o.value IS NOT NULL {by_value}",
        f"{_CANDIDATE}{_NEWEST} AND o.value IS NULL AND COALESCE(o.state, 'proposed') NOT IN {lost} {by_mean}",
        f"{_CANDIDATE}{_FROM_CALLS} AND o.state IN {lost} AND o.value IS NULL {by_mean}",
    )
