"""How the proposals of a round were made: a small file beside them.

It has the proposals that were made of others, and all their ancestors within the generator's memory, each object once;
what others are made of is told by row numbers. What was not made of others, such as a member of a library, has no row:
the file says it once for each source.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from data.records import Candidate, Origin
from models.generators.origins import joined
from models.protocols import FromLibraries, Generator, Remembering, Starting

FILE = "lineage.parquet"
_SOURCES = b"discovery-flows sources"


@dataclass(frozen=True, slots=True)
class Begun:
    """How the proposals of a source came to be, of one whose proposals descend from no others.

    Attributes:
        origin: one of `data.records.Making`, or a word of the generator's own.
        libraries: names of the files that they may be of.
    """

    origin: str
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origins:
    """What a round wrote down.

    Attributes:
        made: object -> how it was made, of proposals and their ancestors.
        begun: source -> how its proposals came to be, where they descend from no others.
    """

    made: Mapping[str, Origin]
    begun: Mapping[str, Begun]


def write_origins(
    arms: Sequence[tuple[Generator, Sequence[Candidate]]], path: Path, starts: Collection[str] = ()
) -> None:
    """Write how proposals were made; the same ones give the same bytes.

    Args:
        arms: generators, each with what it proposed; where two know an object, the first is believed.
        path: the file.
        starts: measured objects and those of the library, which are not said to be made of others.
    """
    begun: dict[str, Begun] = {}
    for generator, _ in arms:
        begun |= {source: told for source, told in _begun(generator).items() if source not in begun}
    sources = [generator.lineage for generator, _ in arms if isinstance(generator, Remembering)]
    made = joined(
        sources,
        [one.object for _, proposals in arms for one in proposals if one.source not in begun],
        frozenset(starts),
    )
    objects = list(dict.fromkeys([*made, *(parent for origin in made.values() for parent in origin.parents)]))
    place = {obj: row for row, obj in enumerate(objects)}
    origins = [made.get(obj) for obj in objects]
    table = pa.table(
        {
            "object": pa.array(objects, pa.string()),
            "operation": pa.array([None if one is None else one.operation for one in origins], pa.string()),
            "parents": pa.array(
                [None if one is None else [place[parent] for parent in one.parents] for one in origins],
                pa.list_(pa.int32()),
            ),
        }
    )
    told = {source: [one.origin, *one.libraries] for source, one in sorted(begun.items())}
    table = table.replace_schema_metadata({_SOURCES: json.dumps(told).encode()})
    parquet.write_table(table, path, compression="zstd", use_dictionary=["operation"], write_statistics=False)


def read_origins(path: Path) -> Origins | None:
    """Return what `write_origins` wrote; None where there is no file, as in campaigns of before."""
    if not path.is_file():
        return None
    table = parquet.read_table(path)
    objects, operations, parents = (table[name].to_pylist() for name in ("object", "operation", "parents"))
    made = {
        obj: Origin(operation, tuple(objects[row] for row in rows))
        for obj, operation, rows in zip(objects, operations, parents, strict=True)
        if operation is not None
    }
    told = json.loads((table.schema.metadata or {}).get(_SOURCES, b"{}"))
    return Origins(made, {source: Begun(origin, tuple(names)) for source, (origin, *names) in told.items()})


def _begun(generator: Generator) -> dict[str, Begun]:
    members: Sequence[Generator] = getattr(generator, "members", (generator,))
    found: dict[str, Begun] = {}
    for member in members:
        kind = str(getattr(member, "kind", ""))
        if isinstance(member, Starting) and kind:
            libraries = tuple(member.libraries) if isinstance(member, FromLibraries) else ()
            before = found.get(kind, Begun(member.origin))
            found[kind] = Begun(member.origin, tuple(dict.fromkeys([*before.libraries, *libraries])))
    return found
