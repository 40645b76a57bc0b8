"""Samplers as what is tuned: options of the training, or any key of the file where weights are not passed on."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.config import ConfigError, nearest_spelling, validated
from data.sampler_config import SamplerConfig, parse_sampler
from models.gflownet.judging.study import Study, build_study
from models.gflownet.training.trainer import Fresh, TrainerOptions, TrainingError
from models.registry import build
from models.tuning.base import FAILED, first_line
from models.tuning.ranges import SearchSpace, Settings, search_space

ALIASES = {"lr": "learning_rate"}
LIVE = ("learning_rate", "log_z_learning_rate", "clip_norm", "epsilon", "temperature", "early_stop", "replay_share")
"""Options of the training that may change in its course."""
TENFOLD = 10.0


def option_key(key: str) -> str:
    """Return the key in a sampler file that is meant: options of the training need not be told as such.

    Raises:
        ConfigError: there is no such key.
    """
    first, dot, rest = key.partition(".")
    first = ALIASES.get(first, first)
    if first in TrainerOptions.model_fields:
        return f"training.{first}{dot}{rest}"
    if rest and first in SamplerConfig.model_fields:
        return key
    known = [*TrainerOptions.model_fields, *(f"{name}.OPTION" for name in ("objective", "policy", "environment"))]
    raise ConfigError(
        f"There is no option {key!r} to tune; expected one of the training, such as {', '.join(LIVE)}, or "
        f"`objective.OPTION`.{nearest_spelling(key, known)}"
    )


def with_settings(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sampler file with settings put into their places; the file is not changed."""
    changed: dict[str, Any] = deepcopy(dict(config))
    for key, value in settings.items():
        *path, last = key.split(".")
        node = changed
        for name in path:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        node[last] = value
    return changed


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sampler file with the defaults of its training, its objective and its policies filled in."""
    parsed = parse_sampler(config)
    full = parsed.to_json()
    options = validated(TrainerOptions, parsed.training, source="training", what="training")
    full["training"] = options.model_dump(mode="json")
    for group in ("objective", "backward_policy"):
        full[group] = build(group, full[group]).config()
    return full


def value_at(config: Mapping[str, Any], key: str) -> Any:
    """Return what a complete sampler file has at a key.

    Raises:
        ConfigError: it has nothing there, or something with keys of its own.
    """
    node: Any = config
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    if node is None or isinstance(node, Mapping):
        what = "nothing" if node is None else "several keys"
        raise ConfigError(f"{key} cannot be tuned: the file has {what} there; expected a value that can be changed.")
    return node


def usual_ranges(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is tuned unless it is told: rates a decade around the file's, exploration, and the replay's share."""
    full = complete(config)
    training = full["training"]
    rate, log_z = training["learning_rate"], training["log_z_learning_rate"]
    ranges: dict[str, Any] = {
        "training.learning_rate": [rate / TENFOLD, rate * TENFOLD],
        "training.log_z_learning_rate": [log_z / TENFOLD, log_z * TENFOLD],
    }
    scheduled = isinstance(training["epsilon"], Mapping)
    ranges["training.epsilon.start" if scheduled else "training.epsilon"] = [0.0, 0.5 if scheduled else 0.3]
    if not build("objective", full["objective"]).on_policy:
        ranges["training.replay_share"] = [0.0, 0.75]
    return ranges


