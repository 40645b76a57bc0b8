"""The commands that run something: campaign, retraining, validation."""

from __future__ import annotations

import logging
import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal

from data.config import CampaignConfig, load_config
from data.ledger.campaigns import Campaign, CampaignState
from data.ledger.health import Finding, Level
from data.ledger.requests import refuse_if_paused
from data.wording import figure
from models.parts import oracle_of, replaced_acquisition_told, space_of
from pipelines.display import RunDisplay
from pipelines.following import Following, following_prefect
from pipelines.inspection import exported, show_candidates
from pipelines.pages import mlflow_page, tell_of_mlflow, teller
from pipelines.services import prefect_server, wait_for_prefect
from pipelines.status import show_health, show_reading, show_stock, show_tables
from pipelines.terminal import Terminal, table
from tasks.reporting.objectives import goals_with_units
from tasks.stages import BadInput, CampaignContext
from tasks.workspace import Workspace

BEST_SHOWN = 10


def run_in_terminal(
    path: Path, overrides: tuple[str, ...], *, fresh: bool, retry_failed: bool, plain: bool, console: Terminal
) -> int:
    """Run a campaign with a progress display; returns the exit code."""
    config = load_config(path, overrides)  # a broken file is refused before anything is started
    workspace = Workspace.open()
    if not fresh:
        refuse_if_paused(workspace.ledger(), config.name)
    console.say(f"Campaign    {config.name}: loading ...")
    with terminating(), served(workspace, plain=plain, console=console):
        from pipelines.campaign import campaign, run_campaign
        from pipelines.validation import checked_config, oracle_remarks

        checked = checked_config(path, overrides)
        _tell_of_acquisition(checked, console)
        _warn(oracle_remarks(checked, path.absolute().parent), console)
        with RunDisplay(console, workspace, config) as display:
            if plain:
                run_campaign(path, overrides, checked=checked, fresh=fresh, retry_failed=retry_failed)
            else:
                wait_for_prefect()
                following_prefect(lambda: campaign(str(path), overrides, fresh=fresh, retry_failed=retry_failed))
    campaign_now = workspace.ledger().campaign(config.name)
    return _tell(workspace, campaign_now, console, reading=not display.has_told_reading)


def _tell(workspace: Workspace, campaign: Campaign, console: Terminal, *, reading: bool) -> int:
    """Say how a campaign ended; with `reading` also what became of the rows of its data, unsaid so far."""
    best = [row for row in exported(workspace, campaign.name, BEST_SHOWN) if row.get("feasible") is not False]
    space = space_of(campaign.config)
    show_candidates(best, console, space, goals_with_units(campaign.config))
    folder = workspace.campaign_folder(campaign)
    sentences, health = _verdict(workspace, campaign)
    for sentence in sentences:
        console.say(sentence)
    show_health([finding for finding in health if finding.level is Level.WARNING], console)
    stages = workspace.ledger().stages(campaign.id)
    if reading:
        show_reading(workspace, stages, console)
    show_stock(stages, console)
    console.say(f"Report      {(folder / 'report' / 'candidates.html').as_uri()}")
    console.say(f"MLflow      {mlflow_page(workspace, folder)}")
    form = next(iter(space.exports), "csv")
    console.say(f"Export      `discover candidates {shlex.quote(campaign.name)} --format {form} --out best.{form}`")
    if campaign.state is CampaignState.DONE:
        console.say((f"Campaign {campaign.name} is done.", "green"))
        return 0
    if campaign.state is CampaignState.WAITING:
        console.say((f"Campaign {campaign.name} waits for results.", "yellow"))
        console.say(campaign.message)
        return 3
    why = "" if campaign.state is CampaignState.STOPPED else f": {campaign.state.value.replace('_', ' ')}"
    console.say((f"Campaign {campaign.name} stopped{why}.", "yellow"))
    console.say(campaign.message)
    return 3


def _verdict(workspace: Workspace, campaign: Campaign) -> tuple[tuple[str, str], list[Finding]]:
    """Return what became of a campaign, as the description of its run in MLflow begins, and its last findings."""
    from tasks.reporting.publishing import health_of
    from tasks.reporting.verdict import verdict

    with CampaignContext(workspace, workspace.ledger(), campaign) as context:
        rows = context.goals.ranked(context.ledger.course(campaign.id))
        last = max((row.round for row in rows), default=0)
        goals, spent = goals_with_units(context.config), context.ledger.spent(campaign.id)
        health = health_of(context, rows, last)
        return verdict(campaign, rows, goals, spent=spent, health=health), health


def _tell_of_acquisition(config: CampaignConfig, console: Terminal) -> None:
    replaced = replaced_acquisition_told(config)
    _warn([] if replaced is None else [replaced], console)


def _warn(sentences: Sequence[str], console: Terminal) -> None:
    for sentence in sentences:
        console.say(("warning", "bold red"), f"  {sentence}")


@contextmanager
def served(workspace: Workspace, *, plain: bool, console: Terminal) -> Iterator[None]:
    """Have a Prefect server for a block, unless stages are called as plain functions; says whose services are used."""
    tell = teller(console)
    tell_of_mlflow(workspace, tell)
    if plain:
        yield
        return
    # Prefect prints each failed task with its traceback; what the user should know is told once, by us.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    _keep_our_warnings()
    with prefect_server(workspace, tell):
        yield


def _keep_our_warnings() -> None:
    """Print our own warnings as without Prefect, which puts a handler of its own before everybody's."""
    for name in OURS:
        logger = logging.getLogger(name)
        if logging.lastResort is not None and logging.lastResort not in logger.handlers:
            logger.addHandler(logging.lastResort)


