"""Which keys a schema has, and where: for messages about keys that a file writes in the wrong place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel


def keys_of(section: Any) -> list[str]:
    """Return the keys that a file may write into a section of a schema."""
    return sorted(name for name, field in section.model_fields.items() if not field.exclude)


def section_at(model: Any, loc: Sequence[Any]) -> Any:
    """Return the section of a schema at a place, as pydantic tells places."""
    for part in loc:
        if part not in model.model_fields:  # the number of an element, or the name of an alternative
            continue
        annotation = model.model_fields[part].annotation
        args = [arg for arg in getattr(annotation, "__args__", ()) if isinstance(arg, type)]
        model = args[0] if args else annotation
    return model


def place_of(model: type[BaseModel], key: str) -> str | None:
    """Return the section that has a key, in words; None: no section has it, or several do."""
    places = [told for told, section in _sections(model) if key in keys_of(section)]
    return places[0] if len(places) == 1 else None


def _sections(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the sections below a schema, each with its place in words."""
    for name, field in model.model_fields.items():
        listed = str(field.annotation).startswith("tuple")
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                told = f"each element of `{above}{name}`" if listed else f"the section `{above}{name}`"
                yield told, kind
                yield from _sections(kind, f"{above}{name}.")
