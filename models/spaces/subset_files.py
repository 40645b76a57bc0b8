"""Subsets as GraphML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape, quoteattr

from data.records import JsonDict
from models.spaces.base import text_of
from models.spaces.graph_file import Graph


def as_graphml(rows: Sequence[JsonDict], graph: Graph, members: Callable[[str], Sequence[int]]) -> str:
    """Return the graph once, with a property of its nodes for each candidate: whether the item is a member.

    A candidate's property is named by its id and has its value as description; nodes have the default false.

    Reference: Brandes et al., Graph Drawing 2001, 501 (GraphML).
    """
    keys, chosen = [], [[] for _ in graph.items]  # type: list[str], list[list[str]]
    for number, row in enumerate(rows):
        keys.append(
            f'<key id="c{number}" for="node" attr.name={quoteattr(str(row["id"]))} attr.type="boolean">'
            f"<desc>{escape(_told(row))}</desc><default>false</default></key>"
        )
        for place in members(text_of(row)):
            chosen[place].append(f'<data key="c{number}">true</data>')
    nodes = [
        f"<node id={quoteattr(name)}>{''.join(marks)}</node>" for name, marks in zip(graph.items, chosen, strict=True)
    ]
    edges = [
        f"<edge source={quoteattr(graph.items[first])} target={quoteattr(graph.items[second])}/>"
        for first, second in graph.edges
    ]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
        *keys,
        '<graph id="items" edgedefault="undirected">',
        *nodes,
        *edges,
        "</graph>",
        "</graphml>",
    ]
    return "".join(f"{line}\n" for line in lines)


def _told(row: JsonDict) -> str:
    unit = f" {row['unit']}" if row.get("unit") else ""
    value = "not measured" if row.get("value") is None else f"{row['value']}{unit}"
    return f"{text_of(row)}: {value}"
