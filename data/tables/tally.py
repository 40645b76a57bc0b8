"""What became of the rows of a file that a campaign buys from or looks values up in, in sentences."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from data.records import JsonDict, Refusal
from data.tables.prepared import FIRST, PreparedLibrary
from data.tables.remarks import reading_line
from data.yaml_text import shown


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over the rows of a file.

    Attributes:
        role: what the campaign does with it: `pool`, it buys from it; `table`, it looks values up.
        name: of the file.
        nouns: one object of the space, and several.
        columns: that tell the objects, as people named them; empty where the format has none.
        size: bytes of the file, where it was not read.
        rows: that were read: kept + merged + refused.
        kept: objects.
        labelled: those of them with a value; None: the file is not asked for values.
        merged: rows that went into an earlier row of the same object.
        refused: reason -> rows refused for it.
        first: the first of these.
        remarks: sentences on what may be wrong with the file as a whole.
    """

    role: str
    name: str
    nouns: tuple[str, str]
    columns: tuple[str, ...] = ()
    size: int | None = None
    rows: int = 0
    kept: int = 0
    labelled: int | None = None
    merged: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    first: Sequence[Refusal] = ()
    remarks: Sequence[str] = ()

    def told(self) -> list[str]:
        """Return sentences on the rows: how many became what, and the first refused ones with their lines."""
        if self.size is not None:
            return [
                f"The rows of {self.name} were not read, as it has {self.size / 1e6:.0f} MB; `discover run` reads them "
                "and says what became of them."
            ]
        counts = {"rows": self.rows, "library": self.kept, "merged": self.merged, "refused": self._left_out}
        counts |= {} if self.labelled is None else {"labelled": self.labelled}
        line = reading_line(counts, self.refused, self.nouns, valued=self.labelled is not None)
        named = [f"line {one.line} ({shown(one.text)}): {one.reason}" for one in self.first[:FIRST]]
        more = self._left_out - len(named)
        refusals = "; ".join([*named, f"and {more} more"] if more > 0 else named)
        return [f"{self.name}: {line}", *([f"Refused in {self.name}: {refusals}."] if named else [])]

    def warnings(self) -> list[str]:
        """Return sentences on what may be wrong with the file as a whole."""
        told = [f"{self.name}: {remark}" for remark in self.remarks]
        if 2 * self._left_out > self.rows:
            place = f" are read from {', '.join(map(repr, self.columns))}" if self.columns else " are its lines"
            told.append(
                f"Most rows of {self.name} were refused, {self._left_out} of {self.rows}. Its {self.nouns[1]}{place}: "
                "check that this is the right column (`smiles` or `object`), the delimiter, and the bounds of the "
                "space."
            )
        return told

    def said(self) -> list[tuple[str, str, bool]]:
        """Return all of these, each with the file's role and whether it is a warning."""
        told, warnings = self.told(), self.warnings()
        return [*((self.role, one, False) for one in told), *((self.role, one, True) for one in warnings)]

    @property
    def _left_out(self) -> int:
        return sum(self.refused.values())

    def to_json(self) -> JsonDict:
        """Return what is to be said and the counts, JSON-able."""
        return {
            "role": self.role,
            "name": self.name,
            "rows": self.rows,
            "kept": self.kept,
            "labelled": self.labelled,
            "merged": self.merged,
            "refused": dict(self.refused),
            "told": self.told(),
            "warnings": self.warnings(),
        }


def pool_tally(library: PreparedLibrary, name: str, nouns: tuple[str, str], columns: tuple[str, ...]) -> Tally:
    """Read a library and return what became of its rows; memory grows by eight bytes for each object.

    Raises:
        SourceError: the file cannot be read.
    """
    rows, refused = 0, Counter[str]()
    first: list[Refusal] = []
    met = [np.zeros(0, dtype=np.uint64)]
    for part in library.parts():
        rows += part.rows
        refused.update(part.refused)
        first += part.first[: FIRST - len(first)]
        met.append(np.array([_number(obj) for obj in part.molecules], dtype=np.uint64))
    kept = len(np.unique(np.concatenate(met)))
    merged = rows - refused.total() - kept
    ranked = dict(refused.most_common())
    return Tally("pool", name, nouns, columns, rows=rows, kept=kept, merged=merged, refused=ranked, first=first)


def _number(obj: str) -> int:
    """Return a number that two of a million objects share once in ten million libraries."""
    return int.from_bytes(hashlib.blake2b(obj.encode(), digest_size=8).digest(), "big")
