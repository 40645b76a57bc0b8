"""Directed acyclic graphs on named variables: add one edge after the other, stop anywhere."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from data.records import FloatArray
from data.tables.observations import observations
from models.component import FolderPath
from models.gflownet.environments.base import Environment, NotProvided, States
from models.gflownet.rewards.dag_scores import SCORES, NodeScores, reference_data
from models.registry import Component


@dataclass(frozen=True)
class DagStates(States):
    """S graphs.

    Attributes:
        edges: (S, n, n) bool, from row to column.
        reached: (S, n, n) bool, whether a path leads from row to column; every node reaches itself.
    """

    edges: Tensor
    reached: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Select states."""
        return type(self)(self.done[index], self.edges[index], self.reached[index])


class DagEnvironment(Environment[DagStates]):
    """Graphs of n nodes; action i n + j adds the edge from i to j where that closes no circle, action n^2 stops.

    Any edge can be taken back, so a graph of k edges has k parents, and k! trajectories lead to it. The reward is the
    marginal likelihood of data under the graph, times the prior: uniform over graphs, or with `expected_edges` m
    proportional to (p / (1 - p))^k for k edges, p = 2 m / (n (n - 1)). The law to learn is the posterior. With the
    score `none` the reward comes from outside.

    Rows of interventions, in which an experimenter set a variable, say nothing about what that variable depends on and
    are left out of its term (Cooper and Yoo, 1999): they tell graphs apart that observations never can.
    """

    kind: ClassVar[str] = "dag"
    cites: ClassVar[tuple[str, ...]] = ("deleu2022bayesian", "cooper1999causal")
    small: ClassVar[Mapping[str, Any]] = {"nodes": 3}
    every_state_stops = True

    class Options(Component.Options):
        """Of which data."""

        nodes: int = Field(5, ge=2, le=32, description="Nodes, where there is no file of data; at most 8 with a score.")
        data: FolderPath | None = Field(None, description="CSV with a column per node and a row per observation.")
        intervened: str | None = Field(
            None, description="Column of `data` that names the variables set in a row, apart by `;`; empty: none."
        )
        score: Literal["bge", "bde", "none"] = Field(
            "bge", description="Of numbers (linear Gaussian), of states by number, or none: the reward is told."
        )
        expected_edges: float | None = Field(
            None, gt=0, description="Edges that are expected before any data (Erdos-Renyi prior); null: uniform prior."
        )
        max_parents: int | None = Field(None, ge=1, description="Most edges that lead to a node; null: any number.")

    def __init__(self, options: DagEnvironment.Options | None = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self.names, data, intervened = self._read()
        n = self.nodes = len(self.names)
        self._scores = None if data is None else SCORES[self.options.score](data, intervened)
        self.max_parents = n - 1 if self.options.max_parents is None else min(self.options.max_parents, n - 1)
        self.stop = n * n
        self.n_actions = self.n_backward = n * n + 1
        self.n_features = n * n
        self._powers = 1 << torch.arange(n)
        self._most = n * (n - 1) // 2
        self.log_odds = self._log_odds()
        self._gain_places: dict[int, int] = {}
        self._gain_rows = torch.zeros((64, n))
        self._table = None if self._scores is None or n > 10 else torch.from_numpy(self._scores.table)

    @property
    def scores(self) -> NodeScores:
        """The scores of the data.

        Raises:
            NotProvided: there is no score.
        """
        if self._scores is None:
            raise NotProvided("The environment 'dag' has no reward with the score 'none'; give the trainer one.")
        return self._scores

    def _read(self) -> tuple[tuple[str, ...], FloatArray | None, NDArray[np.bool_] | None]:
        options = self.options
        if options.data is not None:
            names, data, intervened = observations(Path(options.data), options.intervened)
            return names, None if options.score == "none" else data, intervened
        if options.intervened is not None:
            raise ValueError(f"The column {options.intervened!r} of interventions is one of `data`. Name a CSV file.")
        names = tuple(f"X{i}" for i in range(options.nodes))
        if options.score == "none":
            return names, None, None
        if options.nodes > 8:
            raise ValueError(f"Without `data` there are at most 8 nodes; got {options.nodes}. Name a CSV file.")
        return names, reference_data(options.nodes), None

    def _log_odds(self) -> float:
        """Return what each edge adds to the log of the prior."""
        expected = self.options.expected_edges
        if expected is None:
            return 0.0
        if self._scores is None or expected >= self._most:
            raise ValueError(
                f"`expected_edges` is the prior of a score, and below n (n - 1) / 2 = {self._most}; got {expected:g} "
                f"with the score {self.options.score!r}. Choose fewer, or leave it out for a uniform prior."
            )
        return math.log(expected / (self._most - expected))

    @property
    def log_weights(self) -> FloatArray:
        """(n, 2^n) what each node with each set of parents adds to the log-reward; at most 12 nodes."""
        sizes = np.array([places.bit_count() for places in range(1 << self.nodes)])
        return np.asarray(self.scores.table + self.log_odds * sizes)

    def source(self, n: int) -> DagStates:
        """Return n copies of the graph without edges."""
        eye = torch.eye(self.nodes, dtype=torch.bool).expand(n, -1, -1)
        return DagStates(torch.zeros(n, dtype=torch.bool), torch.zeros_like(eye), eye.clone())

    def forward_mask(self, states: DagStates) -> Tensor:
        """Return (S, n^2 + 1) bool: edges that are not there and close no circle, and the stop."""
        free = ~(states.edges | states.reached.transpose(1, 2))
        free = (free & (states.edges.sum(1) < self.max_parents)[:, None, :]).flatten(1)
        stop = torch.ones((len(states), 1), dtype=torch.bool)
        return torch.cat([free, stop], 1) & ~states.done[:, None]

    def backward_mask(self, states: DagStates) -> Tensor:
        """Return (S, n^2 + 1) bool: the edges; of a stopped graph only the stop."""
        edges = states.edges.flatten(1) & ~states.done[:, None]
        return torch.cat([edges, states.done[:, None]], 1)

    def step(self, states: DagStates, actions: Tensor) -> DagStates:
        """Take legal forward actions (S,)."""
        done: Tensor = actions.eq(self.nodes**2)
        place = actions.clamp(max=self.nodes**2 - 1)
        edges = states.edges.flatten(1).clone()
        edges[torch.arange(len(actions)), place] |= ~done
        rows = torch.arange(len(actions))
        origin, target = place // self.nodes, place % self.nodes
        through = states.reached[rows, :, origin][:, :, None] & states.reached[rows, target][:, None, :]
        reached = states.reached | (through & ~done[:, None, None])
        return DagStates(done, edges.view_as(states.edges), reached)

    def backstep(self, states: DagStates, actions: Tensor) -> DagStates:
        """Take legal backward actions (S,)."""
        stopped: Tensor = actions.eq(self.nodes**2)
        edges = states.edges.flatten(1).clone()
        edges[torch.arange(len(actions)), actions.clamp(max=self.nodes**2 - 1)] &= stopped
        edges = edges.view_as(states.edges)
        return DagStates(torch.zeros_like(states.done), edges, _closure(edges))

    def undo(self, states: DagStates, actions: Tensor) -> Tensor:
        """Return the same numbers (S,)."""
        del states
        return actions

    def redo(self, states: DagStates, actions: Tensor) -> Tensor:
        """Return the same numbers (S,)."""
        del states
        return actions

    def keys(self, states: DagStates) -> list[Hashable]:
        """Return the entries of the matrix of edges, and whether it has stopped."""
        flat = torch.cat([states.edges.flatten(1), states.done[:, None]], 1).numpy()
        return [row.tobytes() for row in np.packbits(flat, axis=1)]

    def decode(self, states: DagStates) -> list[tuple[int, ...]]:
        """Return the matrix of edges, row by row, as 0 and 1."""
        return [tuple(row) for row in states.edges.flatten(1).long().tolist()]

    def states_of(self, objects: Sequence[Sequence[int]], generator: torch.Generator) -> DagStates:
        """Return the terminal states of matrices of edges, row by row; nothing is drawn.

        Raises:
            ValueError: one is no matrix of this many nodes, has a circle, or too many edges that lead to a node.
        """
        del generator
        n = self.nodes
        edges = torch.zeros((len(objects), n, n), dtype=torch.bool)
        for row, item in enumerate(objects):
            if len(item) != n * n:
                raise ValueError(f"A graph of {n} nodes is a matrix of {n * n} entries; got {len(item)}. Leave it out.")
            edges[row] = torch.tensor(item, dtype=torch.bool).view(n, n)
        reached = _closure(edges)
        circles = (reached & edges.transpose(1, 2)).flatten(1).any(1)
        if bool(circles.any()):
            raise ValueError(f"The graph {list(objects[int(circles.int().argmax())])} has a circle. Leave it out.")
        if len(objects) and int(edges.sum(1).max()) > self.max_parents:
            raise ValueError(f"More than {self.max_parents} edges lead to a node. Leave such graphs out.")
        return DagStates(torch.ones(len(objects), dtype=torch.bool), edges, reached)

    def k_hot(self, states: DagStates) -> Tensor:
        """Return (S, n (n - 1) / 2) int64: the numbers of the edges, `n_features` where there are fewer."""
        flat = states.edges.flatten(1)
        numbers = torch.arange(self.n_features).expand(len(states), -1)
        return torch.where(flat, numbers, self.n_features).sort(1).values[:, : self._most]

    def log_paths(self, states: DagStates) -> Tensor:
        """Return (S,) float64: log k! of the k edges."""
        return torch.lgamma(states.edges.flatten(1).sum(1).double() + 1.0)

    def log_reward(self, states: DagStates) -> Tensor:
        """Return (S,) float64: the log marginal likelihood of the data plus the log-prior but for a constant.

        Of a graph that has not stopped too.
        """
        parents = self._parents(states)
        nodes = torch.arange(self.nodes).expand_as(parents)
        if self._table is not None:
            values = self._table[nodes, parents].sum(1)
        else:
            told = self.scores.of(nodes.flatten().numpy(), parents.flatten().numpy())
            values = torch.from_numpy(told).view_as(parents).sum(1)
        return values + self.log_odds * states.edges.flatten(1).sum(1) if self.log_odds else values

    def _parents(self, states: DagStates) -> Tensor:
        """Return (S, n) int64: the parents of each node as a number."""
        return (states.edges.long() * self._powers[:, None]).sum(1)

    def gains(self, states: DagStates) -> Tensor:
        """Return (S, n, n) float32: what an edge from row to column would add to the log-reward, 0 where it is there.

        Edges that close a circle are not left out.
        """
        parents = self._parents(states)
        keys, which = torch.unique(parents * self.nodes + torch.arange(self.nodes), return_inverse=True)
        return self._gained(keys.numpy())[which].transpose(1, 2)

    def _gained(self, keys: NDArray[np.int64]) -> Tensor:
        """Return (K, n) the gains of pairs of a parent set and a node, each worked out once."""
        places, asked = self._gain_places, keys.tolist()
        new = [key for key in asked if key not in places]
        if new:
            pairs, first = np.array(new, dtype=np.int64), len(places)
            found = self.scores.gains(pairs % self.nodes, pairs // self.nodes)
            found = np.where(found == 0.0, 0.0, found + self.log_odds)
            while len(self._gain_rows) < first + len(new):
                self._gain_rows = torch.cat([self._gain_rows, torch.zeros_like(self._gain_rows)])
            self._gain_rows[first : first + len(new)] = torch.from_numpy(found)
            places.update({key: first + place for place, key in enumerate(new)})
        return self._gain_rows[torch.tensor([places[key] for key in asked], dtype=torch.int64)]

    def log_partial(self, states: DagStates) -> Tensor:
        """Return (S,) float64: the log-reward of stopping here."""
        return self.log_reward(states)


def _closure(edges: Tensor) -> Tensor:
    """Return (S, n, n) bool: whether a path leads from row to column, by squaring."""
    n = edges.shape[1]
    reached = edges | torch.eye(n, dtype=torch.bool)
    for _ in range(max(1, (n - 1).bit_length())):
        reached = (reached.float() @ reached.float()) > 0
    return reached
