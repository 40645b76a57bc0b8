"""A GFlowNet that is pre-trained without a reward, once, and turned into a sampler of each round's reward."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, model_validator

from data.records import Making
from models.generators.gflownet import GFlowNetGenerator, Parts
from models.generators.gflownet_files import load_networks
from models.gflownet.construction.base import Bound, Member, construction_of
from models.gflownet.construction.drawing import draw_objects
from models.gflownet.training.pretraining import (
    PretrainingOptions,
    pretrained,
    require_outcomes,
    restored,
)
from models.gflownet.training.trajectories import sample_forward
from models.gflownet.training.warm_up import imitate
from models.protocols import GenerationContext, Progress
from models.spaces.base import BaseSpace

_BEST = 300
"""Best objects of a round that are outcomes of the next one too."""


class OutcomeConditionedGFlowNet(GFlowNetGenerator):
    """GFlowNet whose rounds begin from a policy that reaches any object asked for, pre-trained without a reward.

    The policy towards every object y, and its flows F(s | y), are trained once: in a campaign in a stage of its own,
    whose result is kept in the workspace for all campaigns with the same space, construction and options
    (`pretrain: {from: CAMPAIGN}` names one). In each round the acquisition r becomes the policy

        P(s' | s) = sum_y r(y) F(s | y) P(s' | s, y) / sum_y r(y) F(s | y)

    with the sum over the `outcomes` best objects y of what is known, the library, random members and the best of the
    round before. `draws` objects of it are imitated, for `warm_up_steps` by maximum likelihood, by a policy that goes
    on from the round before and is then trained by the `objective` on the acquisition for `steps`: few, as it begins
    near.

    What this adds: under a fixed uniform backward policy the flows have a closed form, F(s | y) = the probability that
    the backward chain from y passes s, and with it the sum draws exactly those y again, in proportion to r, and nothing
    else. `pretrain: null` takes that, without any training. What pre-training adds is only how far its network
    generalises from them to others.

    As a member of a union, or as control arm, there is no stage: it is pre-trained within the first round and kept in
    the workspace for the others; `from` is refused there.

    Reference: Pan et al., Pre-training and fine-tuning generative flow networks, ICLR 2024, arXiv:2310.03419. There the
    sum is distilled into further networks, and the flows are not of a closed form.
    """

    kind: ClassVar[str] = "outcome_conditioned"
    origin: ClassVar[str] = str(Making.BUILT)
    cites: ClassVar[tuple[str, ...]] = ("pan2024pretraining", "bengio2021flow", "malkin2022tb")

    class Options(GFlowNetGenerator.Options):
        """Options of the pre-trained GFlowNet; those of the generator `gflownet` are for the fine-tuning."""

        steps: int = Field(50, ge=1, description="Steps of fine-tuning in each round.")
        warm_up_steps: int = Field(
            100, ge=0, description="Maximum-likelihood steps on what the converted policy draws, in each round."
        )
        pretrain: PretrainingOptions | None = Field(
            PretrainingOptions(),
            description="{steps, batch_size, learning_rate, floor, listed, objective, seed}, or {from: CAMPAIGN}; "
            "null: the closed form, which draws the outcomes themselves.",
        )
        outcomes: int = Field(300, ge=1, description="Best objects that the acquisition is summed over.")
        draws: int = Field(300, ge=1, description="Objects of the converted policy that are imitated.")
        random: int = Field(1000, ge=0, description="Random members of the space among which outcomes are looked for.")

        @model_validator(mode="after")
        def _plain(self) -> OutcomeConditionedGFlowNet.Options:
            if self.conditioning is not None or self.sample_beta is not None:
                raise ValueError(
                    "what is fine-tuned has one reward and no conditioning. Leave `conditioning` and `sample_beta` "
                    "out, or use the generator 'gflownet'"
                )
            if str(self.objective.get("kind")).startswith("relative_"):
                raise ValueError(
                    f"the objective {self.objective['kind']!r} is relative to a prior, and there is none here. Use "
                    "trajectory_balance, or the generator 'gflownet'"
                )
            return self

    options: OutcomeConditionedGFlowNet.Options
    _earlier: tuple[str, ...] = ()
    """Best objects that the last training met."""

    @property
    def pretrains(self) -> bool:
        """Whether there is something to train before the first round."""
        return self.options.pretrain is not None

    @property
    def pretrained_from(self) -> str | None:
        """The campaign whose pre-training is used; None: it is this one's own."""
        return None if self.options.pretrain is None else self.options.pretrain.origin

    def check(self, space: BaseSpace[Any]) -> None:
        """Look whether a policy towards every object can be trained, and one small step of fine-tuning be taken.

        Raises:
            ComponentError, VocabularyError, ValueError: as the generator `gflownet`, or the objects have no features.
        """
        if self.options.pretrain is not None:
            require_outcomes(self._bind(space), self.options.pretrain)
        super().check(space)

    def _bind(self, space: BaseSpace[Any]) -> Bound[Any]:
        return construction_of(self._construction(), space).bind(space)

    def pretraining(
        self,
        space: BaseSpace[Any],
        *,
        cache: Path | None = None,
        checkpoint: Path | None = None,
        progress: Progress = lambda done, total, metrics: None,
    ) -> tuple[dict[str, Any], bool]:
        """Return what a pre-training for a space left, and whether it had been made before.

        Raises:
            ValueError: nothing is pre-trained, or the construction is not made for it.
        """
        if self.options.pretrain is None:
            raise ValueError("Nothing is pre-trained under `pretrain: null`. Give it options, such as {steps: 3000}.")
        bound = self._bind(space)
        return pretrained(bound, self.options.pretrain, cache=cache, checkpoint=checkpoint, report=progress)

    def check_pretrained(self, state: Mapping[str, Any], space: BaseSpace[Any], name: str) -> None:
        """Refuse a pre-training of another space, construction or network.

        Raises:
            ValueError: it is so.
        """
        restored(self._bind(space), state, name)

    def _prepare(self, context: GenerationContext, parts: Parts, library: list[Member]) -> None:
        """Imitate what the converted policy draws; the replay begins with known, hinted and drawn objects."""
        trainer, bound = parts.trainer, parts.bound
        if context.warm_start is not None:
            state = torch.load(context.warm_start, weights_only=True)
            load_networks(state, trainer, bound, str(context.warm_start))
            self._earlier = tuple(state.get("best", ()))
        drawn = self._drawn(context, parts, library)
        if drawn and self.options.warm_up_steps:
            imitate(trainer, bound, drawn, self.options.warm_up_steps, trainer.generator)
        hinted = bound.members(context.hints)
        seeds = {member.object: member for member in [*parts.known, *hinted, *library, *drawn]}
        if seeds:
            parts.remember(list(seeds.values()))

    def _drawn(self, context: GenerationContext, parts: Parts, library: list[Member]) -> list[Member]:
        """Return members that the converted policy draws, as often as it does."""
        generator = parts.trainer.generator
        plain = self._bind(context.space)
        random = draw_objects(plain, plain.uniform, self.options.random, generator).values()
        texts = [*context.known, *context.hints, *(member.given for member in library), *self._earlier]
        found = plain.members(dict.fromkeys([*texts, *(text for text, _ in random)]))
        members = list({member.object: member for member in found}.values())
        if not members:
            return []
        values = parts.reward.evaluate([member.object for member in members])
        floor = np.asarray(values).clip(min=parts.reward.floor)
        best = np.argsort(-floor, kind="stable")[: self.options.outcomes].tolist()
        chosen, log_reward = [members[place] for place in best], torch.from_numpy(floor[best]).double()
        if self.options.pretrain is None:
            weights = (log_reward - log_reward.max()).exp()
            places = torch.multinomial(weights, self.options.draws, replacement=True, generator=generator)
            return parts.bound.members(chosen[place].object for place in places.tolist())
        state = self._pretrained_for(context)
        policy = restored(plain, state, "The pre-training").converted(plain.states(chosen, generator), log_reward)
        ends = sample_forward(plain.env, policy, self.options.draws, generator).terminal
        return parts.bound.members(text for text in plain.decode(ends) if text is not None)

    def _pretrained_for(self, context: GenerationContext) -> Mapping[str, Any]:
        """Return what the stage of the campaign left, else what the workspace has or is made now."""
        if context.pretrained is not None:
            state: dict[str, Any] = torch.load(context.pretrained, weights_only=True, map_location="cpu")
            return state
        if self.pretrained_from is not None:
            raise ValueError(
                f"The generator 'outcome_conditioned' was given no pre-training of {self.pretrained_from}. It is for "
                "campaigns, which look it up in their workspace; leave `from` out."
            )
        # In a union or as control arm there is no stage: it is made here, once for all rounds if there is a cache.
        beside = None if context.checkpoint is None else context.checkpoint.with_name(f"pre-{context.checkpoint.name}")
        return self.pretraining(context.space, cache=context.cache, checkpoint=beside)[0]

    def fit(self, context: GenerationContext) -> None:
        """Convert, imitate and fine-tune; goes on from `context.checkpoint`.

        Raises:
            TrainingError, ValueError: as the generator `gflownet`; or the pre-training is of another space.
        """
        super().fit(context)
        self._earlier = tuple(self.best(_BEST))

    def state(self) -> dict[str, Any]:
        """Return what the generator `gflownet` does, and the best objects met."""
        return {**super().state(), "best": list(self._earlier)}

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: it was trained on another vocabulary or space, or with another network.
        """
        super().load_state(state, context)
        self._earlier = tuple(state["best"])
