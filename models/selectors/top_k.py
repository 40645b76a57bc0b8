"""The best scores, whatever their likeness."""

from __future__ import annotations

from models.protocols import Pool
from models.registry import Component
from models.selectors.base import BatchSelector


class TopK(BatchSelector):
    """The n best scores; equal scores in the order given."""

    kind = "top_k"

    class Options(Component.Options):
        """No options."""

    def limit(self, n: int) -> int | None:
        """Return n: nobody else can be chosen."""
        return max(n, 0)

    def _pick(self, pool: Pool, n: int) -> list[int]:
        return list(range(n))
