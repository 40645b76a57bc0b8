"""`discover compare`: campaigns beside one another, of one quantity only, and groups of them with an interval.

Groups are written `A1,A2,A3 B1,B2,B3`: the campaigns of two groups are pairs in the order in which they stand. The
interval is that of the mean of the paired differences at equal calls, by Student's t (`data.ledger.comparing`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from data.config import ConfigError, digest
from data.goals import Goal, Goals
from data.ledger.campaigns import Campaign, LedgerError, shown_names
from data.ledger.comparing import Scored, common_reference, paired, purchases
from data.ledger.continuation import recorded
from data.ledger.ledger import Ledger
from data.ledger.schema import campaigns, oracle_calls
from data.ledger.summary import free_told, gain_over_control, summaries
from data.records import CandidateRow, RoundSummary
from data.wording import figure, interval, labelled, shown_unit
from pipelines.status import state_text
from pipelines.terminal import Terminal
from tasks.reporting.objectives import goals_with_units
from tasks.reporting.verdict import NOT_TOLD
from tasks.workspace import Workspace, WorkspaceError, writing

PICTURES = (".svg", ".png")


@dataclass(frozen=True, slots=True)
class Compared:
    """A campaign as it is compared.

    Attributes:
        campaign: itself.
        goals: with units.
        rows: its candidates.
        oracles: objective -> what its values are measured by, for each that is known.
        name: by which it is told from others, such as `name~2`.
    """

    campaign: Campaign
    goals: Goals
    rows: list[CandidateRow]
    oracles: dict[str, str]
    name: str

    @property
    def calls(self) -> int:
        """Spent so far."""
        return max((at for at, _ in purchases(self.rows)), default=0)


def compare_campaigns(workspace: Workspace, names: Sequence[str], out: Path | None, console: Terminal) -> None:
    """Print campaigns beside one another, and draw what they had reached by their calls.

    Args:
        workspace: where they are.
        names: a campaign each, or several with commas between: a group.
        out: an SVG or PNG file to draw into; None: nothing is drawn.
        console: where it is told.

    Raises:
        ConfigError: there are fewer than two, one stands twice, or the file is no picture.
        LedgerError: there is no such campaign, or two measure different things.
        WorkspaceError: the file cannot be written.
    """
    if out is not None:
        _refuse_out(out, workspace)
    ledger = workspace.ledger()
    groups = [[compared(ledger, name) for name in _names(text)] for text in names]
    every = [one for group in groups for one in group]
    _refuse_few([one.name for one in every])
    for one in every[1:]:
        refuse_other_quantity(every[0], one)
    goals = every[0].goals
    reference = common_reference([one.rows for one in every], goals) if goals.several else None
    scored, equal = Scored(goals, reference), min(one.calls for one in every)
    _show_table(ledger, every, scored, equal, console)
    for sentence in _told(groups, scored, equal):
        console.say(sentence, whole=False)
    if out is not None:
        _draw(groups, scored, out)
        console.say(f"Figure      {out}")


def compared(ledger: Ledger, name: str) -> Compared:
    """Return a campaign by its name, or one of its generations by the name of its folder, such as `name~2`.

    Raises:
        LedgerError: there is none.
    """
    campaign = ledger.campaign_of(name)
    goals = goals_with_units(campaign.config)
    shown = shown_names(ledger.campaigns())[campaign.id]
    return Compared(campaign, goals, ledger.candidates(campaign.id), _oracles(ledger, campaign), shown)


def _oracles(ledger: Ledger, campaign: Campaign) -> dict[str, str]:
    """Return what measures each objective: by what the campaign began with, else by its calls."""
    readings = campaign.readings
    with ledger.read() as connection:
        kept = connection.scalar(sa.select(campaigns.c.oracle).where(campaigns.c.id == campaign.id))
        query = sa.select(oracle_calls.c.part, sa.func.max(oracle_calls.c.identity)).where(
            oracle_calls.c.campaign_id == campaign.id
        )
        called = {row[0]: row[1] for row in connection.execute(query.group_by(oracle_calls.c.part))}
    known = dict(zip(readings.parts, map(digest, recorded(kept or "")), strict=False)) or called
    return {one.objective: f"{known[one.part]} {one.output or ''}" for one in readings if one.part in known}


def refuse_other_quantity(first: Compared, other: Compared) -> None:
    """Refuse to compare what is not one quantity.

    Raises:
        LedgerError: objectives, goals, units or what measures them differ; the message says which.
    """
    for told, of in (
        ("objectives", lambda one: [goal.name for goal in one.goals]),
        ("goals", lambda one: [_goal(goal) for goal in one.goals]),
        ("units", lambda one: [goal.unit or "none" for goal in one.goals]),
    ):
        mine, others = of(first), of(other)
        if mine != others:
            raise LedgerError(
                f"{first.name} and {other.name} cannot be compared: their {told} differ, {', '.join(mine)} and "
                f"{', '.join(others)}. Name campaigns of one quantity."
            )
    differing = [name for name in first.oracles if name in other.oracles and first.oracles[name] != other.oracles[name]]
    if differing:
        raise LedgerError(
            f"{first.name} and {other.name} cannot be compared: {', '.join(differing)} is measured by oracles that are "
            "not the same; `settings.json` of `discover report` says what each is. Name campaigns of one oracle."
        )


def _goal(goal: Goal) -> str:
    """Return what is wanted, without the unit: that is compared by itself."""
    return Goal(goal.name, goal.sign, goal.at_least, goal.at_most, goal.target).told


def _names(text: str) -> list[str]:
    names = text.split(",")
    if not all(names):
        raise ConfigError(f"{text!r} is no group of campaigns; expected names with commas between, without blanks.")
    return names


def _refuse_few(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} stands twice among the campaigns; name each once.")
    if len(names) < 2:
        got = f"got {names[0]} alone" if names else "got none"
        raise ConfigError(
            f"`discover compare` takes at least two campaigns, {got}. Name them, or groups with commas between: "
            "`discover compare A1,A2 B1,B2`; `discover status` lists what there is."
        )


def _refuse_out(out: Path, workspace: Workspace) -> None:
    if out.suffix.lower() not in PICTURES:
        raise ConfigError(f"--out is {out}; expected a file that ends in {' or '.join(PICTURES)}.")
    file = out.expanduser().resolve()
    if file.is_dir() or file.is_relative_to(workspace.home.resolve()):
        what = "a folder" if file.is_dir() else f"in the workspace {workspace.home}, whose files are the program's"
        raise WorkspaceError(f"--out is {out}, which is {what}. Nothing was written; name another file.")


def _show_table(ledger: Ledger, every: Sequence[Compared], scored: Scored, equal: int, console: Terminal) -> None:
    goals = scored.goals
    wanted = [goals[k] for k in goals.improved] if goals.several else []
    unequal = any(one.calls != equal for one in every)
    what = "hypervolume" if goals.several else "top-10 mean"
    headers = ["campaign", "state", "seed", "calls", "cost"]
    headers += [labelled(f"best {goal.name}", goal.unit) for goal in wanted] or [labelled("best", goals.main.unit)]
    headers += [what, *([f"{what} at {equal} calls"] if unequal else []), "gain over control"]
    lines = []
    for one in every:
        told = summaries(one.rows, goals)
        last = told[-1] if told else None
        best = [figure((last.best_of or {}).get(goal.name) if last else None) for goal in wanted]
        lines.append(
            [
                *(one.name, state_text(ledger, one.campaign), str(one.campaign.config.seed)),
                *(str(one.calls), f"{ledger.spent(one.campaign.id).cost:g}"),
                *(best or [figure(last.best if last else None)]),
                *(figure(_own(scored, one, calls)) for calls in ([one.calls, equal] if unequal else [one.calls])),
                _gain(one, last),
            ]
        )
    console.records(headers, lines, long=(0, 1), numbers=range(2, len(headers)))


def _own(scored: Scored, one: Compared, calls: int) -> float | None:
    """Return a score as it is told: a mean of values in their own unit, though small ones may be better."""
    score, main = scored.after(one.rows, calls), scored.goals.main
    if score is None or scored.goals.several or main.target is not None:
        return score
    return main.factor * score


def _gain(one: Compared, last: RoundSummary | None) -> str:
    if one.goals.several:
        volumes = last.volumes if last else None
        return "-" if volumes is None else _signed(volumes.acquisition - volumes.control)
    gain = gain_over_control(one.rows, one.goals)
    if gain is None:
        return "-"
    figures = interval(gain.mean, gain.half, signed=True)
    return figures if gain.half is None or gain.told else f"{NOT_TOLD}, {figures}"


def _told(groups: Sequence[Sequence[Compared]], scored: Scored, equal: int) -> list[str]:
    """Return sentences on what the figures are, and the differences of groups with their intervals."""
    goals = scored.goals
    told = []
    if goals.several:
        told.append(
            "Hypervolumes are above one reference point for all, that of all initial designs; gains over control are "
            "of hypervolumes above each campaign's own."
        )
    elif goals.main.target is not None:
        told.append("Means and gains are of distances from the target, negated: larger is better.")
    gains = [] if goals.several else [gain_over_control(one.rows, goals) for group in groups for one in group]
    if any(gain is not None and gain.half is not None for gain in gains):
        told.append("Gains over control stand with their 95 % intervals, of all rounds.")
    every = [one for group in groups for one in group]
    few = [f"{one.name} {n}" for one in every if 0 < (n := _eligible(one)) < RoundSummary.TOP]
    if few and not goals.several:
        told.append(f"Where fewer than ten values are known the top-10 mean is that of all: {', '.join(few)}.")
    told += [f"Cost of {one.name}: {free}." for one in every if (free := free_told(one.rows))]
    if all(len(group) == 1 for group in groups):
        return [*told, "An interval needs at least two campaigns in each of two groups, written A1,A2 B1,B2."]
    return told + [_difference(groups[0], group, scored, equal) for group in groups[1:]]


def _eligible(one: Compared) -> int:
    return sum(row.value is not None and one.goals.eligible(row) for row in one.rows)


def _difference(first: Sequence[Compared], other: Sequence[Compared], scored: Scored, equal: int) -> str:
    names = [_group_name(group) for group in (first, other)]
    if len(first) != len(other) or len(first) < 2:
        sizes = [f"{','.join(one.name for one in group)} ({len(group)})" for group in (first, other)]
        return (
            f"The groups {sizes[0]} and {sizes[1]} make no pairs. An interval needs as many campaigns in one group as "
            "in the other, at least two."
        )
    what = "hypervolume" if scored.goals.several else f"mean of the {RoundSummary.TOP} best"
    scores = [[scored.after(one.rows, equal) for one in group] for group in (first, other)]
    known = [[score for score in of_group if score is not None] for of_group in scores]
    if any(len(of_group) < len(first) for of_group in known):
        return f"By {equal} calls not every campaign has a {what}, so there is no difference to tell."
    found = paired(*known)
    unit = "" if scored.goals.several else shown_unit(scored.goals.main.unit)
    seeds = [[one.campaign.config.seed for one in group] for group in (first, other)]
    pairs = ", ".join(f"{after.name} with {before.name}" for before, after in zip(first, other, strict=True))
    alike = "of one seed each" if seeds[0] == seeds[1] else "not of one seed each, so the pairing narrows little"
    apart = "" if found.low > 0 or found.high < 0 else f"{NOT_TOLD.capitalize()} at {equal} calls: "
    return (
        f"{apart}{names[1]} against {names[0]} at {equal} calls: {what} {_signed(found.mean)} {unit}".rstrip()
        + f" (positive is better), 95 % interval {_signed(found.low)} to {_signed(found.high)}: Student's t of "
        f"{found.n} paired differences, {pairs}; {alike}."
    )


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{figure(value)}"


def _group_name(group: Sequence[Compared]) -> str:
    names = [one.name for one in group]
    return names[0] if len(names) == 1 else f"the {len(names)} campaigns {names[0]} to {names[-1]}"


def _draw(groups: Sequence[Sequence[Compared]], scored: Scored, out: Path) -> None:
    from tasks.reporting import plots
    from tasks.reporting.comparison_plot import reached_against_calls

    goals = scored.goals
    label = "Hypervolume" if goals.several else labelled(f"Best {goals.main.name}", goals.main.unit)
    lines = [(_group_name(group), [_line(one, scored) for one in group]) for group in groups]
    drawn = reached_against_calls(lines, label)
    content = plots.svg(drawn).encode() if out.suffix.lower() == ".svg" else plots.png(drawn)
    with writing(out):
        out.write_bytes(content)


def _line(one: Compared, scored: Scored) -> tuple[list[int], list[float]]:
    """Return calls and what was reached by them: the best value, or the hypervolume after each round."""
    goals, known = scored.goals, purchases(one.rows)
    signed = goals.main.signed
    if goals.several:
        ends = sorted({max(at for at, row in known if row.round <= round) for round in {row.round for _, row in known}})
        scores = [scored.after(one.rows, at) for at in ends]
        return ends, [math.nan if score is None else score for score in scores]
    best, values = math.nan, []
    for _, row in known:
        if row.value is not None and goals.eligible(row) and not signed(row.value) <= signed(best):
            best = row.value
        values.append(best)
    return [at for at, _ in known], values
