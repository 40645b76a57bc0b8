"""Workers of Ray: of a cluster that is there, or of this machine for the time of a run.

`max_retries=0` has Ray send a unit to one worker and never to a second one: a worker that dies is told, and whether the
unit is sent again is decided here.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from data.engine_config import EngineConfig
from data.wording import counted
from tasks.engines import unit
from tasks.engines.base import EngineGone, Handle, Lost, Tell, require, signals_kept

CONNECT_SECONDS = 10.0
"""Within which the head of a cluster is reached."""
LOOK_SECONDS = 1.0
"""Between two looks at how many workers there are."""


def _prepare(*, local: bool) -> None:
    """Set what Ray reads from the environment: nothing is told to anybody, and a cluster of one's own is one's own.

    Ray listens on all interfaces of Linux unless it is told what it is told elsewhere; a token of this run alone keeps
    other users of the machine out, and is in no file.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if local and "ray" not in sys.modules:  # it has read them when it is imported, and then is its importer's to set up
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        if "RAY_AUTH_MODE" not in os.environ and "RAY_AUTH_TOKEN" not in os.environ:
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


class RayFleet:
    """The workers of one cluster of Ray.

    Args:
        engine: as the campaign file has it.
        workers: of a cluster of this machine.
        tell: takes a line on what is used.

    Raises:
        ConfigError: `ray` is not installed.
        EngineGone: the cluster cannot be reached.
    """

    sends = 3

    def __init__(self, engine: EngineConfig, workers: int, tell: Tell) -> None:
        require("ray", "ray", "The engine ray")
        _prepare(local=engine.address is None)
        import ray

        self._ray = ray
        self._flying: set[Handle] = set()
        self._slots, self._looked = 0, 0.0
        place: dict[str, Any] = {"address": engine.address}
        if engine.address is None:
            place = {"address": "local", "num_cpus": workers, "_node_ip_address": "127.0.0.1"}
            place |= {"dashboard_host": "127.0.0.1", "include_dashboard": False}
        try:
            with signals_kept():
                told = ray.init(**place, log_to_driver=False, logging_level="CRITICAL", namespace="discover")
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            ray.shutdown()
            where = f"at {engine.address}" if engine.address else "on this machine"
            raise EngineGone(
                f"No cluster of Ray answers {where}: {error} Start one with `ray start --head`, or mend "
                "`engine.address`."
            ) from error
        where = told.address_info.get("gcs_address") or told.address_info.get("address")
        self._head = str(where)
        self.told = f"Ray at {where}"
        self._measure = ray.remote(num_cpus=1, max_retries=0)(unit.measure)
        own = "" if engine.address else f", {counted(workers, 'worker', 'workers')} on this machine"
        tell(
            f"Engine      {self.told}{own}"
            + (f"\nDashboard   http://{told.dashboard_url}" if told.dashboard_url else "")
        )

    def slots(self) -> int:
        """Return how many processors the cluster has, as of a second ago."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._refuse_dead()
            try:
                self._slots = int(self._ray.cluster_resources().get("CPU", 0))
            except self._lost() as error:
                raise self._gone(error) from error
            self._looked = time.monotonic()
        return self._slots

    def send(self, order: str, *, once: bool) -> Handle:
        """Send a unit; no second worker ever begins it.

        Raises:
            EngineGone: the cluster is gone.
        """
        try:
            handle = self._measure.remote(order)
        except self._lost() as error:
            raise self._gone(error) from error
        self._flying.add(handle)
        return handle

    def answered(self, seconds: float) -> list[Handle]:
        """Return units that have an answer or are lost; waits for the first one.

        Raises:
            EngineGone: the cluster does not answer any more.
        """
        if not self._ray.is_initialized():
            raise self._gone(None)
        if not self._flying:
            time.sleep(seconds)
            return []
        waiting = list(self._flying)
        try:
            first, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds)
            done, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0) if first else ([], None)
        except self._lost() as error:
            raise self._gone(error) from error
        return list(done)

    def take(self, handle: Handle) -> str | Lost | None:
        """Return what became of a unit; None: nothing yet."""
        done, _ = self._ray.wait([handle], timeout=0)
        if not done:
            return None
        self._flying.discard(handle)
        try:
            return str(self._ray.get(handle))
        except self._ray.exceptions.RayTaskError as error:
            return _refusal(error)
        except self._ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()
            return Lost(f"The worker that had it in hand has ended ({first[0] if first else type(error).__name__}).")

    def revoke(self, handle: Handle) -> bool:
        """Take a unit back; Ray does not tell whether a worker has begun it."""
        with suppress(Exception):
            self._ray.cancel(handle)
        self._flying.discard(handle)
        return False

    def close(self) -> None:
        """Let go of the workers; a cluster of one's own ends."""
        with suppress(Exception):  # one that is gone cannot be let go of
            self._ray.shutdown()

    def _refuse_dead(self) -> None:
        """Look whether the head of the cluster is there: Ray itself ends this process when it has missed it for long.

        Raises:
            EngineGone: it is not.
        """
        host, _, port = self._head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            raise self._gone(error) from error

    def _lost(self) -> tuple[type[BaseException], ...]:
        return (self._ray.exceptions.RayError, OSError, RuntimeError, TimeoutError)

    def _gone(self, error: BaseException | None) -> EngineGone:
        return EngineGone(f"{self.told} does not answer any more{f' ({error})' if error else ''}.")


def _refusal(error: Any) -> str:
    """Return what a worker that cannot even begin a unit would answer if it could."""
    cause = getattr(error, "cause", None) or error
    told = f"A worker of Ray cannot begin a unit of work: {type(cause).__name__}: {cause}."
    if isinstance(cause, ImportError):
        told += " Install the same discovery-flows in the workers' environment."
    return json.dumps({"answers": {}, "refused": told, "begun": not isinstance(cause, ImportError)})


def check(engine: EngineConfig) -> None:
    """Look whether all is installed that the engine needs.

    Raises:
        ConfigError: something is not.
    """
    require("ray", "ray", "The engine ray")
