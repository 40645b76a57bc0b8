"""Flow runs that Prefect still shows as running although their process was killed."""

from __future__ import annotations

import logging

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.context import get_run_context
from prefect.states import Crashed

log = logging.getLogger("discover.prefect")


def campaign_tag(slug: str) -> str:
    """Return the tag that a campaign's flow runs carry."""
    return f"campaign:{slug}"


def bury_every_zombie() -> int:
    """Mark every run that Prefect shows as running as crashed, and return how many; for a server that nobody used."""
    with get_client(sync_client=True) as client:
        running = client.read_flow_runs(flow_run_filter=_RUNNING)
        for run in running:
            client.set_flow_run_state(run.id, Crashed(message="Its process was killed."), force=True)
    return len(running)


_RUNNING = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))


def bury_zombies(slug: str) -> None:
    """Mark earlier runs of a campaign as crashed and tag this one; call it in its flow, holding its lock.

    One process runs a campaign at a time, so whatever else Prefect shows as running for it was killed.
    """
    own = get_run_context().flow_run.id  # type: ignore[union-attr]  # inside a flow there is one
    tag = campaign_tag(slug)
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(own, tags={tag})
            running = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(
                    tags=FlowRunFilterTags(all_=[tag]),
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
                )
            )
            for run in running:
                if run.id != own:
                    message = "Its process was killed; the campaign went on in another run."
                    client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    except Exception as error:  # a view that is wrong must not stop the campaign
        log.warning("Prefect: earlier runs of %s were not marked as crashed (%s).", slug, error)
