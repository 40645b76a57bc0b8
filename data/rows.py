"""What every reader of molecule files gives: rows with their lines, and the columns that were asked for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path


class SourceError(ValueError):
    """A source of molecules cannot be used: a complete sentence says what to change."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the file."""

    line: int
    """The header of a table is line 1; the record of an SD file counts from its first line."""
    smiles: str
    """SMILES or CXSMILES; empty where the row has none."""
    value: str
    """Text of the value, empty where the row or the source has none."""
    problem: str | None = None
    """Why the row cannot be read at all."""
    relation: str = ""
    """What stands before the value, `=`, `>`, in a column of its own; empty where there is none."""
    unit: str = ""
    """Unit of the value, in a column of its own; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns (properties of an SD file) that are read; None: not read.

    A column of relations or units that nobody named is looked for by its name (`found_in`): a bound must not pass for
    a value because its sign stands in the next column.
    """

    smiles: str | None = None
    value: str | None = None
    relation: str | None = None
    unit: str | None = None
    found: bool = False
    """Whether the column of relations was found by its name."""

    def relation_told(self, text: str) -> str:
        """Return a cell of the column of relations; nothing, if that column names who operated an instrument."""
        people = self.found and self.relation is not None and "operator" in self.relation.lower()
        return "" if people and not _RELATING.search(text) else text

    def wanted(self) -> list[str]:
        """Return the names that must be there."""
        return [name for name in (self.smiles, self.value, self.relation, self.unit) if name is not None]

    def found_in(self, names: Sequence[str]) -> Columns:
        """Return the columns with those of relations and units that belong to the values, by their names."""
        if self.value is None:
            return self
        relation = self.relation or _belonging(names, self.value, _RELATION)
        found = self.relation is None and relation is not None
        return replace(self, relation=relation, unit=self.unit or _belonging(names, self.value, _UNIT), found=found)


_RELATION = re.compile(r"(relation(ship)?|qualifier|operator|modifier|censor(ed|ing)?|prefix|relational)", re.I)
_RELATING = re.compile(
    r"[^\w\s.,;:'\"()/&-]|"
    r"\b([gl](t|e|te)|eq|ne|greater|less|more|above|below|over|under|than|least|most|up to|approx\w*|about|circa|ca)\b",
    re.I,
)
"""Signs and words of relations, among which no person's name is."""
_UNIT = re.compile(r"units?$", re.I)


def _belonging(names: Sequence[str], value: str, kind: re.Pattern[str]) -> str | None:
    """Return the one column of a kind that goes with a column of values: alone of its kind, or named alike."""
    found = [name for name in dict.fromkeys(names) if kind.search(name.strip()) and name != value]
    if len(found) < 2:
        return found[0] if found else None
    stem = re.sub(r"\W|_", "", re.sub(r"values?$", "", value.strip(), flags=re.I)).lower()
    alike = [name for name in found if re.sub(r"\W|_", "", kind.sub("", name)).lower() == stem]
    return alike[0] if len(alike) == 1 else None


def require_columns(path: Path, names: Sequence[str], wanted: Sequence[str], what: str = "column") -> None:
    """Refuse a table that lacks a column, or has it more than once.

    Raises:
        SourceError: the message lists what there is.
    """
    for name in wanted:
        if names.count(name) == 1:
            continue
        if name in names:
            raise SourceError(
                f"{path} has {names.count(name)} {what}s named {name!r}; one of them cannot be told from the other. "
                "Name them differently."
            )
        close = difflib.get_close_matches(name.lower(), [item.lower() for item in names], n=1, cutoff=0.5)
        hint = next((f" Did you mean {item!r}?" for item in names if close and item.lower() == close[0]), "")
        listed = ", ".join(repr(item) for item in names) or "none"
        raise SourceError(f"{path} has no {what} {name!r}; it has {listed}.{hint}")
