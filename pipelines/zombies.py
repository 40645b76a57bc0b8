"""Flow runs that Prefect still shows as running although their process was killed."""

from __future__ import annotations

import logging

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import get_run_context
from prefect.states import Crashed

from data.ledger.processes import ProcessIdentity, is_dead_by_mark

log = logging.getLogger("discover.prefect")


def campaign_tag(slug: str) -> str:
    """Return the tag that a campaign's flow runs carry."""
    return f"campaign:{slug}"


PROCESS = "process:"
"""Beginning of the tag that says which process makes a run: it may be killed before the run has its campaign's tag."""


def process_tag() -> str:
    """Return the tag of runs that this process makes."""
    return f"{PROCESS}{ProcessIdentity.of_this_process().mark()}"


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

    One process runs a campaign at a time, so whatever else Prefect shows as running for it was killed; so were runs of
    processes of this machine that have ended.
    """
    own, tag = get_run_context().flow_run, campaign_tag(slug)  # type: ignore[union-attr]
    assert own is not None  # inside a flow there is one
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(own.id, tags={tag, *own.tags})
            for run in client.read_flow_runs(flow_run_filter=_RUNNING):
                ended = any(is_dead_by_mark(one.removeprefix(PROCESS)) for one in run.tags if one.startswith(PROCESS))
                if run.id != own.id and (tag in run.tags or ended):
                    message = "Its process was killed; the campaign went on in another run."
                    client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    except Exception as error:  # a view that is wrong must not stop the campaign
        log.warning("Prefect: earlier runs of %s were not marked as crashed (%s).", slug, error)
