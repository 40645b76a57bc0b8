"""Which variable of a system acts on which: a posterior over graphs that predicts the answers of experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from pydantic import Field, PositiveInt

from data.records import FloatArray, Prediction
from models.causal.belief import GraphBelief
from models.causal.graph_draws import MOST, GraphLaw, Graphs, edges_of
from models.causal.information import ExpectedInformation
from models.causal.predictive import Predictive, Setting
from models.featurisers.base import featuriser_of
from models.featurisers.settings import Settings
from models.gflownet.judging.dag_posterior import edge_marginals
from models.gflownet.rewards.dag_scores import GaussianScores
from models.protocols import BoolArray
from models.proxies.base import BaseProxy, ProxyOptions
from models.proxies.checks import checked_state
from models.registry import ComponentError
from models.spaces.interventions import Interventions

_SET = 0.01
"""Deviation, in deviations of what was observed, with which a variable has the value that it is set to."""


class CausalGraphs(BaseProxy["CausalGraphs.Options"]):
    """Linear Gaussian networks of all acyclic graphs, weighed by their posterior: BGe score, uniform prior over graphs.

    It learns all variables of an experiment's row together, from what was observed before and from what is measured; a
    row in which a variable was set says nothing about what acts on that variable. Graphs are drawn exactly from the
    posterior. Of a campaign with an objective for each variable it stands for one of them: mean and deviation of the
    variable in a new row, over graphs and their parameters. Values are scaled by the observations.

    Reference: Geiger and Heckerman, UAI 1994, corrected by Kuipers, Moffa and Heckerman, Ann. Statist. 42, 1689 (2014);
    rows of interventions: Cooper and Yoo, UAI 1999; draws: Kuipers and Moffa, Stat. Comput. 25, 227 (2015).
    """

    kind = "causal_graphs"
    cites = ("geiger1994learning", "kuipers2014addendum", "cooper1999causal", "kuipers2015uniform")
    spaces = ("interventions",)
    reads_features = False

    class Options(ProxyOptions):
        """Options of the posterior over graphs."""

        features: dict[str, Any] | None = Field(  # type: ignore[assignment]  # the space's, and no others
            None, description="the featuriser settings of the space; null: that of the campaign"
        )
        draws: PositiveInt = Field(200, description="graphs that are drawn from the posterior")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super(BaseProxy, self).__init__(options, **values)
        if self.options.features is not None:
            self.featuriser = featuriser_of(self.options.features)
        self._state: dict[str, torch.Tensor] = {}

    @cached_property
    def space(self) -> Interventions:
        """The experiments that it knows.

        Raises:
            ComponentError: no featuriser `settings` tells them, or the system has too many variables.
        """
        found: Any = getattr(self, "featuriser", None)
        if not isinstance(found, Settings):
            raise ComponentError(
                "The proxy 'causal_graphs' learns of experiments on a system; got features "
                f"{self.options.features!r}. Use it with the space 'interventions', and leave `features` out."
            )
        if len(found.space.variables) > MOST:
            raise ComponentError(
                f"The proxy 'causal_graphs' knows the posterior over graphs of up to {MOST} variables; "
                f"{found.space.options.data.name} has {len(found.space.variables)}. Leave some columns out."
            )
        return found.space

    def check_space(self, space: Any) -> None:
        """Refuse a system that it cannot learn.

        Raises:
            ComponentError: it has too many variables.
        """
        if isinstance(space, Interventions):
            _ = self.space

    def fit(self, objects: Sequence[str], values: FloatArray, *, seed: int) -> None:
        """Refuse to learn one variable alone.

        Raises:
            ValueError: always; rows are learnt by `fit_rows`.
        """
        raise ValueError(
            "A causal_graphs learns rows of all variables of a system; got values of one. Give an objective with the "
            "goal observe, whose oracle has the variables as `outputs`."
        )

    def fit_rows(
        self, objects: Sequence[str], rows: FloatArray, names: Sequence[str], target: str, *, seed: int
    ) -> None:
        """Learn n experiments of all variables, and stand for one of these.

        Args:
            objects: n experiments.
            rows: shape `(n, K)`, values of each variable; a row with nan in it is left out.
            names: of the K columns.
            target: the variable that `predict` is of.
            seed: of all draws.

        Raises:
            ComponentError: the columns are not the variables of the system.
        """
        self.check_names(names)
        space, known = self.space, self.space.observed
        table = np.asarray(rows, dtype=np.float64)[:, [list(names).index(name) for name in space.variables]]
        whole = ~np.isnan(table).any(1)
        setting = space.table(objects)[:, : len(space.variables)] > 0
        before = np.zeros(known.values.shape, dtype=bool) if known.intervened is None else known.intervened
        values = (np.vstack([known.values, table[whole]]) - known.centre) / known.spread
        self._state = {
            "values": torch.from_numpy(values),
            "intervened": torch.from_numpy(np.vstack([before, setting[whole]])),
            "target": torch.tensor(space.variables.index(target)),
            "seed": torch.tensor(seed),
        }

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse columns that are not the variables of the system.

        Raises:
            ComponentError: it is so.
        """
        space = self.space
        if sorted(names) != sorted(space.variables):
            raise ComponentError(
                f"The objectives are to be the variables of {space.options.data.name}, {', '.join(space.variables)}; "
                f"got {', '.join(names)}. Name the oracle's `outputs` as its columns are named."
            )

    @property
    def _learnt(self) -> _Learnt:
        if not self._state:
            raise self._untrained()
        values, intervened = self._state["values"].numpy(), self._state["intervened"].numpy()
        return _learnt(
            values.tobytes(), intervened.tobytes(), values.shape[1], self.options.draws, int(self._state["seed"])
        )

    def predict(self, objects: Sequence[str]) -> Prediction:
        """Predict the variable that it stands for in rows of n experiments.

        Raises:
            RuntimeError: it was not trained.
            ValueError: one of the texts is no experiment.
        """
        learnt, target = self._learnt, int(self._state["target"])
        found = [learnt.moments(one) for one in self._settings(objects)]
        known = self.space.observed
        mean, std = (np.array([one[k][target] for one in found]).reshape(-1) for k in (0, 1))
        return Prediction(
            known.centre[target] + known.spread[target] * mean, known.spread[target] * np.maximum(std, _SET)
        )

    def information(self, objects: Sequence[str]) -> FloatArray:
        """Return the expected information of n experiments about the graph, in nats, shape `(n,)`."""
        return self._learnt.expected.gains(self._settings(objects))

    def most_informative(self, objects: Sequence[str], n: int) -> list[int]:
        """Return the places of n of the experiments, each the one that adds most to those before it."""
        return self._learnt.expected.together(self._settings(objects), n)

    def belief(self) -> GraphBelief:
        """Return what is believed of the graph.

        Raises:
            RuntimeError: it was not trained.
        """
        learnt = self._learnt
        return GraphBelief(
            self.space.variables,
            edge_marginals(learnt.law.scores),
            edges_of(learnt.graphs).mean(0),
            float(-learnt.law.of(learnt.graphs).mean()),
        )

    def _settings(self, objects: Sequence[str]) -> list[Setting]:
        space, known, found = self.space, self.space.observed, []
        for obj in objects:
            name, value, _ = space.parts(obj)
            place = None if name is None else space.variables.index(name)
            found.append(
                Setting() if place is None else Setting(place, (value - known.centre[place]) / known.spread[place])
            )
        return found

    def state(self) -> dict[str, Any]:
        """Return the rows that were learnt, scaled, and the seed: all else follows from them."""
        if not self._state:
            raise self._untrained()
        return dict(self._state)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        expected = {"values", "intervened", "target", "seed"}
        checked_state(self.kind, state, expected)
        self._state = {name: state[name] for name in sorted(expected)}


