"""A GFlowNet over molecular fragments: proposes molecules in proportion to their reward."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from data.records import Candidate
from models.gflownet.environments.fragments import FragmentEnvironment, FragmentStates
from models.gflownet.molecules import (
    MoleculeReward,
    candidates,
    draw_molecules,
    log_probabilities,
    members,
    space_environment,
)
from models.gflownet.policies.transformer import FragmentTransformer
from models.gflownet.policies.uniform import UniformFragments
from models.gflownet.threads import single_thread
from models.gflownet.trainer import Trainer, TrainerOptions
from models.gflownet.warm_up import imitate
from models.protocols import GenerationContext, Space
from models.registry import Component, build

_FLOOR_MARGIN = 5.0
"""Nats below the worst reference molecule at which the log-reward is cut off."""


class GFlowNetGenerator(Component):
    """Fragment GFlowNet trained on the log-reward by an objective of choice, trajectory balance by default."""

    group: ClassVar[str] = "generator"
    kind: ClassVar[str] = "gflownet"
    reference: ClassVar[str] = (
        "Bengio et al., Flow network based generative models for non-iterative diverse candidate generation, "
        "NeurIPS 2021, arXiv:2106.04399; Malkin et al., NeurIPS 2022, arXiv:2201.13259"
    )

    class Options(TrainerOptions):
        """Options of the fragment GFlowNet."""

        vocabulary: Path | None = Field(None, description="Vocabulary file; null: the shipped one.")
        max_fragments: int = Field(9, ge=1, le=64, description="Fragments of the largest molecule.")
        dim: int = Field(64, ge=8, description="Width of the policy; a multiple of heads.")
        layers: int = Field(3, ge=1)
        heads: int = Field(4, ge=1)
        prior: float = Field(0.5, ge=0, description="Weight of the fragments' frequencies in the untrained policy.")
        objective: dict[str, Any] = Field(default_factory=lambda: {"kind": "trajectory_balance"})
        backward: dict[str, Any] = Field(default_factory=lambda: {"kind": "uniform"})
        library_molecules: int = Field(500, ge=0, description="Library members to imitate and to start the replay.")
        warm_up_steps: int = Field(30, ge=0, description="Maximum-likelihood steps on the library, in the first round.")

    def __init__(self, options: GFlowNetGenerator.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._trainer: Trainer[FragmentStates] | None = None

    def check(self, space: Space) -> None:
        """Make what `fit` needs beside its context: the space, the policy, objective and backward policy.

        Raises:
            ComponentError: the objective or the backward policy is unknown.
            VocabularyError: the vocabulary cannot be read.
            ValueError: the space is empty, or the policy cannot be made.
        """
        self._assemble(GenerationContext(space, lambda molecules: np.zeros(len(molecules)), seed=0))

    def fit(self, context: GenerationContext) -> None:
        """Train on the log-reward; goes on from `context.checkpoint`, starts from `context.warm_start`.

        Raises:
            TrainingError: a reward, probability, loss or gradient is not finite.
            ValueError: the space is empty, or a file belongs to another training.
        """
        with single_thread():
            trainer, reward, generator = self._assemble(context)
            fingerprint = self._fingerprint(context, trainer)
            if context.checkpoint is None or not context.checkpoint.is_file():
                self._prepare(context, trainer, reward, generator)
            trainer.train(checkpoint=context.checkpoint, fingerprint=fingerprint, report=context.progress)
        self._trainer = trainer

    def _environment(self, context: GenerationContext) -> FragmentEnvironment:
        return space_environment(context.space, self.options.vocabulary, self.options.max_fragments)

    def _assemble(self, context: GenerationContext) -> tuple[Trainer[FragmentStates], MoleculeReward, torch.Generator]:
        env, options = self._environment(context), self.options
        generator = torch.Generator().manual_seed(context.seed)
        policy = FragmentTransformer(
            env, dim=options.dim, layers=options.layers, heads=options.heads, prior=options.prior, generator=generator
        )
        reward = _reward(context, env)
        trainer = Trainer(
            env,
            policy,
            reward,
            objective=build("objective", options.objective),
            backward=build("backward_policy", options.backward),
            options=options,
            generator=generator,
        )
        return trainer, reward, generator

    def _prepare(
        self,
        context: GenerationContext,
        trainer: Trainer[FragmentStates],
        reward: MoleculeReward,
        generator: torch.Generator,
    ) -> None:
        """Start the policy from the round before or from the library, and the replay from known molecules."""
        env = self._environment(context)
        library = members(env, _choose(context.library, self.options.library_molecules, context.seed))
        if context.warm_start is not None:
            state = torch.load(context.warm_start, weights_only=True)
            self._check_vocabulary(state, trainer, str(context.warm_start))
            trainer.policy.load_state_dict(state["policy"])
        elif library and self.options.warm_up_steps:
            imitate(trainer, [tree for _, tree in library], self.options.warm_up_steps, generator)
        seeds = list(dict([*members(env, context.known), *library]).items())
        if seeds:
            terminal = env.trees([tree for _, tree in seeds], generator)
            values, names = reward(terminal)
            inside = torch.tensor([name is not None for name in names])
            trainer.replay.add(terminal[inside], values[inside], [name for name in names if name is not None])

    def _fingerprint(self, context: GenerationContext, trainer: Trainer[FragmentStates]) -> str:
        """Name the training: options, space, seed and vocabulary."""
        space = (context.space.max_heavy_atoms, context.space.min_heavy_atoms, *context.space.elements)
        text = json.dumps([self.config(), space, context.seed, _vocabulary_hash(trainer)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _check_vocabulary(self, state: Mapping[str, Any], trainer: Trainer[FragmentStates], name: str) -> None:
        expected = _vocabulary_hash(trainer)
        if state["vocabulary"] != expected:
            raise ValueError(
                f"{name} was trained on another vocabulary or space: got fragments {state['vocabulary'][:12]}, "
                f"expected {expected[:12]}. Use the vocabulary and space it was trained with, or start anew."
            )

    def _fitted(self) -> Trainer[FragmentStates]:
        if self._trainer is None:
            raise RuntimeError("The GFlowNet is not trained yet; call `fit` or `load_state` first.")
        return self._trainer

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct candidates with estimates of their log-probability, deterministic under `seed`."""
        trainer = self._fitted()
        generator = torch.Generator().manual_seed(seed)
        with single_thread():
            found = draw_molecules(self._drawn_from(trainer), trainer.policy, n, generator)
            if not found:
                return []
            terminal = FragmentStates.cat([state for _, state in found.values()])
            return candidates(found, self.kind, log_probabilities(trainer, terminal, generator))

    @staticmethod
    def _drawn_from(trainer: Trainer[FragmentStates]) -> FragmentEnvironment:
        env = trainer.env
        if not isinstance(env, FragmentEnvironment):
            raise TypeError(f"The fragment GFlowNet needs a fragment environment; got {type(env).__name__}.")
        return env

    def state(self) -> dict[str, Any]:
        """Return policy, log Z, vocabulary hash and history."""
        trainer = self._fitted()
        return {
            "policy": trainer.policy.state_dict(),
            "log_z": trainer.log_z.detach(),
            "vocabulary": _vocabulary_hash(trainer),
            "history": trainer.history,
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: it was trained on another vocabulary or space.
        """
        trainer, _, _ = self._assemble(context)
        self._check_vocabulary(state, trainer, "The state")
        trainer.policy.load_state_dict(state["policy"])
        with torch.no_grad():
            trainer.log_z.copy_(state["log_z"])
        trainer.history = list(state["history"])
        self._trainer = trainer

    def history(self) -> list[dict[str, float]]:
        """Return step, loss, log_z, mean log-reward, unique share and mean length of each training step."""
        return [] if self._trainer is None else list(self._trainer.history)


def _vocabulary_hash(trainer: Trainer[FragmentStates]) -> str:
    env = GFlowNetGenerator._drawn_from(trainer)
    text = "\n".join(f"{f.smiles} {f.atoms} {f.capacity}" for f in env.vocabulary.fragments)
    return hashlib.sha256(text.encode()).hexdigest()


def _choose(library: tuple[str, ...], n: int, seed: int) -> list[str]:
    """Return n members of the library, or all of a smaller one, drawn without replacement."""
    order = np.random.default_rng(seed).permutation(len(library))[:n]
    return [library[place] for place in order]


def _reward(context: GenerationContext, env: FragmentEnvironment) -> MoleculeReward:
    """Return the reward with its floor below all of some reference molecules: known ones and random ones."""
    known: dict[str, float] = {}
    values = context.known_log_reward.tolist()
    places = {smiles: place for place, smiles in reversed(list(enumerate(context.known)))}
    for smiles in context.known:
        for flat, _ in members(env, [smiles]):
            # Best first: of several stereoisomers the best stands for their flat formula.
            known.setdefault(flat, values[places[smiles]])
    generator = torch.Generator().manual_seed(context.seed)
    drawn = draw_molecules(env, UniformFragments(env), 64, generator)
    reward = MoleculeReward(env, context.log_reward, known, -np.inf)
    sample = reward.evaluate([smiles for smiles, _ in drawn.values()])
    finite = [value for value in [*known.values(), *sample.tolist()] if np.isfinite(value)]
    return MoleculeReward(env, context.log_reward, known, min(finite, default=0.0) - _FLOOR_MARGIN)
