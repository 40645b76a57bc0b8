"""Named items and the edges between them, read from an edge list or a GraphML file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.parsers import expat

from data.tables.delimited import records
from data.tables.library_file import require_file
from data.tables.readers import opened
from data.tables.rows import SourceError, require_columns
from models.component import ComponentError

MOST_ITEMS = 5000


@dataclass(frozen=True, slots=True)
class Graph:
    """Items by name, and which of them are joined.

    Attributes:
        items: distinct names, in their order.
        edges: pairs of places among the items, the smaller first, each once, sorted.
        repeated: edges of the file that stood there before, in either direction.
    """

    items: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    repeated: int = 0


@dataclass(frozen=True, slots=True)
class _Edge:
    line: int
    ends: tuple[str, str]


def read_graph(
    path: Path, columns: tuple[str, str], items: tuple[str, ...] | None, nodes: Path | None, node_column: str
) -> Graph:
    """Read a graph; a file that has not changed is read once.

    Args:
        path: an edge list with a header (.csv, or .tsv), or a GraphML file (.graphml, .xml).
        columns: of an edge list, the names of the two that have the ends of an edge.
        items: the items, where the options list them.
        nodes: a CSV file with the items, also those without an edge; neither: they are what the graph names.
        node_column: the column of that file.

    Raises:
        ComponentError: a file cannot be used; the message names the line.
    """
    try:
        require_file(path)
        if nodes is not None:
            require_file(nodes)
        return _read(path, _stamp(path), columns, items, nodes, nodes and _stamp(nodes), node_column)
    except (SourceError, OSError) as error:
        raise ComponentError(str(error)) from error


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)
def _read(
    path: Path,
    stamp: tuple[int, int],
    columns: tuple[str, str],
    items: tuple[str, ...] | None,
    nodes: Path | None,
    nodes_stamp: tuple[int, int] | None,
    node_column: str,
) -> Graph:
    del stamp, nodes_stamp  # they are only to be told apart by
    named = tuple(_nodes(nodes, node_column)) if nodes is not None else items
    if path.suffix.lower() in (".graphml", ".xml"):
        own, edges = _graphml(path)
        return _graph(path, edges, named or own)
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise SourceError(f"{path} has no ending that tells its format; expected .csv, .tsv, .graphml or .xml.")
    edges = list(_edge_list(path, columns))
    return _graph(path, edges, named or tuple(dict.fromkeys(end for edge in edges for end in edge.ends)))


def _graph(path: Path, edges: Iterable[_Edge], items: tuple[str, ...]) -> Graph:
    places = {name: place for place, name in enumerate(items)}
    found: set[tuple[int, int]] = set()
    number = 0
    for edge in edges:
        first, second = edge.ends
        unknown = next((end for end in edge.ends if end not in places), None)
        if unknown is not None:
            raise SourceError(
                f"Line {edge.line} of {path} has an edge to {unknown!r}, which is not among the {len(items)} items. Add "
                "it to them, or delete the edge."
            )
        if first == second:
            raise SourceError(
                f"Line {edge.line} of {path} joins {first!r} to itself; an item neither conflicts nor goes with itself. "
                "Delete the line."
            )
        found.add((min(places[first], places[second]), max(places[first], places[second])))
        number += 1
    if not items:
        raise SourceError(f"{path} names no item; expected edges, or items in a file of `nodes`.")
    if len(items) > MOST_ITEMS:
        raise SourceError(f"{path} has {len(items)} items; at most {MOST_ITEMS} can be handled.")
    return Graph(items, tuple(sorted(found)), number - len(found))


def _edge_list(path: Path, columns: tuple[str, str]) -> Iterator[_Edge]:
    for line, cells in _cells(path, columns, "Name the columns by `columns`."):
        yield _Edge(line, (cells[0], cells[1]))


def _nodes(path: Path, column: str) -> Iterator[str]:
    known: dict[str, int] = {}
    for line, (name,) in _cells(path, (column,), "Name the column by `node_column`."):
        if name in known:
            raise SourceError(f"Line {line} of {path} has {name!r} again, as line {known[name]}. Delete one of them.")
        known[name] = line
        yield name
    if not known:
        raise SourceError(f"{path} has a header and no row below it; expected one item a row.")


def _cells(path: Path, columns: tuple[str, ...], hint: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line and cells of the columns, row by row."""
    with opened(path) as file:
        rows = records(file, "\t" if ".tsv" in path.suffixes else ",")
        header = next(rows, None)
        if header is None:
            raise SourceError(f"{path} is empty; expected a header line with the columns {', '.join(columns)}.")
        names = [name.strip() for name in header.cells]
        try:
            require_columns(path, names, columns)
        except SourceError as error:
            raise SourceError(f"{error} The first line is the header. {hint}") from error
        at = [names.index(name) for name in columns]
        for row in rows:
            if row.problem is not None or len(row.cells) != len(names):
                problem = row.problem or f"{len(row.cells)} cells where the header has {len(names)}"
                raise SourceError(f"Line {row.line} of {path} cannot be used: {problem}. Correct it.")
            cells = [row.cells[place].strip() for place in at]
            if not all(cells):
                raise SourceError(f"Line {row.line} of {path} has an empty cell where a name is expected. Fill it in.")
            yield row.line, cells


def _graphml(path: Path) -> tuple[tuple[str, ...], list[_Edge]]:
    """Return the ids of the nodes and the edges of a GraphML file; directions and data are passed over."""
    nodes: dict[str, int] = {}
    edges: list[_Edge] = []
    roots: list[str] = []
    parser = expat.ParserCreate()

    def begin(tag: str, attributes: dict[str, str]) -> None:
        kind, line = tag.rpartition(":")[2], parser.CurrentLineNumber
        roots.append(kind)
        if kind == "node":
            name = attributes.get("id", "").strip()
            if not name or name in nodes:
                told = f"the id {name!r} again, as line {nodes[name]}" if name else "a node without an id"
                raise SourceError(f"Line {line} of {path} has {told}. Give each node an id of its own.")
            nodes[name] = line
        elif kind == "edge":
            ends = (attributes.get("source", "").strip(), attributes.get("target", "").strip())
            if not all(ends):
                raise SourceError(f"Line {line} of {path} has an edge without source or target. Correct it.")
            edges.append(_Edge(line, ends))
        elif kind == "hyperedge":
            raise SourceError(f"Line {line} of {path} has a hyperedge; only edges of two nodes can be used.")

    parser.StartElementHandler = begin
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise SourceError(f"{path} is no whole XML file ({error}). Export it again as GraphML.") from error
    if roots[0] != "graphml":
        raise SourceError(f"{path} is XML, but its first element is {roots[0]!r}; expected GraphML.")
    return tuple(nodes), edges
