"""`discover status`: where campaigns stand. Answers at once, so it imports neither SQLAlchemy nor the schema."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from data.goals import Goal, Goals
from data.ledger.by_level import PURCHASES_SAID, LevelFigures, figures_by_level, purchases_told
from data.ledger.campaigns import Campaign, CampaignState, Spent, StageRow, shown_names
from data.ledger.course_health import Plan, campaign_findings
from data.ledger.health import Finding, Level
from data.ledger.summary import (
    arm_text,
    by_source,
    repeated,
    repeated_told,
    screening_told,
    summaries,
    volumes_told,
)
from data.ledger.view import LedgerView, refuse_outdated
from data.pretraining import pretraining_told
from data.records import CallState, CandidateRow, JsonDict, RoundSummary, SourceFigures, Standing
from data.short_batches import short_told
from data.stocks import stock_told
from data.tables.remarks import reading_told, tables_told
from data.wording import counted, figure, shown_unit
from pipelines.terminal import Terminal
from tasks.workspace import LEDGER_VARIABLE, Workspace


class Reader(Protocol):
    """What a look at the campaigns needs; the ledger and its light view both have it."""

    def campaigns(self) -> list[Campaign]:
        """Return every campaign and generation, oldest first."""

    def campaign(self, name: str) -> Campaign:
        """Return the latest generation of a campaign."""

    def course(self, campaign_id: int) -> list[CandidateRow]:
        """Return what summaries need of a campaign's candidates."""

    def standing(self, campaign_id: int, goals: Goals) -> Standing:
        """Return how far a campaign is and its best values."""

    def stages(self, campaign_id: int) -> list[StageRow]:
        """Return a campaign's finished stages."""

    def spent(self, campaign_id: int) -> Spent:
        """Return what a campaign has booked."""

    def bought(self, campaign_id: int) -> list[JsonDict]:
        """Return the calls and the cost that are booked in each round with each oracle."""

    def corrected(self, campaign_id: int) -> list[JsonDict]:
        """Return what answers were before they were corrected."""

    def owner(self, campaign_id: int) -> str | None:
        """Return who runs a campaign, or None."""


def reader(workspace: Workspace) -> Reader:
    """Return the quickest way into the workspace's ledger, which is never migrated for a look.

    Raises:
        LedgerError: an earlier program wrote it.
    """
    if not os.environ.get(LEDGER_VARIABLE):
        refuse_outdated(workspace.ledger_file)
    view = None if os.environ.get(LEDGER_VARIABLE) else LedgerView.of(workspace.ledger_file)
    return workspace.ledger(migrating=False) if view is None else view


def show(workspace: Workspace, name: str | None, console: Terminal, *, watch: bool) -> int:
    """Print where one or all campaigns stand, once or until interrupted; returns the exit code."""

    def once(terminal: Terminal) -> None:
        if name is None:
            show_campaigns(workspace, terminal)
        else:
            show_campaign(workspace, name, terminal)

    if watch:
        from pipelines.repeated_view import watch as watching

        return watching(once, console)
    once(console)
    return 0


def show_campaigns(workspace: Workspace, console: Terminal) -> None:
    """Print a line per campaign."""
    ledger = reader(workspace)
    found = ledger.campaigns()
    if not found:
        console.say("No campaign yet. `discover example` lists some; `discover run FILE` starts one.")
        return
    rows, names = [], shown_names(found)
    for campaign in found:
        standing = ledger.standing(campaign.id, campaign.goals)
        spent = ledger.spent(campaign.id)
        plan = json.loads(campaign.stored)  # without the schema, which takes longer to load than all the rest
        limit = plan["budget"]["calls"]
        goals = campaign.goals
        of = f" {goals.main.name}" if len(goals) > 1 and standing.best is not None else ""
        rows.append(
            [
                names[campaign.id],
                state_text(ledger, campaign),
                rounds_text(standing.round, plan["rounds"]),
                f"{spent.calls}" + (f" of {limit}" if limit else ""),
                f"{figure(standing.best)}{of}",
                f"{top_text(standing.top10_mean, standing.top_n)}{of}",
                f"{campaign.seconds:.0f} s",
            ]
        )
    headers = ["campaign", "state", "rounds", "calls", "best", "top-10 mean", "running time"]
    console.records(headers, rows, long=(0, 1))
    if any("~" in name for name in names.values()):
        console.say("NAME~1, NAME~2 ... are campaigns of one name that --fresh began; NAME alone is the latest.")


def rounds_text(round: int, rounds: int) -> str:
    """Return how far a campaign is; one that was told to make fewer rounds than it has made says so."""
    return f"{round} of {rounds}" if round <= rounds else f"{round}, {rounds} wanted now"


