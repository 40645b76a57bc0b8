"""`discover metrics`: figures of campaigns for a monitoring system, in the text form that Prometheus reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import CollectorRegistry, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from data.ledger.campaigns import Campaign, CampaignState, Spent, shown_names
from data.ledger.health import Level
from data.ledger.summary import failed_calls
from data.records import CallState, Standing
from pipelines.status import Reader, latest_findings, reader
from pipelines.terminal import Terminal
from tasks.workspace import Workspace, writing

CONTENT_TYPE = CONTENT_TYPE_LATEST
_DEAD = (CampaignState.RUNNING, CampaignState.STOPPING)


def campaign_metrics(workspace: Workspace) -> str:
    """Return the figures of every campaign of a workspace.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    registry = CollectorRegistry()
    registry.register(_Campaigns(workspace))
    return generate_latest(registry).decode()


def show_metrics(workspace: Workspace, out: Path | None, console: Terminal) -> int:
    """Print figures of campaigns, or write them into a file that is whole at any time; returns the exit code."""
    text = campaign_metrics(workspace)
    if out is None:
        console.raw(text)
        return 0
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    with writing(out):
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, out)
    return 0


@dataclass(frozen=True, slots=True)
class _Watched:
    """A campaign with what is told of it.

    Attributes:
        campaign: as the ledger has it.
        name: by which it is told apart.
        state: a word.
        standing: how far it is, and its best values.
        spent: what it booked.
        failed: calls that failed.
        waiting: calls that were sent and have no answer.
        warnings: kinds of the last round's warnings.
    """

    campaign: Campaign
    name: str
    state: str
    standing: Standing
    spent: Spent
    failed: int
    waiting: int
    warnings: Sequence[str]

    def figures(self) -> dict[str, tuple[str, float | None]]:
        """Return the figures that every campaign has, with what they are."""
        plan = json.loads(self.campaign.stored)
        budget = plan["budget"]
        return {
            "round": ("Last round that has candidates.", self.standing.round),
            "rounds": ("Rounds that are to be made.", plan["rounds"]),
            "calls": ("Oracle calls that are booked.", self.spent.calls),
            "calls_limit": ("Most oracle calls.", budget["calls"]),
            "cost": ("Cost that is booked, in the unit of the oracle's cost.", self.spent.cost),
            "cost_limit": ("Most cost.", budget["cost"]),
            "failed_calls": ("Oracle calls that failed.", self.failed),
            "waiting_calls": ("Oracle calls that were sent and are not answered.", self.waiting),
            "best": ("Best value of the main objective, in its unit.", self.standing.best),
            "running_seconds": ("Running time, summed over restarts.", self.campaign.seconds),
        }


class _Campaigns:
    """Collects the figures of a workspace's campaigns, as `prometheus_client` wants it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def describe(self) -> list[GaugeMetricFamily]:
        """Return no families, so that registering reads no ledger."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield a family per figure."""
        ledger = reader(self._workspace)
        every = ledger.campaigns()
        names = shown_names(every)
        watched = [_watched(ledger, campaign, names[campaign.id]) for campaign in every]
        state = _family("state", "1 for the state in which a campaign is.", "state")
        warning = _family("health_warning", "1 for each kind of warning after the last round.", "kind")
        families: dict[str, GaugeMetricFamily] = {}
        for one in watched:
            state.add_metric([one.name, one.state], 1.0)
            for kind in one.warnings:
                warning.add_metric([one.name, kind], 1.0)
            for name, (told, value) in one.figures().items():
                family = families.setdefault(name, _family(name, told))
                if value is not None:
                    family.add_metric([one.name], float(value))
        yield from (state, *families.values(), warning)


def _family(name: str, told: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"discovery_campaign_{name}", told, labels=["campaign", *labels])


def _watched(ledger: Reader, campaign: Campaign, name: str) -> _Watched:
    rows = ledger.course(campaign.id)
    found = latest_findings(campaign, rows, ledger.stages(campaign.id), campaign.goals, ledger.bought(campaign.id))
    state = str(campaign.state)
    if campaign.state in _DEAD and ledger.owner(campaign.id) is None:
        state = "killed"
    return _Watched(
        campaign,
        name,
        state,
        ledger.standing(campaign.id, campaign.goals),
        ledger.spent(campaign.id),
        sum(map(failed_calls, rows)),
        sum(row.state in (CallState.SUBMITTED, CallState.IN_DOUBT) for row in rows),
        sorted({finding.kind for finding in found if finding.level is Level.WARNING}),
    )
