"""What proxies promise that learn whole answers, and that know what an answer would tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from data.records import FloatArray


@runtime_checkable
class RowProxy(Protocol):
    """A proxy that learns all values of an answer together. As a plain `Proxy` it stands for one of them."""

    def fit_rows(
        self, objects: Sequence[str], rows: FloatArray, names: Sequence[str], target: str, *, seed: int
    ) -> None:
        """Train from nothing on rows `(n, K)`, nan where an output was not measured, whose columns have names."""

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse columns that it cannot learn.

        Raises:
            ComponentError: it is so; a sentence says what to change.
        """


@runtime_checkable
class InformingProxy(Protocol):
    """A proxy that knows what an answer would tell about what it does not know."""

    def information(self, objects: Sequence[str]) -> FloatArray:
        """Return the expected information of the answers about n objects, in nats, shape `(n,)`."""

    def most_informative(self, objects: Sequence[str], n: int) -> list[int]:
        """Return the places of n of the objects, each the one that adds most to those before it; ties by place."""