OURS = ("discover", "pipelines", "tasks", "models", "data")
"""The loggers whose warnings are for the user."""


@contextmanager
def terminating() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP as Ctrl-C for a block: a campaign ends in the state `interrupted` either way.

    A SIGHUP that is ignored stays so: `nohup` asks for a command that outlives its terminal.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    ends = [number for number in _ENDS if number is signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDS = (signal.SIGTERM, signal.SIGHUP)
"""Asked to end, and the terminal is gone."""


def retrain_in_terminal(
    campaign_name: str, *, plain: bool, console: Terminal, when: Literal["always", "drift"] = "always"
) -> int:
    """Retrain a campaign's proxy and print the comparison; returns the exit code."""
    workspace = Workspace.open()
    workspace.ledger().campaign(campaign_name)  # an unknown name is refused before anything is started
    with terminating(), served(workspace, plain=plain, console=console):
        from pipelines.calling import as_function
        from pipelines.retraining import retrain, run_retraining

        if plain:
            result = run_retraining(campaign_name, call=as_function, when=when)
        else:
            wait_for_prefect()

            def retraining() -> None:
                retrain(campaign_name, when, return_state=True)  # whatever becomes of it, Prefect raises nothing
                if Following.reason is not None:
                    raise Following.reason

            following_prefect(retraining)
            if Following.outcome is None:
                raise BadInput(
                    "Nothing was retrained: Prefect's server ended before the run began. Give the command again, or "
                    "with --plain."
                )
            result = Following.outcome
    if "challenger" not in result:
        console.say(f"The champion stays: {result['reason']}")
        return 0
    lines = [["trained on", str(result.get("n_champion", "-")), str(result["n_challenger"])]]
    for where in ("heldout", "holdout", "newest"):
        for name in ("nll", "rmse", "spearman", "coverage_90"):
            sides = [result.get(f"{where}_{side}", {}).get(name) for side in ("champion", "challenger")]
            if any(side is not None for side in sides):
                lines.append([f"{where} {name} (n={result[f'n_{where}']})", *map(figure, sides)])
    console.records(["", "champion", "challenger"], lines, long=(), numbers=(1, 2))
    verdict = f"Version {result['version']} is the champion now." if result["promote"] else "The champion stays."
    earlier = int(result["version"]) - 1
    if "champion" not in result and earlier:
        numbers = f"Versions 1 to {earlier} are" if earlier > 1 else "Version 1 is"
        verdict += f" {numbers} of the campaign's rounds."
    console.say(f"{result['reason']} {verdict}")
    return 0


def _limit(limit: float | None) -> str:
    return "no limit in `budget`" if limit is None else f"budget {limit:g}"


def _planned_cost(config: CampaignConfig, base: Path, calls: int) -> str:
    """Return what the planned calls cost, as far as that is known before the levels are chosen."""
    if config.levelled is not None:
        return "as the levels are chosen"
    parts = config.readings.parts
    costs = [oracle_of(config, base, part).cost for part in parts]
    each = f"{costs[0]:g} each" if len(costs) == 1 else f"calls at {', '.join(f'{cost:g}' for cost in costs)}"
    return f"{calls / len(parts) * sum(costs):g} planned, {each}"


def validate_in_terminal(path: Path, overrides: tuple[str, ...], *, console: Terminal) -> int:
    """Check a campaign file and print what would be run."""
    load_config(path, overrides)  # a broken file is refused before anything heavy is imported
    from models.parts import buying_of, level_costs, space_of
    from pipelines.validation import (
        batch_remarks,
        check_source,
        check_tables,
        checked_config,
        earlier_remarks,
        oracle_remarks,
    )
    from tasks.stages import CampaignStopped

    config = checked_config(path, overrides)
    try:
        told = check_source(config, path.absolute().parent)
        tables = check_tables(config, path.absolute().parent)
        missing = earlier_remarks(config, path.absolute().parent)
    except CampaignStopped as stopped:
        raise BadInput(stopped.message) from stopped
    each = len(config.readings.parts) * config.readings.replicates
    calls = (config.data.initial + config.rounds * config.batch_size) * each
    beside = " beside the start design's without a value" if config.data.start is not None else ""
    lines = [("campaign", config.name)]
    for objective in config.objectives:
        lines.append(("objective", f"{objective.goal} {objective.name} with {objective.oracle['kind']}"))
    if config.levelled is not None:
        costs, buying = ", ".join(f"{cost:g}" for cost in level_costs(config)), buying_of(config)
        lines.append(("levels", f"of cost {costs}, bought by {buying.kind}: {buying.why()}"))
    lines += [
        ("space", space_of(config).told()),
        ("screens", ", ".join(spec["kind"] for spec in config.screens) or "none"),
        ("proxy", config.proxy.kind),
        ("generator", config.generator.kind),
        ("oracle calls", f"{calls} planned{beside}, {_limit(config.budget.calls)}"),
        ("cost", f"{_planned_cost(config, path.absolute().parent, calls)}{beside}, {_limit(config.budget.cost)}"),
    ]
    console.print(table(["", ""], lines, headed=False, long=(1,)))
    _tell_of_acquisition(config, console)
    for sentence in told:
        console.say(f"data  {sentence}")
    for one in tables:
        show_tables(one.said(), console)
    _warn([*missing, *oracle_remarks(config, path.absolute().parent), *batch_remarks(config, tables)], console)
    console.say((f"{path} is valid.", "green"))
    return 0
