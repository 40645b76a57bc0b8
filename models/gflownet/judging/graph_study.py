"""From a sampler file with `graphs` to a training on many graphs that is judged on others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.config import ConfigError, derive_seed, digest, validated
from data.sampler_config import GraphsConfig, SamplerConfig
from models.gflownet.environments.graph_instances import networkx_graph
from models.gflownet.environments.vertex_sets import VertexSetEnvironment, graph_files
from models.gflownet.judging.graph_solutions import largest_independent_set, minimum_degree_greedy
from models.gflownet.judging.study import refusing
from models.gflownet.objectives.detailed_balance import DetailedBalance
from models.gflownet.policies.recipes import PolicyRecipe
from models.gflownet.policies.uniform import UniformFlat
from models.gflownet.policies.vertex_gin import VertexGIN
from models.gflownet.training.amortised import AmortisedOptions, AmortisedTrainer, best_of
from models.registry import build, located
from models.spaces.graph_file import Graph, read_graph
from models.threads import single_thread

CODE_VERSION = 1
"""Raised when a training's meaning changes, so that results of old code are not taken for new ones."""
TRAIN = 200
"""Graphs of a law that are trained on, where nothing else is said."""


@dataclass(frozen=True)
class Solution:
    """The best set that was drawn for a graph.

    Attributes:
        graph: name of its file, or number of a held-out graph of a law.
        vertices: of the graph.
        gain: what is sought: vertices in the set, or minus those of a dominating set, or edges that are cut.
        random: that of the best of as many solutions that were built at random.
        optimum: the greatest that there is; None where it was not computed.
        chosen: names of the vertices.
    """

    graph: str
    vertices: int
    gain: int
    random: int
    optimum: int | None
    chosen: tuple[str, ...]


@dataclass(frozen=True)
class GraphSession:
    """One training, of one seed.

    Attributes:
        trainer: evaluates itself by `evaluator`.
        evaluator: gives the figures on held-out graphs.
        wanted: graphs for which solutions are wanted, by name.
        seed: of the training.
    """

    trainer: AmortisedTrainer
    evaluator: GraphEvaluator
    wanted: Mapping[str, Graph]
    seed: int

    def state(self) -> dict[str, Any]:
        """Return the weights."""
        return {"policy": self.trainer.policy.state_dict()}

    def solutions(self) -> list[Solution]:
        """Return a solution of each graph that one is wanted for; of each held-out one where there is none."""
        evaluator = self.evaluator
        if self.wanted:
            evaluator = evaluator.of(self.wanted)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "solutions"))
        with single_thread():
            gains, sets = best_of(evaluator.env, evaluator.policy, evaluator.how.draws, generator)
        rows = zip(evaluator.names, evaluator.env.graphs, gains.tolist(), evaluator.random, sets, strict=True)
        optima: Sequence[int | None] = evaluator.optima or [None] * len(evaluator.names)
        return [
            Solution(name, len(graph.items), round(gain), round(random), optimum, chosen)
            for (name, graph, gain, random, chosen), optimum in zip(rows, optima, strict=True)
        ]


