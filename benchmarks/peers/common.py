"""What every worker of the throughput benchmark shares: the task, the clock and the exact evaluation.

A worker is a script run by the Python of one library. It trains a GFlowNet by trajectory balance on the HyperGrid of
Bengio et al. (2021, "Flow network based generative models for non-iterative diverse candidate generation") and prints
one line of JSON. This module needs numpy only, so that it runs in the environment of each library.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

R0, R1, R2 = 0.1, 0.5, 2.0
HIDDEN, LAYERS = 256, 2
LEARNING_RATE, LOG_Z_LEARNING_RATE = 1e-3, 1e-1


@dataclass(frozen=True)
class Task:
    """One training: the grid, the batch, how long, and when to look at it.

    Attributes:
        dims, height: the grid has height ** dims states; an action adds 1 to a coordinate or stops.
        batch: trajectories of an iteration.
        iterations: gradient steps, at most.
        seed: of the network and of the sampling.
        evaluate_every: iterations between exact evaluations; 0: only one at the end.
        until_tv: stop at the first evaluation with a total variation of at most this; None: never.
    """

    dims: int
    height: int
    batch: int
    iterations: int
    seed: int = 0
    evaluate_every: int = 0
    until_tv: float | None = None

    @classmethod
    def parse(cls, arguments: list[str] | None = None) -> Task:
        """Read a task from the command line.

        Raises:
            SystemExit: an option is missing or out of range; the message says which.
        """
        parser = argparse.ArgumentParser(description="One training on a HyperGrid; prints one line of JSON.")
        for name in ("dims", "height", "batch", "iterations"):
            parser.add_argument(f"--{name}", type=int, required=True)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--evaluate-every", type=int, default=0)
        parser.add_argument("--until-tv", type=float)
        task = cls(**vars(parser.parse_args(arguments)))
        if min(task.dims, task.batch, task.iterations) < 1 or task.height < 2 or task.evaluate_every < 0:
            parser.error(f"dims, batch and iterations must be at least 1 and height at least 2; got {task}.")
        if task.until_tv is not None and not task.evaluate_every:
            parser.error("--until-tv needs --evaluate-every: without evaluations nothing tells when to stop.")
        return task


class Training(Protocol):
    """A training in progress, as a library does it."""

    def run(self, iterations: int) -> None:
        """Take gradient steps and return when all of them are done (no work left in a queue)."""

    def transitions(self) -> int:
        """Return the transitions sampled so far, the stop actions included."""

    def parameters(self) -> int:
        """Return the number of trained numbers of the network, log Z not counted."""

    def logits(self, states: IntArray) -> npt.NDArray[Any]:
        """Return forward logits (S, dims + 1) of states (S, dims), masked or not; the last action stops."""


def all_states(dims: int, height: int) -> IntArray:
    """Return every state, (height ** dims, dims), the last coordinate running fastest."""
    return np.indices((height,) * dims).reshape(dims, -1).T.astype(np.int64)


def rewards(states: IntArray, height: int) -> FloatArray:
    """Return R0 + R1 [all |x/(H-1) - 1/2| > 0.25] + R2 [all in (0.3, 0.4)] of states (S, dims), (S,)."""
    ax = np.abs(states / (height - 1) - 0.5)
    tiny = 1e-12
    outer = (ax > 0.25 + tiny).all(1)
    band = ((ax > 0.3 + tiny) & (ax < 0.4 - tiny)).all(1)
    return np.asarray(R0 + R1 * outer + R2 * band, dtype=np.float64)


def target_law(dims: int, height: int) -> FloatArray:
    """Return R / Z of all states, (height ** dims,)."""
    values = rewards(all_states(dims, height), height)
    return np.asarray(values / values.sum(), dtype=np.float64)


def forward_probs(logits: npt.NDArray[Any], states: IntArray, height: int) -> FloatArray:
    """Return softmax of the logits (S, dims + 1) over the legal actions: steps that stay inside, and the stop."""
    legal = np.concatenate([states < height - 1, np.ones((len(states), 1), dtype=bool)], axis=1)
    masked = np.where(legal, logits.astype(np.float64), -np.inf)
    weights = np.exp(masked - masked.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True), dtype=np.float64)


def terminal_law(probs: FloatArray, dims: int, height: int) -> FloatArray:
    """Return the probability that a trajectory stops at each state, (S,), by dynamic programming over the whole grid.

    Args:
        probs: (S, dims + 1) forward probabilities of all states in the order of `all_states`; zero for illegal actions.
        dims: dimensions of the grid.
        height: states along a dimension.
    """
    states = all_states(dims, height)
    stride = height ** np.arange(dims - 1, -1, -1)
    level = states.sum(1)
    reach = np.zeros(len(states))
    reach[0] = 1.0
    for depth in range(dims * (height - 1)):
        here = np.flatnonzero(level == depth)
        for axis in range(dims):
            inside = here[states[here, axis] < height - 1]
            np.add.at(reach, inside + stride[axis], reach[inside] * probs[inside, axis])
    return np.asarray(reach * probs[:, dims], dtype=np.float64)


def total_variation(p: FloatArray, q: FloatArray) -> float:
    """Return half of sum |p - q|, between 0 and 1."""
    return 0.5 * float(np.abs(p - q).sum())


def exact_tv(training: Training, dims: int, height: int) -> float:
    """Return the total variation between what a network samples and R / Z: the network is asked about every state.

    Raises:
        FloatingPointError: the network answers something that is not finite; training has diverged.
    """
    states = all_states(dims, height)
    law = terminal_law(forward_probs(training.logits(states), states, height), dims, height)
    if not abs(law.sum() - 1.0) < 1e-6:
        raise FloatingPointError(
            f"The terminal probabilities add up to {law.sum()}, expected 1: the network has diverged or the states are "
            "in another order. Lower the learning rate, or check the worker."
        )
    return total_variation(law, target_law(dims, height))


def measure(training: Training, task: Task) -> dict[str, Any]:
    """Train and return the figures; evaluation is outside the clock.

    The clock is the CPU time of the process with all its threads. Set-up is the CPU time since the process started:
    imports, building the network, compiling and warming up.
    """
    setup = time.process_time()
    cpu = wall = 0.0
    done, curve = 0, []
    chunk = task.evaluate_every or task.iterations
    while done < task.iterations:
        now = min(chunk, task.iterations - done)
        cpu_before, wall_before = time.process_time(), time.perf_counter()
        training.run(now)
        cpu, wall = cpu + time.process_time() - cpu_before, wall + time.perf_counter() - wall_before
        done += now
        curve.append([done * task.batch, cpu, exact_tv(training, task.dims, task.height)])
        if task.until_tv is not None and curve[-1][2] <= task.until_tv:
            break
    return {
        "trajectories": done * task.batch,
        "states": done * task.batch,
        "transitions": training.transitions(),
        "iterations": done,
        "parameters": training.parameters(),
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "setup_seconds": setup,
        "tv": curve[-1][2],
        "reached": None if task.until_tv is None else curve[-1][2] <= task.until_tv,
        "curve": curve,
    }


def report(figures: dict[str, Any], versions: dict[str, str]) -> None:
    """Print the figures as the one line of JSON."""
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "XLA_FLAGS")}
    print(json.dumps({**figures, "versions": versions, "threads": threads}), flush=True)
