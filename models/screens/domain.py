"""The applicability domain of a proxy: nearness to what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from data.records import FloatArray
from models.featurisers.nearness import Nearness


class ApplicabilityDomain:
    """Refuse objects whose nearest training object is less similar than a limit: no belief in extrapolation.

    It is not registered, since it is made of a round's measurements: `proxy.domain` in the campaign file.

    Reference: Sheridan et al., J. Chem. Inf. Comput. Sci. 44, 1912 (2004).
    """

    kind = "domain"
    cites = ("sheridan2004similarity",)

    def __init__(self, training: Sequence[str], min_similarity: float, nearness: Nearness) -> None:
        """Remember the training objects.

        Args:
            training: t >= 1 objects.
            min_similarity: limit in [0, 1].
            nearness: how alike two objects are.
        """
        self._nearest = nearness.to_nearest(nearness.features(training))
        self.min_similarity = min_similarity

    def similarity(self, objects: Sequence[str]) -> FloatArray:
        """Return the similarity of each of n objects to the nearest training object, shape `(n,)`, in [0, 1].

        Raises:
            ValueError: one of the texts is no valid object.
        """
        return self._nearest(objects)

    def refuse(self, objects: Sequence[str]) -> list[str | None]:
        """Return, per object, None if it is inside the domain or one sentence that says why it is refused."""
        reason = f"Outside the proxy's domain: nothing measured is as similar as {self.min_similarity:g}."
        return [reason if far else None for far in self.similarity(objects) < self.min_similarity]
