"""The sampler: train every seed of a file, then tell what they gave together.

Resume is the same call again: a seed that has ended is not trained again, one that was killed goes on.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from data.config import ConfigError
from data.sampler_config import load_sampler
from pipelines.calling import Call, as_function, as_task
from pipelines.catalogue import tell_plugin_problems
from pipelines.zombies import bury_zombies
from tasks.samplers.summary import Summary, summarise
from tasks.samplers.train import SamplerRef, study_of, train_sampler
from tasks.workspace import Workspace, quiet_environment

quiet_environment()


@flow(name="sampler", flow_run_name=lambda: Path(flow_run.get_parameters()["config"]).stem, persist_result=False)
def sampler(config: str, overrides: tuple[str, ...] = ()) -> Summary:
    """Train, or go on with, the sampler of a file.

    Args:
        config: path of the sampler file.
        overrides: `key.key=value`, as on the command line.
    """
    return run_sampler(Path(config), overrides, call=as_task, on_start=lambda ref: bury_zombies(ref.folder.name))


def run_sampler(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    call: Call = as_function,
    on_start: Callable[[SamplerRef], None] = lambda ref: None,
) -> Summary:
    """Train every seed of a file in the workspace, or go on.

    Args:
        path: the file.
        overrides: `key.key=value`.
        call: how a task is called.
        on_start: called once no other process trains this sampler.

    Raises:
        ConfigError, ComponentError, ObtainError: what was given cannot be used; nothing was trained.
        SamplerStopped: a training ended because something was not finite.
    """
    ref = checked_sampler(path, tuple(overrides), Workspace.open())
    with _locked(ref):
        on_start(ref)
        results = {seed: call(train_sampler, ref, seed, number) for number, seed in enumerate(ref.seeds)}
        return summarise(ref, results)


def checked_sampler(path: Path, overrides: tuple[str, ...], workspace: Workspace) -> SamplerRef:
    """Read a sampler file, build everything that it names, and try two small steps.

    Raises:
        ConfigError, ComponentError, ObtainError: what was given cannot be used.
    """
    config = load_sampler(path, overrides)
    base = path.absolute().parent
    tell_plugin_problems()
    study = study_of(config, home=workspace.home, base=base)
    study.try_out()
    return SamplerRef(str(workspace.home), path.stem, study.identity, config.to_json(), str(base), config.seeds)


@contextmanager
def _locked(ref: SamplerRef) -> Iterator[None]:
    """Keep other processes from training the same; the system ends the lock with the process.

    Raises:
        ConfigError: another one trains it.
    """
    ref.folder.mkdir(parents=True, exist_ok=True)
    with (ref.folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Another process trains {ref.name} in {ref.folder} already. Wait for its end, or stop it."
            ) from error
        yield
