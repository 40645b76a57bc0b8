"""A GFlowNet over molecules: proposes them in proportion to their reward."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from data.records import Candidate
from models.gflownet.conditioning.base import Conditioning
from models.gflownet.conditioning.inverse_temperature import InverseTemperature
from models.gflownet.construction.molecules import Member, MoleculeSpace, atom_space, fragment_space
from models.gflownet.environments.base import NotProvided
from models.gflownet.judging.molecules import Discoveries, MoleculeEvaluation
from models.gflownet.objectives.base import Objective
from models.gflownet.policies.backward import BackwardPolicy
from models.gflownet.policies.base import Policy
from models.gflownet.rewards.molecules import MoleculeReward, candidates, draw_molecules, log_probabilities
from models.gflownet.training.trainer import Trainer, TrainerOptions, TrainingError
from models.gflownet.training.warm_up import imitate
from models.protocols import GenerationContext
from models.registry import Component, FolderPath, build
from models.sealed import DamagedCheckpoint, read_sealed
from models.spaces.base import BaseSpace
from models.spaces.molecules import of_molecules
from models.threads import single_thread

logger = logging.getLogger(__name__)

_FLOOR_MARGIN = 5.0
"""Nats below the worst reference molecule at which the log-reward is cut off."""
_RANDOM = 64
"""Random members of the space among the reference molecules."""
_MODE_QUANTILE = 0.9
"""A mode is as good as the best tenth of the measured molecules, or of the held-out ones if none is measured."""
_TRIAL_BATCH = 8


@dataclass(frozen=True)
class _Parts:
    """What is trained, and what it is trained on."""

    space: MoleculeSpace[Any]
    trainer: Trainer[Any]
    reward: MoleculeReward[Any]
    found: Discoveries[Any]
    known: list[Member]
    random: dict[str, Any]
    """Random members of the space: SMILES -> one terminal state."""


class GFlowNetGenerator(Component["GFlowNetGenerator.Options"]):
    """GFlowNet over fragments or atoms, trained on the log-reward by an objective of choice, trajectory balance first.

    With the conditioning `inverse_temperature` one policy is trained for R^beta of a range of beta; candidates are
    drawn at `sample_beta`, and so is what evaluations report. In the history `log_reward` is then beta log R.
    """

    group: ClassVar[str] = "generator"
    kind: ClassVar[str] = "gflownet"
    spaces = ("molecules",)
    reference: ClassVar[str] = (
        "Bengio et al., Flow network based generative models for non-iterative diverse candidate generation, "
        "NeurIPS 2021, arXiv:2106.04399; Malkin et al., NeurIPS 2022, arXiv:2201.13259"
    )

    class Options(TrainerOptions):
        """Options of the molecular GFlowNet."""

        environment: Literal["fragments", "atoms"] = Field("fragments", description="What molecules are built of.")
        vocabulary: FolderPath | None = Field(None, description="Vocabulary file of fragments; null: the shipped one.")
        max_fragments: int = Field(9, ge=1, le=64, description="Fragments of the largest molecule.")
        max_rings: int = Field(3, ge=0, description="Rings of a molecule; of the environment atoms only.")
        dim: int = Field(64, ge=8, description="Width of the policy; a multiple of heads.")
        layers: int = Field(3, ge=1)
        heads: int = Field(4, ge=1, description="Attention heads; of the environment fragments only.")
        prior: float = Field(0.5, ge=0, description="Weight of the fragments' frequencies in the untrained policy.")
        objective: dict[str, Any] = Field(default_factory=lambda: {"kind": "trajectory_balance"})
        backward: dict[str, Any] = Field(default_factory=lambda: {"kind": "uniform"})
        conditioning: dict[str, Any] | None = Field(
            None, description="{kind: inverse_temperature, ...}: one policy for a range of beta; null: none."
        )
        sample_beta: float | None = Field(
            None, gt=0, description="Beta at which candidates are drawn, with conditioning; null: the highest."
        )
        library_molecules: int = Field(500, ge=0, description="Library members to imitate and to start the replay.")
        warm_up_steps: int = Field(30, ge=0, description="Maximum-likelihood steps on the library, in the first round.")
        held_out_molecules: int = Field(
            64, ge=0, description="Molecules, not learnt from, on which probabilities are compared with rewards."
        )

    def __init__(self, options: GFlowNetGenerator.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._trainer: Trainer[Any] | None = None
        self._digest = ""

    def check(self, space: BaseSpace[Any]) -> None:
        """Make what `fit` needs beside its context, and take one small step of training.

        Raises:
            ComponentError: the objective, the backward policy or the conditioning is unknown.
            VocabularyError: the vocabulary cannot be read.
            ValueError: the space is empty, or the parts do not go together; the message says which and what to use.
        """
        options = self.options.model_copy(update={"batch_size": min(self.options.batch_size, _TRIAL_BATCH)})
        context = GenerationContext(space, lambda molecules: np.zeros(len(molecules)), seed=0)
        with single_thread():
            trainer = self._assemble(context, options).trainer
            try:
                trainer.step()
            except (NotProvided, TrainingError) as error:
                raise ValueError(f"The GFlowNet cannot be trained with these options. {error}") from error

    def fit(self, context: GenerationContext) -> None:
        """Train on the log-reward; goes on from `context.checkpoint`, starts from `context.warm_start`.

        Raises:
            TrainingError: a reward, probability, loss or gradient is not finite.
            ValueError: the space is empty, parts do not go together, or a file belongs to another training.
        """
        with single_thread():
            parts = self._assemble(context, self.options)
            trainer, checkpoint = parts.trainer, context.checkpoint
            order = np.random.default_rng(context.seed).permutation(len(context.library)).tolist()
            shuffled = [context.library[place] for place in order]
            library = parts.space.members(shuffled[: self.options.library_molecules])
            fingerprint = self._fingerprint(context, parts.space)
            if checkpoint is not None and _usable(checkpoint):
                trainer.restore(checkpoint, fingerprint)
                parts.found.restore(_beside(checkpoint), trainer.done)
            else:
                self._prepare(context, parts, library)
            trainer.evaluate = self._evaluation(context, parts, library, shuffled[self.options.library_molecules :])
            report = _Report(context, trainer, parts.found)
            trainer.train(checkpoint=checkpoint, fingerprint=fingerprint, report=report)
        self._trainer, self._digest = trainer, parts.space.digest()

    def _space(self, bounds: BaseSpace[Any]) -> MoleculeSpace[Any]:
        options, space = self.options, of_molecules(bounds)
        if options.environment == "fragments":
            return fragment_space(space, options.vocabulary, options.max_fragments)
        if options.vocabulary is not None:
            raise ValueError(
                f"The environment 'atoms' has no fragments and cannot use the vocabulary {options.vocabulary}. Leave "
                "`vocabulary` out, or use the environment 'fragments'."
            )
        return atom_space(space, options.max_rings)

    def _assemble(self, context: GenerationContext, options: GFlowNetGenerator.Options) -> _Parts:
        space = self._space(context.space)
        conditioning = self._conditioning()
        generator = torch.Generator().manual_seed(context.seed)

        def network() -> Policy[Any]:
            return space.policy(
                dim=options.dim,
                layers=options.layers,
                heads=options.heads,
                prior=options.prior,
                conditions=0 if conditioning is None else conditioning.width,
                generator=generator,
            )

        objective: Objective = build("objective", options.objective)
        if objective.forward_looking:
            raise ValueError(
                f"The objective {objective.kind!r} needs a reward of unfinished molecules, and a campaign's reward is "
                f"of whole ones. Use {objective.kind.removeprefix('forward_looking_')!r}."
            )
        backward: BackwardPolicy = build("backward_policy", options.backward)
        policy = network()
        known = space.members(context.known)
        reward, random = _reward(context, space, known)
        found = Discoveries(reward)
        trainer = Trainer(
            space.env,
            policy,
            found,
            objective=objective,
            backward=backward,
            options=options,
            generator=generator,
            backward_network=network() if backward.network == "own" else None,
            conditioning=conditioning,
        )
        return _Parts(space, trainer, reward, found, known, random)

    def _conditioning(self) -> Conditioning | None:
        """Return the conditioning, None without.

        Raises:
            ValueError: it is not by inverse temperature, or `sample_beta` does not go with it.
        """
        options = self.options
        if options.conditioning is None:
            if options.sample_beta is not None:
                raise ValueError(
                    f"sample_beta is {options.sample_beta}, but the policy is not conditioned on beta. Leave it "
                    "out, or set `conditioning: {kind: inverse_temperature}`."
                )
            return None
        conditioning = build("conditioning", options.conditioning)
        if not isinstance(conditioning, InverseTemperature):
            raise ValueError(
                f"The generator 'gflownet' has one log-reward, so it can be conditioned on beta only: got the "
                f"conditioning {conditioning.kind!r}, expected 'inverse_temperature'."
            )
        low, high = conditioning.options.low, conditioning.options.high
        if options.sample_beta is not None and not low <= options.sample_beta <= high:
            raise ValueError(
                f"sample_beta is {options.sample_beta}, but the policy is trained for beta from {low} to {high} only. "
                "Choose one of these, or widen the range of the conditioning."
            )
        return conditioning

    def _condition(self, conditioning: Conditioning | None) -> Tensor | None:
        """Return the encoded condition (1, C) that candidates are drawn under."""
        if not isinstance(conditioning, InverseTemperature):
            return None
        beta = self.options.sample_beta or conditioning.options.high
        return conditioning.encode(torch.tensor([[beta]], dtype=torch.float64))

    def _prepare(self, context: GenerationContext, parts: _Parts, library: list[Member]) -> None:
        """Start the policy from the round before or from the library, and the replay from known molecules."""
        space, trainer = parts.space, parts.trainer
        if context.warm_start is not None:
            state = torch.load(context.warm_start, weights_only=True)
            _load_networks(state, trainer, space, str(context.warm_start))
        elif library and self.options.warm_up_steps:
            imitate(trainer, space, library, self.options.warm_up_steps, trainer.generator)
        seeds = {member.smiles: member for member in [*parts.known, *library]}
        if seeds:
            terminal = space.states(list(seeds.values()), trainer.generator)
            values, names = parts.reward(terminal)
            inside = torch.tensor([name is not None for name in names])
            trainer.replay.add(terminal[inside], values[inside], [name for name in names if name is not None])

    def _evaluation(
        self, context: GenerationContext, parts: _Parts, library: list[Member], rest: list[str]
    ) -> MoleculeEvaluation[Any]:
        """Return the evaluation on molecules that are not learnt from: of the library's rest, then random ones."""
        learnt = {member.smiles for member in [*parts.known, *library]}
        wanted, chosen = self.options.held_out_molecules, dict[str, Member]()
        for smiles in rest:
            if len(chosen) == wanted:
                break
            chosen.update({m.smiles: m for m in parts.space.members([smiles]) if m.smiles not in learnt})
        held_out = parts.space.states(list(chosen.values()), torch.Generator().manual_seed(context.seed))
        spare = {smiles: state for smiles, state in parts.random.items() if smiles not in {*learnt, *chosen}}
        more = list(spare.items())[: wanted - len(chosen)]
        held_out = type(held_out).cat([held_out, *(state for _, state in more)])
        names = [*chosen, *(smiles for smiles, _ in more)]
        values = parts.reward.evaluate(names).clip(min=parts.reward.floor)
        reference = list(parts.reward.known.values()) or values.tolist() or [0.0]
        return MoleculeEvaluation(
            parts.trainer,
            parts.found,
            threshold=float(np.quantile(reference, _MODE_QUANTILE)),
            held_out=held_out,
            log_reward=values.tolist(),
            condition=self._condition(parts.trainer.conditioning),
            seed=context.seed,
        )

    def _fingerprint(self, context: GenerationContext, molecules: MoleculeSpace[Any]) -> str:
        """Name the training: options, space, seed and building blocks."""
        bounds = of_molecules(context.space)
        space = (bounds.max_heavy_atoms, bounds.min_heavy_atoms, *bounds.elements)
        text = json.dumps([self.config(), space, context.seed, molecules.digest()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _fitted(self) -> Trainer[Any]:
        if self._trainer is None:
            raise RuntimeError("The GFlowNet is not trained yet; call `fit` or `load_state` first.")
        return self._trainer

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct candidates with estimates of their log-probability, deterministic under `seed`."""
        trainer = self._fitted()
        generator = torch.Generator().manual_seed(seed)
        condition = self._condition(trainer.conditioning)
        with single_thread():
            found = draw_molecules(trainer.env, trainer.policy, n, generator, condition)
            if not found:
                return []
            states = [state for _, state in found.values()]
            terminal = type(states[0]).cat(states)
            log_probs = log_probabilities(trainer, terminal, generator, condition=condition)
            return candidates(found, self.kind, log_probs)

    def state(self) -> dict[str, Any]:
        """Return the networks, log Z, a hash of the building blocks, and the history."""
        trainer = self._fitted()
        own = trainer.backward.network == "own"
        return {
            "policy": trainer.policy.state_dict(),
            "backward": trainer.assessor.backward_network.state_dict() if own else None,
            "log_z": trainer.log_z.detach(),
            "partition": trainer.partition.state_dict(),
            "blocks": self._digest,
            "history": trainer.history,
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: it was trained on another vocabulary or space, or with another network.
        """
        parts = self._assemble(context, self.options)
        _load_networks(state, parts.trainer, parts.space, "The state")
        parts.trainer.partition.load_state_dict(state["partition"])
        parts.trainer.history = list(state["history"])
        self._trainer, self._digest = parts.trainer, parts.space.digest()

    def history(self) -> list[dict[str, float]]:
        """Return step, loss, log_z, mean log-reward, unique share and mean length of each training step.

        Every `evaluate_every`-th row and the last one have the figures of `MoleculeEvaluation` too.
        """
        return [] if self._trainer is None else list(self._trainer.history)


class _Report:
    """Passes progress on, and keeps on disk what the checkpoint of the trainer lacks, always before that is written."""

    def __init__(self, context: GenerationContext, trainer: Trainer[Any], found: Discoveries[Any]) -> None:
        self._context, self._trainer, self._found = context, trainer, found

    def __call__(self, done: int, total: int, metrics: Mapping[str, float]) -> None:
        self._found.end_step()
        trainer, checkpoint = self._trainer, self._context.checkpoint
        if checkpoint is not None and (done % trainer.options.checkpoint_every == 0 or trainer.ended):
            self._found.save(_beside(checkpoint))
        self._context.progress(done, total, metrics)


def _usable(checkpoint: Path) -> bool:
    """Return whether there is a checkpoint; one that is damaged is said to be so and removed: training begins anew."""
    if not checkpoint.is_file():
        return False
    try:
        for file in (checkpoint, _beside(checkpoint)):
            if file.is_file():
                read_sealed(file)
    except DamagedCheckpoint:
        logger.warning("The checkpoint %s is damaged; the training begins anew.", file)
        checkpoint.unlink()  # what stands beside it is written anew with it
        return False
    return True


def _beside(checkpoint: Path) -> Path:
    return checkpoint.with_name(f"{checkpoint.name}.found")


def _load_networks(state: Mapping[str, Any], trainer: Trainer[Any], space: MoleculeSpace[Any], name: str) -> None:
    """Put trained networks in place of untrained ones.

    Raises:
        ValueError: they do not fit.
    """
    if state["blocks"] != space.digest():
        raise ValueError(
            f"{name} was trained on another vocabulary or space: got building blocks {state['blocks'][:12]}, expected "
            f"{space.digest()[:12]}. Use the vocabulary and space it was trained with, or start anew."
        )
    own = trainer.backward.network == "own"
    if own != (state["backward"] is not None):
        raise ValueError(
            f"{name} has {'a' if state['backward'] else 'no'} backward network, and the backward policy "
            f"{trainer.backward.kind!r} needs {'one' if own else 'none'}. Use the options it was trained with."
        )
    try:
        trainer.policy.load_state_dict(state["policy"])
        if own:
            trainer.assessor.backward_network.load_state_dict(state["backward"])
    except RuntimeError as error:
        raise ValueError(
            f"{name} has a network of another shape. Use the options it was trained with (dim, layers, heads, "
            f"conditioning), or start anew. {error}"
        ) from error


def _reward(
    context: GenerationContext, space: MoleculeSpace[Any], known: list[Member]
) -> tuple[MoleculeReward[Any], dict[str, Any]]:
    """Return the reward, its floor below all reference molecules (known and random ones), and the random ones."""
    measured: dict[str, float] = {}
    values = context.known_log_reward.tolist()
    places = {smiles: place for place, smiles in reversed(list(enumerate(context.known)))}
    for member in known:
        # Best first: of several stereoisomers the best stands for their flat formula.
        measured.setdefault(member.smiles, values[places[member.given]])
    generator = torch.Generator().manual_seed(context.seed)
    random = dict(draw_molecules(space.env, space.uniform, _RANDOM, generator).values())
    reward = MoleculeReward(space.env, context.log_reward, measured, -np.inf)
    sample = reward.evaluate(list(random))
    finite = [value for value in [*measured.values(), *sample.tolist()] if np.isfinite(value)]
    reward.floor = min(finite, default=0.0) - _FLOOR_MARGIN
    return reward, random
