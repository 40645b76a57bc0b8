"""A network that learnt to write the molecules of a library, tuned towards the reward: candidates like one's own."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from data.chemistry.labelled_graphs import LabelledGraph, labelled_graph, molecule
from data.config import derive_seed, digest
from data.objects import NotStandardError
from data.records import Candidate, FloatArray, Making
from data.tables.prepared import PreparedLibrary
from models.generators.geel_grammar import Grammar, Numbered
from models.generators.geel_network import Lesson, Tuning, WordNetwork, batch_of, imitate, sentences_of
from models.gflownet.training.prior import kept_weights
from models.library_options import LibraryOptions
from models.protocols import GenerationContext
from models.registry import Component, FolderPath
from models.spaces.base import BaseSpace
from models.spaces.molecules import Molecules, of_molecules
from models.threads import single_thread

logger = logging.getLogger(__name__)

_ROUNDS = 20
"""Sets of draws until no more candidates are expected."""
_CURVE = 40
"""Losses of the library's training that are told."""
_BELOW = 3.0
"""By how much the log-reward of what is no candidate is below the least one met."""


@dataclass(frozen=True)
class Taught:
    """A library as sentences.

    Attributes:
        sentences: of the members that can be said.
        refused: reason -> members that cannot.
        flattened: members said without their stereochemistry.
    """

    grammar: Grammar
    sentences: list[list[int]]
    refused: Counter[str]
    flattened: int


def taught(molecules: Sequence[str], space: Molecules, width: int | None) -> Taught:
    """Return a library as sentences.

    Args:
        molecules: SMILES.
        space: whose bounds of size the sentences keep to.
        width: the longest edge that is said; None: that of the library.
    """
    refused, graphs = Counter[str](), list[LabelledGraph]()
    for text in molecules:
        try:
            graphs.append(labelled_graph(text))
        except NotStandardError as error:
            refused[str(error)] += 1
    numbered = [Numbered.of(graph) for graph in graphs]
    if width is None:
        width = max((one.bandwidth for one in numbered), default=1)
    fits = [one.bandwidth <= width and len(one.labels) <= space.max_heavy_atoms for one in numbered]
    said = [graph for graph, fit in zip(graphs, fits, strict=True) if fit]
    if not said:
        return Taught(Grammar({"C": 4}, max(width, 1), 1, space.max_heavy_atoms), [], refused, 0)
    grammar = Grammar.learnt(said, max(width, 1), space.min_heavy_atoms, space.max_heavy_atoms)
    sentences = list[list[int]]()
    for one in numbered:
        reason = grammar.refusal(one)
        if reason is None:
            sentences.append(grammar.encode(one))
        else:
            refused[reason] += 1
    return Taught(grammar, sentences, refused, sum(graph.stereo for graph in said))


