"""Directed graphs on named variables as one of three columns per pair."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pydantic import Field

from data.objects import unlisted
from models.featurisers.base import Features, Featuriser, no_dense
from models.registry import Component


class Adjacency(Featuriser):
    """Of each pair of variables whether no edge joins them, one leads forward, or one leads back.

    Two graphs that differ at d of P pairs have the min-max similarity (P - d) / (P + d): d is the structural Hamming
    distance, in which an edge that is turned round counts once.

    Reference: Tsamardinos, Brown and Aliferis, Machine Learning 65, 31 (2006).
    """

    kind = "adjacency"
    objects = "dags"
    cites = ("tsamardinos2006maxmin",)

    class Options(Component.Options):
        """The variables."""

        variables: tuple[str, ...] = Field(
            tuple("01234"), min_length=2, description="names of the variables, in their order"
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.options.variables)}

    @cached_property
    def _pairs(self) -> dict[tuple[int, int], int]:
        n = len(self.options.variables)
        pairs = ((first, second) for first in range(n) for second in range(first + 1, n))
        return {pair: number for number, pair in enumerate(pairs)}

    def __call__(self, objects: Sequence[str]) -> Features:
        """Return shape `(n, 3 P)` zeros and ones, P ones a row.

        Raises:
            ValueError: one of the texts is no list of edges.
        """
        states = np.zeros((len(objects), len(self._pairs)), dtype=np.int64)
        for row, text in enumerate(objects):
            for edge in unlisted(text):
                first, second = self._ends(edge, text)
                states[row, self._pairs[min(first, second), max(first, second)]] = 1 if first < second else 2
        counts = np.eye(3, dtype=np.int32)[states].reshape(len(objects), 3 * len(self._pairs))
        return Features(no_dense(len(objects)), counts)

    def _ends(self, edge: str, text: str) -> tuple[int, int]:
        names = [name.strip() for name in edge.split(">")]
        places = [self._places[name] for name in names if name in self._places]
        if len(names) != 2 or len(set(places)) != 2:
            raise ValueError(
                f"The featuriser adjacency knows edges of {len(self._places)} variables; got {edge!r} in {text!r}. "
                "Set its option `variables`."
            )
        return places[0], places[1]
