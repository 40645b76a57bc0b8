"""`discover notify`: an automation of the workspace's Prefect server that posts what happens to a webhook.

The automation is Prefect's own: it acts whenever a server of the workspace runs, so also while `discover run` does, and
is seen, changed and paused in Prefect's pages like any other. Mail and chat are actions of Prefect's beside it.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from data.config import ConfigError
from pipelines.running import served
from pipelines.services import wait_for_prefect
from pipelines.terminal import Terminal
from tasks.reporting.announcing import ENDED, EVENTS, WARNING
from tasks.workspace import Workspace

PREFIX = "discover-notify-"
CHOICES = {"warning": (WARNING,), "end": (ENDED,), "all": EVENTS}
PAYLOAD = (
    '{"event": {{ event.event | tojson }}, "campaign": {{ event.resource.name | tojson }}, '
    '"occurred": {{ event.occurred | string | tojson }}, "told": {{ event.payload | tojson }}}'
)
"""Body of a post: JSON."""


def notify(workspace: Workspace, url: str, on: str, console: Terminal) -> int:
    """Have events of all campaigns of a workspace posted to an address; returns the exit code.

    Args:
        workspace: whose campaigns.
        url: of a receiver; may hold a secret, which Prefect keeps in a block and shows to nobody.
        on: `warning`, `end` or `all`.
        console: where it is told.

    Raises:
        ConfigError: the address is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{url!r} is no address of a webhook; expected http:// or https:// with a host, such as "
            "https://example.org/hooks/discovery."
        )
    name = PREFIX + re.sub(r"[^a-z0-9]+", "-", f"{parts.hostname}{parts.path}".lower()).strip("-")[:60]
    with served(workspace, plain=False, console=console):
        wait_for_prefect()
        _create(name, url, CHOICES[on])
    console.say(
        f"{', '.join(CHOICES[on])} of every campaign of {workspace.home} will be posted to {parts.hostname}, as the "
        f"automation {name}, whenever a Prefect server of the workspace runs. `discover notifications` lists it."
    )
    return 0


def notifications(workspace: Workspace, remove: str | None, console: Terminal) -> int:
    """List the automations that `discover notify` made, or remove one; returns the exit code.

    Raises:
        ConfigError: there is none of that name.
    """
    with served(workspace, plain=False, console=console):
        wait_for_prefect()
        found = _automations()
        if remove is not None:
            if remove not in {one.name for one in found}:
                names = ", ".join(one.name for one in found) or "none"
                raise ConfigError(f"There is no notification {remove!r}; there are: {names}.")
            _delete(remove, found)
            console.say(f"{remove} is removed.")
            return 0
    if not found:
        console.say("Nobody is notified. `discover notify URL` posts warnings and ends of campaigns to an address.")
        return 0
    rows = [[one.name, ", ".join(sorted(one.trigger.expect)), "on" if one.enabled else "paused"] for one in found]
    console.records(["notification", "events", "state"], rows, long=(1,))
    return 0


def _create(name: str, url: str, events: tuple[str, ...]) -> None:
    from prefect.automations import Automation
    from prefect.blocks.webhook import Webhook
    from prefect.events.actions import CallWebhook
    from prefect.events.schemas.automations import EventTrigger, Posture

    _delete(name, _automations())
    block = Webhook(method="POST", url=url, headers={"content-type": "application/json"}, allow_private_urls=True)
    block_id = block.save(name, overwrite=True)
    Automation(
        name=name,
        description="Made by `discover notify`.",
        enabled=True,
        trigger=EventTrigger(expect=set(events), posture=Posture.Reactive, threshold=1),
        actions=[CallWebhook(block_document_id=block_id, payload=PAYLOAD)],
    ).create()


def _automations() -> list[Any]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        # Of Prefect's client only the asynchronous one lists automations.
        answer = client._client.post("/automations/filter", json={"sort": "CREATED_DESC", "limit": 200})
        answer.raise_for_status()
    from prefect.events.schemas.automations import Automation

    every = [Automation.model_validate(one) for one in json.loads(answer.content)]
    return [one for one in every if one.name.startswith(PREFIX)]


def _delete(name: str, found: list[Any]) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for one in found:
            if one.name == name:
                client._client.delete(f"/automations/{one.id}").raise_for_status()
