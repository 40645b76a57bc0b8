"""What tells most together: an experiment that would tell the same as one before it is not chosen."""

from __future__ import annotations

from models.protocols import Pool
from models.selectors.base import BatchSelector, needs


class MostInformative(BatchSelector):
    """One after the other, each the one that adds most to the expected information of those before it.

    The proxy tells it, of a whole batch. Chosen so, a batch has at least 1 - 1/e of the information of the best batch
    where information is submodular.

    Reference: Krause and Guestrin, Near-optimal nonmyopic value of information in graphical models, UAI 2005.
    """

    kind = "most_informative"
    cites = ("krause2005nearoptimal",)

    @property
    def wants_information(self) -> bool:
        """Whether a proxy must know what an answer would tell."""
        return True

    def _pick(self, pool: Pool, n: int) -> list[int]:
        if pool.about.informing is None or not pool.objects:
            raise ValueError(
                needs(self, "a proxy that knows what an answer would tell", "Use the proxy causal_graphs, or top_k.")
            )
        return pool.about.informing.most_informative(pool.objects, n)
