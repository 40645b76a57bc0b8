"""The form by which a campaign is started in Prefect's pages, or from another program, and run by a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from pydantic import Field

from data.config import ConfigError, load_config
from models.registry import kinds
from pipelines.campaign import as_flow

AS_IN_FILE = "as in the file"


TITLES = {
    "config": "Campaign file",
    "begin": "Begin",
    "rounds": "Rounds",
    "calls": "Budget: calls",
    "cost": "Budget: cost",
    "proxy": "Proxy",
    "generator": "Generator",
    "failed_calls": "Failed calls",
    "overrides": "Other changes",
}
"""What the form calls each parameter: Prefect's own titles are their names in the code."""


def _choices(*names: str) -> Any:
    return Field(json_schema_extra={"enum": list(names)})


Begin = Literal["go on", "begin anew"]
Proxy = Annotated[str, _choices(AS_IN_FILE, *sorted(kinds("proxy")))]
Generator = Annotated[str, _choices(AS_IN_FILE, *sorted(kinds("generator")))]
FailedCalls = Literal["leave them", "buy them again"]
Number = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]


def overrides_of(
    rounds: int | None, calls: int | None, cost: float | None, proxy: str, generator: str, more: list[str]
) -> tuple[str, ...]:
    """Return what a form changes in a file, as `--set` says it; what is written out counts last.

    Args:
        rounds: of the campaign.
        calls: of the budget.
        cost: of the budget.
        proxy: kind.
        generator: kind.
        more: `key.key=value`.
    """
    numbers = {"rounds": rounds, "budget.calls": calls, "budget.cost": cost}
    named = {"proxy": proxy, "generator": generator}
    return (
        *(f"{key}={value}" for key, value in numbers.items() if value is not None),
        *(f"{key}={{kind: {kind}}}" for key, kind in named.items() if kind != AS_IN_FILE),
        *more,
    )


def _run_name() -> str:
    given = flow_run.get_parameters()
    try:
        return load_config(Path(given["config"])).name
    except ConfigError:
        return Path(given["config"]).stem


@flow(name="campaign", flow_run_name=_run_name, persist_result=False)
def campaign_form(
    config: str,
    begin: Begin = "go on",
    rounds: Number | None = None,
    calls: Number | None = None,
    cost: Amount | None = None,
    proxy: Proxy = AS_IN_FILE,
    generator: Generator = AS_IN_FILE,
    failed_calls: FailedCalls = "leave them",
    overrides: list[str] = [],  # noqa: B006  # Prefect's form shows the default, and nothing changes it
) -> State[Any]:
    """Run or continue the campaign of a file; ends in a state named after the campaign's.

    Args:
        config: Path of the YAML file on the machine where the worker runs.
        begin: Go on where the campaign stands (a new one begins), or begin its name anew; what was measured is kept.
        rounds: How many in all; none is as in the file. May be raised for a campaign that goes on.
        calls: Most oracle calls in all; none is as in the file. May be raised for a campaign that goes on.
        cost: Most that all calls may cost; none is as in the file. May be raised for a campaign that goes on.
        proxy: Its kind, with default options. Another than before needs to begin anew.
        generator: Its kind, with default options. Another than before needs to begin anew.
        failed_calls: Of an unfinished round; leave them as they are, or buy them again.
        overrides: Each as after --set on the command line, such as budget.wall_time=3600.
    """
    changes = overrides_of(rounds, calls, cost, proxy, generator, overrides)
    return as_flow(Path(config), changes, fresh=begin == "begin anew", retry_failed=failed_calls == "buy them again")