class _Learnt:
    """The posterior of some rows, which K proxies of one round share."""

    def __init__(self, values: FloatArray, intervened: BoolArray, draws: int, seed: int) -> None:
        scores = GaussianScores(values, intervened)
        self.law = GraphLaw(scores.table)
        self.graphs: Graphs = self.law.draw(draws, np.random.default_rng(seed))
        self._predictive, self._seed = Predictive(scores), seed
        self._moments: dict[Setting, tuple[FloatArray, FloatArray]] = {}

    @cached_property
    def expected(self) -> ExpectedInformation:
        """What experiments are expected to tell."""
        return ExpectedInformation(self._predictive, self.graphs, seed=self._seed)

    def moments(self, setting: Setting) -> tuple[FloatArray, FloatArray]:
        """Return means and standard deviations of all variables in a new row, each shape `(n,)`."""
        found = self._moments.get(setting)
        if found is None:
            node = -1 if setting.node is None else setting.node
            rows = self._predictive.draw(
                np.repeat(self.graphs, 4, axis=0), setting, np.random.default_rng([self._seed, 1, node + 1])
            )
            found = self._moments[setting] = (rows.mean(0), rows.std(0))
        return found


@lru_cache(maxsize=16)
def _learnt(values: bytes, intervened: bytes, n: int, draws: int, seed: int) -> _Learnt:
    table = np.frombuffer(values, dtype=np.float64).reshape(-1, n)
    return _Learnt(table, np.frombuffer(intervened, dtype=bool).reshape(-1, n), draws, seed)