class Geel(Component["Geel.Options"]):
    """Write molecules word by word, as an LSTM does that learnt a library, and then towards the reward.

    A molecule is a sentence of node labels, gaps of edges and orders of bonds (`geel_grammar`); what may follow a word
    is known, valences included, so that no sentence is corrected. The network first learns the library by maximum
    likelihood, once for all rounds and campaigns of a workspace. Then `fine_tune` steps of relative trajectory
    balance bring it towards P_library(x) R(x)^beta: what pays and is like the library. A round goes on from the
    last one's network. Stereochemistry is left out.

    `fit` is a pure function of its context, so it needs no checkpoint.
    """

    group = "generator"
    kind = "geel"
    cites = ("jang2024graph", "cuthill1969reducing", "diamant2023bandwidth", "venkatraman2024rtb")
    spaces = ("molecules",)
    origin: ClassVar[str] = str(Making.BUILT)

    class Options(Component.Options):
        """Options of the generator `geel`."""

        pretrain: FolderPath | None = Field(
            default=None, description="file of the library to learn from, also .gz; null: the campaign's own"
        )
        smiles: str | None = Field(default=None, description="column of SMILES in that file; null: `smiles`")
        molecules: int = Field(default=5000, ge=1, description="members that are learnt; of more, so many at random")
        bandwidth: int | None = Field(
            default=None, ge=1, le=60, description="longest edge that can be said; null: the longest of the library"
        )
        width: int = Field(default=128, ge=4, le=1024, description="of embeddings and layers")
        layers: int = Field(default=1, ge=1, le=4, description="of the LSTM")
        dropout: float = Field(default=0.1, ge=0, lt=1, description="share of the embeddings that is left out")
        pretrain_steps: int = Field(default=1500, ge=1, le=1_000_000, description="steps on the library")
        batch_size: int = Field(default=64, ge=1, le=4096, description="molecules per step")
        learning_rate: float = Field(default=1e-2, gt=0, description="on the library, at first; it falls to zero")
        fine_tune: int = Field(
            default=40, ge=0, le=100_000, description="steps towards the reward, each round; 0: none"
        )
        tuning_rate: float = Field(default=1e-3, gt=0, description="learning rate of these steps")
        replay: float = Field(
            default=0.25, ge=0, lt=1, description="share of their molecules that are the best known, not drawn"
        )
        beta: float = Field(default=1.0, gt=0, description="power of the reward")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._space: Molecules | None = None
        self._taken: frozenset[str] = frozenset()
        self._grammar: Grammar | None = None
        self._network: WordNetwork | None = None
        self._key = ""
        self._met: dict[str, float] = {}
        self._history: list[dict[str, float]] = []

    def check(self, space: BaseSpace[Any]) -> None:
        """Look for one molecule of the file that is inside the space.

        Raises:
            SourceError: the file cannot be read, or none of its rows is such a molecule.
        """
        if self.options.pretrain is not None:
            self._file(space, None).require_molecule()

    def fit(self, context: GenerationContext) -> None:
        """Learn the library, or take what was learnt, and tune it; deterministic under `context.seed`.

        Raises:
            SourceError: the file cannot be read, or none of its rows is a molecule inside the space.
            ValueError: there is nothing to learn from.
        """
        options, space = self.options, self._prepare(context)
        library = self._library(context)
        learnt = taught(library, space, options.bandwidth)
        _tell(learnt, len(library))
        if not learnt.sentences:
            raise ValueError(
                f"The generator 'geel' learns from a library, and none of {len(library)} molecules can be said by it. "
                "Give `pretrain`, a file of molecules, or a data source with a library."
            )
        self._grammar, self._met, self._history = learnt.grammar, {}, []
        steps = max(1, round(options.fine_tune * context.effort)) if options.fine_tune else 0
        with single_thread():
            prior = self._prior(learnt, context, steps)
            self._network = self._untrained(learnt.grammar)
            self._network.load_state_dict(self._carried(context) or prior.state_dict())
            if steps:
                self._tune(prior, context, steps)

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct molecules inside the space that are not in the campaign.

        Raises:
            RuntimeError: `fit` was not called.
        """
        network, grammar, space = self._require_fit()
        generator = torch.Generator().manual_seed(derive_seed(seed, "geel draws"))
        found, counts = dict[str, Candidate](), Counter[str]()
        with single_thread():
            for _ in range(_ROUNDS):
                drawn = sentences_of(network, grammar, max(32, n - len(found)), generator)
                for obj, reason in self._read(drawn, space):
                    counts["drawn"] += 1
                    if obj is None:
                        counts[reason] += 1
                        continue
                    key = space.identity(obj)
                    if key in self._taken or key in found:
                        counts["repeated" if key in found else "known"] += 1
                    elif len(found) < n:
                        found[key] = Candidate(id=key, object=obj, source=self.kind)
                if len(found) == n:
                    break
        logger.info(
            "geel wrote %d molecules for %d candidates: %d were none, %d outside the space, %d in the campaign, %d met "
            "before.",
            *(counts["drawn"], len(found), counts["invalid"], counts["outside"], counts["known"], counts["repeated"]),
        )
        return list(found.values())

    def best(self, n: int) -> dict[str, float]:
        """Return up to n molecules that the tuning met and that are not in the campaign, best first."""
        if self._space is None:
            return {}
        space, met = self._space, self._met
        ranked = sorted(met, key=lambda obj: (-met[obj], obj))
        fresh = (obj for obj in ranked if space.identity(obj) not in self._taken)
        return {obj: met[obj] for obj in islice(fresh, n)}

    def state(self) -> dict[str, Any]:
        """Return grammar, weights, the molecules met with their log-rewards, and the history."""
        network, grammar, _ = self._require_fit()
        return {
            "key": self._key,
            "grammar": grammar.to_state(),
            "weights": dict(network.state_dict()),
            "met": list(self._met),
            "met_log_reward": list(self._met.values()),
            "history": self.history(),
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned; the library is not read again."""
        self._prepare(context)
        self._key, self._grammar = state["key"], Grammar(**state["grammar"])
        self._network = self._untrained(self._grammar)
        self._network.load_state_dict(state["weights"])
        self._met = dict(zip(state["met"], state["met_log_reward"], strict=True))
        self._history = [dict(row) for row in state["history"]]

    def history(self) -> list[dict[str, float]]:
        """Return the course of the library's loss, then, per step of the tuning, loss, log Z, mean log-reward, and the
        shares of what was drawn that are molecules, inside the space, and new.
        """
        return [dict(row) for row in self._history]

    def _prepare(self, context: GenerationContext) -> Molecules:
        self._space = space = of_molecules(context.space)
        self._taken = frozenset(map(space.identity, (*context.known, *context.asked)))
        return space

    def _require_fit(self) -> tuple[WordNetwork, Grammar, Molecules]:
        if self._network is None or self._grammar is None or self._space is None:
            raise RuntimeError("The generator 'geel' has learnt nothing yet; call `fit` or `load_state` first.")
        return self._network, self._grammar, self._space

    def _file(self, space: BaseSpace[Any], cache: Path | None) -> PreparedLibrary:
        options = LibraryOptions(path=self.options.pretrain, smiles=self.options.smiles)
        return PreparedLibrary(options.library(space), space, cache)

    def _library(self, context: GenerationContext) -> list[str]:
        """Return the molecules to learn, the same in every round."""
        if self.options.pretrain is None:
            every = list(context.library or context.known)
        else:
            file = self._file(context.space, context.cache)
            every = list(dict.fromkeys(obj for part in file.parts() for obj in part.molecules))
            if not every:
                file.require_molecule()
        if len(every) > self.options.molecules:
            rows = np.random.default_rng(0).permutation(len(every))[: self.options.molecules]
            every = [every[row] for row in sorted(rows.tolist())]
        return every

    def _untrained(self, grammar: Grammar) -> WordNetwork:
        return WordNetwork(grammar, self.options.width, self.options.layers, torch.Generator().manual_seed(0))

    def _prior(self, learnt: Taught, context: GenerationContext, tuning: int) -> WordNetwork:
        options, network = self.options, self._untrained(learnt.grammar)
        how: dict[str, Any] = {
            "steps": options.pretrain_steps,
            "batch_size": options.batch_size,
            "learning_rate": options.learning_rate,
            "dropout": options.dropout,
        }
        self._key = digest([learnt.grammar.key, learnt.sentences, options.width, options.layers, how])

        def make() -> dict[str, Tensor]:
            losses = list[float]()

            def report(step: int, loss: float) -> None:
                losses.append(loss)
                context.progress(step, options.pretrain_steps + tuning, {"prior_loss": loss})

            generator = torch.Generator().manual_seed(0)
            imitate(network, Lesson.of(learnt.grammar, batch_of(learnt.sentences)), generator, report=report, **how)
            return {**network.state_dict(), "losses": torch.tensor(losses)}

        weights = dict(kept_weights(context.cache, self._key, make))
        losses = weights.pop("losses").tolist()
        network.load_state_dict(weights)
        every = max(1, len(losses) // _CURVE)
        self._history = [
            {"step": float(step), "prior_loss": math.fsum(losses[step - every : step]) / every}
            for step in range(every, len(losses) + 1, every)
        ]
        return network

    def _carried(self, context: GenerationContext) -> Mapping[str, Tensor] | None:
        """Return the weights of the last round, None where that had learnt something else."""
        if context.warm_start is None:
            return None
        state = torch.load(context.warm_start, weights_only=True)
        weights: Mapping[str, Tensor] = state["weights"]
        return weights if state["key"] == self._key else None

    def _tune(self, prior: WordNetwork, context: GenerationContext, steps: int) -> None:
        options, (network, grammar, space) = self.options, self._require_fit()
        generator = torch.Generator().manual_seed(derive_seed(context.seed, "geel"))
        tuning = Tuning(network, prior, grammar, options.tuning_rate)
        pool = list(_known(context, grammar))
        replayed = round(options.replay * options.batch_size) if pool else 0
        least = min((value for _, value in pool), default=math.inf)
        for step in range(1, steps + 1):
            drawn = sentences_of(network, grammar, options.batch_size - replayed, generator)
            read = self._read(drawn, space)
            objects = [obj for obj, _ in read if obj is not None]
            new = [obj for obj in dict.fromkeys(objects) if obj not in self._met]
            if new:
                values: FloatArray = np.asarray(context.log_reward(new), dtype=np.float64)
                self._met.update(zip(new, values.tolist(), strict=True))
            least = min([least, *(self._met[obj] for obj in objects)])
            floor = (least if math.isfinite(least) else 0.0) - _BELOW
            rewards = [floor if obj is None else self._met[obj] for obj, _ in read]
            again = [pool[place] for place in _ranks(replayed, len(pool), generator)]
            # Sentences are padded to one length anew: those that are replayed may be longer.
            sentences = batch_of([*map(_cut, drawn.tolist()), *(sentence for sentence, _ in again)])
            log_reward = options.beta * torch.tensor([*rewards, *(value for _, value in again)])
            loss = tuning.step(sentences, log_reward)
            row = {
                "step": float(options.pretrain_steps + step),
                "loss": loss,
                "log_z": float(tuning.log_z.detach()),
                "mean_log_reward": math.fsum(rewards) / len(rewards),
                "valid": sum(reason != "invalid" for _, reason in read) / len(read),
                "inside": len(objects) / len(read),
                "new": len(new) / len(read),
            }
            self._history.append(row)
            context.progress(options.pretrain_steps + step, options.pretrain_steps + steps, row)

    def _read(self, sentences: Tensor, space: Molecules) -> list[tuple[str | None, str]]:
        """Return of each sentence the molecule, or None and whether it is invalid or outside."""
        _, grammar, _ = self._require_fit()
        read = list[tuple[str | None, str]]()
        for row in sentences.tolist():
            graph = grammar.decode(row)
            text = molecule(graph.labels, graph.bonds)
            if text is None:
                read.append((None, "invalid"))
                continue
            try:
                read.append((space.admit(text), ""))
            except NotStandardError:
                read.append((None, "outside"))
        return read


def _known(context: GenerationContext, grammar: Grammar) -> Iterator[tuple[list[int], float]]:
    """Yield the sentences of measured molecules, best first, as far as they can be said, with their log-rewards."""
    for obj, value in zip(context.known, context.known_log_reward.tolist(), strict=True):
        try:
            graph = Numbered.of(labelled_graph(obj))
        except NotStandardError:
            continue
        if grammar.refusal(graph) is None:
            yield grammar.encode(graph), value


def _ranks(n: int, of: int, generator: torch.Generator) -> list[int]:
    """Return n places among the first `of`, the logarithm of the rank uniform: the best come most often."""
    share = 10.0 ** (-2.5 * torch.rand(n, generator=generator, dtype=torch.float64))
    return (share * of).long().clamp(max=max(of - 1, 0)).tolist()


def _cut(sentence: Sequence[int]) -> list[int]:
    """Return a sentence without its padding."""
    return [word for word in sentence if word]


def _tell(learnt: Taught, members: int) -> None:
    if learnt.refused or learnt.flattened:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in learnt.refused.most_common(3)) or "none refused"
        logger.info(
            "geel learns %d of %d molecules, %d of them without their stereochemistry; refused: %s.",
            *(len(learnt.sentences), members, learnt.flattened, reasons),
        )
