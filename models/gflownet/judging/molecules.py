"""What a molecule sampler has found so far, and how well its probabilities follow the reward, while it is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from models.gflownet.environments.base import States
from models.gflownet.judging.metrics import Modes, pearson, spearman, tanimoto_distance, top_k_diversity, top_k_reward
from models.gflownet.rewards.molecules import MoleculeReward, log_probabilities
from models.gflownet.training.trainer import Trainer
from models.sealed import read_sealed, write_sealed

S = TypeVar("S", bound=States)

TOP = 20
"""Molecules whose mean log-reward and diversity are reported."""
MODE_DISTANCE = 0.3
"""Tanimoto distance beyond which two molecules are different modes."""
_MOST = 500
"""Most molecules among which modes are looked for, the best: the search takes the square of their number."""


class Discoveries(Generic[S]):
    """The reward of a trainer that remembers which molecules, measured ones aside, it was asked about, and when.

    Args:
        reward: of terminal states.
    """

    def __init__(self, reward: MoleculeReward[S]) -> None:
        self._reward = reward
        self._found: dict[str, float] = {}
        self._counts: list[int] = []

    def __call__(self, terminal: S) -> tuple[Tensor, list[str | None]]:
        """Return log-rewards (B,) and the molecules, None outside the space."""
        values, molecules = self._reward(terminal)
        for smiles, value in zip(molecules, values.tolist(), strict=True):
            if smiles is not None and smiles not in self._reward.known:
                self._found.setdefault(smiles, value)
        return values, molecules

    def __len__(self) -> int:
        return len(self._found)

    def best(self, n: int) -> dict[str, float]:
        """Return the n best molecules with their log-rewards, best first; of equal ones the first found."""
        return dict(sorted(self._found.items(), key=lambda item: -item[1])[:n])

    def end_step(self) -> None:
        """Note that a training step is over."""
        self._counts.append(len(self._found))

    def save(self, path: Path) -> None:
        """Write atomically what was found in the steps that are over."""
        state = {"molecules": list(self._found), "values": list(self._found.values()), "counts": self._counts}
        write_sealed(state, path)

    def restore(self, path: Path, steps: int) -> None:
        """Go back to the end of a training step: what was found later is forgotten. The reward knows the rest again.

        Raises:
            DamagedCheckpoint: the file is not what was written.
            ValueError: the file is missing, or it was written before that step.
        """
        state = read_sealed(path) if path.is_file() else {"counts": []}
        if len(state["counts"]) < steps:
            raise ValueError(
                f"The checkpoint is of step {steps}, but {path} has {len(state['counts'])} steps of what was found "
                "until then. Remove the checkpoint to train anew."
            )
        self._counts = list(state["counts"][:steps])
        many = self._counts[-1] if steps else 0
        self._found = dict(zip(state["molecules"][:many], state["values"][:many], strict=True))
        self._reward.remember(self._found)


class MoleculeEvaluation(Generic[S]):
    """Figures of a molecule sampler; all the same whenever they are asked for at one step.

    Args:
        trainer: of the policy.
        found: what it has found.
        threshold: least log-reward of a mode.
        held_out: n terminal states of molecules that it does not learn from.
        log_reward: (n,) of these.
        condition: (1, C) encoded condition under which probabilities are asked for, or None.
        seed: of the trajectories from which probabilities are estimated; the same ones at every evaluation.
    """

    def __init__(
        self,
        trainer: Trainer[S],
        found: Discoveries[S],
        *,
        threshold: float,
        held_out: S,
        log_reward: Sequence[float],
        condition: Tensor | None,
        seed: int,
    ) -> None:
        self._trainer, self._found, self._threshold = trainer, found, threshold
        self._held_out, self._log_reward = held_out, np.asarray(log_reward, dtype=np.float64)
        self._condition, self._seed = condition, seed

    def __call__(self) -> Mapping[str, float]:
        """Return the figures; those that do not exist (a correlation of equal rewards) are left out.

        `spearman` and `pearson` are of log p(x) and log R over the held-out molecules. `reward_calls` are distinct
        molecules drawn so far, measured ones aside; `modes` those of them, best first and among the best 500, that
        reach the threshold and are unlike every mode before. `top20_log_reward` and `top20_diversity` (mean Tanimoto
        distance) are of the best 20.
        """
        figures = {**self._correlations(), **self._discovered()}
        return {name: value for name, value in figures.items() if math.isfinite(value)}

    def _correlations(self) -> dict[str, float]:
        if len(self._held_out) < 2:
            return {}
        generator = torch.Generator().manual_seed(self._seed)
        log_p = log_probabilities(self._trainer, self._held_out, generator, condition=self._condition)
        return {"spearman": spearman(log_p, self._log_reward), "pearson": pearson(log_p, self._log_reward)}

    def _discovered(self) -> dict[str, float]:
        best = self._found.best(_MOST)
        names, values = list(best), np.array(list(best.values()))
        modes = Modes(self._threshold, distance=tanimoto_distance, cutoff=MODE_DISTANCE)
        figures = {"reward_calls": float(len(self._found)), "modes": float(modes.update(names, values))}
        if len(names) >= TOP:
            figures["top20_log_reward"] = top_k_reward(names, values, TOP)
            figures["top20_diversity"] = top_k_diversity(names, values, TOP, tanimoto_distance)
        return figures
