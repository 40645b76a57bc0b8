"""What a featuriser makes of objects: a block of real numbers, a block of counts, or both."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an object, each of which may be there or not.

    Attributes:
        names: P texts, those of atoms first.
        atoms: how many of them are atoms.
        features: makes the features of k coalitions, shape `(k, P)` bool: which parts are there.
    """

    names: tuple[str, ...]
    atoms: int
    features: Callable[[NDArray[np.bool_]], Features]


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

    def parts(self, obj: Any, typical: FloatArray) -> Parts:
        """Return the parts of an object: what it has otherwise than a typical one, columns of one name together.

        A dense feature that is not there is as in `typical`, shape `(p,)`, a count is nought.

        Raises:
            ValueError: the object is not of the right sort.
        """
        own, names = self([obj]), self.names()
        width = own.dense.shape[1]
        dense = names.dense or tuple(f"feature {column + 1}" for column in range(width))
        counts = names.counts or tuple(f"count {column + 1}" for column in range(own.counts.shape[1]))
        owner: dict[str, list[int]] = {}
        for column in np.flatnonzero(np.concatenate([own.dense[0] != typical, own.counts[0] != 0])).tolist():
            owner.setdefault((*dense, *counts)[column], []).append(column)
        part = np.full(width + own.counts.shape[1], -1, dtype=np.intp)
        for place, columns in enumerate(owner.values()):
            part[columns] = place

        def features(present: NDArray[np.bool_]) -> Features:
            there = present[:, part] & (part >= 0) if owner else np.zeros((len(present), len(part)), dtype=bool)
            table = np.where(there[:, :width], own.dense, typical)
            return Features(table, (there[:, width:] * own.counts).astype(np.int32), own.widths)

        return Parts(tuple(owner), 0, features)

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
