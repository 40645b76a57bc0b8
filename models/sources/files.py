"""Files of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from data.objects import Space
from data.tables.readers import Row, csv_rows, parquet_rows, sdf_rows, smiles_rows
from data.tables.values import ValueRules
from models.sources.base import FileSource, PathOptions, TableOptions, TableSource


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
    """A parquet table."""

    kind = "parquet"

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return parquet_rows(self.file(base), self.columns)


class Sdf(TableSource["Sdf.Options"]):
    """An SD file; `smiles: null` takes the drawn structure, a name takes that property."""

    kind = "sdf"
    spaces = ("molecules",)
    usual = None

    class Options(TableOptions):
        """Options of the source `sdf`."""

        smiles: str | None = Field(default=None, description="property that holds a SMILES; null: the drawn structure")

    def prepare(self, space: Space, seed: int) -> None:
        """Leave the drawn structure for what is read where no property is named."""
        self.seed = seed

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return sdf_rows(self.file(base), self.columns)


class Smiles(FileSource[PathOptions]):
    """A SMILES file: one molecule a line, a name after a blank is passed over; no values."""

    kind = "smiles"
    spaces = ("molecules",)

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return smiles_rows(self.file(base))
