"""What variables and fractions share: a name, and the column of the user's files that has them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from models.registry import Options


class Named(Options):
    """Base of what stands under a name."""

    name: str = Field(min_length=1, description="name of the variable")
    column: str | None = Field(
        default=None, min_length=1, description="its column in the user's files, such as 'T (K)'; null: its name"
    )

    @property
    def header(self) -> str:
        """The column of the user's files."""
        return self.name if self.column is None else self.column

    @model_serializer(mode="wrap")
    def _sparse(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a column that nobody named: spaces of before there were any keep their keys."""
        told: dict[str, Any] = handler(self)
        if self.column is None:
            told.pop("column", None)
        return told
