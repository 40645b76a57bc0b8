"""What MLflow says of a campaign and of its rounds in words: descriptions in Markdown, the verdict first.

MLflow shows three lines of a description and folds the rest, so what was found stands in the first.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from data.goals import Goals
from data.ledger.campaigns import Campaign, CampaignState, Spent
from data.ledger.health import Finding, worst
from data.ledger.summary import (
    arm_text,
    free_told,
    gain_over_control,
    place_told,
    summaries,
    volumes_told,
)
from data.masking import masked
from data.records import Arm, CallState, CandidateRow, Gain, RoundSummary, SourceFigures
from data.wording import counted, figure, interval, shown_unit

PICTURES = 3
"""Best candidates that are drawn."""
LISTED = 10
"""Best candidates that are named."""


def verdict(
    campaign: Campaign, rows: Sequence[CandidateRow], goals: Goals, *, spent: Spent, health: Sequence[Finding]
) -> tuple[str, str]:
    """Return what became of a campaign: its state with what was found, and what that is worth and cost.

    Args:
        campaign: as it is now.
        rows: its candidates, best first.
        goals: with units.
        spent: of its budget.
        health: findings of the last round.
    """
    best = [row for row in rows if goals.eligible(row)]
    budget = campaign.config.budget.calls
    calls = counted(spent.calls, "call") + (f" of {budget}" if budget else "")
    free = f" ({told})" if (told := free_told(rows)) else ""
    cost = f", cost {figure(spent.cost)}{free}" if spent.cost != spent.calls and (spent.cost or free) else ""
    first = f"{state_text(campaign, rows)} {best_text(best, goals) if best else nothing(rows, goals)}"
    return first, f"{gain_text(rows, goals)} {calls}{cost}; health: {_health_word(health)}."


def campaign_verdict(
    campaign: Campaign,
    rows: Sequence[CandidateRow],
    goals: Goals,
    *,
    spent: Spent,
    sources: Sequence[SourceFigures],
    health: Sequence[Finding],
    page: str,
    pictures: Mapping[str, str],
) -> str:
    """Return the description of a campaign's run.

    Args:
        campaign: as it is now.
        rows: its candidates, best first.
        goals: with units.
        spent: of its budget.
        sources: what each proposed and what was bought of it.
        health: findings of the last round.
        page: address of the page of candidates on MLflow's server.
        pictures: address of the drawing of some candidates, by id.
    """
    best = [row for row in rows if goals.eligible(row)]
    first, then = verdict(campaign, rows, goals, spent=spent, health=health)
    lines = [f"**{text(first)}** {text(then)} [Page of candidates]({page})", ""]
    if campaign.message and campaign.state is not CampaignState.DONE:
        lines += [text(masked(campaign.message)), ""]
    lines += ["**Best candidates**", ""]
    lines += [
        f"{place}. **{text(values_told(row, goals))}** {code(row.object)} ({text(_where(row))})"
        for place, row in enumerate(best[:LISTED], 1)
    ] or ["None yet."]
    # Below the list: MLflow folds a description to a few lines, which would cut drawings in two.
    lines += ["", *_gallery([row for row in best[:PICTURES] if row.id in pictures], goals, pictures)]
    lines += ["", "**What the budget bought**", ""]
    lines += ["| source | proposed | bought | best | hits |", "|---|--:|--:|--:|--:|"]
    lines += [
        f"| {text(one.source)} | {'–' if one.proposed is None else one.proposed} | {one.bought} | "
        f"{'–' if one.best is None else figure(one.best)} | {one.hits} |"
        for one in sources
    ]
    lines += ["", *(f"- {text(finding.message)}" for finding in health), ""]
    name = shlex.quote(campaign.name)
    lines += [f"Export: `discover candidates {name} --format csv --out best.csv`; rounds are the runs nested in this."]
    return "\n".join(lines)


def round_verdict(
    summary: RoundSummary | None, goals: Goals, *, bought: int, proxy: str, health: Sequence[Finding], page: str
) -> str:
    """Return the description of a finished round's run.

    Args:
        summary: of the round; None: it has bought nothing.
        goals: with units.
        bought: candidates of the round.
        proxy: how well its proxy predicted, a sentence; empty: it had none.
        health: its findings.
        page: address of its page of candidates.
    """
    if summary is None:
        return f"Nothing was bought. {proxy} [Page of candidates]({page})"
    failed = f", {summary.failed} of all calls so far failed" if summary.failed else ""
    best = "" if summary.best is None else f", best so far {text(_told(summary.best, goals.main.unit))}"
    arms = [
        f"{name} {arm_text(one, outside)}"
        for name, one, outside in (
            ("chosen by the proxy", summary.acquisition, summary.acquisition_outside),
            ("control", summary.control, summary.control_outside),
        )
        if one is not None or outside
    ]
    means = f"Means with 95 % intervals: {'; '.join(arms)}." if arms else ""
    told = " ".join(filter(None, (means, proxy, f"[Page of candidates]({page})")))
    lines = [f"**{bought} bought{best}{failed}.** {told}", "", *(f"- {text(finding.message)}" for finding in health)]
    return "\n".join(lines)


def proxy_told(trained: Mapping[str, float], goals: Goals) -> str:
    """Return how well the proxies of a round predicted what they had not seen, a sentence; empty without any."""
    told = []
    for goal in goals:
        of = f"{goal.name}/" if len(goals) > 1 else ""
        if f"{of}heldout_spearman" in trained:
            told.append(
                f"{text(goal.name) + ': ' if of else ''}held-out Spearman {trained[f'{of}heldout_spearman']:.2f}, "
                f"{trained[f'{of}heldout_coverage_90']:.0%} of values inside their 90 % intervals"
            )
    return f"Proxy: {'; '.join(told)}." if told else ""


def version_note(training: Mapping[str, Mapping[str, float]], n: int, why: str, goal: str) -> str:
    """Return the description of a registered proxy.

    Args:
        training: metrics on held-out measurements by split.
        n: measurements it was trained on.
        why: it was trained, such as `for round 2`.
        goal: what it predicts, with unit.
    """
    held = training["heldout"]
    return (
        f"Predicts {text(goal)}; trained on {n} measurements {why}. Held out: Spearman "
        f"{held['spearman']:.2f}, RMSE {figure(held['rmse'])}, {held['coverage_90']:.0%} of values inside their 90 % "
        "intervals."
    )


def state_text(campaign: Campaign, rows: Sequence[CandidateRow]) -> str:
    """Return where a campaign stands, a sentence."""
    last = max((row.round for row in rows), default=0)
    rounds = f"round {last}" + (f" of {campaign.config.rounds}" if last <= campaign.config.rounds else "")
    if campaign.state is CampaignState.DONE:
        return f"Done after {last} round{'' if last == 1 else 's'}."
    if campaign.state in (CampaignState.RUNNING, CampaignState.WAITING):
        return f"{campaign.state.value.capitalize()}, {rounds}."
    why = "" if campaign.state is CampaignState.STOPPED else f": {campaign.state.value.replace('_', ' ')}"
    return f"Stopped in {rounds}{why}."


def _health_word(health: Sequence[Finding]) -> str:
    return _HEALTH.get(str(worst(health)), str(worst(health))) if health else "too early to say"


_HEALTH = {"good": "nothing amiss", "warning": "a warning", "unknown": "too early to say"}


def _gallery(drawn: Sequence[CandidateRow], goals: Goals, pictures: Mapping[str, str]) -> list[str]:
    if not drawn:
        return []
    cells = [f"![{text(row.object)}]({pictures[row.id]})" for row in drawn]
    told = [text(f"{values_told(row, goals)}, {_where(row)}") for row in drawn]
    return [f"| {' | '.join(cells)} |", f"|{':-:|' * len(drawn)}", f"| {' | '.join(told)} |", ""]


def nothing(rows: Sequence[CandidateRow], goals: Goals) -> str:
    """Return what is said where nothing may be called a best one."""
    measured = sum(map(goals.measured, rows))
    if goals.observed and measured:
        return f"{counted(measured, 'answer')} observed."
    return "Nothing keeps to the limits." if any(map(goals.measured, rows)) else "Nothing was measured."


def values_told(row: CandidateRow, goals: Goals) -> str:
    """Return the value, or those of all objectives with their names."""
    if len(goals) == 1:
        return _told(row.value, goals.main.unit)
    values = goals.values(row)
    return ", ".join(f"{_name(goal.name)} {_told(values.get(goal.name), goal.unit)}" for goal in goals)


def best_text(best: Sequence[CandidateRow], goals: Goals) -> str:
    """Return what is best of each objective that is to be improved, and who has it."""
    told = []
    for goal in (goals[k] for k in goals.improved):
        # The first one of equally good ones: they are ranked.
        row = max(best, key=lambda row: goal.signed(goals.values(row)[goal.name])) if goals.several else best[0]
        value = _told(goals.values(row)[goal.name], goal.unit)
        told.append(f"Best {_name(goal.name)} {value} ({_where(row)}).")
    return " ".join(told)


def gain_text(rows: Sequence[CandidateRow], goals: Goals) -> str:
    """Return the gain over the control arm with its interval, a sentence.

    Of several objectives it is the hypervolume that equally many calls of either arm reach.
    """
    if goals.several:
        rounds = summaries(rows, goals)
        volumes = rounds[-1].volumes if rounds else None
        return _not_compared(rows) if volumes is None else volumes_told(volumes)
    if goals.observed:
        return "Arms are not compared: no answer is better than another."
    gain = gain_over_control(rows, goals)
    if gain is None:
        return _not_compared(rows)
    figures = gain_figures(gain, goals.main.unit)
    compared = f"means of {gain.acquisition} chosen and {gain.control} of the control"
    if gain.half is None:
        return f"Too few values to compare the arms: gain over control {figures}, {compared}."
    told = "Gain over control" if gain.told else f"{NOT_TOLD.capitalize()} from the control: gain"
    return f"{told} {figures}, 95 % interval ({compared})."


NOT_TOLD = "not distinguishable"
"""What is said of two arms, or groups, whose difference has an interval that contains 0."""


def gain_figures(gain: Gain, unit: str | None) -> str:
    """Return a gain with its unit and the ends of its 95 % interval, where there is one."""
    mean, _, ends = interval(gain.mean, gain.half, signed=True).partition(" ")
    return " ".join(filter(None, (mean, shown_unit(unit), ends)))


def _not_compared(rows: Sequence[CandidateRow]) -> str:
    """Return why the arms are not compared: there is no control arm, or one of the two has no value yet."""
    waiting = (CallState.RESERVED, CallState.SUBMITTED, CallState.IN_DOUBT)
    for arm, told in ((Arm.CONTROL, "The control arm"), (Arm.ACQUISITION, "What the model chose")):
        mine = [row for row in rows if row.arm == arm]
        if mine and not any(row.value is not None for row in mine) and any(row.state in waiting for row in mine):
            return f"{told} is not measured yet, so the arms cannot be compared."
    return "There is no control arm to compare with."


def _where(row: CandidateRow) -> str:
    return place_told(row) + (f", {row.source}" if row.round else "")


def _told(value: float | None, unit: str | None) -> str:
    return f"{figure(value)} {shown_unit(unit)}".rstrip()


def _name(name: str) -> str:
    return name.replace("_", " ")


def text(words: str) -> str:
    """Return people's words so that Markdown shows them as they are."""
    return re.sub(r"([\\`*_\[\]|!#~])", r"\\\1", escape(" ".join(words.split()), quote=False))


def code(words: str) -> str:
    """Return an object's text between backticks, as many as it needs."""
    longest = max((len(run) for run in re.findall(r"`+", words)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{' '.join(words.split())}{space}{fence}"


def picture_address(run_id: str, path: str) -> str:
    """Return the address of an artifact on MLflow's own server, as pages of it can show it."""
    return f"/get-artifact?path={quote(path, safe='')}&run_uuid={run_id}"