class GraphEvaluator:
    """What a policy draws for graphs that it was not trained on, beside rules that learn nothing.

    All figures are means over the graphs: `gain` of the best of some draws and of `one_draw`; `random_gain` where each
    vertex is drawn among those that may be decided; of independent sets and cliques `greedy_gain`, by fewest
    neighbours (of the complement), and, if no graph is too large, `optimum`, and by how many per cent the best are
    below it: `gap`, `random_gap`, `greedy_gap`.

    Args:
        trainer: what is judged.
        env: the graphs.
        names: theirs.
        how: draws, and up to which size graphs are solved exactly.
    """

    def __init__(
        self, trainer: AmortisedTrainer, env: VertexSetEnvironment, names: Sequence[str], how: GraphsConfig
    ) -> None:
        self.trainer, self.env, self.names, self.how = trainer, env, list(names), how
        network = trainer.policy
        assert isinstance(network, VertexGIN)  # the study refuses others
        self.policy = network.on(env)
        generator = torch.Generator().manual_seed(derive_seed(0, "random"))
        self.random: list[float] = best_of(env, UniformFlat(env), how.draws, generator)[0].tolist()
        self.greedy: list[int] | None = None
        self.optima: list[int] | None = None
        if env.problem in ("independent_set", "clique"):
            graphs = [_complement(graph) for graph in env.graphs] if env.problem == "clique" else env.graphs
            rng = np.random.default_rng(derive_seed(0, "greedy"))
            self.greedy = [max(minimum_degree_greedy(graph, how.draws, rng)) for graph in graphs]
            if max(len(graph.items) for graph in graphs) <= how.exact:
                self.optima = [largest_independent_set(graph) for graph in graphs]

    def of(self, graphs: Mapping[str, Graph]) -> GraphEvaluator:
        """Return an evaluator of the same policy on other graphs."""
        env = VertexSetEnvironment(self.env.options, graphs=list(graphs.values()))
        return GraphEvaluator(self.trainer, env, list(graphs), self.how)

    def __call__(self) -> dict[str, float]:
        """Return the figures of the policy as it is."""
        # The trainer's own generator is left alone: an evaluation must not change the training.
        generator = torch.Generator().manual_seed(derive_seed(0, "evaluation") + self.trainer.done)
        found = best_of(self.env, self.policy, self.how.draws, generator)[0].tolist()
        single = best_of(self.env, self.policy, 1, generator)[0].tolist()
        gains = {"gain": found, "random_gain": self.random}
        if self.greedy is not None:
            gains["greedy_gain"] = self.greedy
        told = {name: float(np.mean(values)) for name, values in {**gains, "one_draw": single}.items()}
        told["held_out_graphs"] = float(len(self.names))
        if self.optima is not None:
            best = np.asarray(self.optima, dtype=float)
            told["optimum"] = float(best.mean())
            for name, values in gains.items():
                told[name.replace("gain", "gap")] = float(100.0 * np.mean(1.0 - np.asarray(values) / best))
        return told


@dataclass(frozen=True)
class GraphStudy:
    """Everything that a sampler file with graphs names, built; a training is started for each seed.

    Attributes:
        how: how many graphs, and how a policy is judged.
        env: the graphs that are trained on.
        held_out: those that are judged on, by name.
        wanted: those for which solutions are wanted, by name.
        recipe, objective, options: what is trained, and how.
        details: everything that decides the training and its figures, defaults included, but for the seed.
    """

    how: GraphsConfig
    env: VertexSetEnvironment
    held_out: Mapping[str, Graph]
    wanted: Mapping[str, Graph]
    recipe: PolicyRecipe
    objective: DetailedBalance
    options: AmortisedOptions
    details: dict[str, Any]

    @property
    def identity(self) -> str:
        """The sha256 of `details`."""
        return digest(["graphs", CODE_VERSION, self.details])

    def fingerprint(self, seed: int) -> str:
        """Return what names the training of a seed."""
        return digest([self.identity, seed])

    def judged_by(self) -> str:
        """Return in words how a policy is judged."""
        return (
            f"on {len(self.held_out)} graphs that were held out, by the best of {self.how.draws} draws; trained on "
            f"{len(self.env.graphs)} others"
        )

    def start(self, seed: int) -> GraphSession:
        """Return the training of a seed, before its first step.

        Raises:
            ConfigError: parts do not go together.
        """
        with refusing(), single_thread():
            trainer = self._trainer(seed, self.options)
            env = VertexSetEnvironment(self.env.options, graphs=list(self.held_out.values()))
            evaluator = GraphEvaluator(trainer, env, list(self.held_out), self.how)
        trainer.evaluate = evaluator
        return GraphSession(trainer, evaluator, self.wanted, seed)

    def try_out(self) -> None:
        """Take two small rounds of a training that is thrown away, so that what cannot be trained is refused at once.

        Raises:
            ConfigError: parts do not go together; the message says which.
        """
        small = self.options.model_copy(update={"steps": 2, "batch_size": min(8, self.options.batch_size)})
        with refusing(), single_thread():
            self._trainer(0, small).train()
            for graphs in (self.held_out, self.wanted):
                if graphs:  # a graph on which nothing can be decided is refused here
                    VertexSetEnvironment(self.env.options, graphs=list(graphs.values()))

    def _trainer(self, seed: int, options: AmortisedOptions) -> AmortisedTrainer:
        generator = torch.Generator().manual_seed(derive_seed(seed, "sampler"))
        policy = self.recipe.build(self.env, generator)
        return AmortisedTrainer(self.env, policy, self.objective, options, generator)