def show_campaign(workspace: Workspace, name: str, console: Terminal) -> None:
    """Print a campaign's rounds and where it stands."""
    ledger = reader(workspace)
    every = ledger.campaigns()
    campaign = next((one for one in every if f"{one.name}~{one.generation}" == name), None) or ledger.campaign(name)
    rows = ledger.course(campaign.id)
    console.say((shown_names(every)[campaign.id], "bold"), f"  {state_text(ledger, campaign)}")
    if campaign.message:
        console.say(campaign.message)
    goals = campaign.goals.with_units(campaign.readings.units(json.loads(campaign.stored)["objectives"]))
    wanted = "; ".join(map(_wanted, goals))
    console.say(f"{wanted}, {counted(len(rows), 'candidate')}, {campaign.seconds:.0f} s of running time")
    show_rounds(rows, goals, console)
    show_unmade(rows, ledger.owner(campaign.id) is not None, console)
    stages = ledger.stages(campaign.id)
    booked = ledger.bought(campaign.id)
    show_levels(figures_by_level(booked, campaign.readings), stages, workspace, console)
    show_sources(by_source(rows, stages, goals), goals, console)
    for one in repeated(rows, goals):
        console.say(repeated_told(one, goals))
    show_corrected(ledger.corrected(campaign.id), console)
    show_reading(workspace, stages, console)
    show_stock(stages, console)
    for sentence in screening_told(stages):
        console.say(sentence)
    show_health(latest_findings(campaign, rows, stages, goals, booked), console)


def show_unmade(rows: Sequence[CandidateRow], running: bool, console: Terminal) -> None:
    """Print how many candidates have calls that are booked, and counted above, and not made yet."""
    unmade = sum(row.state == CallState.RESERVED for row in rows)
    if unmade and not running:
        have = "1 candidate has" if unmade == 1 else f"{unmade} candidates have"
        console.say(f"{have} calls that are booked, and not made yet; `discover run` makes them.")


def show_levels(levels: list[LevelFigures], stages: list[StageRow], workspace: Workspace, console: Terminal) -> None:
    """Print what was bought at each level from cheap to true, and what the last rounds bought beside new objects."""
    if levels:
        console.say("levels  " + "; ".join(one.told() for one in levels))
    for sentence in purchases_told(stages, workspace.home)[-PURCHASES_SAID:]:
        console.say(sentence)


def show_corrected(revisions: list[JsonDict], console: Terminal) -> None:
    """Print what answers were before they were corrected, and by whom."""
    if not revisions:
        return
    lines = [
        [row["object_id"], _answer(row), _answer(row, "_now"), row["replaced_by"] or "", row["replaced_at"][:10]]
        for row in revisions
    ]
    console.say("\nCorrected answers")
    console.records(["id", "was", "is", "by", "on"], lines, long=(1, 2))


def _answer(row: JsonDict, when: str = "") -> str:
    values = json.loads(row[f"outputs{when}"]) if row[f"outputs{when}"] else {"": row[f"value{when}"]}
    if not any(value is not None for value in values.values()):
        return f"failed: {row[f'message{when}']}".strip(": ")
    return ", ".join(f"{name} {figure(value)}".strip() for name, value in values.items())


def _wanted(goal: Goal) -> str:
    """Return what is wanted of an objective, and in what unit where no limit says it."""
    unit = shown_unit(goal.unit)
    return f"{goal.told} in {unit}" if unit and not goal.limited and goal.target is None else goal.told


def show_reading(workspace: Workspace, stages: list[StageRow], console: Terminal) -> None:
    """Print what became of the rows of the data, of libraries and of tables of values, and of a pre-training."""
    for stage in stages:
        if stage.name == "prepare_data":
            for sentence in reading_told(workspace.home / stage.uri):
                console.say(f"data  {sentence}")
        elif stage.name == "read_tables":
            show_tables(tables_told(workspace.home / stage.uri), console)
    for sentence in pretraining_told(stages):
        console.say(sentence)


def show_tables(told: Iterable[tuple[str, str, bool]], console: Terminal) -> None:
    """Print sentences on files with their roles, `pool` or `table`, the warnings marked."""
    for role, sentence, is_warning in told:
        console.say(("warning", "bold red") if is_warning else role, f"  {sentence}")


def show_stock(stages: list[StageRow], console: Terminal) -> None:
    """Print what is left of libraries, and which batches were smaller than asked for."""
    for sentence in stock_told(stages):
        console.say(f"pool  {sentence}")
    for sentence in short_told(stages):
        console.say(("warning", "bold red"), f"  {sentence}")


ROUNDS_SHOWN = 200
"""Most rounds in a terminal, which draws some hundred in a second."""


def round_headers(goals: Goals) -> list[str]:
    """Return the headers over `round_row`; the last two are those of the arms, all others are of numbers."""
    return ["round", "calls", "failed", *(name for name, _ in _columns(goals)), *ARMS]


ARMS = ("acquisition (95 %)", "control (95 %)")
"""Headers of the arms: the mean with the ends of its 95 % interval."""


def rounds_told(summaries: Sequence[RoundSummary], goals: Goals) -> list[str]:
    """Return sentences on what stands in the columns of rounds: what is so far, and what is of the round alone."""
    if not summaries:
        return []
    best = "best, hypervolume and front" if goals.several else "best and top-10 mean"
    told = [f"Of all rounds so far: calls, failed, {best}."]
    if any(one.acquisition or one.control or one.acquisition_outside or one.control_outside for one in summaries):
        of = f" of {goals.main.name}" if len(goals) > 1 else ""
        within = ", of what keeps to the limits; what is outside is counted" if goals.limited else ""
        told.append(f"Of each round alone: the means{of} of both arms with their 95 % intervals{within}.")
    return told


