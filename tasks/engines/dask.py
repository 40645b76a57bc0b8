"""Workers of Dask: of a scheduler that is there, of jobs, or of this machine for the time of a run.

Dask begins a task anew on another worker when one dies, whatever `retries` says (`allowed-failures` of its scheduler).
A unit that must not be begun twice therefore has a ticket, which its first worker takes from the scheduler: who comes
second finds none, measures nothing, and the unit counts as lost.
"""

from __future__ import annotations

import json
import logging
import queue
import time
import warnings
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from data.config import ConfigError
from data.engine_config import EngineConfig
from data.wording import counted
from tasks.engines import unit
from tasks.engines.base import EngineGone, Handle, Lost, Tell, require
from tasks.engines.jobs import COMMANDS, ended, jobs_of, started, units_of

BEGUN = json.dumps({"begun by another": True})
"""What a worker answers that finds no ticket."""
ANSWER_SECONDS = 30.0
"""Within which scheduler and workers answer what takes no time."""
CONNECT_SECONDS = 10.0
"""Within which a scheduler is reached."""
LOOK_SECONDS = 1.0
"""Between two looks at how many workers there are."""


def measure_once(order: str, ticket: str) -> str:
    """Do a unit of work unless another worker has begun it; runs on a worker."""
    from distributed import Queue

    try:
        Queue(ticket).get(timeout=ANSWER_SECONDS / 3)
    except TimeoutError:
        return BEGUN
    return unit.measure(order)


class DaskFleet:
    """Workers of one scheduler.

    Args:
        engine: as the campaign file has it.
        base: folder of the campaign file.
        workers: of a cluster of this machine.
        tell: takes what is to be said of waiting for workers.

    Raises:
        ConfigError: `distributed` is not installed.
        EngineGone: the scheduler cannot be reached, or no worker came.
    """

    sends = 1  # the scheduler itself sends a unit again, three times unless it is told otherwise

    def __init__(self, engine: EngineConfig, base: Path, workers: int, tell: Tell) -> None:
        require("distributed", "dask", "The engine dask")
        from distributed import Client

        _quieten()
        self._cluster: Any = None
        self._client: Any = None
        self._done: queue.SimpleQueue[Handle] = queue.SimpleQueue()
        self._tickets: dict[Handle, Any] = {}
        self._slots, self._looked = 0, 0.0
        try:
            self._cluster = _cluster(engine, base, workers)
            address = engine.address or self._cluster.scheduler_address
            self.told = f"Dask at {address}"
            self._client = Client(self._cluster or address, timeout=CONNECT_SECONDS, set_as_default=False)
            tell(self._welcome(engine, workers))
            self._client.wait_for_workers(1, timeout=engine.patience)
        except TimeoutError as error:
            reached = self._client is not None
            self.close()
            raise EngineGone(_no_worker(engine) if reached else _unreachable(engine, error)) from error
        except (OSError, ValueError, RuntimeError) as error:
            self.close()
            raise EngineGone(_unreachable(engine, error)) from error
        except BaseException:
            self.close()
            raise

    def slots(self) -> int:
        """Return how many threads the workers have, as of a second ago."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            try:
                self._slots = sum(self._client.nthreads().values())
            except (OSError, TimeoutError, ValueError, RuntimeError) as error:
                raise self._gone() from error
            self._looked = time.monotonic()
        return self._slots

    def send(self, order: str, *, once: bool) -> Handle:
        """Send a unit; with `once` no second worker ever begins it.

        Raises:
            EngineGone: the scheduler is gone.
        """
        from distributed import Queue

        key = f"discover-{uuid4().hex}"
        if self._client.status != "running":
            raise self._gone()
        try:
            if once:
                ticket = Queue(key, client=self._client)
                ticket.put(1, timeout=ANSWER_SECONDS)
                future = self._client.submit(measure_once, order, key, key=key, pure=False, retries=0)
                self._tickets[future] = ticket
            else:
                future = self._client.submit(unit.measure, order, key=key, pure=False, retries=0)
        except (OSError, TimeoutError) as error:
            raise self._gone() from error
        future.add_done_callback(self._done.put)
        return future

    def answered(self, seconds: float) -> list[Handle]:
        """Return units that have an answer or are lost; waits for the first one.

        Raises:
            EngineGone: the scheduler does not answer any more.
        """
        try:
            found = [self._done.get(timeout=seconds)]
        except queue.Empty:
            found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._done.get_nowait())
        if self._client.status != "running":
            raise self._gone()
        return found

    def take(self, handle: Handle) -> str | Lost | None:
        """Return what became of a unit; None: nothing yet."""
        from distributed import KilledWorker

        if not handle.done():
            return None
        try:
            reply = handle.result(timeout=ANSWER_SECONDS)
        except KilledWorker as error:
            return Lost(f"Each worker that had it in hand ended, the last one was {error.last_worker.address}.")
        except TimeoutError:
            return None  # its worker ended before it handed the answer over, and another one makes it anew
        except Exception as error:
            if handle.status == "cancelled":
                raise self._gone() from error
            return _refusal(error)
        finally:
            if handle.status in ("finished", "error"):
                self._forget(handle)
        if reply == BEGUN:
            return Lost("The worker that had begun it has ended, and it must not be begun twice.")
        return str(reply)

    def revoke(self, handle: Handle) -> bool:
        """Take a unit back; returns whether it is certain that no worker has begun it or ever will."""
        ticket = self._tickets.get(handle)
        unbegun = False
        with suppress(OSError, TimeoutError):
            if ticket is not None:
                ticket.get(timeout=0.5)
                unbegun = True
        with suppress(Exception):
            handle.cancel()
        self._forget(handle)
        return unbegun

    def close(self) -> None:
        """Let go of the workers; a cluster of one's own ends."""
        with suppress(Exception):  # one that is gone cannot be let go of
            if self._client is not None:
                self._client.close(timeout=10)
        with suppress(Exception):
            if self._cluster is not None:
                ended(self._cluster)

    def _forget(self, handle: Handle) -> None:
        ticket = self._tickets.pop(handle, None)
        if ticket is not None:
            with suppress(Exception):
                ticket.close()

    def _gone(self) -> EngineGone:
        return EngineGone(f"{self.told} does not answer any more.")

    def _welcome(self, engine: EngineConfig, workers: int) -> str:
        line = f"Engine      {self.told}"
        if engine.cluster is not None:
            count = jobs_of(engine.cluster, engine.workers or units_of(engine.cluster))
            jobs = "1 job" if count == 1 else f"{count} jobs"
            line += f", {jobs} handed in with {COMMANDS[engine.cluster.kind]}; waiting for the first worker"
        elif engine.address is None:
            line += f", {counted(workers, 'worker', 'workers')} on this machine"
        link = self._client.dashboard_link
        if not link:
            return line
        if engine.address is None and find_spec("bokeh") is None:
            return f"{line}\nDashboard   none without bokeh: pip install 'discovery-flows[dask]'"
        return f"{line}\nDashboard   {link}"


