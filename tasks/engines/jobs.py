"""Workers of Dask in the jobs of a batch system, by `dask-jobqueue`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from data.engine_config import ClusterConfig
from tasks.engines.base import require, signals_kept

COMMANDS = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub", "sge": "qsub"}
"""What hands in a job."""


def job_script(cluster: ClusterConfig, base: Path) -> str:
    """Return the script of one job as it is handed in, but for the scheduler's address and the certificates.

    Args:
        cluster: as the campaign file has it.
        base: its folder.

    Raises:
        ConfigError: `dask-jobqueue` is not installed.
    """
    made = _class_of(cluster)
    address = f"{'tls' if cluster.tls else 'tcp'}://SCHEDULER:PORT"
    script: str = made.job_cls(address, name="NAME", **_options(cluster, base)).job_script()
    return script


def started(cluster: ClusterConfig, workers: int, base: Path) -> Any:
    """Start a scheduler here and hand in the jobs of so many workers; return the cluster.

    Raises:
        ConfigError: `dask-jobqueue` is not installed.
    """
    secured: dict[str, Any] = {}
    if cluster.tls:
        secured = {"security": True, "protocol": "tls://", "shared_temp_directory": _shared(cluster, base)}
    made = _class_of(cluster)(**_options(cluster, base), **secured)
    made.scale(jobs=jobs_of(cluster, workers))
    return made


def ended(made: Any) -> None:
    """End the jobs and the scheduler, and remove the certificates that were made for the jobs."""
    try:
        made.close(timeout=10)
    finally:
        for name, value in vars(made).items():
            if name.startswith("_job_") and hasattr(value, "close"):  # files that nobody else closes
                value.close()


def units_of(cluster: ClusterConfig) -> int:
    """Return how many units one job does side by side."""
    return cluster.units or cluster.cores


def jobs_of(cluster: ClusterConfig, workers: int) -> int:
    """Return how many jobs do so many units side by side."""
    return math.ceil(workers / units_of(cluster))


def _class_of(cluster: ClusterConfig) -> Any:
    require("dask_jobqueue", "dask", f"A cluster of the kind {cluster.kind}")
    with signals_kept():
        import dask_jobqueue

    return getattr(dask_jobqueue, f"{cluster.kind.upper()}Cluster")


def _shared(cluster: ClusterConfig, base: Path) -> str:
    return str(base.resolve() if cluster.shared is None else (base / Path(cluster.shared).expanduser()).resolve())


def _options(cluster: ClusterConfig, base: Path) -> dict[str, Any]:
    """Return the options of a job with one worker, which has a thread for each unit: what measures is a process."""
    options: dict[str, Any] = {
        "cores": units_of(cluster),
        "processes": 1,
        "memory": cluster.memory,
        "walltime": cluster.walltime,
        "queue": cluster.queue,
        "account" if cluster.kind in ("slurm", "pbs") else "project": cluster.account,
        "job_script_prologue": list(cluster.prologue),
        "job_extra_directives": list(cluster.directives),
        "python": cluster.python,
        "interface": cluster.interface,
        "log_directory": cluster.logs and str((base / Path(cluster.logs).expanduser()).resolve()),
        "job_name": "discover",
    }
    if cluster.kind == "slurm":
        options["job_cpu"] = cluster.cores
    elif cluster.kind == "pbs":
        options["resource_spec"] = f"select=1:ncpus={cluster.cores}:mem={cluster.memory.replace(' ', '')}"
    elif cluster.kind == "lsf":
        hours, minutes, seconds = (int(part) for part in cluster.walltime.split(":"))
        minutes += 60 * hours + (seconds > 0)
        options |= {"ncpus": cluster.cores, "walltime": f"{minutes // 60:02d}:{minutes % 60:02d}"}
    return options
