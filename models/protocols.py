"""What each exchangeable part promises. Every method is a pure function of its arguments and the part's state.

A "molecule" below is a canonical SMILES string. Arrays are numpy float64 unless said; n is the number of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from data.records import Candidate, FloatArray, Measurement, Prediction

Array = np.ndarray[Any, Any]

LogReward = Callable[[Sequence[str]], FloatArray]
"""Log-reward of n molecules, shape `(n,)`, finite; larger is better; same molecule, same value (to 1e-6)."""

Progress = Callable[[int, int, Mapping[str, float]], None]
"""Called with (steps done, steps in all, metrics of the step)."""


@runtime_checkable
class Proxy(Protocol):
    """Surrogate of an expensive measurement."""

    def fit(self, molecules: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train from nothing on n >= 5 finite values in the unit of the target. Deterministic under `seed`."""

    def predict(self, molecules: Sequence[str]) -> Prediction:
        """Predict n molecules; an empty list gives an empty prediction. Values do not depend on the company a
        molecule is predicted in, to 1e-6 of the target's scale.
        """

    def state(self) -> dict[str, Any]:
        """Return the fitted state as a flat dict of tensors, loadable with `torch.load(weights_only=True)`."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned: predictions are then the same."""


@runtime_checkable
class Acquisition(Protocol):
    """Score of predictions; larger is better whatever the goal."""

    def score(self, prediction: Prediction, *, best: float | None, maximise: bool) -> FloatArray:
        """Return `(n,)` scores in the unit of the target. `best` is the best measured value so far, None at first."""


@runtime_checkable
class Selector(Protocol):
    """Choice of a batch."""

    def select(self, scores: FloatArray, fingerprints: Array, n: int) -> list[int]:
        """Return at most n distinct indices into `scores` `(m,)`; `fingerprints` is `(m, d)` counts, integer."""


@runtime_checkable
class Screen(Protocol):
    """Reasons to refuse a molecule before it is bought."""

    def refuse(self, molecules: Sequence[str]) -> list[str | None]:
        """Return, per molecule, None if it passes or one sentence that says why it is refused."""


@dataclass(frozen=True, slots=True)
class Space:
    """Bounds of the search space that a generator must respect."""

    max_heavy_atoms: int
    min_heavy_atoms: int
    elements: tuple[str, ...]
    """Symbols of the allowed elements, hydrogen included."""


@dataclass(frozen=True, slots=True)
class GenerationContext:
    """What a generator may know: the space, what was measured, and where to keep its checkpoint."""

    space: Space
    log_reward: LogReward
    seed: int
    known: tuple[str, ...] = ()
    """Measured molecules, best first."""
    known_log_reward: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Log-reward of `known`, shape `(len(known),)`: from the measured values, not from the proxy."""
    library: tuple[str, ...] = ()
    """Members of the space from the data source, unmeasured ones included."""
    checkpoint: Path | None = None
    """File for resumable training state, written atomically; None: no checkpoint."""
    warm_start: Path | None = None
    """Final state of the same generator from the round before, None in the first round."""
    progress: Progress = lambda done, total, metrics: None


@runtime_checkable
class Generator(Protocol):
    """Source of candidates."""

    def fit(self, context: GenerationContext) -> None:
        """Train on the log-reward. Killed at any moment and called again with the same context (checkpoint included),
        it ends with bit-identical state. Generators that do not train only keep the context.
        """

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct candidates inside the space; deterministic under `seed` and the fitted state."""

    def state(self) -> dict[str, Any]:
        """Return the fitted state: tensors, numbers, strings, lists and dicts of them; `weights_only=True` loadable."""

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned, so that `sample` gives the same candidates."""

    def history(self) -> list[dict[str, float]]:
        """Return metrics by training step (`step`, `loss`, `log_z`, ...); empty if nothing was trained."""


@runtime_checkable
class Checked(Protocol):
    """A generator that can fail for want of a file or of members of the space: asked before anything is bought."""

    def check(self, space: Space) -> None:
        """Make what `fit` will need beside its context, and forget it.

        Raises:
            ValueError: it cannot be made; a complete sentence says what to change.
        """


@runtime_checkable
class Oracle(Protocol):
    """An expensive measurement.

    Class or instance attributes: `unit` (str), `version` (str, part of the identity of every measurement),
    `cost` (float, per call), `semantics` ("pure" | "idempotent" | "unsafe"), `timeout` (seconds per call),
    `chunk` (molecules per call of `evaluate`, default 1).
    """

    unit: str
    version: str
    cost: float
    semantics: str
    timeout: float
    chunk: int

    def evaluate(self, molecules: Sequence[str], *, keys: Sequence[str]) -> Iterator[Measurement]:
        """Yield one Measurement per molecule, in order. One bad molecule never raises: its Measurement has an error.

        `keys` are stable idempotency keys, one per molecule, for oracles that can be asked again by key.
        """
