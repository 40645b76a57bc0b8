"""Schedules: serve a flow through Prefect, one run at a time, by module path."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect import Flow, serve
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from data.config import load_config
from pipelines.campaign import campaign
from pipelines.retraining import retrain
from pipelines.validation import checked_config

What = Literal["campaign", "retrain"]


def serve_schedule(config: Path, cron: str, what: What, overrides: tuple[str, ...] = ()) -> None:
    """Serve a schedule until interrupted; its runs take the workspace of this process.

    Args:
        config: the campaign file.
        cron: five fields, in UTC.
        what: `campaign` continues the campaign, `retrain` retrains its proxy.
        overrides: `key.key=value` for a campaign.
    """
    name = load_config(config, overrides).name
    flow: Flow[..., Any]
    if what == "campaign":
        checked_config(config, overrides)
        flow, parameters = campaign, {"config": str(config.absolute()), "overrides": list(overrides)}
    else:
        flow, parameters = retrain, {"name": name}
    deployment = flow.to_deployment(
        name=f"{name}-{what}",
        cron=cron,
        parameters=parameters,
        concurrency_limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
        description=f"`discover schedule {config.name} --what {what}`",
        tags=["discovery-flows", name],
    )
    assert isinstance(deployment, RunnerDeployment)  # a coroutine only inside a running event loop
    serve(deployment, limit=1, pause_on_shutdown=True)
