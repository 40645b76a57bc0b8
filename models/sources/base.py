"""What sources of objects share: a file beside the campaign file, columns, and how values are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator
from typing_extensions import TypeVar

from data.objects import Space
from data.tables.datasets import Library, Source, read_rows
from data.tables.library_file import require_file
from data.tables.merging import Kept, Replicates
from data.tables.parts import Part, part_of
from data.tables.readers import Columns
from data.tables.values import ValueRules
from models.library_options import OBJECT, columns_of, require_one_name
from models.registry import Component, ComponentError, Options, build
from models.spaces.base import BaseSpace, require_space


def source_of(config: Mapping[str, Any], space: BaseSpace[Any], *, seed: int = 0, maximise: bool = True) -> Any:
    """Return a source of objects of a space.

    Args:
        config: `{kind: zinc250k | csv | parquet | sdf | smiles | fasta | shipped | random | a plugin's, option: ...}`.
        space: that its objects are in.
        seed: of what is drawn.
        maximise: whether larger values are better.

    Raises:
        ComponentError: the source or an option is unknown, or it is for other objects.
    """
    source = build("source", config)
    require_space(source, space)
    value = getattr(source.options, "value", None)
    if value is not None and value in space.described:
        raise ComponentError(
            f"The column {value!r} has the measured values (data.value) and describes the {space.nouns[1]} of the "
            "space too: models would see what they are to predict. Leave it out of the space."
        )
    prepare = getattr(source, "prepare", None)
    if prepare is not None:
        prepare(space, seed)
    if isinstance(source, TableSource):
        source.maximise = maximise
    return source


def read_source(
    config: Mapping[str, Any], *, base: Path, space: BaseSpace[Any], seed: int = 0, maximise: bool = True
) -> Library:
    """Read, standardise and check every object of a source; arguments as `source_of`.

    Raises:
        ComponentError: as `source_of`.
        SourceError: as `data.tables.datasets.read_rows`.
    """
    source: Source = source_of(config, space, seed=seed, maximise=maximise)
    return read_rows(source, base=base, space=space)


class PathOptions(Options):
    """Options of sources that are a file."""

    path: str = Field(description="the file; a relative path starts at the campaign file's folder")


class TableOptions(PathOptions):
    """Options of sources that are a file with columns."""

    smiles: str | None = Field(default=None, description="name of the column of SMILES")
    object: str | None = Field(default=None, description=OBJECT)
    value: str | None = Field(default=None, description="name of the column of measured values; null: none")
    relation: str | None = Field(
        default=None,
        description="column of `=`, `>`, `<`, `~` before the values, whose bounds are refused; null: looked for",
    )
    unit_column: str | None = Field(default=None, description="column of the values' units; one unit is taken only")
    unit: str | None = Field(default=None, description="the unit that is taken, others are refused by row")
    replicates: Replicates = Field(default="mean", description="what several values of one object become")
    below_quantile: float | None = Field(
        default=None, gt=0, lt=1, description="the worse share of the values; better ones are left out, as if unknown"
    )
    sample: int | None = Field(default=None, ge=1, description="so many objects, drawn at random; null: all")

    @model_validator(mode="after")
    def _of_values(self) -> Self:
        require_one_name(self.smiles, self.object)
        if self.value is None and (self.relation or self.unit_column):
            raise ValueError("`relation` and `unit_column` belong to a column of values; give `value` too")
        if self.unit is not None and self.unit_column is None:
            raise ValueError("`unit` says which rows of `unit_column` are taken; give `unit_column` too")
        if self.value is None and self.below_quantile is not None:
            raise ValueError("`below_quantile` is of a column of values; give `value` too")
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

    usual: str | None = "smiles"
    """Column of the objects where none is named; None: no column at all, such as the drawing of an SD file."""
    fields: tuple[str, ...] = ()
    """Columns that tell an object together, where none is named."""
    names: tuple[str, ...] = ()
    """What these are called in an object's text; empty: the same."""
    seed: int = 0
    """Of the sample."""
    maximise: bool = True
    """Whether larger values are better."""

    class Options(TableOptions):
        """Options of sources that are a file with columns."""

    def prepare(self, space: Space, seed: int) -> None:
        """Take the columns of a space where the options name none."""
        self.usual, self.fields, self.seed = space.column, columns_of(space), seed
        self.names = space.fields if space.headers else ()

    @property
    def columns(self) -> Columns:
        """The columns that are read."""
        options = self.options
        named = options.object or options.smiles
        fields = self.fields if named is None else ()
        text = named or (None if fields else self.usual)
        decimal = getattr(options, "decimal", ".")
        return Columns(text, fields, options.value, options.relation, options.unit_column, decimal, self.names)

    @property
    def rules(self) -> ValueRules:
        """How values are read."""
        return ValueRules(unit=self.options.unit)

    @property
    def unit_column(self) -> str | None:
        """The column of units."""
        return self.options.unit_column

    def part(self, rows: Sequence[Kept]) -> Part:
        """Return the objects that the options `below_quantile` and `sample` leave."""
        return part_of(
            rows,
            below_quantile=self.options.below_quantile,
            sample=self.options.sample,
            seed=self.seed,
            maximise=self.maximise,
        )

    @property
    def replicates(self) -> Replicates:
        """What several values of one object become."""
        return self.options.replicates