def _cluster(engine: EngineConfig, base: Path, workers: int) -> Any:
    """Return a cluster of one's own, on loopback only unless jobs are to reach it; None for an address."""
    if engine.address is not None:
        return None
    if engine.cluster is not None:
        return started(engine.cluster, engine.workers or units_of(engine.cluster), base)
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:8787",
        silence_logs=logging.CRITICAL,
    )


def _quieten() -> None:
    """Keep Dask's own lines out of the display: what a user needs to know is said once, by us."""
    warnings.filterwarnings("ignore", message="Port [0-9]+ is already in use", category=UserWarning)
    for name in ("distributed", "distributed.client", "distributed.nanny", "distributed.scheduler", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _refusal(error: Exception) -> str:
    """Return what a worker that cannot even begin a unit would answer if it could."""
    told = f"A worker of Dask cannot begin a unit of work: {type(error).__name__}: {error}."
    if isinstance(error, ImportError):
        told += " Install the same discovery-flows in the workers' environment."
    return json.dumps({"answers": {}, "refused": told, "begun": not isinstance(error, ImportError)})


def _unreachable(engine: EngineConfig, error: Exception) -> str:
    if engine.cluster is not None:
        command = COMMANDS[engine.cluster.kind]
        return (
            f"The jobs of the engine cannot be handed in: {type(error).__name__}: {error}. `{command}` must be there: "
            "run this where jobs are handed in, and look at the script with `discover engine`."
        )
    if engine.address is None:
        return f"No cluster of Dask can be started on this machine: {type(error).__name__}: {error}."
    return (
        f"No scheduler of Dask answers at {engine.address}: {error}. Start it with `dask scheduler`, workers with "
        f"`dask worker {engine.address}`, or mend `engine.address`."
    )


def _no_worker(engine: EngineConfig) -> str:
    if engine.cluster is not None:
        return (
            f"No job has begun to work within {engine.patience:g} s. Look at the queue, raise `engine.patience`, and "
            "give the same command again."
        )
    start = f" Start some with `dask worker {engine.address}`," if engine.address else " Look at the memory it has,"
    return f"No worker of Dask came within {engine.patience:g} s.{start} and give the same command again."


def check(engine: EngineConfig) -> None:
    """Look whether all is installed that the engine needs.

    Raises:
        ConfigError: something is not.
    """
    require("distributed", "dask", "The engine dask")
    if engine.cluster is not None:
        require("dask_jobqueue", "dask", f"A cluster of the kind {engine.cluster.kind}")
    if engine.address is not None and "://" not in engine.address:
        raise ConfigError(
            f"engine.address is {engine.address!r}; expected the address of a scheduler of Dask, such as "
            f"tcp://{engine.address} or tls://{engine.address}."
        )
