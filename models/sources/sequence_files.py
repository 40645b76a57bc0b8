"""Files of sequences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.tables.fasta import fasta_rows
from data.tables.rows import Row
from models.sources.base import FileSource, PathOptions


class Fasta(FileSource[PathOptions]):
    """A FASTA file, plain or `.gz`; names and descriptions are passed over, and there are no values."""

    kind = "fasta"
    spaces = ("sequences",)
    cites = ("pearson1988improved",)

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return fasta_rows(self.file(base))
