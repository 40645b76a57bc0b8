"""`discover models` and `rollback`: the registered proxies of a campaign, and who is champion."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

from data.wording import figure
from pipelines.terminal import Terminal
from tasks.champions import Version, roll_back, versions
from tasks.reporting.objectives import goals_with_units
from tasks.tracking import Tracker, required
from tasks.workspace import Workspace


def show_models(workspace: Workspace, name: str, console: Terminal) -> int:
    """Print the versions of a campaign's proxy; returns the exit code.

    Raises:
        LedgerError: no such campaign.
        TrackingError: MLflow cannot be used.
    """
    campaign = workspace.ledger().campaign(name)
    with required(workspace):
        tracker = Tracker(workspace, campaign)
        every = versions(tracker)
    if not every:
        console.say(f"Campaign {name} has no proxy yet; `discover run` trains one in its first round.")
        return 0
    main = goals_with_units(campaign.config).main
    console.say((f"{tracker.model_name}", "bold"), f"  predicts {main.name}{f' ({main.unit})' if main.unit else ''}")
    headers = ["version", "made", "trained on", "NLL on hold-out", "NLL on newest", "what became of it"]
    console.records(headers, [_row(one) for one in every], long=(5,), numbers=(0, 2))
    console.say(
        "NLL is the challenger's less the champion's of its time, with the 95 % interval: below 0 it was better. Of a "
        "round's proxy there is none: only `discover retrain` compares.",
        whole=False,
    )
    return 0


def _row(one: Version) -> list[str]:
    made = f"{datetime.fromtimestamp(one.made / 1000, UTC):%Y-%m-%d %H:%M}"
    became = "champion" if one.champion else f"rolled back {one.rolled_back}" if one.rolled_back else ""
    told = ". ".join(filter(None, (became, one.reason))) or "of a round"
    return [one.number, made, one.n, *(_interval(one, where) for where in ("holdout", "newest")), told]


def _interval(one: Version, where: str) -> str:
    figures = one.gate
    if f"{where}_nll" not in figures:
        return "-"
    mean, low, high = (figures[f"{where}_{name}"] for name in ("nll", "low", "high"))
    return f"{figure(mean)} ({figure(low)} to {figure(high)})"


def roll_back_in_terminal(workspace: Workspace, name: str, to: str | None, console: Terminal) -> int:
    """Make an earlier version the champion; returns the exit code.

    Raises:
        LedgerError: no such campaign.
        BadInput: there is no earlier champion, or no such version.
        TrackingError: MLflow cannot be used.
    """
    campaign = workspace.ledger().campaign(name)
    with required(workspace):
        was, now = roll_back(Tracker(workspace, campaign), to, getpass.getuser())
    console.say(
        f"Version {now} is the champion of {name} again, version {was} is marked as rolled back: retraining on the "
        "same data does not promote it. What was measured is untouched."
    )
    return 0
