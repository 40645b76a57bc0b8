"""Candidates as rows of files and pages: what their space adds to the columns that every campaign has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from data.objects import NotStandardError, split
from data.records import CandidateRow, JsonDict
from models.spaces.base import BaseSpace

TEXT, COMPOUND = "smiles", "inchikey"
"""Keys that stand for the columns of the object and of its compound, which the space names."""

COLUMNS = (
    "id",
    TEXT,
    "value",
    "unit",
    "round",
    "arm",
    "predicted_mean",
    "predicted_std",
    "source",
    "origin",
    "state",
    "novelty",
    "error",
    "message",
    COMPOUND,
    "same_compound",
)
"""Keys of an exported candidate, in order."""


def columns_of(columns: Sequence[str], space: BaseSpace[Any]) -> tuple[str, ...]:
    """Return the columns of a file of candidates: behind the object's text one for each value that tells it."""
    found: list[str] = []
    for name in columns:
        if name == TEXT:
            found += [_object_column(columns, space), *_field_columns(columns, space).values()]
        elif name == COMPOUND:
            found += [space.compound_column] if space.compound_column else []
        else:
            found.append(name)
    return tuple(found)


def exported(row: JsonDict, columns: Sequence[str], space: BaseSpace[Any]) -> JsonDict:
    """Return a candidate with the keys `columns_of`; what it has not is None."""
    fields = _field_columns(columns, space)
    told: dict[str, str | float | None] = dict.fromkeys(fields.values())
    if fields:
        try:
            cells = split(row["object"])
        except NotStandardError:  # an object that a former version of the space wrote
            cells = {}
        told = {column: _as_number(cells.get(field)) for field, column in fields.items()}
    told |= {_object_column(columns, space): row["object"]}
    if space.compound_column:
        told[space.compound_column] = row.get("compound")
    return {name: told[name] if name in told else row.get(name) for name in columns_of(columns, space)}


def _object_column(columns: Sequence[str], space: BaseSpace[Any]) -> str:
    """Return the column of the object's text; one whose name is taken has the noun of the space in front."""
    taken = {name for name in columns if name not in (TEXT, COMPOUND)}
    return f"{space.nouns[0]}.{space.column}" if space.column in taken else space.column


_PLAIN = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[-+]?\d+)?")


def _as_number(cell: str | None) -> str | float | None:
    """Return a cell that is a number as one: files keep their signs, where a text's may be taken for a formula."""
    if cell is None or not _PLAIN.fullmatch(cell):
        return cell
    return int(cell) if cell.lstrip("-").isdigit() else float(cell)


def _field_columns(columns: Sequence[str], space: BaseSpace[Any]) -> dict[str, str]:
    """Return field -> its column; one whose name is taken has the noun of the space in front."""
    taken = {*columns, space.column, space.compound_column, *space.facts}
    return {field: f"{space.nouns[0]}.{field}" if field in taken else field for field in space.fields}


def compound_of(row: CandidateRow, space: BaseSpace[Any]) -> str:
    """Return what a row's object is one form of: what it was written with, as far as there is something in it."""
    return space.compound(row.object) if row.compound is None else row.compound


def with_compounds(
    rows: Sequence[CandidateRow], space: BaseSpace[Any], shown: Iterable[CandidateRow] | None = None
) -> list[CandidateRow]:
    """Return rows with `compound` and `same_compound`: the ids of the other rows of it, with blanks between.

    It is information for people, never a reason to merge or reuse a measurement: two tautomers are two objects with two
    measurements.

    Args:
        rows: candidates, each object once.
        space: of the objects.
        shown: among which others are looked for; all rows, if left out.
    """
    ids: dict[str, list[str]] = {}
    likely = {space.sketch(row.object) for row in rows}
    for row in rows if shown is None else shown:
        if shown is not None and space.sketch(row.object) not in likely:
            continue
        key = compound_of(row, space)
        if key and row.id not in ids.setdefault(key, []):
            ids[key].append(row.id)
    out = []
    for row in rows:
        key = compound_of(row, space)
        others = [other for other in ids.get(key, ()) if other != row.id]
        out.append(row._replace(compound=key, same_compound=" ".join(others)))
    return out
