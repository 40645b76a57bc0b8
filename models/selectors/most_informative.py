"""What tells most together: an experiment that would tell the same as one before it is not chosen."""

from __future__ import annotations

from models.protocols import Pool
from models.selectors.base import BatchSelector


class MostInformative(BatchSelector):
    """One after the other, each the one that adds most to the expected information of those before it.

    The proxy tells it, of a whole batch; of a pool whose proxy cannot tell, the best scores are taken. Chosen so, a
    batch has at least 1 - 1/e of the information of the best batch where information is submodular.

    Reference: Krause and Guestrin, Near-optimal nonmyopic value of information in graphical models, UAI 2005.
    """

    kind = "most_informative"
    cites = ("krause2005nearoptimal",)

    def _pick(self, pool: Pool, n: int) -> list[int]:
        if pool.about.informing is None or not pool.objects:
            return list(range(n))
        return pool.about.informing.most_informative(pool.objects, n)
