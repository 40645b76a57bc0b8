"""The reward of K objectives: what a policy of trade-offs between them is trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from data.records import FloatArray
from models.gflownet.rewards.base import Judged


class ObjectivesReward:
    """Logs of K rewards of decoded objects, asked once for each; what is known is not asked, and None has the least.

    Args:
        decode: terminal states -> their objects, None outside the space.
        logs: of n distinct objects, (n, K), finite.
        worth: of n distinct objects, (n,): how good each is, whatever is wanted, to tell the best ones by.
        objectives: K.
        floor: least log, and that of terminal states that are no object of the space.
        known: object -> logs of rewards (K,) and worth that are known already.
    """

    def __init__(
        self,
        decode: Callable[[Any], Sequence[Any]],
        logs: Callable[[list[Any]], FloatArray],
        worth: Callable[[list[Any]], FloatArray],
        *,
        objectives: int,
        floor: float,
        known: Mapping[Any, tuple[Sequence[float], float]],
    ) -> None:
        self.decode, self.objectives, self.floor = decode, objectives, floor
        self.known = {obj: worth for obj, (_, worth) in known.items()}
        self._logs, self._worth = logs, worth
        self._values: dict[Any, Sequence[float]] = {obj: values for obj, (values, _) in known.items()}

    def __call__(self, states: Any) -> Judged:
        """Judge terminal states: (B, K) float32, and the objects."""
        objects = list(self.decode(states))
        inside = [place for place, item in enumerate(objects) if item is not None]
        values = np.full((len(objects), self.objectives), self.floor)
        values[inside] = self.evaluate([objects[place] for place in inside])
        return torch.from_numpy(values).float().to(states.done.device).clamp(min=self.floor), objects

    def remember(self, values: Mapping[Any, Sequence[float]]) -> None:
        """Take in logs of rewards that were evaluated before."""
        self._values = {**values, **self._values}

    def evaluate(self, objects: Sequence[Any]) -> FloatArray:
        """Return the logs of the rewards (n, K) of objects, without the floor.

        Raises:
            ValueError: the function returned another number of values.
        """
        new = [item for item in dict.fromkeys(objects) if item not in self._values]
        if new:
            values = np.asarray(self._logs(new), dtype=np.float64)
            if values.shape != (len(new), self.objectives):
                raise ValueError(
                    f"The reward function returned values of shape {values.shape} for {len(new)} objects; expected "
                    f"{self.objectives} values per object, one per objective."
                )
            self._values.update(zip(new, values.tolist(), strict=True))
        return np.array([self._values[item] for item in objects]).reshape(-1, self.objectives)

    def worth(self, objects: Sequence[Any]) -> list[float]:
        """Return what distinct objects are worth; those that are not known are asked for."""
        new = [item for item in objects if item not in self.known]
        found = dict(zip(new, self._worth(new).tolist(), strict=True)) if new else {}
        return [found[item] if item in found else self.known[item] for item in objects]
