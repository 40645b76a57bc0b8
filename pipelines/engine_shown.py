"""What `discover engine` prints: who asks a campaign's oracles, in what units, and the script of a job."""

from __future__ import annotations

from pathlib import Path

from data.config import CampaignConfig, ConfigError, load_config
from data.engine_config import VARIABLE, EngineConfig
from data.wording import counted
from models.parts import oracle_name, oracle_of
from pipelines.terminal import Terminal, table
from tasks.engines.jobs import COMMANDS, job_script, jobs_of, units_of
from tasks.engines.opening import check_engine, places
from tasks.engines.remote import unit_size


def show_engine(path: Path, overrides: tuple[str, ...], console: Terminal, *, script: bool) -> int:
    """Print the engine of a campaign file; returns the exit code.

    Args:
        path: of the file.
        overrides: `key.key=value`.
        console: takes it.
        script: whether the job script is printed alone.

    Raises:
        ConfigError: a library is missing, or there is no job script to print.
    """
    config = load_config(path, overrides)
    engine, base = check_engine(config), path.absolute().parent
    jobs = None if engine.cluster is None else job_script(engine.cluster, base)
    if script:
        if jobs is None:
            raise ConfigError(
                f"{path.name} has no cluster of jobs, so there is no job script; its engine is {engine.kind}. Write "
                "for example `engine: {kind: dask, cluster: {kind: slurm, queue: ...}}`."
            )
        print(jobs.rstrip())
        return 0
    lines = [("engine", engine.kind), ("named by", _named(config)), ("workers", _workers(engine))]
    for part in config.readings.parts:
        lines.append((f"calls of {oracle_name(config, part)}", _units(config, engine, base, part)))
    console.print(table(["", ""], lines, headed=False, long=(1,)))
    if engine.kind != "local":
        console.say(
            f"Workers need this discovery-flows, and the folder {base.resolve()} with the same content: one whose "
            "oracle is another is refused."
        )
    if jobs is not None and engine.cluster is not None:
        console.say(f"The script of a job, handed in with {COMMANDS[engine.cluster.kind]}:")
        print(jobs.rstrip())
    return 0


def _named(config: CampaignConfig) -> str:
    if config.engine is not None:
        return "the campaign file or --set"
    from data.engine_config import engine_of_environment

    return f"${VARIABLE}" if engine_of_environment() is not None else "nobody: what is used without"


def _workers(engine: EngineConfig) -> str:
    if engine.cluster is not None:
        each = units_of(engine.cluster)
        wanted = engine.workers or each
        jobs = counted(jobs_of(engine.cluster, wanted), "job", "jobs")
        safe = (
            "TLS with certificates of the run" if engine.cluster.tls else "no TLS: whoever reaches the port runs code"
        )
        return f"{jobs} of {engine.cluster.kind}, {counted(each, 'unit', 'units')} at once in each; {safe}"
    if engine.address is not None:
        return f"those of the scheduler at {engine.address}"
    if engine.kind == "local":
        return f"{counted(places(engine), 'process', 'processes')} of this machine"
    return f"{counted(places(engine), 'worker', 'workers')} of {engine.kind.title()} on this machine, on loopback"


def _units(config: CampaignConfig, engine: EngineConfig, base: Path, part: str) -> str:
    oracle = oracle_of(config, base, part)
    chunk = counted(oracle.chunk, "object", "objects")
    if engine.kind == "local":
        return f"{chunk} in a call"
    once = oracle.semantics == "unsafe"
    if engine.cluster is not None:
        slots = engine.workers or units_of(engine.cluster)
    else:
        slots = places(engine) if engine.address is None else 1
    size = engine.batch or unit_size(config.batch_size, slots, oracle.chunk, once=once)
    many = (
        f"{'at most ' if engine.address and not engine.batch and not once else ''}{counted(size, 'object', 'objects')}"
    )
    lost = "left in doubt" if once else "sent again"
    return f"{chunk} in a call, {many} in a unit; a worker that dies has its unit {lost}"