@dataclass(frozen=True)
class SamplerSubject:
    """A sampler file as what is tuned.

    Attributes:
        config: the file, as a mapping.
        space: what may be chosen, by the keys of the file.
        units: steps of a training in full.
        home: folder of the workspace.
        base: folder of the file.
        study: what the file trains, built.
    """

    config: Mapping[str, Any]
    space: SearchSpace
    units: int
    home: Path
    base: Path
    study: Study

    @classmethod
    def of(
        cls, config: Mapping[str, Any], over: Mapping[str, Any] | None, *, units: int, home: Path, base: Path
    ) -> SamplerSubject:
        """Build what a file trains.

        Args:
            config: the file.
            over: key of an option -> `[low, high]` or values; None: as `usual_ranges`.
            units: steps of a training in full.
            home: folder of the workspace.
            base: folder of the file.

        Raises:
            ConfigError, ComponentError, ObtainError: the file, or what is to be tuned, cannot be used.
        """
        ranges = usual_ranges(config) if over is None else {option_key(key): value for key, value in over.items()}
        made = cls(
            config, search_space(ranges), units, home, base, build_study(parse_sampler(config), home=home, base=base)
        )
        for key in made.space.options:
            value_at(complete(config), key)
        return made

    @property
    def settings(self) -> Settings:
        """What the file itself says."""
        full = complete(self.config)
        return {key: value_at(full, key) for key in self.space.options}

    @property
    def fixed(self) -> list[str]:
        """Keys that cannot change in the course of a training."""
        live = {f"training.{name}" for name in LIVE}
        return [key for key in self.space.options if ".".join(key.split(".")[:2]) not in live]

    @property
    def measure(self) -> str:
        """What the score is, in words."""
        exact = self.study.graph is not None
        return "total variation" if exact else "correlation of log-probability and log-reward"

    @property
    def sign(self) -> float:
        """What a score is multiplied by to be read as the measure."""
        return -1.0 if self.study.graph is not None else 1.0

    def options(self, settings: Settings) -> TrainerOptions:
        """Return the options of a training in full with some settings.

        Raises:
            ConfigError: they are out of range.
        """
        training = {**with_settings(self.config, settings).get("training", {}), "steps": self.units, "patience": None}
        return validated(TrainerOptions, training, source="training", what="training")

    def member(self, settings: Settings, seed: int) -> SamplerMember:
        """Return a training before its first step."""
        study = self.study
        if self.fixed:
            study = build_study(parse_sampler(with_settings(self.config, settings)), home=self.home, base=self.base)
        return SamplerMember(self, replace(study, options=self.options(settings)), settings, seed)

    def company(self, settings: list[Settings], seeds: list[int]) -> list[SamplerMember]:
        """Return trainings with one replay.

        Raises:
            ConfigError: the objective must know the law that trajectories were drawn from, or there is conditioning.
        """
        if self.study.objective.on_policy or self.study.conditioning is not None:
            why = f"the objective {self.study.objective.kind!r} must know the law that trajectories were drawn from"
            if self.study.conditioning is not None:
                why = "the file has conditioning"
            raise ConfigError(
                f"Members cannot learn from each other's objects here: {why}. Use --method population, or "
                "trajectory_balance without conditioning."
            )
        members = [self.member(own, seed) for own, seed in zip(settings, seeds, strict=True)]
        for member in members:
            member.shares = True
            member.trainer.replay = members[0].trainer.replay
        return members


class SamplerMember:
    """One training of a sampler.

    Attributes:
        settings: with which.
        failure: why it could not be trained; None: it could.
        drawn: trajectories that it has drawn, of each of which the reward was asked.
        shares: whether it has one replay with others.
    """

    def __init__(self, subject: SamplerSubject, study: Study, settings: Settings, seed: int) -> None:
        self.subject, self.settings = subject, settings
        self.session = study.start(seed)
        self.trainer = self.session.trainer
        self.failure: str | None = None
        self.shares, self.drawn = False, 0

    @property
    def failed(self) -> bool:
        """Whether it could not be trained."""
        return self.failure is not None

    @property
    def done(self) -> int:
        """Steps so far."""
        return self.trainer.done

    def train(self, units: int) -> None:
        """Take so many steps."""
        for _ in range(units):
            if self.failed:
                return
            options = self.trainer.options
            self.drawn += options.batch_size - int(options.batch_size * options.replay_share) * bool(
                len(self.trainer.replay)
            )
            try:
                self.trainer.step()
            except TrainingError as error:
                self.failure = first_line(error)

    def draw(self, population: int) -> Fresh[Any] | None:
        """Return trajectories of this member, with their rewards; None if it failed."""
        if self.failed:
            return None
        options = self.trainer.options
        n = max(1, (options.batch_size - int(options.batch_size * options.replay_share)) // population)
        self.drawn += n
        try:
            return self.trainer.draw(n)
        except TrainingError as error:
            self.failure = first_line(error)
            return None

    def learn(self, drawn: list[Fresh[Any]]) -> None:
        """Take a step on what all members drew; the replay fills up the batch."""
        if self.failed or not drawn:
            return
        replayed = max(0, self.trainer.options.batch_size - sum(len(one.paths) for one in drawn))
        try:
            self.trainer.learn(drawn, replayed)
        except TrainingError as error:
            self.failure = first_line(error)

    def score(self) -> float:
        """Return minus the exact total variation, or the held-out correlation; the mean over conditions."""
        if self.failed:
            return FAILED
        name = "tv" if self.subject.study.graph is not None else "spearman"
        figures = [value for key, value in self.figures().items() if key.split("/")[0] == name]
        return self.subject.sign * sum(figures) / len(figures) if figures else FAILED

    def figures(self) -> dict[str, float]:
        """Return all that is judged."""
        try:
            return dict(self.session.evaluator())
        except TrainingError as error:
            self.failure = first_line(error)
            return {}

    def alter(self, settings: Settings) -> None:
        """Go on with other settings."""
        self.settings = settings
        self.trainer.options = self.subject.options(settings)

    def weights(self) -> dict[str, Any]:
        """Return a copy of weights, optimiser and, unless it is shared, replay."""
        state = self.trainer.state()
        left_out = {"generator", "history", *(("replay",) if self.shares else ())}
        kept = deepcopy({name: value for name, value in state.items() if name not in left_out})
        return {**kept, "history": list(state["history"]), "failure": self.failure}

    def adopt(self, weights: Mapping[str, Any]) -> None:
        """Go on from the weights of another one."""
        self.failure = weights["failure"]
        self.trainer.adopt(weights)

    def disturb(self, deviation: float) -> None:
        """Move the weights at random."""
        self.trainer.disturb(deviation)
