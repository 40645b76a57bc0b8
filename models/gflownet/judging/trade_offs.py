"""What a training of trade-offs has found so far: objects by what they are worth, whatever was wanted of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from models.gflownet.judging.evaluation import Seen
from models.gflownet.rewards.base import Judged
from models.gflownet.rewards.objectives import ObjectivesReward
from models.sealed import read_sealed


class SeenTradeOffs(Seen):
    """Remembers objects with what they are worth, and on disk with the logs of their K rewards.

    Args:
        reward: of terminal states, (B, K).
        objectives: what that asks.
        options: of `Seen`.
    """

    def __init__(self, reward: Any, objectives: ObjectivesReward, **options: Any) -> None:
        super().__init__(reward, **options)
        self.objectives = objectives

    def __call__(self, states: Any) -> Judged:
        """Judge terminal states, and remember."""
        values, objects = self.reward(states)
        new = [obj for obj in dict.fromkeys(objects) if obj is not None and not self.knows(obj)]
        self.take(new, self.objectives.worth(new))
        return values, objects

    def record(self) -> dict[str, Any]:
        """Return what is kept on disk."""
        found = super().record()
        return {**found, "rewards": self.objectives.evaluate(found["objects"]).tolist()}

    def restore(self, path: Path, steps: int) -> Mapping[Hashable, Any]:
        """Go back to the end of a training step. Return the logs of the K rewards of what was seen until then.

        Raises:
            DamagedCheckpoint: the file is not what was written.
            ValueError: the file is missing, or it was written before that step.
        """
        many = len(super().restore(path, steps))
        state = read_sealed(path)
        return dict(zip(state["objects"][:many], state["rewards"][:many], strict=True))
