"""The key `engine` of a campaign file: where its oracles are asked. It says nothing of what a campaign is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

VARIABLE = "DISCOVER_ENGINE"
"""Variable of the environment that has the engine of campaigns whose file has none."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _walltime(value: Any) -> str:
    """Return a time as HH:MM:SS, also of what YAML takes for a number: 12:00:00 is 43200 to it."""
    found = re.fullmatch(r"(?:([0-9]{1,3})-)?([0-9]{1,4}):([0-5][0-9]):([0-5][0-9])", str(value))
    if found is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        value = ((24 * days + hours) * 60 + minutes) * 60 + seconds
    if not isinstance(value, int) or isinstance(value, bool) or value < 60:
        raise ValueError("expected a time of a minute or more as HH:MM:SS, such as 02:30:00, or D-HH:MM:SS")
    return f"{value // 3600:02d}:{value // 60 % 60:02d}:{value % 60:02d}"


class ClusterConfig(_Strict):
    """Jobs of a batch system in which workers run; each job is one request for `cores` and `memory`."""

    kind: Literal["slurm", "pbs", "lsf", "sge"]
    queue: str | None = None
    """Partition or queue; None: the system's own default."""
    account: str | None = None
    """Account, project or allocation that is charged."""
    cores: int = Field(default=1, ge=1)
    """Cores of a job."""
    units: int | None = Field(default=None, ge=1)
    """Units of work that a job does side by side; 1 for an oracle that uses all its cores. None: one for each core."""
    memory: str = Field(default="4GB", pattern=r"^[0-9]+(\.[0-9]+)? ?([kKMGT]i?)?B$")
    """Memory of a job."""
    walltime: Annotated[str, BeforeValidator(_walltime)] = "01:00:00"
    """Time after which a job is ended, HH:MM:SS; what it had in hand is measured again elsewhere, or is in doubt."""
    prologue: tuple[str, ...] = ()
    """Lines of the job script before the worker is started, such as `module load orca`."""
    directives: tuple[str, ...] = ()
    """Further options of the batch system, such as `--gres=gpu:1`."""
    python: str | None = None
    """Interpreter on the nodes; None: the one that runs the campaign."""
    interface: str | None = None
    """Network interface of scheduler and workers, such as `ib0`."""
    logs: str | None = None
    """Folder of what the jobs print."""
    tls: bool = True
    """Whether scheduler and workers speak by certificates made for this run alone: without, whoever reaches the port
    of the scheduler can run programs as you."""
    shared: str | None = None
    """Folder that the nodes see as well, for these certificates; None: the campaign file's."""


class EngineConfig(_Strict):
    """Who asks the oracles: processes of this machine, or workers of Dask or Ray.

    Values, keys of stages and results are the same whatever it is, so it may change between two runs.
    """

    kind: Literal["local", "dask", "ray"] = "local"
    address: str | None = Field(default=None, min_length=1)
    """Of a scheduler (`tcp://host:8786`, `tls://host:8786`), or of Ray (`auto`, `host:6379`); None: a cluster of its
    own on this machine, for the time of the run."""
    workers: int | None = Field(default=None, ge=1)
    """Of a cluster of its own: units that are worked on side by side, in all jobs together. None: as many as there are
    cores, or as one job does."""
    batch: int | None = Field(default=None, ge=1)
    """Objects in one unit of work, which goes to one worker and comes back as a whole. None: as many as keep all
    workers busy, for an oracle that must not be called twice one call."""
    patience: float = Field(default=300.0, gt=0)
    """Seconds without any worker after which the run stops; jobs may wait in a queue for longer."""
    cluster: ClusterConfig | None = None
    """Jobs that the workers run in (Dask only)."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.kind == "local" and (self.address or self.cluster):
            raise ValueError("the engine local has no address and no cluster; write kind: dask or kind: ray")
        if self.cluster and self.kind != "dask":
            raise ValueError("a cluster of jobs is for kind: dask; Ray is started in jobs by its own commands")
        if self.cluster and self.address:
            raise ValueError("an address and a cluster of jobs are two places; leave one of them out")
        return self


def read_engine(text: str) -> Any:
    """Return the mapping that a text of `$DISCOVER_ENGINE` stands for: YAML, a kind, or an address of a scheduler.

    Raises:
        YamlError: it is no YAML.
    """
    from data.yaml_text import parse_yaml

    told = text.strip()
    if told.startswith(("tcp://", "tls://")):
        return {"kind": "dask", "address": told}
    found = parse_yaml(told)
    return {"kind": found} if isinstance(found, str) else found


def engine_of_environment(environment: Mapping[str, str] | None = None) -> EngineConfig | None:
    """Return the engine that `$DISCOVER_ENGINE` names; None: it names none.

    Raises:
        ConfigError: it cannot be used.
    """
    from data.config import ConfigError, validated
    from data.yaml_text import YamlError

    text = (os.environ if environment is None else environment).get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        found = read_engine(text)
    except YamlError as error:
        raise ConfigError(f"${VARIABLE} is no valid YAML: {error}. {_EXPECTED}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"${VARIABLE} is {text!r}. {_EXPECTED}")
    return validated(EngineConfig, found, source=f"${VARIABLE}", what="engine")


_EXPECTED = "Expected a kind (local, dask, ray), an address (tcp://host:8786), or {kind: dask, workers: 4}."
