"""Molecules of a trained or untrained policy: their rewards, drawing distinct ones, and candidates made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from data.chemistry.molecules import identity
from data.records import Candidate, FloatArray
from models.gflownet.environments.base import Environment, States
from models.gflownet.environments.fragments import FragmentEnvironment
from models.gflownet.judging.metrics import log_probability
from models.gflownet.policies.base import Policy
from models.gflownet.training.trainer import Trainer
from models.gflownet.training.trajectories import sample_forward
from models.protocols import LogReward
from models.spaces.molecules import Molecules

S = TypeVar("S", bound=States)

_PATIENCE = 10
"""Batches without a new molecule after which sampling ends."""


def space_environment(space: Molecules, vocabulary: Path | None, max_fragments: int) -> FragmentEnvironment:
    """Return the fragment environment of a space; the same one for the same arguments and unchanged file.

    Raises:
        VocabularyError: there is no such vocabulary file, or it is none.
        ValueError: the space is empty.
    """
    changed = vocabulary.stat().st_mtime_ns if vocabulary is not None and vocabulary.is_file() else 0
    return _environment(space, vocabulary, max_fragments, changed)


@lru_cache(maxsize=4)
def _environment(space: Molecules, vocabulary: Path | None, max_fragments: int, changed: int) -> FragmentEnvironment:
    del changed  # Only part of the key: a rewritten file is read again.
    return FragmentEnvironment(
        vocabulary=vocabulary,
        max_heavy_atoms=space.max_heavy_atoms,
        min_heavy_atoms=space.min_heavy_atoms,
        elements=space.elements,
        max_fragments=max_fragments,
    )


class MoleculeReward(Generic[S]):
    """Log-rewards of terminal states: of each molecule once, measured ones as measured, the floor outside the space.

    Args:
        env: decodes the states.
        log_reward: of molecules; called with distinct ones only.
        known: log-rewards that are known already.
        floor: log-reward of what is outside the space, and the least of all.
    """

    def __init__(self, env: Environment[S], log_reward: LogReward, known: Mapping[str, float], floor: float) -> None:
        self._env, self._log_reward, self.floor = env, log_reward, floor
        self.known = dict(known)
        self._values = dict(known)

    def __call__(self, terminal: S) -> tuple[Tensor, list[str | None]]:
        """Return log-rewards (B,) and the molecules, None outside the space."""
        molecules: list[str | None] = self._env.decode(terminal)
        self.evaluate([smiles for smiles in molecules if smiles is not None])
        values = [self.floor if smiles is None else self._values[smiles] for smiles in molecules]
        return torch.tensor(values, dtype=torch.float32).clamp(min=self.floor), molecules

    def remember(self, values: Mapping[str, float]) -> None:
        """Take in log-rewards that were evaluated before."""
        self._values = {**values, **self._values}

    def evaluate(self, molecules: Sequence[str]) -> FloatArray:
        """Return the log-rewards (n,) of molecules, without the floor.

        Raises:
            ValueError: the log-reward gives another number of values.
        """
        new = [smiles for smiles in dict.fromkeys(molecules) if smiles not in self._values]
        if new:
            values = np.asarray(self._log_reward(new), dtype=np.float64)
            if values.shape != (len(new),):
                raise ValueError(f"The log-reward returned shape {values.shape} for {len(new)} molecules.")
            self._values.update(zip(new, values.tolist(), strict=True))
        return np.array([self._values[smiles] for smiles in molecules])


def draw_molecules(
    env: Environment[S],
    policy: Policy[S],
    n: int,
    generator: torch.Generator,
    condition: Tensor | None = None,
) -> dict[str, tuple[str, S]]:
    """Return up to n distinct molecules as identity -> (SMILES, its terminal state), in the order of drawing.

    Args:
        env: the environment.
        policy: draws the molecules.
        n: how many.
        generator: source of all randomness.
        condition: (1, C) encoded condition of all of them, or None.
    """
    found: dict[str, tuple[str, S]] = {}
    idle = 0
    batch = min(256, max(32, n))
    given = None if condition is None else condition.expand(batch, -1)
    while len(found) < n and idle < _PATIENCE:
        before = len(found)
        terminal = sample_forward(env, policy, batch, generator, condition=given).terminal
        for place, smiles in enumerate(env.decode(terminal)):
            if smiles is None or len(found) == n:
                continue
            key = identity(smiles)
            if key not in found:
                found[key] = (smiles, terminal[place : place + 1])
        idle = idle + 1 if len(found) == before else 0
    return found


def log_probabilities(
    trainer: Trainer[S],
    terminal: S,
    generator: torch.Generator,
    *,
    draws: int = 2,
    condition: Tensor | None = None,
) -> FloatArray:
    """Estimate log p(x), (n,), of the molecules of n terminal states; see `metrics.log_probability`.

    `condition` (1, C) is the encoded condition of all of them, or None.
    """
    given = None if condition is None else condition.expand(len(terminal), -1)
    return log_probability(trainer.env, trainer.policy, trainer.walk, terminal, generator, draws=draws, condition=given)


def candidates(
    found: Mapping[str, tuple[str, Any]], source: str, log_probs: FloatArray | None = None
) -> list[Candidate]:
    """Return drawn molecules as candidates."""
    values = [None] * len(found) if log_probs is None else log_probs.tolist()
    return [
        Candidate(id=key, object=smiles, source=source, log_prob=value)
        for (key, (smiles, _)), value in zip(found.items(), values, strict=True)
    ]
