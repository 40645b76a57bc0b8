"""Tuning: search for settings, prove them, compare with the file as it is. The same call again goes on by stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from data.config import ConfigError, parse_config, read_mapping
from data.sampler_config import parse_sampler
from models.registry import build
from pipelines.calling import Call, as_function, as_task
from pipelines.catalogue import tell_plugin_problems
from tasks.tuning.outcome import Tuned, write_settings
from tasks.tuning.reference import TuningRef
from tasks.tuning.search import prove_settings, search_settings, train_as_it_is
from tasks.workspace import Workspace, quiet_environment

quiet_environment()

USUAL = {"sampler": "population", "proxy": "model_based"}


@flow(name="tune", flow_run_name=lambda: flow_run.get_parameters()["ref"].name, persist_result=False)
def tune(ref: TuningRef) -> Tuned:
    """Tune what a file says.

    Args:
        ref: what is tuned, and how.
    """
    return run_tuning(ref, call=as_task)


def run_tuning(ref: TuningRef, *, call: Call = as_function) -> Tuned:
    """Tune what a file says in the workspace; stages that have ended are not done again.

    Args:
        ref: what is tuned, and how.
        call: how a task is called.

    Raises:
        ConfigError, ComponentError, ObtainError: what was given cannot be tuned.
    """
    found = call(search_settings, ref)
    proof = call(prove_settings, ref, found)
    as_it_is = call(train_as_it_is, ref, found, proof)
    tuned: Tuned = call(write_settings, ref, found, proof, as_it_is)
    return tuned


def checked_tuning(
    path: Path,
    overrides: tuple[str, ...],
    workspace: Workspace,
    *,
    what: str,
    method: dict[str, Any] | None,
    population: int,
    cpu_minutes: float | None,
    units: int | None,
    over: dict[str, Any] | None,
    seed: int,
) -> TuningRef:
    """Return what is tuned, once all of it could be built.

    Raises:
        ConfigError, ComponentError, ObtainError: what was given cannot be used; nothing was begun.
    """
    config = read_mapping(path, overrides, what="sampler" if what == "sampler" else "campaign")
    if what == "sampler":
        sampler = parse_sampler(config, source=path.name)
        if sampler.graphs is not None:
            raise ConfigError(
                f"{path.name} has `graphs`, and a network for many graphs is not tuned. Tune a file with one graph."
            )
        if sampler.density is not None:
            raise ConfigError(
                f"{path.name} has a `density`, whose diffusion samplers are not tuned. Tune a file with an "
                "`environment` or a `space`, or a campaign's proxy with --what proxy."
            )
    else:
        parse_config(config, source=path.name)
    tell_plugin_problems()
    if population < 2:
        raise ConfigError(f"A search needs two members at least; got --population {population}.")
    if (cpu_minutes is None) == (units is None) or (cpu_minutes or units or 0) <= 0:
        raise ConfigError(
            "How much a search may cost is told by --cpu-minutes M, or by --units N, of which the outcome is the same "
            f"on every machine; got {cpu_minutes} and {units}. Give one of them."
        )
    spec = build("tuner", method or {"kind": USUAL[what]}).config()
    seconds = None if cpu_minutes is None else 60.0 * cpu_minutes
    ref = TuningRef(
        home=str(workspace.home), name=path.stem, what=what, config=config, base=str(path.absolute().parent),
        method=spec, population=population, over=over, seed=seed, cpu_seconds=seconds, units=units,
    )  # fmt: skip
    if what == "sampler":
        ref.sampler(1).study.try_out()
    else:
        ref.proxy()
    return ref
