"""Tables that come with discovery-flows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from data.tables.readers import Columns, Row, csv_rows
from data.tables.shipped import shipped_file
from models.registry import Component


class Shipped(Component["Shipped.Options"]):
    """A table that comes with discovery-flows, such as `electron_affinities`; its values only if `labelled`."""

    group = "source"
    kind = "shipped"
    spaces = ("molecules",)

    class Options(Component.Options):
        """Options of the source `shipped`."""

        name: str = Field(default="electron_affinities", description="name of the table")
        labelled: bool = Field(default=False, description="whether its values are known from the start, at no cost")

    def file(self, base: Path) -> Path:
        """Return the path of the table.

        Raises:
            SourceError: no such table is shipped, or it was altered.
        """
        return shipped_file(self.options.name)

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return csv_rows(self.file(base), Columns("smiles", value="value" if self.options.labelled else None))
