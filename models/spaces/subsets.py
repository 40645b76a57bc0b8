"""Subsets of named items: any, or such that no two, or every two, are joined in a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from data.config import digest
from data.objects import NotStandardError, listed, unlisted
from data.records import JsonDict
from data.yaml_text import shown
from models.registry import Component, ComponentError, FolderPath
from models.spaces.base import BaseSpace, Exporter, Fact
from models.spaces.graph_file import MOST_ITEMS, Graph, read_graph
from models.spaces.subset_drawing import GraphDrawing
from models.spaces.subset_files import as_graphml
from models.spaces.subset_rules import Members, Rules


class Subsets(BaseSpace["Subsets.Options"]):
    """Subsets of n items or of the nodes of a graph, of bounded size.

    The text is the members' names in the order of the items, `a, b, "c, d"`; that of the empty subset is `{}`. A name
    that stands there twice is refused: it is more often a slip than meant.
    """

    kind = "subsets"
    cites = ("brandes2002graphml", "fruchterman1991drawing")
    nouns = ("subset", "subsets")
    column = "subset"
    text_name = "Subset"
    likeness = "Jaccard similarity of members"
    construction = {"kind": "elements"}

    class Options(Component.Options):
        """Items, sizes and what the graph forbids."""

        items: tuple[str, ...] | None = Field(default=None, description="names of the items")
        n: int | None = Field(default=None, ge=1, le=MOST_ITEMS, description="number of items, named 0, 1, 2, ...")
        graph: FolderPath | None = Field(
            default=None, description="edge list (.csv with a header, .tsv) or .graphml; its nodes are the items"
        )
        columns: tuple[str, str] = Field(
            default=("source", "target"), description="columns of an edge list with the two ends of an edge"
        )
        nodes: FolderPath | None = Field(
            default=None, description=".csv with the items of a graph, also those without an edge; null: as in `graph`"
        )
        node_column: str = Field(default="name", description="column of `nodes` that has the names")
        size: int | None = Field(default=None, ge=0, description="members of every subset")
        min_size: int | None = Field(default=None, ge=0, description="fewest members; null: 1")
        max_size: int | None = Field(default=None, ge=0, description="most members; null: all items")
        constraint: Literal["any", "independent_set", "clique"] = Field(
            default="any", description="independent_set: no two members are joined; clique: every two are"
        )

        @field_validator("items")
        @classmethod
        def _are_names(cls, items: tuple[str, ...] | None) -> tuple[str, ...] | None:
            if items is None:
                return None
            if not 1 <= len(items) <= MOST_ITEMS:
                raise ValueError(f"expected 1 to {MOST_ITEMS} items, got {len(items)}")
            twice = next((name for name in dict.fromkeys(items) if items.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"the item {shown(twice)} stands there twice; give each a name of its own")
            if not all(name.strip() == name and name for name in items):
                raise ValueError("a name is empty or has blanks at its ends")
            return items

        @model_validator(mode="after")
        def _belong_together(self) -> Self:
            if self.graph is None and (self.items is None) == (self.n is None):
                raise ValueError("the items are told by one of `items`, `n` and `graph`; give one of them")
            if self.graph is not None and self.n is not None:
                raise ValueError("the items of a `graph` have names of their own; leave `n` out")
            if self.items is not None and self.nodes is not None:
                raise ValueError("`items` and `nodes` both name the items; give one of them")
            if self.graph is None and (self.nodes is not None or self.constraint != "any"):
                needs = "nodes" if self.nodes is not None else f"constraint: {self.constraint}"
                raise ValueError(f"`{needs}` belongs to a graph; give `graph`, a file of edges")
            if self.size is not None and (self.min_size is not None or self.max_size is not None):
                raise ValueError("`size` fixes the size; give it, or `min_size` and `max_size`, not both")
            if self.max_size is not None and (1 if self.min_size is None else self.min_size) > self.max_size:
                raise ValueError(
                    f"min_size ({1 if self.min_size is None else self.min_size}) is above max_size ({self.max_size})"
                )
            return self

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        made = self.options
        self.graph = _graph_of(made)
        """Items and edges."""
        self.items: tuple[str, ...] = self.graph.items
        """Names of the items, in order."""
        self._places = {name: place for place, name in enumerate(self.items)}
        n = len(self.items)
        smallest = made.size if made.size is not None else 1 if made.min_size is None else made.min_size
        largest = made.size if made.size is not None else n if made.max_size is None else min(made.max_size, n)
        if smallest > n:
            raise ComponentError(
                f"Subsets of {smallest} members are asked for, and there are {n} items. Lower `size` or `min_size`."
            )
        self._joined = np.zeros((n, n), dtype=bool)
        for first, second in self.graph.edges:
            self._joined[first, second] = self._joined[second, first] = True
        excluded = {"any": None, "independent_set": self._joined, "clique": ~self._joined & ~np.eye(n, dtype=bool)}
        self.min_size, self.max_size = smallest, largest
        self.choice = Rules(n, smallest, largest, excluded[made.constraint])
        """What may be chosen together."""
        self._drawing: GraphDrawing | None = None

    @property
    def features(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """One count per item."""
        return {"kind": "membership", "items": list(self.items)}

    @property
    def neighbours(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """One count per item."""
        return self.features

    @property
    def facts(self) -> Mapping[str, Fact]:  # type: ignore[override]  # they depend on the options
        """Size, where it varies, and edges between members, where the constraint does not fix them."""
        facts = {"size": Fact("Size", digits=0)} if self.min_size < self.max_size else {}
        if self.graph.edges and self.options.constraint == "any":
            facts["edges"] = Fact("Edges inside", digits=0)
        return facts

    @property
    def exports(self) -> Mapping[str, Exporter]:  # type: ignore[override]  # it needs the graph
        """GraphML."""
        return {"graphml": self._graphml}

    def told(self) -> str:
        """Return what is in the space, in a few words for people."""
        graph = self.graph
        sizes = str(self.max_size) if self.min_size == self.max_size else f"{self.min_size} to {self.max_size}"
        told = f"subsets of {sizes} of {len(graph.items)} items"
        if graph.edges:
            twice = f", {graph.repeated} given again" if graph.repeated else ""
            told += f" with {len(graph.edges)} edges{twice}"
        ends = {"any": "", "independent_set": ", no two of them joined", "clique": ", every two of them joined"}
        return told + ends[self.options.constraint]

    def standard(self, text: str) -> str:
        """Return the members in the order of the items.

        Raises:
            NotStandardError: a name is unknown or stands there twice, or there is none.
        """
        return self._text(self._read(text))

    def outside(self, obj: str) -> str | None:
        """Return why a subset is outside, a phrase: the number of its members, or two that do not go together."""
        return self._outside(self._read(obj))

    def admit(self, text: str) -> str:
        """Return the standard form of a subset inside the space.

        Raises:
            NotStandardError: it cannot be read, or is outside.
        """
        members = self._read(text)
        reason = self._outside(members)
        if reason is not None:
            raise NotStandardError(reason)
        return self._text(members)

    def _read(self, text: str) -> Members:
        if not text.strip():
            raise NotStandardError("no items in this row; the empty subset is written {}")
        names = unlisted(text)
        places = set()
        for name in names:
            if name not in self._places:
                raise NotStandardError(f"the item {name!r}, none of the {len(self._places)} items")
            if self._places[name] in places:
                raise NotStandardError(f"the item {name!r}, which stands there twice")
            places.add(self._places[name])
        return tuple(sorted(places))

    def _text(self, members: Members) -> str:
        return listed([self.items[place] for place in members])

    def _outside(self, members: Members) -> str | None:
        if not self.min_size <= len(members) <= self.max_size:
            limit = f"more than {self.max_size}" if len(members) > self.max_size else f"fewer than {self.min_size}"
            return f"{len(members)} {'member' if len(members) == 1 else 'members'}, {limit}"
        excluded = self.choice.excluded
        if excluded is not None:
            places = list(members)
            pairs = np.argwhere(np.triu(excluded[np.ix_(places, places)]))
            if len(pairs):
                first, second = (self.items[places[at]] for at in pairs[0])
                why = "which an edge joins" if self.options.constraint == "independent_set" else "which no edge joins"
                return f"the items {first!r} and {second!r}, {why}"
        return None

    def value(self, obj: str) -> list[str]:
        """Return the names of the members."""
        return [self.items[place] for place in self._read(obj)]

    def text(self, value: Any) -> str:
        """Return the text of a list of names.

        Raises:
            NotStandardError: it is none.
        """
        if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
            raise NotStandardError("no list of names of items")
        return self.standard(listed(list(value)))

    def random(self, n: int, seed: int) -> Sequence[str]:
        """Return up to n distinct subsets.

        Uniform over the space where it is small enough to be listed or has no constraint. Else grown: a size is drawn,
        all being equally likely, and random items are added that fit, until it is reached or none fits; subsets that
        stay below the smallest size are thrown away. Items with many conflicts are rarer in these than among all.
        """
        return [self._text(one) for one in self.choice.drawn(n, np.random.default_rng(seed), by_size=False)]

    def design(self, n: int, seed: int) -> Sequence[str]:
        """Return up to n distinct subsets of which a size is drawn first, so that small ones are seen too."""
        return [self._text(one) for one in self.choice.drawn(n, np.random.default_rng(seed), by_size=True)]

    def variation(self, sample: Sequence[str]) -> SubsetEdits:
        """Return exchanging, adding and dropping of members, and crossover; nothing is learnt of the sample."""
        return SubsetEdits(self)

    def facts_of(self, obj: str) -> dict[str, float]:
        """Return the number of members and of edges between them."""
        members = self._read(obj)
        inside = sum(bool(self._joined[pair]) for pair in combinations(members, 2))
        numbers = {"size": float(len(members)), "edges": float(inside)}
        return {key: numbers[key] for key in self.facts}

    def draw(self, obj: str) -> str | None:
        """Return the graph with the members marked, where it is small enough to be looked at; else None."""
        if self._drawing is None:
            self._drawing = GraphDrawing(self.graph)
        return self._drawing.of(self._read(obj))

    def draws(self) -> bool:
        """Return whether the graph is small enough to be drawn."""
        return GraphDrawing(self.graph).possible

    def excluded(self) -> list[tuple[int, int]]:
        """Return the pairs of places of items that must not both be members, each once, in order."""
        pairs = () if self.choice.excluded is None else np.argwhere(np.triu(self.choice.excluded))
        return [(int(first), int(second)) for first, second in pairs]

    def _graphml(self, rows: Sequence[JsonDict]) -> str:
        return as_graphml(rows, self.graph, self._read)

    def content(self) -> str:
        """Return a hash of items and edges; empty where no file tells them."""
        return "" if self.options.graph is None else digest([self.items, self.graph.edges])

    def key(self) -> str:
        """Return a hash of items, edges, sizes and constraint, wherever the file of the graph is."""
        bounds = (self.min_size, self.max_size)
        return digest([self.kind, self.rules, self.items, self.graph.edges, bounds, self.options.constraint])


class SubsetEdits:
    """Random edits of subsets that stay inside their space."""

    def __init__(self, space: Subsets) -> None:
        self._space = space

    def mutate(self, obj: str, rng: np.random.Generator) -> str | None:
        """Return a subset with one member exchanged, added or dropped."""
        return self._told(self._space.choice.mutated(self._space._read(obj), rng))

    def crossover(self, first: str, second: str, rng: np.random.Generator) -> str | None:
        """Return a subset of the union of two, repaired where members of both do not go together."""
        read = self._space._read
        return self._told(self._space.choice.crossed(read(first), read(second), rng))

    def _told(self, members: Members | None) -> str | None:
        return None if members is None else self._space._text(members)


def _graph_of(options: Any) -> Graph:
    if options.graph is not None:
        return read_graph(options.graph, options.columns, options.items, options.nodes, options.node_column)
    return Graph(options.items or tuple(str(place) for place in range(options.n or 0)))
