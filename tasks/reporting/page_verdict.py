"""What the page of candidates says first: where the campaign stands, what it found, and what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from data.goals import Goals
from data.ledger.campaigns import Campaign, CampaignState
from data.ledger.health import Finding, worst
from data.ledger.summary import free_told, gain_over_control
from data.masking import masked
from data.records import CandidateRow
from data.wording import interval, shown_unit
from tasks.reporting.page_cells import shown
from tasks.reporting.page_tiles import Tile
from tasks.reporting.verdict import NOT_TOLD, best_text, gain_figures, gain_text, nothing, state_text

_HEALTH = {"good": "as it should be", "unknown": "too little to tell", "warning": "something to do, see below"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What stands below the title.

    Attributes:
        state: of the campaign, a sentence.
        found: what is best and where it is from, sentences.
        compared: with the control arm, a sentence; empty where a tile says it.
        tiles: gain over control, cost and health, as far as there are any.
        message: why the campaign stopped; empty: it did not.
        waiting: how many answers are waited for and since when, a sentence; empty: none.
    """

    state: str
    found: str
    compared: str
    tiles: tuple[Tile, ...]
    message: str
    waiting: str = ""


def verdict_of(
    rows: Sequence[CandidateRow],
    goals: Goals,
    *,
    cost: float,
    calls: int,
    health: Sequence[Finding],
    rounds: tuple[int, int],
    campaign: Campaign | None = None,
    waiting: str = "",
) -> Verdict:
    """Return what is said first.

    Args:
        rows: candidates, best first.
        goals: with units.
        cost: of all calls.
        calls: that were booked.
        health: findings of the last round.
        rounds: the last one, and how many there are to be.
        campaign: as it is now; None: the page is that of a round, which does not change with the campaign.
        waiting: how many answers are waited for and since when.
    """
    best = [row for row in rows if goals.eligible(row)]
    at, last = rounds
    state = f"After round {at} of {last}." if campaign is None else state_text(campaign, rows)
    gain = _gain(rows, goals)
    told = [*([gain] if gain else [])]
    if cost != calls and (cost or free_told(rows)):
        told.append(Tile("Cost", shown(cost), "; ".join(filter(None, ("of all calls", free_told(rows))))))
    if health:
        level = str(worst(health))
        told.append(Tile("Health", level, _HEALTH[level], number=False))
    stopped = campaign is not None and campaign.state is not CampaignState.DONE
    return Verdict(
        state=state,
        found=best_text(best, goals) if best else nothing(rows, goals),
        compared="" if gain else gain_text(rows, goals),
        tiles=tuple(told),
        message=masked(campaign.message) if campaign is not None and stopped else "",
        waiting=waiting,
    )


def _gain(rows: Sequence[CandidateRow], goals: Goals) -> Tile | None:
    """Return the gain over the control arm with its 95 % interval, where means can be compared."""
    gain = None if goals.several else gain_over_control(rows, goals)
    if gain is None:
        return None
    unit, compared = shown_unit(goals.main.unit), f"means of {gain.acquisition} chosen, {gain.control} control"
    text, _, ends = interval(gain.mean, gain.half, signed=True).replace("-", "−").partition(" ")
    if gain.half is None:
        return Tile("Gain over control", text, f"{unit}; {compared}, too few for an interval".removeprefix("; "))
    if not gain.told:
        numbers = f"{gain_figures(gain, unit).replace('-', '−')}, 95 % interval; {compared}"
        return Tile("Gain over control", NOT_TOLD, numbers, number=False)
    return Tile("Gain over control", text, f"{unit} {ends}, 95 % interval; {compared}".lstrip())
