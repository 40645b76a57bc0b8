"""From a sampler file to a training that can be judged: environment, tables, policy, reward, objective, evaluation."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from data.config import ConfigError, derive_seed, digest, validated
from data.sampler_config import EvaluationConfig, SamplerConfig
from data.tables.obtain import ObtainError
from models.gflownet.conditioning.base import Conditioning
from models.gflownet.construction.base import Bound
from models.gflownet.environments.base import Environment
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.judging import metrics
from models.gflownet.judging.evaluation import (
    Case,
    ExactEvaluator,
    HeldOut,
    Law,
    SampledEvaluator,
    Seen,
    cases_of,
    overlap_distance,
)
from models.gflownet.judging.exact import StateGraph, TooManyStates, enumerate_graph
from models.gflownet.judging.subject import SpaceReward, subject_of
from models.gflownet.objectives.base import Objective
from models.gflownet.policies.backward import BackwardPolicy
from models.gflownet.policies.recipes import PolicyRecipe
from models.gflownet.rewards.base import Judged, ObjectReward, RememberedReward
from models.gflownet.rewards.recipes import RewardRecipe
from models.gflownet.training.trainer import Trainer, TrainerOptions, TrainingError
from models.registry import ComponentError, build, located
from models.threads import single_thread

CODE_VERSION = 1
"""Raised when a training's meaning changes, so that results of old code are not taken for new ones."""

TABLE_CELLS = 20_000_000
"""Most states times actions of an environment that is trained on as a table."""


@dataclass(frozen=True)
class Session:
    """One training, of one seed.

    Attributes:
        trainer: evaluates itself by `evaluator`.
        evaluator: gives the figures.
        seen: what the reward was asked for; None where that is not counted.
    """

    trainer: Trainer[Any]
    evaluator: ExactEvaluator | SampledEvaluator
    seen: Seen | None

    def laws(self) -> list[Law]:
        """Return the exact law of the policy under each condition; nothing where the space is not enumerated."""
        return self.evaluator.laws() if isinstance(self.evaluator, ExactEvaluator) else []

    def state(self) -> dict[str, Any]:
        """Return the weights of the policy, of log Z, and of whatever else has a network of its own."""
        trainer = self.trainer
        own = trainer.backward.network == "own"
        return {
            "policy": trainer.policy.state_dict(),
            "partition": trainer.partition.state_dict(),
            "backward": trainer.assessor.backward_network.state_dict() if own else None,
            **({} if trainer.decomposition is None else {"potentials": trainer.decomposition.network.state_dict()}),
        }


