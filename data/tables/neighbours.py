"""Columns beside those of the values: whose cells say that a value is a bound, or in which unit it is.

Nobody need have named them: a bound must not pass for a value because its sign stands in another column, whatever that
column is called. It is decided row by row, so that a file of any size is read once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from data.tables.rows import Columns, Row

_RELATION = re.compile(r"(?<!cor)relation(ship|al)?|qualifier|operator|modifier|censor(ed|ing)?|prefix", re.I)
_SIGN_COLUMN = re.compile(r"(?<![a-z])(signs?|comparator|comparison|rel|inequality|[<>=~]+)(?![a-z])", re.I)
_MAY_BE_PEOPLE = re.compile(r"operator", re.I)
_UNIT = re.compile(r"units?$", re.I)
_MOLAR = re.compile(r"[(\[][pnuµμm]?M[)\]]")

_RELATING = re.compile(
    r"[^\w\s.,;:'\"()/&-]|&[lg]t;|"
    r"\b([gl](t|e|te)|eq|ne|greater|less|lower|higher|more|above|below|over|under|than|least|most|up to|approx\w*|"
    r"about|circa|ca)\b",
    re.I,
)
"""Signs and words of relations, among which no person's name is."""
_SIGN = re.compile(
    r"[<>~≈≃≅≠≤≥≦≧⩽⩾≲≳≪≫]+|[<>~!]=|=[<>~]|&[lg]t;=?|[gl]te?|"
    r"(?i:(greater|less|lower|higher|more|smaller|larger) than( or equal( to)?)?|at (least|most)|up to)"
)
"""What is a sign of a relation in any column: a cell of it and nothing else."""

EXACT = frozenset({"", "=", "=="})
"""Relations that say nothing against a value."""


def bare(text: str) -> str:
    """Return the text of a cell of relations without the quotes that some databases write around it."""
    return text.strip().strip("'\"").strip()


class Neighbours:
    """What the other columns of a table say of its values.

    A column of relations that was named is the only one; so is the only one that is named after the values
    (`Ki relation` beside `Ki`). Else every column counts that is named as one, and every cell that is a sign.

    Args:
        columns: those that were asked for.
        names: all columns of the table, in its order; a name may be there twice.
    """

    def __init__(self, columns: Columns, names: Sequence[str]) -> None:
        self._names = names
        self._relations: list[int] = []
        self._signs: list[int] = []
        self._rest: list[int] = []
        self._units: list[int] = []
        self.chosen = columns.relation is not None
        if columns.relation is not None:
            self._relations = [names.index(columns.relation)]
        elif columns.value is not None:
            self._look_for_relations(columns)
        if columns.unit is not None:
            self._units = [names.index(columns.unit)]
        elif columns.value is not None:
            found = [at for at, name in enumerate(names) if _UNIT.search(name.strip()) and name != columns.value]
            own = [at for at in found if _named_after(names[at], _UNIT, columns.value)]
            self._units = own if len(own) == 1 else found

    def _look_for_relations(self, columns: Columns) -> None:
        assert columns.value is not None
        others = [at for at, name in enumerate(self._names) if name not in (columns.value, *columns.reads())]
        found = [at for at in others if _RELATION.search(self._names[at])]
        sure = [at for at in found if not _MAY_BE_PEOPLE.search(self._names[at])]
        own = [at for at in sure if _named_after(self._names[at], _RELATION, columns.value)]
        if len(own) == 1:
            self._relations, self.chosen = own, True
            return
        self._relations = sure
        self._signs = [at for at in others if at not in sure and (at in found or _SIGN_COLUMN.search(self._names[at]))]
        self._rest = [at for at in others if at not in sure and at not in self._signs]

    def places(self) -> list[int]:
        """Return the places of the columns that are read whatever their cells hold."""
        return [*self._relations, *self._signs, *self._units]

    def row(self, line: int, text: str, value: str, problem: str | None, cells: Sequence[str]) -> Row:
        """Return a row with its relation and its unit.

        Args:
            line: where it stands.
            text: of its object.
            value: its value.
            problem: why it cannot be read.
            cells: texts of all columns, as many as there are names.
        """
        at, relation = self._relation(cells)
        told = [cells[place].strip() for place in self._units]
        unit = BETWEEN.join(told) if any(told) else ""
        unit_column = " and ".join(repr(self._names[place]) for place in self._units)
        unit_column = f"column{'s' if len(told) > 1 else ''} {unit_column}"
        relation_column = None if at is None or self.chosen else self._names[at]
        return Row(line, text, value, problem, relation, unit, relation_column, unit_column)

    def _relation(self, cells: Sequence[str]) -> tuple[int | None, str]:
        for at in self._relations:
            if bare(cells[at]) not in EXACT:
                return at, cells[at].strip()
        for at in self._signs:
            if bare(cells[at]) not in EXACT and _RELATING.search(cells[at]):
                return at, cells[at].strip()
        for at in self._rest:
            if len(cells[at]) <= _LONGEST and _is_sign(cells[at]):
                return at, cells[at].strip()
        return None, ""


BETWEEN = " | "
"""Between the cells of several columns of units."""
_LONGEST = 30
"""Characters of a cell that can be a sign, quotes and blanks included: most texts are told by their length."""


@lru_cache(maxsize=4096)
def _is_sign(cell: str) -> bool:
    return _SIGN.fullmatch(bare(cell)) is not None


def _named_after(name: str, kind: re.Pattern[str], value: str) -> bool:
    """Whether a column is named after that of the values, `Standard Relation` after `Standard Value`."""
    return _stem(kind.sub("", name)) == _stem(_MOLAR.sub("", value))


def _stem(name: str) -> str:
    return re.sub(r"\W|_", "", re.sub(r"values?$", "", name.strip(), flags=re.I)).lower()
