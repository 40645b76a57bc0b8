"""Directed acyclic graphs on named variables: which of them depends on which."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from data.config import digest
from data.objects import NotStandardError, listed, unlisted
from data.records import JsonDict
from data.tables.number_tables import header_of
from data.tables.rows import SourceError
from data.yaml_text import shown
from models.registry import Component, ComponentError, FolderPath
from models.spaces.base import BaseSpace, Exporter, Fact
from models.spaces.dag_drawing import MOST as MOST_DRAWN
from models.spaces.dag_drawing import drawn
from models.spaces.dag_rules import DagRules, Edges, circle

MOST = 32
"""Most variables."""


class Dags(BaseSpace["Dags.Options"]):
    """Directed acyclic graphs: edges from variables to those that depend on them, without a circle.

    The text is the edges in the order of the variables, `a>b, a>c`; that of the graph without edges is `{}`.
    """

    kind = "dags"
    cites = ("deleu2022bayesian", "gansner2000graphviz")
    nouns = ("graph", "graphs")
    column = "graph"
    text_name = "Graph"
    likeness = "similarity by structural Hamming distance"
    construction = {"kind": "edges"}

    class Options(Component.Options):
        """Variables, and how many of them one may depend on."""

        variables: tuple[str, ...] | None = Field(default=None, description="names of the variables")
        n: int | None = Field(default=None, ge=2, le=MOST, description="number of variables, named X0, X1, X2, ...")
        data: FolderPath | None = Field(default=None, description=".csv whose header has the names of the variables")
        max_parents: int | None = Field(default=None, ge=1, description="most edges that lead to one; null: any number")

        @field_validator("variables")
        @classmethod
        def _are_names(cls, variables: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if variables is None else _names(variables)

        @model_validator(mode="after")
        def _are_told_once(self) -> Self:
            if sum(one is not None for one in (self.variables, self.n, self.data)) != 1:
                raise ValueError("the variables are told by one of `variables`, `n` and `data`; give one of them")
            return self

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        made = self.options
        self.variables: tuple[str, ...] = made.variables or (
            _header(made.data) if made.data else tuple(f"X{place}" for place in range(made.n or 0))
        )
        """Names, in order."""
        n = len(self.variables)
        self.max_parents = n - 1 if made.max_parents is None else min(made.max_parents, n - 1)
        self.choice = DagRules(n, self.max_parents)
        """Which edges may stand together."""
        self._places = {name: place for place, name in enumerate(self.variables)}

    @property
    def features(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """One of three per pair of variables."""
        return {"kind": "adjacency", "variables": list(self.variables)}

    @property
    def neighbours(self) -> Mapping[str, Any]:  # type: ignore[override]  # they depend on the options
        """One of three per pair of variables."""
        return self.features

    @property
    def facts(self) -> Mapping[str, Fact]:  # type: ignore[override]  # as the others
        """Number of edges."""
        return {"edges": Fact("Edges", digits=0)}

    @property
    def exports(self) -> Mapping[str, Exporter]:  # type: ignore[override]  # it needs the variables
        """DOT, the language of Graphviz."""
        return {"dot": self._dot}

    def told(self) -> str:
        """Return what is in the space, in a few words for people."""
        limit = "" if self.options.max_parents is None else f", at most {self.max_parents} edges to one"
        return f"directed acyclic graphs of {len(self.variables)} variables{limit}"

    def standard(self, text: str) -> str:
        """Return the edges in the order of the variables.

        Raises:
            NotStandardError: a name is unknown, or an edge leads to where it begins or stands there twice.
        """
        return self.written(self.matrix(text))

    def outside(self, obj: str) -> str | None:
        """Return why a graph is outside, a phrase: a circle, or too many edges to one variable."""
        edges = self.matrix(obj)
        round_ = circle(edges)
        if round_ is not None:
            return f"the circle {' > '.join(self.variables[place] for place in (*round_, round_[0]))}"
        parents = edges.sum(0)
        if parents.max() > self.max_parents:
            node = int(parents.argmax())
            return f"{parents[node]} edges to {self.variables[node]!r}, more than {self.max_parents}"
        return None

    def matrix(self, text: str) -> Edges:
        """Return the edges that a text tells, shape `(n, n)`, from row to column.

        Raises:
            NotStandardError: as `standard`.
        """
        if not text.strip():
            raise NotStandardError("no edges in this row; the graph without edges is written {}")
        edges = np.zeros((len(self.variables), len(self.variables)), dtype=bool)
        for edge in unlisted(text):
            names = [name.strip() for name in edge.split(">")]
            if len(names) != 2:
                raise NotStandardError(f"the edge {edge!r}, which is not `from>to`")
            unknown = next((name for name in names if name not in self._places), None)
            if unknown is not None:
                raise NotStandardError(f"the variable {unknown!r}, none of the {len(self.variables)} variables")
            origin, target = (self._places[name] for name in names)
            if origin == target:
                raise NotStandardError(f"an edge from {names[0]!r} to itself")
            if edges[origin, target]:
                raise NotStandardError(f"the edge {edge!r}, which stands there twice")
            edges[origin, target] = True
        return edges

    def written(self, edges: Edges) -> str:
        """Return the text of a matrix of edges, shape `(n, n)`."""
        return listed([f"{self.variables[origin]}>{self.variables[target]}" for origin, target in np.argwhere(edges)])

    def value(self, obj: str) -> list[list[str]]:
        """Return the edges as pairs of names, the origin first."""
        return [[self.variables[place] for place in edge] for edge in np.argwhere(self.matrix(obj)).tolist()]

    def text(self, value: Any) -> str:
        """Return the text of a list of pairs of names.

        Raises:
            NotStandardError: it is none.
        """
        if isinstance(value, str) or not isinstance(value, Sequence) or not all(_is_edge(one) for one in value):
            raise NotStandardError("no list of edges, pairs of names")
        return self.standard(listed([f"{origin}>{target}" for origin, target in value]))

    def random(self, n: int, seed: int) -> Sequence[str]:
        """Return up to n distinct graphs.

        Uniform over the graphs of up to four variables. Else by a random order of the variables and a coin for each
        pair, in favour of the edge by a chance that is drawn for each graph: sparse and dense graphs are among them.
        """
        return [self.written(edges) for edges in self.choice.drawn(n, np.random.default_rng(seed))]

    def variation(self, sample: Sequence[str]) -> DagEdits:
        """Return adding, dropping and turning of edges, and crossover; nothing is learnt of the sample."""
        del sample
        return DagEdits(self)

    def facts_of(self, obj: str) -> Mapping[str, float]:
        """Return the number of edges."""
        return {"edges": float(self.matrix(obj).sum())}

    def draws(self) -> bool:
        """Return whether there are few enough variables to be told from each other."""
        return len(self.variables) <= MOST_DRAWN

    def draw(self, obj: str) -> str | None:
        """Return the graph on a circle of variables; None where there are too many."""
        return drawn(self.variables, self.matrix(obj), obj) if self.draws() else None

    def _dot(self, rows: Sequence[JsonDict]) -> str:
        """Return a digraph for each candidate.

        Reference: Gansner and North, Softw. Pract. Exper. 30, 1203 (2000).
        """
        quoted = [json.dumps(name, ensure_ascii=False) for name in self.variables]
        lines = []
        for row in rows:
            edges = np.argwhere(self.matrix(str(row["graph"]))).tolist()
            lines += [f"digraph {json.dumps(str(row['id']))} {{", *(f"  {name};" for name in quoted)]
            lines += [*(f"  {quoted[origin]} -> {quoted[target]};" for origin, target in edges), "}"]
        return "".join(f"{line}\n" for line in lines)

    def content(self) -> str:
        """Return a hash of the variables; empty where no file tells them."""
        return "" if self.options.data is None else digest(self.variables)

    def key(self) -> str:
        """Return a hash of variables and limits, wherever a file of data is."""
        return digest([self.kind, self.rules, self.variables, self.max_parents])


class DagEdits:
    """Random edits of graphs that close no circle."""

    def __init__(self, space: Dags) -> None:
        self._space = space

    def mutate(self, obj: str, rng: np.random.Generator) -> str | None:
        """Return a graph with one edge added, dropped or turned round."""
        made = self._space.choice.mutated(self._space.matrix(obj), rng)
        return None if made is None else self._space.written(made)

    def crossover(self, first: str, second: str, rng: np.random.Generator) -> str | None:
        """Return the edges of both graphs, and some of those that one has."""
        space = self._space
        return space.written(space.choice.crossed(space.matrix(first), space.matrix(second), rng))


def _is_edge(value: Any) -> bool:
    return not isinstance(value, str) and isinstance(value, Sequence) and len(value) == 2 and all(
        isinstance(name, str) for name in value
    )  # fmt: skip


def _names(variables: Sequence[str]) -> tuple[str, ...]:
    """Return names of variables.

    Raises:
        ValueError: they are too few or too many, one is there twice, or could not be read back from a text of edges.
    """
    if not 2 <= len(variables) <= MOST:
        raise ValueError(f"expected 2 to {MOST} variables, got {len(variables)}")
    twice = next((name for name in dict.fromkeys(variables) if list(variables).count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"the variable {shown(twice)} stands there twice; give each a name of its own")
    for name in variables:
        if not name or name != name.strip() or not name.isprintable() or set(name) & set('>,"'):
            raise ValueError(
                f"the variable {shown(name)} cannot stand in a text of edges, `a>b, a>c`; take a name without >, comma "
                "and quotation mark, and without blanks at its ends"
            )
    return tuple(variables)


def _header(path: Path) -> tuple[str, ...]:
    try:
        return _names(header_of(path))
    except (SourceError, OSError) as error:
        raise ComponentError(str(error)) from error
    except ValueError as error:
        raise ComponentError(f"The header of {path} names no variables of a graph: {error}.") from error
