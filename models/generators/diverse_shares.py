"""Shares of a union's members by what they found and by how different their proposals are: DvD on generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.records import FloatArray
from models.featurisers.base import featuriser_of
from models.spaces.base import BaseSpace
from models.tuning.diversity import WEIGHTS, WeightBandit, added_volume, joint_objective

SET = 0.5
"""Weight of the shares that the campaign set, as in `models.generators.shares`."""
MOST = 200
"""Proposals of a member, the best ones, whose features are averaged."""


class DiverseShares:
    """Shares by the joint objective of Parker-Holder et al. (2020): what a member finds, and the volume it adds.

    A member's behaviour is the mean of the standardised features of what it proposed and was measured; its reward is
    the mean rank of that. Half of a share is as set; the other half goes by the set share times the exponential of
    `(1 - w) z(reward) + w z(added volume)`. The weight w is 0 or 0.5, chosen by a bandit that learns whether the best
    measured value rose in the round before. The paper trains policies with the objective; here only shares follow it.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self.bandit = WeightBandit.of(state)
        self.arm: int | None = state.get("arm")
        self.best: float | None = state.get("best")

    def state(self) -> dict[str, Any]:
        """Return what the next round goes on from."""
        return {"outcomes": self.bandit.state(), "arm": self.arm, "best": self.best}

    def shares(
        self,
        shares: FloatArray,
        kinds: Sequence[str],
        known: Sequence[str],
        sources: Sequence[str],
        best: float,
        space: BaseSpace[Any],
        seed: int,
    ) -> FloatArray:
        """Return shares of work and proposals, shape `(k,)`, summing to 1; as set where fewer than two kinds proposed.

        Args:
            shares: as set, shape `(k,)`, positive, summing to 1.
            kinds: of the k members; those of one kind divide what it has earned.
            known: measured objects, best first.
            sources: what proposed each of them.
            best: the largest measured log-reward.
            space: of the objects.
            seed: of the bandit's draw.
        """
        if self.arm is not None and self.best is not None:
            self.bandit.learn(self.arm, best > self.best)
        self.arm, self.best = self.bandit.chosen(np.random.default_rng(seed)), best
        rows = {kind: [row for row, source in enumerate(sources) if source == kind] for kind in dict.fromkeys(kinds)}
        rows = {kind: own for kind, own in rows.items() if own}
        if len(rows) < 2:
            return shares
        rewards = np.array([1.0 - np.mean(own) / len(sources) for own in rows.values()])
        volumes = added_volume(_behaviours([[known[row] for row in own[:MOST]] for own in rows.values()], space))
        worth = dict(zip(rows, joint_objective(rewards, volumes, WEIGHTS[self.arm]), strict=True))
        earned = shares * np.exp([worth.get(kind, 0.0) for kind in kinds])
        mixed: FloatArray = SET * shares + (1.0 - SET) * earned / earned.sum()
        return mixed


def _behaviours(proposals: Sequence[Sequence[str]], space: BaseSpace[Any]) -> FloatArray:
    """Return the mean features of each group of objects, standardised over all, shape `(n, d)`."""
    every = [obj for group in proposals for obj in group]
    found = featuriser_of(dict(space.features))(every)
    table = np.hstack([np.asarray(found.dense, dtype=np.float64), _dense(found.counts)])
    deviation = table.std(0)
    varied = deviation > 0
    table = (table[:, varied] - table[:, varied].mean(0)) / deviation[varied]
    table /= np.sqrt(max(table.shape[1], 1))
    ends = np.cumsum([len(group) for group in proposals])
    return np.stack([table[end - len(group) : end].mean(0) for group, end in zip(proposals, ends, strict=True)])


def _dense(counts: Any) -> FloatArray:
    return np.asarray(counts.toarray() if hasattr(counts, "toarray") else counts, dtype=np.float64)
