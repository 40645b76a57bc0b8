"""When a training has stopped getting better."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class Plateau:
    """Tells when the mean loss of the last steps has not fallen for long enough."""

    window = 50

    def __init__(self, patience: int | None, losses: Sequence[float]) -> None:
        self._patience, self._sum, self._recent = patience, 0.0, deque[float]()
        self._best, self._since = float("inf"), 0
        for loss in losses if patience else ():
            self.reached(loss)

    def reached(self, loss: float) -> bool:
        """Take in the loss of a step; return whether it is time to end."""
        if self._patience is None:
            return False
        self._recent.append(loss)
        if len(self._recent) > self.window:
            self._recent.popleft()
        mean = sum(self._recent) / len(self._recent)
        better = len(self._recent) == self.window and mean < self._best
        self._best = mean if better else self._best
        self._since = 0 if better or len(self._recent) < self.window else self._since + 1
        return self._since >= self._patience
