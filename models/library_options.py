"""Options of components that read a library: a table that is shipped, or a file of the user's."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from data.tables.library_file import Format, LibraryFile
from data.tables.shipped import SHIPPED, shipped_file
from models.registry import FolderPath, Options


class LibraryOptions(Options):
    """Where a library is and which of its columns has the molecules."""

    source: str | None = Field(default=None, description=f"a shipped table: {', '.join(SHIPPED)}; or give `path`")
    path: FolderPath | None = Field(
        default=None, description="a file, also .gz; a relative path starts at the campaign file's folder"
    )
    format: Format | None = Field(default=None, description="null: told by the ending of the file's name")
    smiles: str | None = Field(
        default=None, description="column of SMILES; null: `smiles`, in an SD file the drawn structure"
    )
    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="between cells; null: a comma, in .tsv a tabulator"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.source is None) == (self.path is None):
            raise ValueError("give either `source`, the name of a shipped table, or `path`, a file; not both")
        if self.source is not None and self.source not in SHIPPED:
            raise ValueError(f"no table named {self.source!r} is shipped; expected one of {', '.join(SHIPPED)}")
        return self

    @property
    def name(self) -> str:
        """What the library is called in messages and versions."""
        return self.source if self.path is None else self.path.name  # type: ignore[return-value]  # one is given

    def library(self, **columns: Any) -> LibraryFile:
        """Return the library.

        Raises:
            SourceError: the shipped table was altered.
        """
        if self.source is not None:
            return LibraryFile(shipped_file(self.source), **columns)
        assert self.path is not None
        return LibraryFile(self.path.expanduser(), self.smiles, delimiter=self.delimiter, format=self.format, **columns)
