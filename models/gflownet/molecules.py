"""From a campaign's space and log-reward to fragment environments, rewards of terminal states, and candidates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.molecules import identity
from data.records import Candidate, FloatArray
from data.vocabulary import FragmentTree
from models.gflownet.environments.fragments import FragmentEnvironment, FragmentStates
from models.gflownet.metrics import log_probability
from models.gflownet.policies.base import Policy
from models.gflownet.trainer import Trainer
from models.gflownet.trajectories import sample_forward
from models.protocols import LogReward, Space

_PATIENCE = 10
"""Batches without a new molecule after which sampling ends."""


def space_environment(space: Space, vocabulary: Path | None, max_fragments: int) -> FragmentEnvironment:
    """Return the fragment environment of a space; the same one for the same arguments and unchanged file.

    Raises:
        VocabularyError: there is no such vocabulary file, or it is none.
        ValueError: the space is empty.
    """
    changed = vocabulary.stat().st_mtime_ns if vocabulary is not None and vocabulary.is_file() else 0
    return _environment(space, vocabulary, max_fragments, changed)


@lru_cache(maxsize=4)
def _environment(space: Space, vocabulary: Path | None, max_fragments: int, changed: int) -> FragmentEnvironment:
    del changed  # Only part of the key: a rewritten file is read again.
    return FragmentEnvironment(
        vocabulary=vocabulary,
        max_heavy_atoms=space.max_heavy_atoms,
        min_heavy_atoms=space.min_heavy_atoms,
        elements=space.elements,
        max_fragments=max_fragments,
    )


def members(env: FragmentEnvironment, molecules: Iterable[str]) -> list[tuple[str, FragmentTree]]:
    """Return, for the molecules that are in the space, the SMILES of the space (flat) and the tree."""
    found = []
    for smiles in molecules:
        try:
            tree = env.vocabulary.decompose(smiles)
        except ValueError:
            continue
        flat = env.vocabulary.assemble(tree) if env.contains(tree) else None
        if flat is not None:
            found.append((flat, tree))
    return found


class MoleculeReward:
    """Log-rewards of terminal states: of each molecule once, measured ones as measured, the floor outside the space.

    Args:
        env: decodes the states.
        log_reward: of molecules; called with distinct ones only.
        known: log-rewards that are known already.
        floor: log-reward of what is outside the space, and the least of all.
    """

    def __init__(self, env: FragmentEnvironment, log_reward: LogReward, known: dict[str, float], floor: float) -> None:
        self._env, self._log_reward, self._floor = env, log_reward, floor
        self._values = dict(known)

    def __call__(self, terminal: FragmentStates) -> tuple[Tensor, list[str | None]]:
        """Return log-rewards (B,) and the molecules, None outside the space."""
        molecules = self._env.decode(terminal)
        self.evaluate([smiles for smiles in molecules if smiles is not None])
        values = [self._floor if smiles is None else self._values[smiles] for smiles in molecules]
        return torch.tensor(values, dtype=torch.float32).clamp(min=self._floor), molecules

    def evaluate(self, molecules: Sequence[str]) -> FloatArray:
        """Return the log-rewards (n,) of molecules."""
        new = [smiles for smiles in dict.fromkeys(molecules) if smiles not in self._values]
        if new:
            values = np.asarray(self._log_reward(new), dtype=np.float64)
            if values.shape != (len(new),):
                raise ValueError(f"The log-reward returned shape {values.shape} for {len(new)} molecules.")
            self._values.update(zip(new, values.tolist(), strict=True))
        return np.array([self._values[smiles] for smiles in molecules])


def draw_molecules(
    env: FragmentEnvironment, policy: Policy[FragmentStates], n: int, generator: torch.Generator
) -> dict[str, tuple[str, FragmentStates]]:
    """Return up to n distinct molecules as identity -> (SMILES, its terminal state), in the order of drawing."""
    found: dict[str, tuple[str, FragmentStates]] = {}
    idle = 0
    while len(found) < n and idle < _PATIENCE:
        before = len(found)
        terminal = sample_forward(env, policy, min(256, max(32, n)), generator).terminal
        for place, smiles in enumerate(env.decode(terminal)):
            if smiles is None or len(found) == n:
                continue
            key = _identity(smiles)
            if key is not None and key not in found:
                found[key] = (smiles, terminal[place : place + 1])
        idle = idle + 1 if len(found) == before else 0
    return found


def _identity(smiles: str) -> str | None:
    """Return the InChIKey, None for the few molecules that InChI has no key for: they cannot be candidates."""
    try:
        return identity(smiles)
    except ValueError:
        return None


def log_probabilities(
    trainer: Trainer[FragmentStates], terminal: FragmentStates, generator: torch.Generator, *, draws: int = 2
) -> FloatArray:
    """Estimate log p(x), (n,), of the molecules of n terminal states; see `metrics.log_probability`."""
    return log_probability(trainer.env, trainer.policy, trainer.walk, terminal, generator, draws=draws)


def candidates(
    found: dict[str, tuple[str, FragmentStates]], source: str, log_probs: FloatArray | None = None
) -> list[Candidate]:
    """Return drawn molecules as candidates."""
    values = [None] * len(found) if log_probs is None else log_probs.tolist()
    return [
        Candidate(id=key, smiles=smiles, source=source, log_prob=value)
        for (key, (smiles, _)), value in zip(found.items(), values, strict=True)
    ]
