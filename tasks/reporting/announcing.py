"""What Prefect shows and passes on of a round's health: an artifact, and an event for each warning.

Automations of Prefect act on events, so a webhook or a mail needs nothing of ours (`examples/notify`). Without a flow
there is nobody to tell, and a server that does not answer ends no campaign.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from prefect.artifacts import create_markdown_artifact
from prefect.context import TaskRunContext
from prefect.events import emit_event

from data.ledger.health import Finding, Level
from data.masking import masked
from data.records import JsonDict
from tasks.stages import CampaignContext
from tasks.storage import read_json, write_json

log = logging.getLogger(__name__)

WARNING, ENDED = "discovery.health.warning", "discovery.campaign.ended"
EVENTS = (WARNING, ENDED)
"""Names of the events; `resource["prefect.resource.id"]` is `discovery.campaign.NAME`."""


def announce(context: CampaignContext, round: int, health: Sequence[Finding], page: str) -> None:
    """Show the findings of a round as an artifact of the running task, and emit an event for each warning, once.

    Args:
        context: of the campaign.
        round: that they are of.
        health: its findings.
        page: address of the round's page, or its file.
    """
    if not health or TaskRunContext.get() is None:
        return
    slug = context.campaign.slug
    try:
        create_markdown_artifact(
            key=artifact_key(slug),
            markdown=health_told(health, page),
            description=f"Health of campaign {slug} after round {round}",
        )
        file = context.folder / "announced.json"
        announced = set(read_json(file)["warnings"]) if file.is_file() else set()
        for finding in health:
            mark = f"{round} {finding.kind}"
            if finding.level is Level.WARNING and mark not in announced:  # a run that goes on reports its rounds anew
                _emit(WARNING, slug, {"round": round, "kind": finding.kind, "message": finding.message})
                announced.add(mark)
        write_json(file, {"warnings": sorted(announced)})
    except Exception as error:  # whatever a client says of a server that has gone
        log.warning("Prefect was not told of the health of round %d: %s", round, error)


def announce_end(context: CampaignContext, found: str) -> None:
    """Emit an event that says how a campaign ended, for now, and what was found.

    Args:
        context: of the campaign.
        found: a sentence.
    """
    if TaskRunContext.get() is None:
        return
    campaign = context.ledger.campaign_by_id(context.campaign.id)
    told = {"state": str(campaign.state), "message": masked(campaign.message), "found": found}
    try:
        _emit(ENDED, campaign.slug, told)
    except Exception as error:
        log.warning("Prefect was not told that the campaign ended: %s", error)


def _emit(event: str, slug: str, payload: JsonDict) -> None:
    resource = {"prefect.resource.id": f"discovery.campaign.{slug}", "prefect.resource.name": slug}
    emit_event(event, resource=resource, payload=payload)


def artifact_key(slug: str) -> str:
    """Return the key of a campaign's artifact: Prefect takes lower-case letters, digits and dashes."""
    return f"health-{re.sub(r'[^a-z0-9]+', '-', slug.lower()).strip('-')}"


def health_told(health: Sequence[Finding], page: str) -> str:
    """Return the findings in Markdown, warnings first."""
    ranked = sorted(health, key=lambda finding: finding.level is not Level.WARNING)
    lines = [f"- **{finding.level}** ({finding.kind.replace('_', ' ')}): {finding.message}" for finding in ranked]
    return "\n".join([*lines, "", f"[Page of the round]({page})"])
