"""What is to be said of a file as a whole: mixed units, bounds, and how many rows were kept, merged and refused."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.objects import NotStandardError
from data.records import Refusal
from data.tables.rows import Row, SourceError
from data.tables.values import ValueRules, exact_value
from data.wording import counted

_QUOTED = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_OF_THE_ROW = (
    (re.compile(rf"\b(value|relation|unit) {_QUOTED}"), r"\1"),
    (re.compile(r"\blines? \d+( and \d+)*"), "a line"),
    (re.compile(r"\d+ cells where the header has"), "not as many cells as the header, which has"),
    # Of spaces: `t=300 is outside 20 to 120`, `13 letters, more than 10`, `the letter 'X' at place 3, none of ACGT`.
    (re.compile(r"^([^=]+)=.*? (?=is (outside|none of|no (whole )?number|no step|no share)\b)"), r"\1 "),
    (re.compile(r"^\d+ ([^\d,]+), (more|fewer) than (\d+)$"), r"\2 than \3 \1"),
    (re.compile(rf"\bthe letter {_QUOTED} at place \d+, none"), "a letter that is none"),
    (re.compile(r"\bsum to \S+ instead of 1"), "do not sum to 1"),
    (re.compile(rf"\bis named {_QUOTED}( \(nearest: {_QUOTED}\))?"), "is so named"),
)
_COMMONEST = 5
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+")


def reason_kind(reason: str) -> str:
    """Return a reason without what differs from row to row while the reason does not: texts of cells, and lines."""
    for pattern, common in _OF_THE_ROW:
        reason = pattern.sub(common, reason)
    return reason


def reasons_told(reasons: Mapping[str, int]) -> str:
    """Return the commonest reasons with their counts, and how many others there are: the counts add up to all.

    Where one reason alone would be left, it is named: its name says more than "another reason".

    Args:
        reasons: reason -> rows refused for it.
    """
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    named = len(ranked) if len(ranked) == _COMMONEST + 1 else _COMMONEST
    told = [f"{reason} ({count})" for reason, count in ranked[:named]]
    others = sum(count for _, count in ranked[named:])
    return "; ".join([*told, f"and {others} for other reasons"] if others else told)


@dataclass(slots=True)
class Remarks:
    """Counts over the rows of a source."""

    units: Counter[str] = field(default_factory=Counter)
    decimal_option: bool = True
    """Whether the source has the option `decimal`."""
    unit_column: str = ""
    """The word column and the name of that of units."""
    _comma: tuple[int, str] | None = None
    _thousands: tuple[int, str] | None = None
    _points: int = 0
    _values: int = 0
    _lost: list[Refusal] = field(default_factory=list)

    def value_of(self, row: Row, rules: ValueRules) -> float:
        """Return the value of a row, NaN where it has none or cannot be read at all; counts what is refused.

        Raises:
            NotStandardError: as `exact_value`.
        """
        if row.problem is not None:
            return math.nan
        self._values += bool(row.value)
        try:
            return exact_value(row, rules)
        except NotStandardError as error:
            self._lost.append(Refusal(row.line, row.value, str(error)))
            raise

    def add(self, row: Row) -> None:
        """Count a row that was kept."""
        if row.value:
            self.units[row.unit] += 1
            self.unit_column = row.unit_column

    def see(self, row: Row) -> None:
        """Look at the mark of decimals of a row, kept or not."""
        if "," in row.value:
            self._comma = self._comma or ((row.line, row.value) if _COMMA.fullmatch(row.value) else None)
        elif "." in row.value:
            thousands = _THOUSANDS.fullmatch(row.value) is not None
            self._points += not thousands
            self._thousands = self._thousands or ((row.line, row.value) if thousands else None)

    def require_one_decimal(self, path: str) -> None:
        """Refuse values of which some have decimal commas, and others points that then part thousands.

        Nothing is refused where another value, such as 0.5, says that points are decimal here.

        Raises:
            SourceError: they do; the message has one of each.
        """
        if self._comma is not None and self._thousands is not None and not self._points:
            raise SourceError(
                f"Line {self._comma[0]} of {path} has the value {self._comma[1]!r}, which seems a decimal comma, and "
                f"line {self._thousands[0]} has {self._thousands[1]!r}, whose point may then part thousands: read as a "
                "decimal point, it makes a thousandth of the value. Write all values with a decimal point, or give the "
                "option `decimal: ','` where the component has it."
            )

    def require_values(self, path: str, column: str | None, rules: ValueRules) -> None:
        """Refuse a file of which every value is refused: nothing that is known would be used.

        Args:
            path: of the file.
            column: of the values.
            rules: how they are read.

        Raises:
            SourceError: it is one; the message begins with what most likely mends it.
        """
        if not self._lost or len(self._lost) < self._values:
            return
        first, named = self._lost[0], "" if column is None else f" in the column {column!r}"
        hint = f"{self._commas_told(rules)} " if self._commas_told(rules) else ""
        raise SourceError(
            f"{hint}{'The only value' if self._values == 1 else f'Every one of the {self._values} values'}{named} of "
            f"{path} is refused, so that nothing known would be used. The first is in line {first.line}: "
            f"{first.reason}. Check that `value` names the right column, and how its numbers are written; without "
            "`value` the rows are read as unmeasured."
        )

    def lost_told(self, rules: ValueRules) -> list[str]:
        """Return a sentence where most of the values are refused."""
        if 2 * len(self._lost) <= self._values:
            return []
        first, hint = self._lost[0], self._commas_told(rules)
        return [
            f"MOST VALUES ARE LOST: {len(self._lost)} of {self._values} are refused. "
            f"{f'{hint} ' if hint else ''}The first is in line {first.line}: {first.reason}."
        ]

    def _commas_told(self, rules: ValueRules) -> str:
        """Return what to write where the refused values have decimal commas; empty: they have none."""
        commas = sum(_COMMA.fullmatch(refusal.text) is not None for refusal in self._lost)
        if rules.decimal == "," or 2 * commas <= len(self._lost):
            return ""
        if not self.decimal_option:
            return "The values have decimal commas, and points are read: write points, or a CSV file and its `decimal`."
        return 'Give the option `decimal: ","`: the values have decimal commas.'

    def require_known_unit(self, path: str) -> None:
        """Refuse values of several units by a column that nobody named, for a reader that cannot warn.

        Raises:
            SourceError: there are several; the message counts them.
        """
        if len(self.units.keys() - {""}) > 1:
            raise SourceError(
                f"The values of {path} are in {len(self.units)} units by the {self.unit_column} ({self._told()}); "
                "values of different units cannot be compared. Give the options `unit_column`, and `unit` for the one "
                "that is to be taken, or convert them."
            )

    def require_one_unit(self, path: str, column: str | None) -> None:
        """Refuse values of several units, where a column of units was named.

        Raises:
            SourceError: there are several; the message counts them.
        """
        if column is not None and len(self.units) > 1:
            common = next(unit for unit, _ in self.units.most_common() if unit)
            raise SourceError(
                f"The values of {path} are in {len(self.units)} units ({self._told()} in the column {column!r}); "
                f"values of different units cannot be compared. Give `unit: {common}` to take the rows of that unit "
                "and refuse the others, or convert them."
            )

    def notes(self, refused: Iterable[Refusal], column: str | None) -> list[str]:
        """Return the sentences on units and bounds."""
        sentences = []
        if column is None and len(self.units) > 1:
            sentences.append(
                f"The values are in {len(self.units)} units by the {self.unit_column} ({self._told()}); they "
                "were taken as they stand. Give the options `unit_column`, and `unit` for the one that is to be taken."
            )
        bounds = sum("a bound or an estimate" in refusal.reason for refusal in refused)
        if bounds:
            were = "was refused: it is" if bounds == 1 else "were refused: none is"
            told = "not exact" if bounds == 1 else "exact"
            sentences.append(f"{counted(bounds, 'row')} with a bound or an estimate for a value {were} {told}.")
        return sentences

    def _told(self) -> str:
        return ", ".join(f"{unit or 'none'!r} in {counted(count, 'row')}" for unit, count in self.units.most_common(5))


def reading_line(
    counts: Mapping[str, float],
    reasons: Mapping[str, int],
    names: tuple[str, str] = ("molecule", "molecules"),
    left_out: Mapping[str, int] = {},
    drawn: bool = False,
    valued: bool = True,
) -> str:
    """Return one line on what became of the rows of a source, such as `20 rows: 5 molecules kept, 1 row merged ...`.

    Args:
        counts: `rows`, `library` (objects kept), `labelled`, `merged`, `refused`; of a stage's metrics.
        reasons: reason -> rows refused for it.
        names: what one object of the space is called, and several.
        left_out: why objects were not taken although they are in order -> how many.
        drawn: whether the rows are none of a file, but were drawn from the space.
        valued: whether values were looked for.
    """
    noun, nouns = names
    number = {name: int(counts.get(name, 0)) for name in ("rows", "library", "labelled", "merged", "refused")}
    if drawn and number["rows"] == number["library"]:
        return f"{counted(number['rows'], noun, nouns)} drawn from the space."
    with_value = f" ({number['labelled']} with a value)" if valued else ""
    line = (
        f"{counted(number['rows'], 'row')} read: {counted(number['library'], noun, nouns)} kept{with_value}, "
        f"{counted(number['merged'], 'row')} merged into them, {number['refused']} refused"
    )
    line += f": {reasons_told(reasons)}" if reasons else ""
    line += f"; {sum(left_out.values())} left out: {reasons_told(left_out)}" if left_out else ""
    return f"{line}."


TABLES = "tables.json"
"""File of the stage `read_tables`: a list of what became of the rows of each file, as `Tally.to_json`."""


def tables_told(folder: Path) -> list[tuple[str, str, bool]]:
    """Return what is to be said of the files that a campaign buys from or looks values up in.

    Args:
        folder: of the finished stage `read_tables`; nothing is told where it is not there.

    Returns:
        The file's role, a sentence, and whether it is a warning.
    """
    try:
        tables = json.loads((folder / TABLES).read_text(encoding="utf-8"))
        return [
            (str(one["role"]), str(sentence), is_warning)
            for one in tables
            for sentences, is_warning in ((one["told"], False), (one["warnings"], True))
            for sentence in sentences
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


REPORT = "report.json"
"""File of the stage `prepare_data` with the counts, the line and the warnings."""


REFUSED = "refused.csv"
"""File of the stage `prepare_data` with the refused rows."""

MERGED = "merged.csv"
"""File of the stage `prepare_data` with the rows of objects that have several values; not there where none has."""


def reading_told(folder: Path, where: str | None = None) -> list[str]:
    """Return the line on the rows of a campaign's source, where those refused are, and what was wrong with the file.

    Args:
        folder: of the finished stage `prepare_data`; nothing is told where it is not there, or of an older program.
        where: the file of refused rows, as it is to be told; None: its whole path.
    """
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        listed = report.get("listed", 0)
        place = [f"The refused rows, each with its reason: {where or folder / REFUSED}"] if listed else []
        if report.get("disagreeing", 0):
            merged = (where or str(folder / REFUSED)).replace(REFUSED, MERGED)
            place.append(f"The rows that are one object, with what became of the value of each: {merged}")
        design = [str(report["design"])] if report.get("design") else []
        return [str(report["line"]), *design, *place, *map(str, report["warnings"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []
