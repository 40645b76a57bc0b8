"""Independent sets, cliques, dominating sets and cuts of graphs, vertex by vertex."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from data.tables.number_tables import text_table
from models.component import FolderPath
from models.gflownet.environments.graph_instances import Named, RandomGraphs, named_graph
from models.gflownet.environments.growing import GrowingSets, SelectionStates
from models.registry import Component
from models.spaces.graph_file import Graph, read_graph

ENDINGS = (".csv", ".tsv", ".graphml", ".xml")
Problem = Literal["independent_set", "clique", "dominating_set", "cut"]


@dataclass(frozen=True)
class VertexStates(SelectionStates):
    """S sets of vertices, each of one of the graphs.

    Attributes:
        graph: (S,) int64, the number of the graph.
    """

    graph: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.member[index], self.graph[index])


class VertexSetEnvironment(GrowingSets[VertexStates]):
    """Action i decides for vertex i; what that rules out is never chosen, and a set ends where nothing is undecided.

    - `independent_set`: i joins the set, its neighbours are out. log R = beta times the size, or the weight.
    - `clique`: i joins the set, whatever is not joined to it is out. log R likewise.
    - `dominating_set`: i leaves the set, which has all vertices at first; every vertex keeps a neighbour in the set, or
      is in it. log R = -beta times the size, or the weight.
    - `cut`: i changes sides; vertices that would make the cut smaller stay. log R = beta times the edges that are cut.

    Objects are the names of the vertices of maximal independent sets, of maximal cliques, of minimal dominating sets,
    and of one side of cuts that no vertex can enlarge. Any order leads to a set, but in a cut: there a vertex may be
    the last only if at least half of its neighbours are on the other side, so that a set of k vertices may have fewer
    than k parents. (The published code divides by k, which is the backward policy of another law.)

    The log-reward of unfinished sets, for objectives that look forward, is that of the set as it stands.

    One environment may have several `graphs`, of different sizes: then a state knows which is its own, `starts` has the
    empty sets, and a network that reads the graph is one for all of them.
    """

    kind: ClassVar[str] = "vertex_sets"
    distance = "overlap"
    cites: ClassVar[tuple[str, ...]] = ("zhang2023combopt", "hagberg2008networkx")
    small: ClassVar[Mapping[str, Any]] = {
        "problem": "cut",
        "random": {"model": "barabasi_albert", "nodes": [6, 6], "attached": 2},
        "beta": 0.5,
    }

    class Options(Component.Options):
        """The problem, and the graph: a file, a well-known or a random one."""

        problem: Problem = Field("independent_set", description="What is chosen; see there.")
        beta: float = Field(1.0, gt=0, description="Inverse temperature: log R of each vertex, or edge, that counts.")
        graph: FolderPath | None = Field(None, description="Edge list (.csv with a header, .tsv) or .graphml.")
        columns: tuple[str, str] = Field(("source", "target"), description="Columns of an edge list.")
        nodes: FolderPath | None = Field(None, description=".csv with the vertices, also those without an edge.")
        node_column: str = Field("name", description="Column of `nodes` that has the names.")
        weight_column: str | None = Field(None, description="Column of `nodes` that has weights; null: all are 1.")
        named: Named | None = Field(None, description="A well-known graph, instead of `graph`.")
        random: RandomGraphs | None = Field(
            None, description="The first graph of a law, instead of `graph`; many of them under `graphs` of a sampler."
        )
        folder: FolderPath | None = Field(
            None, description="All graph files in it, instead of `graph`, for `graphs` of a sampler."
        )

        @model_validator(mode="after")
        def _belong_together(self) -> Self:
            if sum(given is not None for given in (self.graph, self.named, self.random, self.folder)) > 1:
                raise ValueError(
                    "the graph is told by one of `graph`, `named`, `random` and `folder`; give one of them"
                )
            if self.graph is None and self.nodes is not None:
                raise ValueError("`nodes` belongs to a `graph`, a file of edges")
            if self.weight_column is not None and (self.nodes is None or self.problem == "cut"):
                raise ValueError("weights are a column of `nodes`, and a cut has none: leave `weight_column` out")
            return self

        def cited(self) -> tuple[str, ...]:
            """Return the papers of the random graphs, and of the club."""
            models = {
                "rb": ("xu2000rb", "xu2007rb"),
                "barabasi_albert": ("barabasi1999emergence",),
                "erdos_renyi": ("gilbert1959random",),
            }
            club = ("zachary1977karate",) if self.named == "karate_club" else ()
            return club if self.random is None else models[self.random.model]

    def __init__(
        self,
        options: VertexSetEnvironment.Options | None = None,
        /,
        *,
        graphs: Sequence[Graph] | None = None,
        **values: Any,
    ) -> None:
        super().__init__(options, **values)
        made: VertexSetEnvironment.Options = self.options
        self.problem, self.beta = made.problem, made.beta
        self.graphs: tuple[Graph, ...] = tuple(graphs) if graphs is not None else _graphs_of(made)
        """The graphs."""
        largest = max(len(graph.items) for graph in self.graphs)
        self._begin(largest, maximal=True)
        self.n_features = largest if len(self.graphs) == 1 else 0
        shape = (len(self.graphs), largest)
        self._joined, self._present = torch.zeros((*shape, largest)), torch.zeros(shape, dtype=torch.bool)
        self._weight = torch.zeros(shape, dtype=torch.float64)
        for place, graph in enumerate(self.graphs):
            n = len(graph.items)
            self._present[place, :n] = True
            self._weight[place, :n] = _weights_of(made, graph)
            if graph.edges:
                first, second = torch.tensor(graph.edges).T
                self._joined[place, first, second] = self._joined[place, second, first] = 1.0
        self._weighted = made.weight_column is not None
        self._degree = self._joined.sum(2)
        self._apart = self._present[:, :, None] & self._present[:, None, :] & (self._joined == 0)
        self._apart = (self._apart & ~torch.eye(largest, dtype=torch.bool)).float()
        self._places = [{name: number for number, name in enumerate(graph.items)} for graph in self.graphs]
        stuck = ~self.free(self.starts(torch.arange(len(self.graphs)))).any(1)
        if bool(stuck.any()):
            at = int(stuck.int().argmax())
            raise ValueError(
                f"Nothing can be decided for {made.problem!r} on a graph of {len(self.graphs[at].items)} vertices and "
                f"{len(self.graphs[at].edges)} edges: it has one solution. Give a graph with more edges."
            )

    def starts(self, graphs: Tensor) -> VertexStates:
        """Return the sets of which nothing is decided, of graphs (S,) by number."""
        member = self._unit.new_zeros((len(graphs), self.items))
        return VertexStates(torch.zeros(len(graphs), dtype=torch.bool, device=member.device), member, graphs)

    def source(self, n: int) -> VertexStates:
        """Return n sets of which nothing is decided, all of the first graph."""
        return self.starts(torch.zeros(n, dtype=torch.int64, device=self._unit.device))

    def _around(self, marked: Tensor, states: VertexStates, matrix: Tensor) -> Tensor:
        """Return (S, N): how many of the marked vertices (S, N) each vertex is joined to."""
        if len(self.graphs) == 1:
            return marked.float() @ matrix[0]
        return torch.bmm(marked.float()[:, None, :], matrix[states.graph])[:, 0]

    def free(self, states: VertexStates) -> Tensor:
        """Return (S, N) bool: the vertices that may still be chosen."""
        member, present = states.member, self._present[states.graph]
        open_ = present & ~member
        if self.problem == "independent_set":
            return open_ & (self._around(member, states, self._joined) == 0)
        if self.problem == "clique":
            return open_ & (self._around(member, states, self._apart) == 0)
        if self.problem == "cut":
            return open_ & (2.0 * self._around(member, states, self._joined) <= self._degree[states.graph])
        keepers = self._around(open_, states, self._joined)
        needed = self._around(member & (keepers == 1), states, self._joined) > 0
        return open_ & (keepers > 0) & ~needed

    def removable(self, states: VertexStates) -> Tensor:
        """Return (S, N) bool: the vertices that may have been decided last."""
        if self.problem != "cut":
            return states.member
        inside = self._around(states.member, states, self._joined)
        return states.member & (2.0 * inside <= self._degree[states.graph])

    def adjacency(self, states: VertexStates) -> Tensor:
        """Return (N, N), or (S, N, N) of several graphs, float32."""
        return self._joined[0] if len(self.graphs) == 1 else self._joined[states.graph]

    def weights(self, states: VertexStates) -> Tensor | None:
        """Return what the vertices weigh, (S, N) float64; None where all are 1."""
        return self._weight[states.graph] if self._weighted else None

    def present(self, states: VertexStates) -> Tensor | None:
        """Return (S, N) bool, None of one graph."""
        return None if len(self.graphs) == 1 else self._present[states.graph]

    def keys(self, states: VertexStates) -> list[Hashable]:
        """Return the vertices, whether nothing is undecided, and the graph."""
        return list(zip(self.members(states), states.done.tolist(), states.graph.tolist(), strict=True))

    def codes(self, states: VertexStates) -> Tensor:
        """Return (S,) int64, equal exactly where keys are equal."""
        codes = super().codes(states)
        if len(self.graphs) == 1:
            return codes
        number: Tensor = torch.unique(codes, return_inverse=True)[1]
        return number * len(self.graphs) + states.graph

    def chosen(self, states: VertexStates) -> Tensor:
        """Return (S, N) bool: the vertices of the set that is sought, as it stands."""
        return self._present[states.graph] & ~states.member if self.problem == "dominating_set" else states.member

    def decode(self, states: VertexStates) -> list[tuple[str, ...]]:
        """Return the names of the chosen vertices, in the order of the graph."""
        rows, graphs = self.chosen(states).tolist(), states.graph.tolist()
        return [
            tuple(name for name, inside in zip(self.graphs[graph].items, row, strict=False) if inside)
            for row, graph in zip(rows, graphs, strict=True)
        ]

    def states_of(self, objects: Sequence[Sequence[str]], generator: torch.Generator) -> VertexStates:
        """Return the terminal states of sets of names, of the first graph; nothing is drawn.

        Raises:
            ValueError: a set has an unknown name, breaks the rules, or leaves something undecided.
        """
        del generator
        states, places = self.source(len(objects)), self._places[0]
        for row, names in enumerate(objects):
            unknown = next((name for name in names if name not in places), None)
            if unknown is not None:
                raise ValueError(f"The vertex {unknown!r} is none of the {len(places)} there are. Leave the set out.")
            inside = torch.zeros(self.items, dtype=torch.bool)
            inside[[places[name] for name in names]] = True
            states.member[row] = ~inside if self.problem == "dominating_set" else inside
            one = states[row : row + 1]
            if not self._reached(one) or bool(self.free(one).any()):
                raise ValueError(
                    f"The set {list(names)} of {len(names)} vertices is no object of {self.problem!r}: it breaks the "
                    "rules, or a vertex is left undecided. Leave it out."
                )
        return VertexStates(torch.ones_like(states.done), states.member, states.graph)

    def _reached(self, state: VertexStates) -> bool:
        """Return whether one state (S = 1) can be taken apart vertex by vertex: then it can be built so too."""
        while bool(state.member.any()):
            last = self.removable(state)
            if not bool(last.any()):
                return False
            vertex = last.int().argmax(1)
            state = self.backstep(state, vertex)
            if not bool(self.free(state)[0, vertex]):
                return False
        return True

    def log_reward(self, states: VertexStates) -> Tensor:
        """Return (S,) float64: beta times what is sought, of unfinished sets too."""
        return self.beta * self.gain(states)

    def gain(self, states: VertexStates) -> Tensor:
        """Return (S,) float64: weight of the set, minus that of a dominating set, or the edges that are cut."""
        if self.problem == "cut":
            outside = self._degree[states.graph] - self._around(states.member, states, self._joined)
            return (outside * states.member).sum(1).double()
        total: Tensor = (self._weight[states.graph] * self.chosen(states)).sum(1)
        return -total if self.problem == "dominating_set" else total

    def log_partial(self, states: VertexStates) -> Tensor:
        """Return (S,) float64: the log-reward of the set as it stands."""
        return self.log_reward(states)

    def log_paths(self, states: VertexStates) -> Tensor:
        """Return (S,) float64: log k! of k decided vertices.

        Raises:
            NotProvided: of cuts, where not every order leads to a set.
        """
        if self.problem == "cut":
            return super().log_paths(states)
        out: Tensor = (states.member.sum(1).double() + 1).lgamma()
        return out


def _graphs_of(options: VertexSetEnvironment.Options) -> tuple[Graph, ...]:
    if options.graph is not None:
        return (read_graph(options.graph, options.columns, None, options.nodes, options.node_column),)
    if options.named is not None:
        return (named_graph(options.named),)
    if options.random is not None:
        return (options.random.draw(1)[0],)
    if options.folder is not None:
        return tuple(read_graph(path, options.columns, None, None, "name") for path in graph_files(options.folder))
    raise ValueError(
        "There is no graph to choose from. Give `graph`, a file of edges, `named`, `random`, or a `folder` of files."
    )


def graph_files(folder: Path) -> list[Path]:
    """Return the files of graphs in a folder, by name.

    Raises:
        ValueError: there is none.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in ENDINGS) if folder.is_dir() else []
    if not files:
        raise ValueError(
            f"The folder {folder} has no graphs: got no file that ends in {', '.join(ENDINGS)}. Give a folder with one "
            "file per graph."
        )
    return files


def _weights_of(options: VertexSetEnvironment.Options, graph: Graph) -> Tensor:
    """Return (N,) float64, in the order of the graph's items.

    Raises:
        ValueError: a weight is missing, or no number above 0.
    """
    if options.weight_column is None or options.nodes is None:
        return torch.ones(len(graph.items), dtype=torch.float64)
    known = _column(options.nodes, options.node_column, options.weight_column)
    values = []
    for name in graph.items:
        try:
            value = float(known.get(name, ""))
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise ValueError(
                f"The vertex {name!r} weighs {known.get(name)!r} in {options.nodes.name}; expected a number above 0."
            )
        values.append(value)
    return torch.tensor(values, dtype=torch.float64)


def _column(path: Path, names: str, values: str) -> dict[str, str]:
    table = text_table(path, names, values)
    weights = table.column(values)
    if table.mark((values,)) == ",":
        weights = [text.replace(",", ".") for text in weights]
    return dict(zip(table.column(names), weights, strict=True))