@dataclass(frozen=True)
class Study:
    """Everything that a sampler file names, built; a training is started for each seed.

    Attributes:
        evaluation: how a policy is judged.
        env: the environment that is trained on: a table of it, where it was enumerated and the policy reads tables.
        graph: all states of `env`, or None if it was not enumerated.
        reward: of its terminal states.
        recipe, objective, backward, conditioning, options: what is trained, and how.
        cases: conditions under which the policy is judged.
        details: everything that decides the training and its figures, defaults included, but for the seed.
    """

    evaluation: EvaluationConfig
    env: Environment[Any]
    graph: StateGraph[Any] | None
    reward: Callable[[Any], Judged]
    recipe: PolicyRecipe
    objective: Objective
    backward: BackwardPolicy
    conditioning: Conditioning | None
    options: TrainerOptions
    cases: list[Case]
    details: dict[str, Any]
    distance: metrics.Distance | None = None
    """Of the objects of a space; None: that of the environment."""

    @property
    def identity(self) -> str:
        """The sha256 of `details`."""
        return digest([CODE_VERSION, self.details])

    @property
    def base(self) -> Environment[Any]:
        """The environment itself, not a table of it."""
        return self.env.base if isinstance(self.env, Tabulated) else self.env

    def fingerprint(self, seed: int) -> str:
        """Return what names the training of a seed."""
        return digest([self.identity, seed])

    def judged_by(self) -> str:
        """Return in words how a policy is judged."""
        if self.base.continuous:
            exact = "estimated" if self.base.continuous_backward else "exact"
            return f"from samples and {exact} densities: the space has real variables"
        if self.graph is None:
            return (
                f"from samples: the space has more than {self.evaluation.max_states:,} states"
                if self.evaluation.max_states
                else "from samples"
            )
        return f"exactly, over {len(set(self.graph.objects)):,} objects ({len(self.graph.states):,} states)"

    def start(self, seed: int) -> Session:
        """Return the training of a seed, before its first step.

        Raises:
            ConfigError: parts do not go together, or the space cannot be judged.
        """
        counted = self.graph is None or self.evaluation.mode_reward is not None
        seen = self._seen() if counted else None
        with refusing(), single_thread():
            trainer = self._trainer(seed, self.options, self.reward if seen is None else seen)
            evaluator = self._evaluator(trainer, seen)
        trainer.evaluate = evaluator
        return Session(trainer, evaluator, seen)

    def try_out(self) -> None:
        """Take two small steps of a training that is thrown away, so that what cannot be trained is refused at once.

        Raises:
            ConfigError: parts do not go together; the message says which.
        """
        small = self.options.model_copy(update={"steps": 2, "batch_size": min(8, self.options.batch_size)})
        with refusing(), single_thread():
            trainer = self._trainer(0, small, self.reward)
            for _ in range(2):
                trainer.step()

    def _trainer(self, seed: int, options: TrainerOptions, reward: Callable[[Any], Judged]) -> Trainer[Any]:
        generator = torch.Generator().manual_seed(derive_seed(seed, "sampler"))
        width = 0 if self.conditioning is None else self.conditioning.width
        policy = self.recipe.build(self.env, generator, width)
        own = self.backward.network == "own"
        return Trainer(
            self.env,
            policy,
            reward,
            objective=self.objective,
            backward=self.backward,
            options=options,
            generator=generator,
            backward_network=self.recipe.build(self.env, generator, width) if own else None,
            conditioning=self.conditioning,
        )

    def _seen(self) -> Seen:
        how = self.evaluation
        own = self.distance if how.distance == "auto" and self.distance is not None else None
        distance = own or _distance(how.distance, self.base)
        return Seen(self.reward, top_k=how.top_k, distance=distance, cutoff=how.mode_distance)

    def _evaluator(self, trainer: Trainer[Any], seen: Seen | None) -> ExactEvaluator | SampledEvaluator:
        how = self.evaluation
        if self.graph is not None:
            if seen is not None:
                seen.begin(math.log(how.mode_reward or 1.0))
            judged = self.reward(self.graph.states[self.graph.terminal])
            return ExactEvaluator(self.graph, judged, trainer, self.cases, seen)
        assert seen is not None
        held_out = HeldOut.draw(trainer, self.reward, how.held_out)
        seen.begin(held_out.best if how.mode_reward is None else math.log(how.mode_reward))
        return SampledEvaluator(
            trainer,
            self.reward,
            self.cases,
            seen,
            held_out=held_out,
            draws=how.draws,
            samples=how.samples,
            seed=derive_seed(0, "evaluation"),
        )


