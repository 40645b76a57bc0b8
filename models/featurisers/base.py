"""What a featuriser makes of objects: a block of real numbers, a block of counts, or both."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from data.records import FloatArray
from models.registry import Component, build


@dataclass(frozen=True, slots=True)
class Features:
    """Features of n objects, in two blocks that a model may treat differently; a block may have no column.

    Attributes:
        dense: real numbers, shape `(n, p)`, finite float64: distances between standardised rows have a meaning.
        counts: non-negative counts, shape `(n, q)`, int32: the share of common counts has a meaning (Tanimoto).
        widths: columns of each kind of count, in order; empty: all are of one kind.
    """

    dense: FloatArray
    counts: NDArray[np.int32]
    widths: tuple[int, ...] = ()

    @property
    def kinds(self) -> tuple[NDArray[np.int32], ...]:
        """Counts of each kind, each shape `(n, width)`; nothing where nothing is counted."""
        if not self.widths:
            return (self.counts,) if self.counts.shape[1] else ()
        return tuple(np.split(self.counts, np.cumsum(self.widths)[:-1], axis=1))

    def part(self, dense: bool, kinds: Sequence[int]) -> Features:
        """Return the dense block or none, and the kinds of counts at some places, in that order."""
        every = self.kinds
        some = [every[place] for place in kinds]
        widths = tuple(block.shape[1] for block in some) if len(some) > 1 else ()
        counts = np.hstack([no_counts(len(self)), *some])
        return Features(self.dense if dense else no_dense(len(self)), counts, widths)

    def __len__(self) -> int:
        return len(self.dense)

    def __getitem__(self, rows: NDArray[np.intp]) -> Features:
        return Features(self.dense[rows], self.counts[rows], self.widths)


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Names of the columns of both blocks, in order; a block without names has none."""

    dense: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()


class Featuriser(Component):
    """Base of featurisers: a pure function of the object, whatever its company."""

    group = "featuriser"
    objects: ClassVar[str] = "molecules"
    """What it takes: molecules (canonical SMILES), sequences or arrays."""
    separate: ClassVar[bool] = False
    """Whether dense features are variables between 0 and 1 that matter more or less by themselves."""

    @abstractmethod
    def __call__(self, objects: Sequence[Any]) -> Features:
        """Return the features of n objects; an empty list gives blocks of the usual width with no row.

        Raises:
            ValueError: one of the objects is not of the right sort.
        """

    def names(self) -> ColumnNames:
        """Return what the columns are called; columns of one name stand for one thing, such as the words of a variable.

        Empty where they have no names that would tell a person anything.
        """
        return ColumnNames()

    def partly(self, objects: Sequence[Any], *, dense: bool, kinds: Sequence[int]) -> Features:
        """Return some of the features of n objects: the dense block or none, and the kinds of counts at some places.

        A featuriser of several parts saves here what is not asked for.
        """
        return self(objects).part(dense, kinds)


def featuriser_of(spec: str | Mapping[str, Any]) -> Featuriser:
    """Return the featuriser that a name, or `{kind: name, option: value}`, describes.

    Raises:
        ComponentError: unknown name or option.
    """
    featuriser: Featuriser = build("featuriser", {"kind": spec} if isinstance(spec, str) else spec)
    return featuriser


def no_dense(n: int) -> FloatArray:
    """Return a dense block without columns, shape `(n, 0)`."""
    return np.zeros((n, 0))


def no_counts(n: int) -> NDArray[np.int32]:
    """Return a block of counts without columns, shape `(n, 0)`."""
    return np.zeros((n, 0), dtype=np.int32)
