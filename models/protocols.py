"""What each exchangeable part promises. Every method is a pure function of its arguments and the part's state.

An object is a text in the standard form of its space. Arrays are numpy float64 unless said; n is the number of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from data.records import Candidate, FloatArray, Measurement, Origin, Prediction
from data.tables.tally import Tally
from models.row_protocols import InformingProxy
from models.spaces.base import BaseSpace

Array = np.ndarray[Any, Any]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]

LogReward = Callable[[Sequence[str]], FloatArray]
"""Log-reward of n objects, shape `(n,)`, finite; larger is better; same object, same value (to 1e-6)."""

Progress = Callable[[int, int, Mapping[str, float]], None]
"""Called with (steps done, steps in all, metrics of the step)."""


@runtime_checkable
class Proxy(Protocol):
    """Surrogate of an expensive measurement."""

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Train from nothing on n >= 5 finite values in the unit of the target. Deterministic under `seed`."""

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict n objects; an empty list gives an empty prediction. Values do not depend on the company an
        object is predicted in, to 1e-6 of the target's scale.
        """

    def state(self) -> dict[str, Any]:
        """Return the fitted state as a flat dict of tensors, loadable with `torch.load(weights_only=True)`."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned: predictions are then the same."""


@runtime_checkable
class JointProxy(Protocol):
    """A proxy that says how its errors go together: what a batch rule or a joint draw needs."""

    def joint(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(n,)` and covariance `(n, n)` of the function at n objects, without measurement noise.

        The mean is that of `predict`; the covariance is symmetric, positive semi-definite to rounding, in the squared
        unit of the target.
        """


@runtime_checkable
class RefittableProxy(Protocol):
    """A proxy that can go on from the last round's state instead of being trained from nothing."""

    def refit(
        self,
        previous_state: Mapping[str, Any],
        objects: Sequence[str],
        values: FloatArray,
        new_mask: np.ndarray[Any, np.dtype[np.bool_]],
        *,
        seed: int,
    ) -> None:
        """Train on n objects, of which `new_mask` `(n,)` marks those that the previous state has not seen."""


@runtime_checkable
class SelfTestingProxy(Protocol):
    """A proxy that knows what it would predict without a part of its data: folds then cost no training."""

    def held_out(self, objects: Sequence[str], values: FloatArray, fold: Sequence[int]) -> Prediction | None:
        """Predict each of the n objects that the proxy was trained on as if its fold had not been there.

        What was chosen once on all data (hyperparameters, standardisation) stays: for small data sets that flatters.
        None: this fitted model cannot tell, and copies are to be trained without each fold.

        Args:
            objects: those of `fit`, in any order.
            values: theirs, shape `(n,)`.
            fold: n numbers of folds, at least two different ones.
        """


@runtime_checkable
class LevelProxy(Protocol):
    """A proxy that learns from several levels, from cheap to true. As a plain `Proxy` it stands for the true one."""

    def level_noise(self) -> FloatArray:
        """Return the noise variance at each level, shape `(L,)`; infinite where a level was not learnt."""

    def fit_levels(self, objects: Sequence[Sequence[str]], values: Sequence[FloatArray], *, seed: int) -> None:
        """Train from nothing on the finite values of each level; the last needs at least 5, others may have none."""

    def joint_levels(self, objects: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return mean `(L, n)` and covariance `(L n, L n)` of all levels' functions, level by level, without noise."""


@runtime_checkable
class EmbeddingProxy(Protocol):
    """A proxy that has learnt coordinates, in which distances mean something for the target."""

    def embed(self, objects: Sequence[str], kind: Literal["last_layer", "gradient"] = "last_layer") -> FloatArray:
        """Return `(n, d)` coordinates, d at most 512, the same for an object in any company.

        Args:
            objects: n objects.
            kind: `last_layer` takes the activations before the output, `gradient` a random sketch of the output's
                derivatives by the weights: its inner products approximate the network's tangent kernel.
        """


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the functions may truly be at the measured objects, drawn together from the proxies' posteriors.

    Attributes:
        values: shape `(s, t, K)`, signed, nan where an objective was not measured.
        noise: of each objective, the standard deviation of the measurement noise inside its predictions.
    """

    values: FloatArray
    noise: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scoring:
    """What a score may know beside the predictions, with t measured objects and K objectives.

    All values are signed (`data.goals`): larger is better, whatever the goal.
    """

    objects: tuple[str, ...] = ()
    """The n predicted objects, in the order of the predictions."""
    seed: int = 0
    """The same for every object scored in a round."""
    measured: FloatArray = field(default_factory=lambda: np.zeros((0, 1)))
    """Signed measured values, shape `(t, K)`, nan where an objective was not measured."""
    limits: tuple[tuple[float, float], ...] = ()
    """Least and largest allowed signed value of each objective, infinite where there is none; empty: no limits."""
    improved: tuple[int, ...] = ()
    """Positions of the objectives to be improved; of the others only the limits count. Empty: all of them."""
    allowed: BoolArray | None = None
    """Which of the t measured objects keep to limits that `limits` no longer tells, shape `(t,)`; None: all."""
    predicted_best: float | None = None
    """What is believed to be the best of the main objective, where that is wanted: the best predicted mean over the
    measured objects, or what a selector believes to be measured."""
    noise: float = 0.0
    """Standard deviation of the measurement noise inside the main objective's prediction, in its unit."""
    drawn: Drawn | None = None
    """Draws at the measured objects, where they are wanted and the proxies can draw."""
    cost: FloatArray | None = None
    """Cost of measuring each object, shape `(n,)`, > 0."""
    space: BaseSpace[Any] | None = None
    """Of the objects; None: molecules."""
    informing: InformingProxy | None = None
    """What knows what an answer would tell, where that is wanted and a proxy knows."""

    @property
    def main(self) -> int:
        """Position of the first objective to be improved."""
        return self.improved[0] if self.improved else 0

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return any(np.isfinite(pair).any() for pair in self.limits)

    @property
    def feasible(self) -> BoolArray:
        """Which of the t measured objects keep to all limits, shape `(t,)`; what was not measured keeps to none."""
        feasible = np.ones(len(self.measured), dtype=bool) if self.allowed is None else self.allowed.copy()
        for values, (low, high) in zip(self.measured.T, self.limits, strict=False):
            if np.isfinite((low, high)).any():
                feasible &= (low <= values) & (values <= high)
        return feasible

    @property
    def best(self) -> float | None:
        """What is to be improved on: the predicted best, else the best measured value of the main objective.

        Only values that keep to all limits count. None before there is one.
        """
        if self.predicted_best is not None:
            return self.predicted_best
        main = self.measured[:, self.main][self.feasible]
        known = main[~np.isnan(main)]
        return float(known.max()) if len(known) else None


@runtime_checkable
class Acquisition(Protocol):
    """Score of predictions; larger is better.

    What else an acquisition says of itself, `models.acquisition.base.BaseAcquisition` declares with its defaults; one
    that does not derive from it may leave that out.
    """

    def score(self, predicted: tuple[Prediction, ...], about: Scoring) -> FloatArray:
        """Return `(n,)` scores; minus infinity forbids a candidate.

        Args:
            predicted: one prediction of the n objects per objective, signed. Those without a limit of their own to
                heed see the objectives that are to be improved only: `constrained` heeds limits for them.
            about: what else is known.

        Raises:
            ValueError: `about` lacks what this acquisition needs.
        """


Joint = Callable[[Sequence[int]], tuple[FloatArray, FloatArray]]
"""Signed mean `(k,)` and covariance `(k, k)` of one objective, without measurement noise, at k members of a pool."""

Rescore = Callable[[Sequence[int], tuple[Prediction, ...], FloatArray], FloatArray]
"""Scores `(k,)` that k members of a pool would have under other predictions, one per objective, with b more objects
believed to be measured: their signed values, shape `(b, K)`."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The m candidates that a batch is chosen from. Optional parts are empty where the selector does not ask for them.

    Predictions and values are signed (`data.goals`): larger is better, whatever the goal.

    Attributes:
        scores: shape `(m,)`, larger is better, neither NaN nor infinity; minus infinity forbids a candidate.
        predictions: of the m candidates, one per objective, each in its unit.
        about: what is known in the round: measured values, limits, and which objectives are to be improved.
        fingerprints: Morgan counts, shape `(m, d)`, non-negative integers.
        features: what distances are taken in where that is not the fingerprints, shape `(m, f)`, float64.
        train_features: the same of the t measured objects, shape `(t, f)`; their fingerprints `(t, d)` where distances
            are taken in fingerprints.
        joints: of each objective the posterior of the function at members given by index.
        rescore: scores of members under other predictions.
        log_scores: the scores are logarithms of a positive quantity.
        seed: of selectors that draw.
        objects: the m candidates.
    """

    scores: FloatArray
    predictions: tuple[Prediction, ...] = ()
    about: Scoring = field(default_factory=Scoring)
    fingerprints: Array | None = None
    features: FloatArray | None = None
    train_features: Array | None = None
    joints: tuple[Joint, ...] = ()
    rescore: Rescore | None = None
    log_scores: bool = False
    seed: int = 0
    objects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        m = len(self.scores)
        parts: dict[str, Any] = {"fingerprints": self.fingerprints, "features": self.features}
        parts |= {f"predictions of objective {k}": prediction for k, prediction in enumerate(self.predictions)}
        for name, part in parts.items():
            if part is not None and len(part) != m:
                raise ValueError(f"A pool has one of each per score; got {len(part)} {name} and {m} scores.")

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def prediction(self) -> Prediction | None:
        """Of the main objective, the first that is to be improved; None if there are no predictions."""
        return self.predictions[self.about.main] if self.predictions else None

    @property
    def joint(self) -> Joint | None:
        """The posterior of the main objective; None if there is none."""
        return self.joints[self.about.main] if self.joints else None

    @property
    def best(self) -> float | None:
        """What is to be improved on in the main objective: the best measured value that keeps to all limits, or the
        best predicted one where the score looks at that; None at first.
        """
        return self.about.best

    @property
    def improved(self) -> tuple[int, ...]:
        """Positions of the objectives to be improved among the predictions."""
        return self.about.improved or tuple(range(len(self.predictions)))


@runtime_checkable
class Selector(Protocol):
    """Choice of a batch."""

    def select(self, pool: Pool, n: int) -> list[int]:
        """Return at most n distinct indices into `pool.scores`, in the order of choice.

        Fewer only if the pool has fewer candidates that are not forbidden.
        """


@runtime_checkable
class Screen(Protocol):
    """Reasons to refuse an object before it is bought."""

    def refuse(self, objects: Sequence[str]) -> list[str | None]:
        """Return, per object, None if it passes or one sentence that says why it is refused."""


@dataclass(frozen=True, slots=True)
class Utilities:
    """How good objects are in each of the K objectives to improve, for generators of trade-offs between them."""

    of: LogReward
    """Logs of the utilities of n objects, shape `(n, K)`, finite: about 0 where an object is as good in an objective as
    the best measured one, below where it is worse; same object, same value (to 1e-6)."""
    known: FloatArray
    """The same of the known objects, shape `(len(known), K)`: from the measured values, not from the proxy."""
    power: float
    """That a utility which stands for all K is raised to, to be as sharp a reward as the campaign's own."""

    @property
    def objectives(self) -> int:
        """K."""
        return int(self.known.shape[1])


@dataclass(frozen=True, slots=True)
class GenerationContext:
    """What a generator may know: the space, what was measured, and where to keep its checkpoint."""

    space: BaseSpace[Any]
    log_reward: LogReward
    seed: int
    known: tuple[str, ...] = ()
    """Measured objects, best first."""
    asked: tuple[str, ...] = ()
    """Objects that were asked for and have no value: failed, or not answered yet."""
    known_log_reward: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Log-reward of `known`, shape `(len(known),)`: from the measured values, not from the proxy."""
    utilities: Utilities | None = None
    """Of each objective, where several are to be improved; None: there is one."""
    sources: tuple[str, ...] = ()
    """What proposed each of `known`, as `Candidate.source` says; empty: not known."""
    effort: float = 1.0
    """Share of its usual work, steps or offspring, that the generator is to do: above 1 is more."""
    library: tuple[str, ...] = ()
    """Members of the space from the data source, unmeasured ones included."""
    checkpoint: Path | None = None
    """File for resumable training state, written atomically; None: no checkpoint."""
    warm_start: Path | None = None
    """Final state of the same generator from the round before, None in the first round."""
    hints: tuple[str, ...] = ()
    """Objects that other generators met and that promise most, best first: to start from, not to propose as its own."""
    members: Mapping[str, Path] = field(default_factory=dict)
    """Files of the trained generators that `Composing.origins` names, by these names."""
    pretrained: Path | None = None
    """File of what `Pretraining.pretraining` returned; None: there was none in this campaign."""
    cache: Path | None = None
    """Folder of the workspace for what is costly to make and the same in every round; None: nothing is kept."""
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
class Sharing(Protocol):
    """A generator that tells others what it met."""

    def best(self, n: int) -> dict[str, float]:
        """Return up to n objects that the last `fit` met and that are not measured, with their log-rewards, best first.

        What came from others, as hints, is left out.
        """


@runtime_checkable
class Remembering(Protocol):
    """A generator that remembers of what others it made its objects."""

    def lineage(self, objects: Sequence[str]) -> dict[str, Origin]:
        """Return how each of n objects, and each of its ancestors, was made, as far as this generator made it.

        An object without an entry is one that the search started from. No object is its own ancestor. What `sample`
        made is known after `sample`; what `fit` made is in the `state`.
        """


@runtime_checkable
class Starting(Protocol):
    """A generator whose proposals descend from no others."""

    origin: str
    """How they came to be, one of `data.records.Making` or a word of its own."""


@runtime_checkable
class Building(Protocol):
    """A generator that can show how it builds an object from nothing."""

    def building(self, obj: str, space: BaseSpace[Any]) -> tuple[str, ...]:
        """Return the objects on one way to an object, smallest first, itself last; empty: it cannot be shown.

        Of several ways it is the same one each time. Steps on which there is no object of the space are left out.

        Raises:
            ValueError: what it builds with cannot be read, or the space is empty.
        """


@runtime_checkable
class Checked(Protocol):
    """A generator that can fail for want of a file or of members of the space: asked before anything is bought."""

    def check(self, space: BaseSpace[Any]) -> None:
        """Make what `fit` will need beside its context, and forget it.

        Raises:
            ValueError: it cannot be made; a complete sentence says what to change.
        """


@runtime_checkable
class FromLibraries(Protocol):
    """A generator that may propose members of files: what became of their rows is told before anything is bought."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """Names of the files; empty: it proposes none of a file."""

    def tallies(self, space: BaseSpace[Any], cache: Path | None, largest: int | None = None) -> list[Tally]:
        """Read the files and return what became of their rows.

        Args:
            space: that members must be in.
            cache: as in `GenerationContext`.
            largest: bytes of a file that is read; None: of any size.

        Raises:
            SourceError: a file cannot be read.
        """

    def left(self) -> tuple[int, int, int] | None:
        """Return, after `fit` or `load_state`, counts of the files' members; None: there is no file.

        Returns:
            How many there are, how many are not in the campaign yet, and how many are in it without a value.
        """


@runtime_checkable
class Composing(Protocol):
    """A generator that draws from what earlier campaigns trained: looked up before anything is bought."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Names of the campaigns, or of the files that their generators were kept in."""

    def check_member(self, member: Mapping[str, Any], space: BaseSpace[Any]) -> None:
        """Look whether what a campaign trained can be drawn from.

        Args:
            member: where it is from (`campaign`, `round`), how its `generator` is built, its `space`, its `state`.
            space: of the campaign that is to draw from it.

        Raises:
            ValueError: it cannot; a complete sentence says what to change.
        """


@runtime_checkable
class Pretraining(Protocol):
    """A generator that may train something once, without a reward, before the first round."""

    @property
    def pretrains(self) -> bool:
        """Whether it does."""

    @property
    def pretrained_from(self) -> str | None:
        """Name of the campaign whose pre-training it uses; None: it makes one, or finds an equal one."""

    def pretraining(
        self, space: BaseSpace[Any], *, cache: Path | None, checkpoint: Path | None, progress: Progress
    ) -> tuple[dict[str, Any], bool]:
        """Return what is to be kept, as `Generator.state`, with its `history`; and whether it had been made before.

        Args:
            space: of the campaign.
            cache: folder of the workspace where others find it; None: nothing is kept.
            checkpoint: file that a training goes on from after a kill; None: there is none.
            progress: called after every step.

        Raises:
            ValueError: it cannot be made; a complete sentence says what to change.
        """

    def check_pretrained(self, state: Mapping[str, Any], space: BaseSpace[Any], name: str) -> None:
        """Look whether what another campaign kept can be used.

        Args:
            state: what it kept.
            space: of the campaign that is to use it.
            name: of where it is from, to begin the message with.

        Raises:
            ValueError: it cannot; a complete sentence says what to change.
        """


@runtime_checkable
class TradingOff(Protocol):
    """A generator that may weigh objectives against each other: asked before anything is bought."""

    def check_objectives(self, k: int) -> None:
        """Look whether it can be used where k objectives are to be improved.

        Raises:
            ValueError: it cannot; a complete sentence says what to change.
        """


@runtime_checkable
class CheckedOracle(Protocol):
    """An oracle that can fail for want of a file: asked before anything is bought."""

    def check(self) -> None:
        """Look for what a measurement will need, at little cost.

        Raises:
            ValueError: it is missing; a complete sentence says what to change.
        """


@runtime_checkable
class Oracle(Protocol):
    """An expensive measurement.

    Class or instance attributes: `unit` (str), `version` (str, part of the identity of every measurement),
    `cost` (float, per call), `semantics` ("pure" | "idempotent" | "unsafe"), `timeout` (seconds per call),
    `chunk` (objects per call of `evaluate`, default 1). One with the attribute `answers` = "later" is not called:
    people bring its answers.
    """

    unit: str
    version: str
    cost: float
    semantics: str
    timeout: float
    chunk: int

    def evaluate(self, objects: Sequence[str], *, keys: Sequence[str]) -> Iterator[Measurement]:
        """Yield one Measurement per object, in order. One bad object never raises: its Measurement has an error.

        `keys` are stable idempotency keys, one per object, for oracles that can be asked again by key.
        """