def build_study(config: SamplerConfig, *, home: Path, base: Path) -> Study:
    """Build everything that a sampler file names.

    Args:
        config: the file.
        home: folder of the workspace, which has the public tables.
        base: folder of the file, where its relative paths and modules start.

    Raises:
        ConfigError: parts do not go together.
        ComponentError: a component or an option is unknown.
        ObtainError: a public table is not in the workspace.
    """
    with refusing():
        reward: RewardRecipe = build("reward", config.reward)
        subject = subject_of(config, base)
        if subject is None:
            spec = located("environment", config.environment or {}, base)
            own: Environment[Any] = build("environment", spec)
            if (number := len(getattr(own, "graphs", ()))) > 1:
                raise ConfigError(
                    f"The environment has {number} graphs, and a law of solutions is of one graph. Add "
                    "`graphs: {test: ...}` for one network that serves all, or name one file as `graph`."
                )
            recipe: PolicyRecipe = build("policy", config.policy or {"kind": "mlp"})
            trained_on = {"environment": {**own.config(), **_contents(spec)}, "policy": recipe.config()}
        else:
            own, recipe, trained_on = subject.own, subject.recipe, subject.details
            reward = reward.of(subject.bound)
        conditioning = None if config.conditioning is None else build("conditioning", config.conditioning).of(own)
        objective, backward = build("objective", config.objective), build("backward_policy", config.backward_policy)
        options = validated(TrainerOptions, config.training, source="training", what="training")
        _check_conditioning(conditioning, recipe, objective)
        # What does not fit is refused before anything is enumerated, and by the name of the environment.
        if reason := objective.refusal(own):
            raise ConfigError(reason)
        recipe.build(own, torch.Generator(), 0 if conditioning is None else conditioning.width)
        rewarded = conditioning is None or not conditioning.of_objects
        if not rewarded and config.reward != SamplerConfig.model_fields["reward"].default:
            raise ConfigError(
                f"The conditioning {config.conditioning} is trained without a reward, and the file has `reward`. Leave "
                "one of them out."
            )
        if subject is None and rewarded:
            reward.build(own, home=home, base=base)
        details = {
            **trained_on,
            "reward": {**reward.config(), "version": reward.version(base)},
            "objective": objective.config(),
            "backward_policy": backward.config(),
            "conditioning": None if conditioning is None else conditioning.config(),
            "training": options.model_dump(mode="json"),
            "evaluation": config.evaluation.model_dump(mode="json"),
        }
        if subject is None:
            env, graph = _space(own, details["environment"], recipe, config.evaluation.max_states)
        else:
            env, graph = subject.bound.env, subject.graph
        asked = None if conditioning is None else conditioning.values(env)
        asked = asked or reward.build(env, home=home, base=base)
        if subject is not None and not isinstance(asked, ObjectReward):
            asked = SpaceReward(asked, subject.bound)
        return Study(
            evaluation=config.evaluation,
            env=env,
            graph=graph,
            reward=RememberedReward(env, asked) if isinstance(env, Tabulated) else asked,
            recipe=recipe,
            objective=objective,
            backward=backward,
            conditioning=conditioning,
            options=options,
            cases=cases_of(conditioning, config.evaluation.condition_rows()),
            details=details,
            distance=None if subject is None else _unlikeness(subject.bound),
        )


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what parts say against each other inside a block into a `ConfigError`."""
    try:
        yield
    except (ConfigError, ComponentError, ObtainError):
        raise
    except (ValueError, TypeError, TrainingError) as error:
        raise ConfigError(f"The sampler cannot be trained: {error}") from error


def _check_conditioning(conditioning: Conditioning | None, recipe: PolicyRecipe, objective: Objective) -> None:
    if conditioning is None:
        return
    if not conditioning.of_files:
        raise ConfigError(
            f"The conditioning {conditioning.kind!r} is for generators of campaigns, and a sampler file cannot judge "
            "what it trains. Use {kind: outcome}, which lists the objects."
        )
    try:
        conditioning.log_reward(torch.zeros(1), conditioning.draw(1, torch.Generator().manual_seed(0)))
    except ValueError as error:
        raise ConfigError(
            f"The conditioning {conditioning.kind!r} needs several objectives, and a sampler file has one reward. Use "
            "the conditioning 'inverse_temperature'."
        ) from error
    if getattr(recipe.options, "scale_logits", False) and objective.learns_flow:
        raise ConfigError(
            f"The objective {objective.kind!r} learns flows of states, which do not see the condition under "
            "`scale_logits`. Use trajectory_balance or log_partition_variance, or leave `scale_logits` out."
        )


def _space(
    own: Environment[Any], config: dict[str, Any], recipe: PolicyRecipe, limit: int
) -> tuple[Environment[Any], StateGraph[Any] | None]:
    """Return what is trained on, and all its states if there are not too many."""
    found = _enumerated(json.dumps(config, sort_keys=True), limit) if limit else None
    if found is None:
        return own, None
    if not recipe.reads_tables or len(found.graph.states) * own.n_actions > TABLE_CELLS:
        return found.env, found.graph
    table = found.table()
    return table, table.indexed()


@dataclass
class _Enumerated:
    """An environment with all its states; tabulated on demand, once."""

    env: Environment[Any]
    graph: StateGraph[Any]
    _table: Tabulated | None = None

    def table(self) -> Tabulated:
        if self._table is None:
            self._table = Tabulated(self.env, self.graph)
        return self._table


@lru_cache(maxsize=2)
def _enumerated(config: str, limit: int) -> _Enumerated | None:
    """Return all states of an environment, None if there are too many; once for all seeds of a process."""
    env = build("environment", {key: value for key, value in json.loads(config).items() if key != "contents"})
    try:
        return _Enumerated(env, enumerate_graph(env, limit=limit))
    except TooManyStates:
        return None


def _unlikeness(bound: Bound[Any]) -> metrics.Distance:
    return lambda a, b: 1.0 - bound.space.nearness(a, b)


def _distance(name: str, env: Environment[Any]) -> metrics.Distance:
    chosen = env.distance if name == "auto" else name
    if chosen == "angular":
        return metrics.angular_distance
    if name == "auto" and env.continuous:
        return metrics.euclidean_distance
    if chosen == "tanimoto":
        return metrics.tanimoto_distance
    if chosen == "overlap":
        return overlap_distance
    return metrics.hamming_distance if name == "hamming" else _hamming_or_overlap


def _hamming_or_overlap(a: Any, b: Any) -> Any:
    same = len({len(item) for item in (*a, *b)}) == 1
    return metrics.hamming_distance(a, b) if same else overlap_distance(a, b)


def _contents(spec: dict[str, Any]) -> dict[str, str]:
    """Return the sha256 of the files that are read: another content is another environment."""
    keys = ("vocabulary", "data", "graph", "nodes")
    named = [Path(spec[key]).read_bytes() for key in keys if isinstance(spec.get(key), str | Path)]
    return {"contents": hashlib.sha256(b"".join(named)).hexdigest()} if named else {}
