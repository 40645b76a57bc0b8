"""What is to be said of a file as a whole: mixed units, bounds, and how many rows were kept, merged and refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.records import Refusal
from data.rows import Row, SourceError


def reason_kind(reason: str) -> str:
    """Return a reason without what it quotes, which differs from row to row while the reason does not."""
    return re.sub(
        r"\d+ cells where the header has",
        "not as many cells as the header, which has",
        re.sub(r"'[^']*'|\"[^\"]*\"|line \d+", "...", reason),
    )


@dataclass(slots=True)
class Remarks:
    """Counts over the rows of a source that were kept."""

    units: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        """Count a row that was kept."""
        if row.value:
            self.units[row.unit] += 1

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
                f"A column of units holds {len(self.units)} of them ({self._told()}); the values were taken as they "
                "stand. Name it in the option `unit_column`, with `unit` for the one that is to be taken."
            )
        bounds = sum("a bound or an estimate" in refusal.reason for refusal in refused)
        if bounds:
            sentences.append(f"{bounds} row(s) with a bound or an estimate for a value were refused: none is exact.")
        return sentences

    def _told(self) -> str:
        return ", ".join(f"{unit or 'none'!r} in {count} row(s)" for unit, count in self.units.most_common(5))


def reading_line(counts: Mapping[str, float], reasons: Mapping[str, int]) -> str:
    """Return one line on what became of the rows of a source, such as `20 rows: 5 molecules kept, 1 row merged ...`.

    Args:
        counts: `rows`, `library` (molecules kept), `labelled`, `merged`, `refused`; of a stage's metrics.
        reasons: reason -> rows refused for it, the commonest first.
    """
    number = {name: int(counts.get(name, 0)) for name in ("rows", "library", "labelled", "merged", "refused")}
    line = (
        f"{number['rows']} rows read: {number['library']} molecules kept ({number['labelled']} with a value), "
        f"{number['merged']} rows merged into them, {number['refused']} refused"
    )
    common = "; ".join(f"{reason} ({count})" for reason, count in list(reasons.items())[:3])
    return f"{line}: {common}." if common else f"{line}."


REPORT = "report.json"
"""File of the stage `prepare_data` with the counts, the line and the warnings."""


REFUSED = "refused.csv"
"""File of the stage `prepare_data` with the refused rows."""


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
        return [str(report["line"]), *place, *map(str, report["warnings"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []
