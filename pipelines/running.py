"""The commands that run something: campaign, retraining, schedule, pages."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from data.campaigns import Campaign, CampaignState
from data.config import load_config
from pipelines.display import RunDisplay
from pipelines.following import following_prefect
from pipelines.inspection import candidate_table, exported
from pipelines.pages import prefect_page, tell_of_mlflow, teller
from pipelines.services import prefect_server, wait_for_prefect
from tasks.workspace import Workspace

BEST_SHOWN = 10


def run_in_terminal(
    path: Path, overrides: tuple[str, ...], *, fresh: bool, retry_failed: bool, plain: bool, console: Console
) -> int:
    """Run a campaign with a progress display; returns the exit code."""
    config = load_config(path, overrides)  # a broken file is refused before anything is started
    workspace = Workspace.open()
    with terminating(), served(workspace, plain=plain, console=console):
        from pipelines.campaign import campaign, run_campaign
        from pipelines.validation import checked_config

        checked_config(path, overrides)
        with RunDisplay(console, workspace, config):
            if plain:
                run_campaign(path, overrides, fresh=fresh, retry_failed=retry_failed)
            else:
                wait_for_prefect()
                following_prefect(lambda: campaign(str(path), overrides, fresh=fresh, retry_failed=retry_failed))
    return _tell(workspace, workspace.ledger().campaign(config.name), console)


def _tell(workspace: Workspace, campaign: Campaign, console: Console) -> int:
    console.print(candidate_table(exported(workspace, campaign.name, BEST_SHOWN)))
    folder = workspace.campaign_folder(campaign)
    console.print(f"Report      {folder / 'report' / 'candidates.html'}", highlight=False, soft_wrap=True)
    console.print("MLflow      `discover ui`, then " + _mlflow_page(folder), highlight=False, soft_wrap=True)
    console.print(f"Export      `discover candidates {campaign.name} --format sdf --out best.sdf`", highlight=False)
    if campaign.state is CampaignState.DONE:
        console.print(f"Campaign {campaign.name} is done.", style="green")
        return 0
    console.print(f"Campaign {campaign.name} stopped: {campaign.state.value.replace('_', ' ')}.", style="yellow")
    console.print(campaign.message, markup=False, highlight=False, soft_wrap=True)
    return 3


def _mlflow_page(folder: Path) -> str:
    page = folder / "report" / "mlflow.txt"
    return page.read_text().strip() if page.is_file() else "the experiment of the campaign's name"


@contextmanager
def served(workspace: Workspace, *, plain: bool, console: Console) -> Iterator[None]:
    """Have a Prefect server for a block, unless stages are called as plain functions; says whose services are used."""
    tell = teller(console)
    tell_of_mlflow(workspace, tell)
    if plain:
        yield
        return
    # Prefect prints each failed task with its traceback; what the user should know is told once, by us.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    with prefect_server(workspace, tell):
        yield


@contextmanager
def terminating() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C for a block, so that a campaign ends in a resumable state either way."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def retrain_in_terminal(name: str, *, plain: bool, console: Console) -> int:
    """Retrain a campaign's proxy and print the comparison; returns the exit code."""
    workspace = Workspace.open()
    workspace.ledger().campaign(name)  # an unknown name is refused before anything is started
    with terminating(), served(workspace, plain=plain, console=console):
        from pipelines.calling import as_function
        from pipelines.retraining import retrain, run_retraining

        if plain:
            run_retraining(name, call=as_function)
        else:
            wait_for_prefect()
            following_prefect(lambda: retrain(name))
    import json

    campaign = workspace.ledger().campaign(name)
    result = json.loads((workspace.campaign_folder(campaign) / "retrain" / "comparison.json").read_text())
    table = Table("", "champion", "challenger", box=None)
    table.add_row("trained on", str(result.get("n_champion", "-")), str(result["n_challenger"]))
    for where in ("holdout", "newest"):
        for figure in ("nll", "rmse", "spearman", "coverage_90"):
            sides = [result.get(f"{where}_{side}", {}).get(figure) for side in ("champion", "challenger")]
            if sides[0] is not None:
                table.add_row(f"{where} {figure} (n={result[f'n_{where}']})", *(f"{side:.3f}" for side in sides))
    console.print(table)
    verdict = f"Version {result['version']} is the champion now." if result["promote"] else "The champion stays."
    console.print(f"{result['reason']} {verdict}", highlight=False, soft_wrap=True)
    return 0


def schedule_in_terminal(path: Path, cron: str, what: str, overrides: tuple[str, ...], *, console: Console) -> int:
    """Serve a schedule until interrupted."""
    config = load_config(path, overrides)
    workspace = Workspace.open()
    os.environ["DISCOVER_HOME"] = str(workspace.home)  # the runs are processes of their own
    with terminating(), prefect_server(workspace, teller(console)) as url:
        from pipelines.deployments import serve_schedule

        wait_for_prefect()
        console.print(f"Schedule    {what} {config.name} at '{cron}' (UTC), one run at a time; Ctrl-C ends it.")
        page = prefect_page(workspace, url, "deployments")
        console.print(f"Prefect     {page}", markup=False, highlight=False, soft_wrap=True)
        serve_schedule(path, cron, "campaign" if what == "campaign" else "retrain", overrides)
    return 0


def validate_in_terminal(path: Path, overrides: tuple[str, ...], *, console: Console) -> int:
    """Check a campaign file and print what would be run."""
    from pipelines.validation import checked_config

    config = checked_config(path, overrides)
    calls = config.data.initial + config.rounds * config.batch_size
    table = Table.grid(padding=(0, 2))
    table.add_row("campaign", config.name)
    for objective in config.objectives:
        table.add_row("objective", f"{objective.goal} {objective.name} with {objective.oracle['kind']}")
    table.add_row("space", f"molecules of {config.space.min_heavy_atoms} to {config.space.max_heavy_atoms} heavy atoms")
    table.add_row("screens", ", ".join(spec["kind"] for spec in config.screens) or "none")
    table.add_row("proxy", config.proxy.kind)
    table.add_row("generator", config.generator.kind)
    table.add_row("oracle calls", f"{calls} planned, budget {config.budget.calls or 'without limit'}")
    console.print(table)
    console.print(f"{path} is valid.", style="green", highlight=False)
    return 0
