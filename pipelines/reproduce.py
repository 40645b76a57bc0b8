"""The trial of a published system: every seed, then the verdict. The same call again goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from data.config import ConfigError
from models.registry import build, find
from pipelines.calling import Call, as_function, as_task
from pipelines.trial_campaigns import run_apart
from tasks.systems.attempt import SystemRef, try_system
from tasks.systems.outcome import Outcome, outcome_of
from tasks.workspace import Workspace, quiet_environment

quiet_environment()


@flow(name="reproduce", flow_run_name=lambda: flow_run.get_parameters()["config"]["kind"], persist_result=False)
def reproduce(config: dict[str, Any], seeds: tuple[int, ...]) -> Outcome:
    """Try a published system.

    Args:
        config: `{kind, options...}` of the system.
        seeds: each is tried once.
    """
    return run_trial(config, seeds, call=as_task)


def run_trial(config: Mapping[str, Any], seeds: Sequence[int], *, call: Call = as_function) -> Outcome:
    """Try a published system in the workspace, or go on.

    Args:
        config: `{kind, options...}` of the system.
        seeds: each is tried once.
        call: how a task is called.

    Raises:
        ConfigError, ComponentError, ObtainError: what was given cannot be used.
    """
    ref = checked_trial(config, seeds, Workspace.open())
    results = {seed: call(try_system, ref, seed, number, run_apart) for number, seed in enumerate(ref.seeds)}
    return outcome_of(ref, results)


def checked_trial(config: Mapping[str, Any], seeds: Sequence[int], workspace: Workspace) -> SystemRef:
    """Return what is tried.

    Raises:
        ConfigError, ComponentError: there is no such system or option, or there are no seeds.
    """
    find("system", str(config["kind"]))
    if not seeds:
        raise ConfigError("A claim is tried with one seed at least; give --seeds 3.")
    return SystemRef(str(workspace.home), build("system", config).config(), tuple(seeds))
