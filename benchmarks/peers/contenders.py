"""Who takes part in the throughput benchmark: an environment of its own and a worker script for each library."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.common import Task

HERE = Path(__file__).resolve().parent
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class BenchmarkError(RuntimeError):
    """A worker or an installation failed; the message ends with what it printed."""


@dataclass(frozen=True)
class Contender:
    """A library that takes part.

    Attributes:
        name: short name; of the environment's folder, too.
        script: file in this folder that its Python runs.
        requirements: what pip installs into its environment; empty: the Python of this process is used.
    """

    name: str
    script: str
    requirements: tuple[str, ...] = ()

    def prepare(self, cache: Path) -> Path:
        """Return the Python of this library; its environment is made unless one with the same requirements is there.

        Raises:
            BenchmarkError: the worker is missing, or an installation failed.
        """
        if not (HERE / self.script).is_file():
            raise BenchmarkError(
                f"The worker {self.script} of {self.name} is missing in {HERE}. Leave it out with --contenders."
            )
        if not self.requirements:
            return Path(sys.executable)
        # Not resolved: the interpreter of a virtual environment is a link, and following it leaves the environment.
        home = cache.absolute() / self.name
        python, stamp = home / "bin" / "python", home / "requirements.txt"
        wanted = "\n".join(self.requirements) + "\n"
        if stamp.is_file() and stamp.read_text() == wanted and python.exists():
            return python
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        _check([sys.executable, "-m", "venv", str(home)], f"make the environment of {self.name}")
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.requirements]
        _check(install, f"install {', '.join(self.requirements)}")
        stamp.write_text(wanted)
        return python

    def run(self, python: Path, task: Task, cache: Path) -> dict[str, Any]:
        """Run one training in a process of its own and return its figures.

        Raises:
            BenchmarkError: the worker failed or printed no figures.
        """
        values = {name.replace("_", "-"): value for name, value in asdict(task).items() if value is not None}
        command = [str(python), str(HERE / self.script), *(f"--{name}={value}" for name, value in values.items())]
        told = _check(command, f"run {self.name}", environment(cache))
        try:
            return dict(json.loads(told.splitlines()[-1]))
        except (IndexError, ValueError) as error:
            raise BenchmarkError(f"The worker of {self.name} printed no line of JSON:\n{told[-2000:]}") from error


def environment(cache: Path) -> dict[str, str]:
    """Return the variables of a worker: one thread, and compiled programs are kept in `cache` between runs."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "XLA_FLAGS")}
    return {**kept, **ONE_THREAD, "JAX_COMPILATION_CACHE_DIR": str(cache.absolute() / "compiled")}


def pin_to_one_core() -> int | None:
    """Bind this process and all it starts to one core, where the system can; XLA's flags alone leave it two threads."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def contenders() -> tuple[Contender, ...]:
    """Return all that can take part, in the order in which they alternate.

    torchgfn gets our version of torch. gfnx 0.0.1 asks for numpy 1.26.4; jax 0.7.1 is the last one that takes it (named
    here so that pip need not try them all); equinox and optax are what its baselines use.
    """
    torch = importlib.metadata.version("torch").split("+")[0]
    return (
        Contender("ours", "ours_hypergrid.py"),
        Contender("torchgfn", "torchgfn_hypergrid.py", ("torchgfn==2.4.1", f"torch=={torch}", "numpy<2")),
        Contender(
            "gfnx",
            "gfnx_hypergrid.py",
            ("gfnx==0.0.1", "jax==0.7.1", "jaxlib==0.7.1", "equinox==0.13.0", "optax==0.2.8", "numpy==1.26.4"),
        ),
    )


def _check(command: list[str], purpose: str, variables: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stdout + done.stderr)[-3000:]
        raise BenchmarkError(f"Could not {purpose}: {' '.join(command)} ended with {done.returncode}.\n{told}")
    return done.stdout
