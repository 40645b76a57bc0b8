"""What sources of molecules share: a file beside the campaign file, columns, and how values are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator
from typing_extensions import TypeVar

from data.objects import Space
from data.tables.datasets import Library, Source, read_rows
from data.tables.library_file import require_file
from data.tables.merging import Replicates
from data.tables.readers import Columns
from data.tables.values import ValueRules
from models.registry import Component, Options, build


def read_source(config: Mapping[str, Any], *, base: Path, space: Space) -> Library:
    """Read, standardise and check every molecule of a source.

    Args:
        config: `{kind: zinc250k | csv | parquet | sdf | smiles | shipped | a plugin's, option: ...}`.
        base: folder in which relative paths start.
        space: that every molecule must be in.

    Raises:
        ComponentError: the source or an option is unknown.
        SourceError: as `data.tables.datasets.read_rows`.
    """
    source: Source = build("source", config)
    return read_rows(source, base=base, space=space)


class PathOptions(Options):
    """Options of sources that are a file."""

    path: str = Field(description="the file; a relative path starts at the campaign file's folder")


class TableOptions(PathOptions):
    """Options of sources that are a file with columns."""

    smiles: str | None = Field(default="smiles", description="name of the column of SMILES")
    value: str | None = Field(default=None, description="name of the column of measured values; null: none")
    relation: str | None = Field(
        default=None,
        description="column of `=`, `>`, `<`, `~` before the values, whose bounds are refused; null: looked for",
    )
    unit_column: str | None = Field(default=None, description="column of the values' units; one unit is taken only")
    unit: str | None = Field(default=None, description="the unit that is taken, others are refused by row")
    replicates: Replicates = Field(default="mean", description="what several values of one molecule become")

    @model_validator(mode="after")
    def _of_values(self) -> Self:
        if self.value is None and (self.relation or self.unit_column):
            raise ValueError("`relation` and `unit_column` belong to a column of values; give `value` too")
        if self.unit is not None and self.unit_column is None:
            raise ValueError("`unit` says which rows of `unit_column` are taken; give `unit_column` too")
        return self


PathT = TypeVar("PathT", bound=PathOptions, default=Any)
TableT = TypeVar("TableT", bound=TableOptions, default=Any)


class FileSource(Component[PathT]):
    """Base of sources that are a file."""

    group: ClassVar[str] = "source"

    class Options(PathOptions):
        """Options of sources that are a file."""

    @property
    def path(self) -> str:
        """The file, as it was written."""
        return self.options.path

    def file(self, base: Path) -> Path:
        """Return the path of the file; a relative one starts at the folder `base`.

        Raises:
            SourceError: there is no such file.
        """
        path = Path(self.options.path).expanduser()
        path = path if path.is_absolute() else base / path
        require_file(path)
        return path


class TableSource(FileSource[TableT]):
    """Base of sources that are a file with columns, of which one may have values."""

    class Options(TableOptions):
        """Options of sources that are a file with columns."""

    @property
    def columns(self) -> Columns:
        """The columns that are read."""
        options = self.options
        return Columns(options.smiles, options.value, options.relation, options.unit_column)

    @property
    def rules(self) -> ValueRules:
        """How values are read."""
        return ValueRules(unit=self.options.unit)

    @property
    def unit_column(self) -> str | None:
        """The column of units."""
        return self.options.unit_column

    @property
    def replicates(self) -> Replicates:
        """What several values of one molecule become."""
        return self.options.replicates
