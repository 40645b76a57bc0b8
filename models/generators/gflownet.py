"""A GFlowNet over the objects of a space: proposes them in proportion to their reward."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator

from data.config import Spec
from data.records import Candidate, Making
from models.generators.gflownet_conditions import case_of, conditioning_of, conditions_of, require_objectives
from models.generators.gflownet_files import Report, beside, load_networks, usable
from models.generators.gflownet_rewards import reward_of, threshold
from models.gflownet.conditioning.objectives import OfObjectives
from models.gflownet.construction.base import Bound, Member, construction_of
from models.gflownet.construction.drawing import candidates, draw_evenly, draw_objects, log_probabilities
from models.gflownet.construction.plain import tabulated
from models.gflownet.construction.way import way_to
from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.judging.evaluation import ExactEvaluator, HeldOut, SampledEvaluator, Seen
from models.gflownet.judging.exact import StateGraph
from models.gflownet.judging.trade_offs import SeenTradeOffs
from models.gflownet.objectives.base import Objective
from models.gflownet.policies.backward import BackwardPolicy
from models.gflownet.policies.base import Policy
from models.gflownet.rewards.base import ObjectReward, RememberedReward
from models.gflownet.rewards.objectives import ObjectivesReward
from models.gflownet.training.prior import prior_weights
from models.gflownet.training.trainer import Trainer, TrainerOptions, TrainingError
from models.gflownet.training.warm_up import imitate
from models.protocols import GenerationContext, Utilities
from models.registry import Component, ComponentError, FolderPath, build, find, located
from models.spaces.base import BaseSpace
from models.threads import single_thread

logger = logging.getLogger(__name__)

_MODE_DISTANCE = 0.3
"""Distance (one minus the nearness of the space) beyond which two objects are different modes."""
_AMONG = 500
"""Most objects among which modes are looked for."""
_TOP = 20
"""Objects whose mean log-reward and diversity are told."""
_DRAWS = 2
"""Backward trajectories per held-out object."""
_TRIAL_BATCH = 8
_SHARED = 1000
"""Best objects of a training among which others find hints."""


@dataclass(frozen=True)
class Parts:
    """What is trained, and what it is trained on."""

    bound: Bound[Any]
    graph: StateGraph[Any] | None
    """All states, where there are few enough."""
    trainer: Trainer[Any]
    reward: ObjectReward | ObjectivesReward
    seen: Seen
    known: list[Member]
    random: dict[str, Any]
    """Random members of the space: text -> one terminal state."""

    def remember(self, members: list[Member]) -> None:
        """Put objects into the replay, with their rewards."""
        terminal = self.bound.states(members, self.trainer.generator)
        values, names = self.reward(terminal)
        inside = torch.tensor([name is not None for name in names])
        self.trainer.replay.add(terminal[inside], values[inside], [name for name in names if name is not None])


_FORMER = "Former place of the option `{}` of the construction ({})."
_FORMER_NAMES = ("vocabulary", "max_fragments", "max_rings", "dim", "layers", "heads", "prior")


class GFlowNetGenerator(Component["GFlowNetGenerator.Options"]):
    """GFlowNet that builds the objects of the space, trained on the log-reward, by trajectory balance first.

    How objects are built is the `construction`: the space's own (fragments of molecules, letters of sequences ...) or
    another. A space of up to `max_states` states is trained on as a table of itself and judged exactly: the history
    then has the total variation between the policy and the reward of the round.

    With the objective `relative_trajectory_balance` the target is a prior times the reward: the prior is the policy
    after `prior_steps` of imitating the library, made once in a workspace; log Z is then of the size of the log-reward.

    With the conditioning `inverse_temperature` one policy is trained for R^beta of a range of beta; candidates are
    drawn at `sample_beta`, and so is what evaluations report. In the history `log_reward` is then beta log R.

    Where several objectives are to be improved, the conditioning `preference` or `focus_region` makes one policy for
    all trade-offs between them, trained on `GenerationContext.utilities`. Candidates are drawn over an even grid of
    trade-offs; evaluations report the one that wants as much of all, and what is best is so by the log-reward.
    """

    group: ClassVar[str] = "generator"
    kind: ClassVar[str] = "gflownet"
    origin: ClassVar[str] = str(Making.BUILT)
    cites: ClassVar[tuple[str, ...]] = ("bengio2021flow", "malkin2022tb")

    class Options(TrainerOptions):
        """Options of the GFlowNet."""

        construction: Spec | None = Field(
            None, description="{kind, option...}: how objects are built; null: the space's."
        )
        max_states: int = Field(
            0,
            ge=0,
            description="Spaces of up to so many states are enumerated: the reward is asked for every object, and the "
            "policy is judged exactly. 0: none is.",
        )
        environment: str | None = Field(None, description=_FORMER.format("kind", "fragments or atoms"))
        vocabulary: FolderPath | None = Field(None, description=_FORMER.format("vocabulary", "fragments"))
        max_fragments: int | None = Field(None, ge=1, le=64, description=_FORMER.format("max_fragments", "fragments"))
        max_rings: int | None = Field(None, ge=0, description=_FORMER.format("max_rings", "atoms"))
        dim: int | None = Field(None, ge=8, description=_FORMER.format("dim", "both"))
        layers: int | None = Field(None, ge=1, description=_FORMER.format("layers", "both"))
        heads: int | None = Field(None, ge=1, description=_FORMER.format("heads", "fragments"))
        prior: float | None = Field(None, ge=0, description=_FORMER.format("prior", "fragments"))
        objective: dict[str, Any] = Field(default_factory=lambda: {"kind": "trajectory_balance"})
        backward: dict[str, Any] = Field(default_factory=lambda: {"kind": "uniform"})
        conditioning: dict[str, Any] | None = Field(
            None,
            description="{kind: inverse_temperature, ...}: one policy for a range of beta; {kind: preference, ...} or "
            "{kind: focus_region, ...}: one for all trade-offs between several objectives; null: none.",
        )
        sample_beta: float | None = Field(
            None, gt=0, description="Beta at which candidates are drawn, where it has a law; null: the highest."
        )
        library_molecules: int = Field(
            500, ge=0, description="Library members to imitate and to start the replay; any objects."
        )
        warm_up_steps: int = Field(30, ge=0, description="Maximum-likelihood steps on the library, in the first round.")
        prior_steps: int = Field(
            300,
            ge=0,
            description="Maximum-likelihood steps on the library that make the prior of the objective "
            "relative_trajectory_balance; once in a workspace.",
        )
        prior_molecules: int = Field(5000, ge=0, description="Library members that such a prior imitates; any objects.")
        held_out_molecules: int = Field(
            64, ge=0, description="Objects, not learnt from, on which probabilities are compared with rewards."
        )

        @field_validator("construction")
        @classmethod
        def _located(cls, construction: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
            base = (info.context or {}).get("base")
            if construction is None or base is None:
                return construction
            try:
                return located("construction", construction, base)
            except ComponentError as error:
                raise ValueError(str(error)) from error

    def __init__(self, options: GFlowNetGenerator.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._trainer: Trainer[Any] | None = None
        self._bound: Bound[Any] | None = None
        self._best: dict[str, float] = {}

    def check(self, space: BaseSpace[Any]) -> None:
        """Make what `fit` needs beside its context, and take one small step of training.

        Raises:
            ComponentError: the objective, the backward policy or the conditioning is unknown.
            VocabularyError: the vocabulary cannot be read.
            ValueError: the space is empty, or the parts do not go together; the message says which and what to use.
        """
        options = self.options.model_copy(update={"batch_size": min(self.options.batch_size, _TRIAL_BATCH)})
        context = GenerationContext(
            space, lambda objects: np.zeros(len(objects)), seed=0, utilities=self._trial_utilities()
        )
        with single_thread():
            trainer = self._assemble(context, options).trainer
            try:
                trainer.step()
            except (NotProvided, TrainingError) as error:
                raise ValueError(f"The GFlowNet cannot be trained with these options. {error}") from error

    def usual_parts(self, space: BaseSpace[Any]) -> dict[str, Component[Any]]:
        """Return by option the parts that the options leave to the space, or name in a former place.

        Raises:
            ComponentError: there is none, or it is for other objects.
            ValueError: how objects are built is told in two places.
        """
        return {"construction": construction_of(self._construction(), space)}

    def fit(self, context: GenerationContext) -> None:
        """Train on the log-reward; goes on from `context.checkpoint`, starts from `context.warm_start`.

        Raises:
            TrainingError: a reward, probability, loss or gradient is not finite.
            ValueError: the space is empty, parts do not go together, or a file belongs to another training.
        """
        steps = max(1, round(self.options.steps * context.effort))
        with single_thread():
            parts = self._assemble(context, self.options.model_copy(update={"steps": steps}))
            trainer, checkpoint = parts.trainer, context.checkpoint
            order = np.random.default_rng(context.seed).permutation(len(context.library)).tolist()
            shuffled = [context.library[place] for place in order]
            library = parts.bound.members(shuffled[: self.options.library_molecules])
            fingerprint = self._fingerprint(context, parts.bound)
            if checkpoint is not None and usable(checkpoint, fingerprint):
                trainer.restore(checkpoint, fingerprint)
                parts.reward.remember(parts.seen.restore(beside(checkpoint), trainer.done))
            else:
                self._prepare(context, parts, library)
            trainer.evaluate = self._evaluation(context, parts, library, shuffled[self.options.library_molecules :])
            report = Report(context, trainer, parts.seen)
            trainer.train(checkpoint=checkpoint, fingerprint=fingerprint, report=report)
        self._trainer, self._bound = trainer, parts.bound
        given = {*context.hints, *context.library}
        self._best = {str(obj): value for obj, value in parts.seen.best(_SHARED).items() if obj not in given}

    def _trial_utilities(self) -> Utilities | None:
        """Return utilities that are all alike, of as many objectives as the conditioning takes."""
        spec = self.options.conditioning
        conditioning = None if spec is None else build("conditioning", spec)
        if not isinstance(conditioning, OfObjectives):
            return None
        k = conditioning.objectives
        return Utilities(lambda objects: np.zeros((len(objects), k)), np.zeros((0, k)), 1.0)

    def _construction(self) -> dict[str, Any] | None:
        """Return `{kind, option...}` of the construction, None for the space's own.

        Raises:
            ValueError: it is told in two places, or an option is not one of it.
        """
        options = self.options
        former = {name: getattr(options, name) for name in _FORMER_NAMES if getattr(options, name) is not None}
        if options.environment is None and not former:
            return options.construction
        if options.construction is not None:
            told = ", ".join(["environment"] * (options.environment is not None) + list(former))
            raise ValueError(
                f"How objects are built is told twice: by `construction` and by the generator's own {told}. Move these "
                "into `construction`."
            )
        kind = options.environment or "fragments"
        known = find("construction", kind).Options.model_fields
        if "vocabulary" in former and "vocabulary" not in known:
            raise ValueError(
                f"The construction {kind!r} has no fragments and cannot use the vocabulary {former['vocabulary']}. "
                "Leave `vocabulary` out, or use the construction 'fragments'."
            )
        return {"kind": kind, **{name: value for name, value in former.items() if name in known}}

    def _assemble(self, context: GenerationContext, options: GFlowNetGenerator.Options, *, asked: bool = True) -> Parts:
        """Return the parts; the reward of a table is asked for every object at once, unless it will not be asked."""
        construction = construction_of(self._construction(), context.space)
        bound, graph = tabulated(construction.bind(context.space), options.max_states)
        conditioning = conditioning_of(self.options.conditioning, self.options.sample_beta, context.utilities)
        trade_offs = isinstance(conditioning, OfObjectives)
        generator = torch.Generator().manual_seed(context.seed)

        def network() -> Policy[Any]:
            return bound.policy(conditions=0 if conditioning is None else conditioning.width, generator=generator)

        objective: Objective = build("objective", options.objective)
        backward: BackwardPolicy = build("backward_policy", options.backward)
        policy = network()
        known = bound.members(context.known)
        reward, random = reward_of(context, bound, known, trade_offs=trade_offs)
        if objective.forward_looking and conditioning is not None and trade_offs:
            raise ValueError(
                f"The objective {objective.kind!r} needs a reward of what is unfinished, and under the conditioning "
                f"{conditioning.kind!r} there is none. Use {objective.kind.removeprefix('forward_looking_')!r}."
            )
        partial = None
        if not trade_offs:
            partial = bound.partial(lambda objects: reward.evaluate(objects).clip(min=reward.floor))
        if objective.forward_looking and partial is None:
            raise ValueError(
                f"The objective {objective.kind!r} needs a reward of unfinished {bound.space.nouns[1]}, which "
                f"the construction {construction.kind!r} does not have here: not all of them are objects. Use "
                f"{objective.kind.removeprefix('forward_looking_')!r}."
            )
        answering = RememberedReward(bound.env, reward) if asked and isinstance(bound.env, Tabulated) else reward
        how: dict[str, Any] = {
            "top_k": _TOP,
            "distance": lambda a, b: 1.0 - bound.space.nearness(a, b),
            "cutoff": _MODE_DISTANCE,
            "most": _AMONG,
            "passed_over": reward.known,
        }
        seen = (
            SeenTradeOffs(answering, reward, **how) if isinstance(reward, ObjectivesReward) else Seen(answering, **how)
        )
        trainer = Trainer(
            bound.env,
            policy,
            seen,
            objective=objective,
            backward=backward,
            options=options,
            generator=generator,
            backward_network=network() if backward.network == "own" else None,
            partial=partial,
            conditioning=conditioning,
        )
        return Parts(bound, graph, trainer, reward, seen, known, random)

    def check_objectives(self, k: int) -> None:
        """Look whether the conditioning goes with k objectives to improve.

        Raises:
            ValueError: it does not; the message says what to change.
        """
        spec = self.options.conditioning
        require_objectives(None if spec is None else build("conditioning", spec), k)

    def _prepare(self, context: GenerationContext, parts: Parts, library: list[Member]) -> None:
        """Start the policy from the round before or from the library, and the replay from known and hinted objects."""
        bound, trainer = parts.bound, parts.trainer
        if trainer.prior is not None:
            trainer.policy.load_state_dict(self._prior(context, parts))
            trainer.keep_as_prior()
        if context.warm_start is not None:
            state = torch.load(context.warm_start, weights_only=True)
            load_networks(state, trainer, bound, str(context.warm_start))
        elif trainer.prior is None and library and self.options.warm_up_steps:
            imitate(trainer, bound, library, self.options.warm_up_steps, trainer.generator)
        hinted = bound.members(context.hints)
        seeds = {member.object: member for member in [*parts.known, *hinted, *library]}
        if seeds:
            parts.remember(list(seeds.values()))

    def _prior(self, context: GenerationContext, parts: Parts) -> dict[str, torch.Tensor]:
        """Return the weights of the prior: those of all campaigns with this library, whatever their seed."""
        order = np.random.default_rng(0).permutation(len(context.library)).tolist()
        ordered = sorted(context.library)
        members = parts.bound.members(ordered[place] for place in order[: self.options.prior_molecules])
        return prior_weights(parts.trainer, parts.bound, members, self.options.prior_steps, context.cache)

    def _evaluation(
        self, context: GenerationContext, parts: Parts, library: list[Member], rest: list[str]
    ) -> ExactEvaluator | SampledEvaluator:
        """Return the exact evaluation, or one on objects not learnt from: of the library's rest, then random ones."""
        trainer, reward = parts.trainer, parts.reward
        cases = [case_of(trainer.conditioning, self.options.sample_beta)]
        if parts.graph is not None:
            judged = parts.seen.reward(parts.graph.states[parts.graph.terminal])
            parts.seen.expect(threshold(reward, judged[1], judged[0].tolist()))
            return ExactEvaluator(parts.graph, judged, trainer, cases, parts.seen)
        learnt = {member.object for member in [*parts.known, *library]}
        wanted, chosen = self.options.held_out_molecules, dict[str, Member]()
        for obj in rest:
            if len(chosen) == wanted:
                break
            chosen.update({m.object: m for m in parts.bound.members([obj]) if m.object not in learnt})
        states = parts.bound.states(list(chosen.values()), torch.Generator().manual_seed(context.seed))
        spare = {obj: state for obj, state in parts.random.items() if obj not in {*learnt, *chosen}}
        more = list(spare.items())[: wanted - len(chosen)]
        states = type(states).cat([states, *(state for _, state in more)])
        names = [*chosen, *(obj for obj, _ in more)]
        values = reward.evaluate(names).clip(min=reward.floor)
        parts.seen.expect(threshold(reward, names, values.tolist()))
        held_out = HeldOut(states, torch.from_numpy(values), float(values.max(initial=-np.inf)))
        return SampledEvaluator(
            trainer,
            parts.seen.reward,
            cases,
            parts.seen,
            held_out=held_out if len(states) > 1 else None,
            draws=_DRAWS,
            samples=0,
            seed=context.seed,
        )

    def _fingerprint(self, context: GenerationContext, bound: Bound[Any]) -> str:
        """Name the training: options, space, seed and building blocks."""
        text = json.dumps([self.config(), context.space.config(), context.seed, bound.digest()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def trained(self) -> tuple[Trainer[Any], Bound[Any]]:
        """Return the trainer with the trained policy, and the construction.

        Raises:
            RuntimeError: it is not trained yet.
        """
        if self._trainer is None or self._bound is None:
            raise RuntimeError("The GFlowNet is not trained yet; call `fit` or `load_state` first.")
        return self._trainer, self._bound

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct candidates with estimates of their log-probability, deterministic under `seed`.

        Under a conditioning on trade-offs as many are drawn under each of an even grid, in turn, and a log-probability
        is that under the trade-off it was drawn under.
        """
        trainer, bound = self.trained()
        generator = torch.Generator().manual_seed(seed)
        condition = conditions_of(trainer.conditioning, self.options.sample_beta, n)
        with single_thread():
            if condition is None or len(condition) == 1:
                drawn = draw_objects(bound, trainer.policy, n, generator, condition)
            else:
                drawn, condition = draw_evenly(bound, trainer.policy, n, generator, condition)
            if not drawn:
                return []
            states = [state for _, state in drawn.values()]
            terminal = type(states[0]).cat(states)
            log_probs = log_probabilities(trainer, terminal, generator, draws=_DRAWS, condition=condition)
            return candidates(drawn, self.kind, log_probs)

    def best(self, n: int) -> dict[str, float]:
        """Return up to n objects that training met, without measured ones, hints and the library's, best first."""
        return dict(list(self._best.items())[:n])

    def building(self, obj: str, space: BaseSpace[Any]) -> tuple[str, ...]:
        """Return the objects of the space on one way of building an object, itself last; empty: it cannot be shown.

        Raises:
            VocabularyError: the vocabulary cannot be read.
            ValueError: the space is empty.
        """
        with single_thread():
            return way_to(construction_of(self._construction(), space).bind(space), obj)

    def state(self) -> dict[str, Any]:
        """Return the networks, those of potentials included, log Z, a hash of the building blocks, and the history."""
        trainer, bound = self.trained()
        own = trainer.backward.network == "own"
        return {
            "policy": trainer.policy.state_dict(),
            "backward": trainer.assessor.backward_network.state_dict() if own else None,
            "log_z": trainer.log_z.detach(),
            "partition": trainer.partition.state_dict(),
            "blocks": bound.digest(),
            "history": trainer.history,
            **({} if trainer.decomposition is None else {"potentials": trainer.decomposition.network.state_dict()}),
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: it was trained on another vocabulary or space, or with another network.
        """
        parts = self._assemble(context, self.options, asked=False)
        load_networks(state, parts.trainer, parts.bound, "The state")
        parts.trainer.partition.load_state_dict(state["partition"])
        parts.trainer.history = list(state["history"])
        self._trainer, self._bound = parts.trainer, parts.bound

    def history(self) -> list[dict[str, float]]:
        """Return step, loss, log_z, mean log-reward, unique share and mean length of each training step.

        Every `evaluate_every`-th row and the last one have the figures of an evaluation too: those of
        `judging.metrics.exact_metrics` where the space is enumerated, else of `SampledEvaluator`; and of `Seen`.
        """
        return [] if self._trainer is None else list(self._trainer.history)