def round_row(summary: RoundSummary, goals: Goals) -> list[str]:
    """Return the texts of a round under `round_headers`."""
    figures = [text(summary) for _, text in _columns(goals)]
    arms = [
        arm_text(summary.acquisition, summary.acquisition_outside),
        arm_text(summary.control, summary.control_outside),
    ]
    return [str(summary.round), str(summary.calls), str(summary.failed), *figures, *arms]


def _columns(goals: Goals) -> list[tuple[str, Callable[[RoundSummary], str]]]:
    """Return header -> text of what was found so far, and of the limits in the round."""
    found: list[tuple[str, Callable[[RoundSummary], str]]]
    if goals.several:
        found = [(f"best {name}", partial(_best_of, name=name)) for name in (goals[k].name for k in goals.improved)]
        found += [("hypervolume", lambda summary: figure(summary.hypervolume))]
        found += [("front", lambda summary: str(summary.front))]
    else:
        found = [("best", lambda summary: figure(summary.best))]
        found += [("top-10 mean", lambda summary: top_text(summary.top10_mean, summary.top_n))]
    if goals.limited:
        found.append(("within limits", lambda summary: percent(summary.feasible)))
    return found


def top_text(mean: float | None, n: int) -> str:
    """Return the mean of the best, and of how many where there are fewer than ten."""
    return figure(mean) if n >= RoundSummary.TOP or mean is None else f"{figure(mean)} (of {n})"


def _best_of(summary: RoundSummary, name: str) -> str:
    return figure((summary.best_of or {}).get(name))


def percent(share: float | None) -> str:
    """Return a share in percent, a dash where there is none."""
    return "-" if share is None else f"{100 * share:.0f} %"


def show_rounds(rows: list[CandidateRow], goals: Goals, console: Terminal) -> None:
    """Print a line per round: calls so far, failures, best so far, and the means of both arms with 95 % intervals.

    Of several objectives also the hypervolume of the front so far, and what each arm has added to it by as many calls.
    """
    told = summaries(rows, goals)
    lines = [round_row(summary, goals) for summary in told]
    if console.is_terminal and len(lines) > ROUNDS_SHOWN:
        console.say(f"The last {ROUNDS_SHOWN} of {len(lines)} rounds; a pipe, such as `| cat`, gets all.")
        lines = lines[-ROUNDS_SHOWN:]
    headers = round_headers(goals)
    console.records(headers, lines, long=(), numbers=range(len(headers) - 2))
    for sentence in rounds_told(told, goals):
        console.say(sentence, whole=False)
    if told and told[-1].volumes is not None:
        console.say(volumes_told(told[-1].volumes), whole=False)


def show_sources(sources: list[SourceFigures], goals: Goals, console: Terminal) -> None:
    """Print what each source proposed, what passed the screens, and what was bought of it."""
    lines = [
        [
            one.source,
            *(_count(one.proposed), _count(one.screened), str(one.bought)),
            *(figure(one.mean), figure(one.best), str(one.hits)),
        ]
        for one in sources
    ]
    if lines:
        console.say()
        console.records(SOURCES, lines, long=(0,), numbers=range(1, 7))
        of = f"Mean and best are of {goals.main.name}. " if len(goals) > 1 else ""
        console.say(f"{of}Hits are among the best tenth of everything measured.", whole=False)


SOURCES = ("by source", "proposed", "passed", "bought", "mean", "best", "hits")


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)


def latest_findings(
    campaign: Campaign, rows: list[CandidateRow], stages: list[StageRow], goals: Goals, booked: list[JsonDict]
) -> list[Finding]:
    """Return the findings of the latest round that bought by a proxy."""
    bought = {row.round for row in rows if row.value is not None}
    latest = max((s.round for s in stages if s.name == "train_proxy" and s.round in bought), default=None)
    if latest is None:
        return []
    return campaign_findings(rows, stages, goals, Plan.of(campaign), bought=booked, only=latest)


def show_health(found: list[Finding], console: Terminal) -> None:
    """Print findings, the warnings marked."""
    for finding in found:
        mark = ("warning", "bold red") if finding.level is Level.WARNING else "health"
        console.say(mark, f"  {finding.message}", whole=False)


def state_text(ledger: Reader, campaign: Campaign) -> str:
    """Return the state as Python has it too, such as `oracle_failing`, and what became of a process that died."""
    if campaign.state in (CampaignState.RUNNING, CampaignState.PAUSING, CampaignState.PAUSED, CampaignState.STOPPING):
        owner = ledger.owner(campaign.id)
        if owner:
            return f"{campaign.state.value}: {owner}"
        if campaign.state in (CampaignState.RUNNING, CampaignState.STOPPING):
            return "killed; the same command goes on"
        return CampaignState.PAUSED.value
    return campaign.state.value