def build_graph_study(config: SamplerConfig, *, base: Path) -> GraphStudy:
    """Build everything that a sampler file with graphs names.

    Args:
        config: the file.
        base: folder of the file, where its relative paths start.

    Raises:
        ConfigError: parts do not go together.
        ComponentError: a component or an option is unknown.
    """
    assert config.graphs is not None
    with refusing():
        how, spec = config.graphs, located("environment", config.environment or {}, base)
        law: VertexSetEnvironment = build("environment", spec)
        objective = build("objective", config.objective)
        if not isinstance(objective, DetailedBalance):
            raise ConfigError(
                f"Many graphs are learnt transition by transition: got the objective {objective.kind!r}, expected "
                "forward_looking_detailed_balance or detailed_balance. There is no log Z for each graph."
            )
        recipe: PolicyRecipe = build("policy", config.policy or {"kind": "gin"})
        if recipe.kind != "gin" or recipe.options.numbered:
            raise ConfigError(
                f"One network for many graphs reads the graph, and knows no vertex by its number: got the policy "
                f"{recipe.config()}. Use {{kind: gin}}, not `numbered`."
            )
        options = validated(AmortisedOptions, config.training, source="training", what="training")
        train, held_out = _graphs(law.options, how)
        wanted = {path.stem: read_graph(path, law.options.columns, None, None, "name") for path in _solved(how, base)}
        env = VertexSetEnvironment(law.options, graphs=train)
        details = {
            "environment": law.config(),
            "graphs": {
                **how.model_dump(mode="json"),
                "contents": _digest([*train, *held_out.values(), *wanted.values()]),
            },
            "policy": recipe.config(),
            "objective": objective.config(),
            "training": options.model_dump(mode="json"),
        }
        return GraphStudy(how, env, held_out, wanted, recipe, objective, options, details)


def _solved(how: GraphsConfig, base: Path) -> list[Path]:
    paths = [base / path.expanduser() for path in how.solve]
    if len({path.stem for path in paths}) < len(paths):
        raise ConfigError(f"Two files under `graphs.solve` have the same name: got {[path.name for path in paths]}.")
    return paths


def _graphs(law: VertexSetEnvironment.Options, how: GraphsConfig) -> tuple[list[Graph], dict[str, Graph]]:
    """Return the graphs that are trained on, and those that are held out, by name."""
    if law.random is not None:
        drawn = {
            part: law.random.model_copy(update={"seed": derive_seed(law.random.seed, part)}).draw(number)
            for part, number in (("train", how.train or TRAIN), ("test", how.test))
        }
        return drawn["train"], {f"held out {place}": graph for place, graph in enumerate(drawn["test"])}
    if law.folder is None:
        raise ConfigError(
            "`graphs` are of a law or in a folder, and the environment has one graph. Give `environment.random` or "
            "`environment.folder`, or leave `graphs` out."
        )
    files = graph_files(law.folder)
    train = len(files) - how.test if how.train is None else how.train
    if train < 1 or train + how.test > len(files):
        raise ConfigError(
            f"The folder {law.folder} has {len(files)} graphs: got {how.test} to be held out and "
            f"{'at least 1' if how.train is None else how.train} to train on. Give fewer under `graphs`."
        )
    order = np.random.default_rng(0).permutation(len(files)).tolist()
    graphs = {files[place]: read_graph(files[place], law.columns, None, None, "name") for place in order}
    listed = list(graphs.items())
    return [graph for _, graph in listed[how.test :][:train]], {path.stem: graph for path, graph in listed[: how.test]}


def _digest(graphs: Sequence[Graph]) -> str:
    return hashlib.sha256(repr([(graph.items, graph.edges) for graph in graphs]).encode()).hexdigest()


def _complement(graph: Graph) -> Graph:
    joined, n = networkx_graph(graph), len(graph.items)
    pairs = ((a, b) for a in range(n) for b in range(a + 1, n))
    return Graph(graph.items, tuple(pair for pair in pairs if not joined.has_edge(*pair)))
