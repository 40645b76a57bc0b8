"""What a campaign found, computed from the ledger's candidates: for the terminal, the reports and MLflow."""

from __future__ import annotations

from collections.abc import Sequence

from data.records import Arm, CallState, JsonDict, RoundSummary


def summarise(rows: Sequence[JsonDict], round: int, *, maximise: bool) -> RoundSummary:
    """Summarise a round.

    Args:
        rows: the campaign's candidates, as `Ledger.candidates` gives them; later rounds are ignored.
        round: 0 for the initial design.
        maximise: whether larger values are better.
    """
    upto = [row for row in rows if row["round"] <= round]
    here = [row for row in upto if row["round"] == round]
    measured = [row["value"] for row in upto if row["state"] == CallState.DONE]
    return RoundSummary(
        round=round,
        calls=sum(row["state"] not in ("proposed", None) and row["origin"] != "imported" for row in upto),
        best=(max(measured) if maximise else min(measured)) if measured else None,
        top10_mean=RoundSummary.top_mean(measured, maximise=maximise),
        acquisition_mean=_mean(here, Arm.ACQUISITION),
        control_mean=_mean(here, Arm.CONTROL),
        failed=sum(row["state"] == CallState.FAILED for row in here),
        metrics={},
    )


def summaries(rows: Sequence[JsonDict], *, maximise: bool) -> list[RoundSummary]:
    """Summarise every round that has candidates."""
    return [summarise(rows, round, maximise=maximise) for round in sorted({row["round"] for row in rows})]


def ranked(rows: Sequence[JsonDict], *, maximise: bool) -> list[JsonDict]:
    """Return the candidates best first: measured by value, then unmeasured by predicted mean, then failed ones."""

    def key(row: JsonDict) -> tuple[int, float, str]:
        sign = -1.0 if maximise else 1.0
        if row["value"] is not None:
            return (0, sign * row["value"], row["id"])
        group = 2 if row["state"] in (CallState.FAILED, CallState.ABANDONED) else 1
        mean = row["predicted_mean"]
        return (group, 0.0 if mean is None else sign * mean, row["id"])

    return sorted(rows, key=key)


def _mean(rows: Sequence[JsonDict], arm: Arm) -> float | None:
    values = [row["value"] for row in rows if row["arm"] == arm and row["state"] == CallState.DONE]
    return sum(values) / len(values) if values else None
