"""The applicability domain of a proxy: nearness to what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.chemistry.molecules import morgan_counts, tanimoto
from data.records import FloatArray

_CHUNK = 1024


class ApplicabilityDomain:
    """Refuse molecules whose nearest training molecule is less similar than a limit: no belief in extrapolation.

    It has no kind of its own, since it is made of a round's measurements: `proxy.domain` in the campaign file.

    Reference: Sheridan et al., J. Chem. Inf. Comput. Sci. 44, 1912 (2004).
    """

    def __init__(self, training: Sequence[str], min_similarity: float) -> None:
        """Remember the training molecules.

        Args:
            training: t >= 1 canonical SMILES.
            min_similarity: limit in [0, 1] of the min-max similarity of Morgan counts (radius 2).
        """
        self._counts = morgan_counts(training)
        self.min_similarity = min_similarity

    def similarity(self, molecules: Sequence[str]) -> FloatArray:
        """Return the similarity of each of n molecules to the nearest training molecule, shape `(n,)`, in [0, 1].

        Raises:
            ValueError: one of the texts is no valid molecule.
        """
        parts = [morgan_counts(molecules[at : at + _CHUNK]) for at in range(0, len(molecules), _CHUNK)]
        nearest = [tanimoto(part, self._counts).max(1, initial=0.0) for part in parts]
        return np.concatenate([np.zeros(0), *nearest])

    def refuse(self, molecules: Sequence[str]) -> list[str | None]:
        """Return, per molecule, None if it is inside the domain or one sentence that says why it is refused."""
        reason = f"Outside the proxy's domain: no measured molecule is as similar as {self.min_similarity:g}."
        return [reason if far else None for far in self.similarity(molecules) < self.min_similarity]
