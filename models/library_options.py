"""Options of components that read a library: a table that is shipped, or a file of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from data.objects import Space
from data.tables.library_file import TABLES, LibraryFile, ending
from data.tables.shipped import SHIPPED, provenance, shipped_file
from models.registry import ComponentError, FolderPath, Options

OBJECT = (
    "column of the objects' texts, of any space; null: the space's own, such as `smiles` or `sequence`, or one column "
    "for each of its variables"
)


_WITH_COLUMNS = frozenset(known for one in TABLES.values() for known in one.endings)


def require_one_name(smiles: str | None, obj: str | None) -> None:
    """Refuse two names for the column of objects.

    Raises:
        ValueError: both are given.
    """
    if smiles is not None and obj is not None:
        raise ValueError(f"`smiles` ({smiles}) and `object` ({obj}) both name the column of objects; give one of them")


def columns_of(space: Space) -> tuple[str, ...]:
    """Return the columns of the user's files that tell an object together, in the order of the space's fields."""
    return tuple(space.headers.get(name, name) for name in space.fields)


class LibraryOptions(Options):
    """Where a library is and which of its columns has the objects."""

    source: str | None = Field(default=None, description=f"a shipped table: {', '.join(SHIPPED)}; or give `path`")
    path: FolderPath | None = Field(
        default=None, description="a file, also .gz; a relative path starts at the campaign file's folder"
    )
    format: str | None = Field(
        default=None,
        description="csv, parquet, or one of the space's own (of molecules: smiles, sdf; of sequences: fasta); null: "
        "told by the ending of the file's name",
    )
    smiles: str | None = Field(
        default=None, description="column of SMILES; null: `smiles`, in an SD file the drawn structure"
    )
    object: str | None = Field(default=None, description=OBJECT)
    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="between cells; null: a comma, in .tsv a tabulator"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        require_one_name(self.smiles, self.object)
        if (self.source is None) == (self.path is None):
            raise ValueError("give either `source`, the name of a shipped table, or `path`, a file; not both")
        if self.source is not None and self.source not in SHIPPED:
            raise ValueError(f"no table named {self.source!r} is shipped; expected one of {', '.join(SHIPPED)}")
        return self

    @property
    def name(self) -> str:
        """What the library is called in messages and versions."""
        return self.source if self.path is None else self.path.name  # type: ignore[return-value]  # one is given

    def told_columns(self, space: Space) -> tuple[str, ...]:
        """Return the columns of the objects, for messages; empty where the file may have none."""
        named = self.object or self.smiles
        if named is not None or self.source is not None:
            return (named or space.column,)
        return columns_of(space) or ((space.column,) if ending(self.path or Path()) in _WITH_COLUMNS else ())

    def library(self, space: Space, **columns: Any) -> LibraryFile:
        """Return the library, whose objects are of a space.

        Raises:
            ComponentError: the shipped table is of other objects.
            SourceError: the shipped table was altered.
        """
        if self.source is not None:
            held = provenance(self.source)["space"]
            if held != space.kind:
                raise ComponentError(
                    f"The shipped table {self.source!r} is for {held}; this campaign's space is {space.kind!r}. Give "
                    "`path`, a file of your own."
                )
            return LibraryFile(shipped_file(self.source), **columns)
        assert self.path is not None
        columns |= {"delimiter": self.delimiter, "format": self.format, "fields": columns_of(space)}
        columns |= {"usual": space.column, "more": space.files, "names": space.fields if space.headers else ()}
        return LibraryFile(self.path.expanduser(), self.object or self.smiles, **columns)
