"""Tables of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from data.tables.readers import Row, csv_rows, parquet_rows
from data.tables.values import ValueRules
from models.sources.base import TableOptions, TableSource


class Csv(TableSource["Csv.Options"]):
    """A delimited text file with a header, plain or `.gz`."""

    kind = "csv"

    class Options(TableOptions):
        """Options of the source `csv`."""

        delimiter: str = Field(default=",", min_length=1, max_length=1, description="one character between cells")
        decimal: Literal[".", ","] = Field(default=".", description="mark of decimals in the values")

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return csv_rows(self.file(base), self.columns, self.options.delimiter)

    @property
    def rules(self) -> ValueRules:
        """How values are read."""
        return ValueRules(self.options.decimal, self.options.unit)


class Parquet(TableSource[TableOptions]):
    """A parquet table, with a column or several for its objects."""

    kind = "parquet"

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return parquet_rows(self.file(base), self.columns)
