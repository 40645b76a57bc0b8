"""Molecules out of noise: a network that learnt to restore the graphs of a library, drawn towards the best measured."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from data.config import derive_seed, digest
from data.objects import NotStandardError
from data.records import Candidate, Making
from data.tables.prepared import PreparedLibrary
from discovery_digress.diffusion import Diffusion
from discovery_digress.graphs import Alphabet, Graphs, told
from discovery_digress.network import GraphNetwork
from models.gflownet.training.prior import kept_weights
from models.library_options import LibraryOptions
from models.protocols import GenerationContext
from models.registry import Component, FolderPath
from models.spaces.base import BaseSpace
from models.spaces.molecules import Molecules, of_molecules
from models.threads import single_thread

logger = logging.getLogger(__name__)

_ROUNDS = 10
"""Sets of draws until no more candidates are expected."""
_SET = 128
"""Graphs that are drawn at once."""
_CURVE = 40
"""Losses of the library's training that are told."""
_DECADES = 2.5
"""Of ranks, among which the measured molecules are drawn."""


class Digress(Component["Digress.Options"]):
    """Draw molecules by undoing noise on the labels of nodes and the orders of pairs, as a network learnt of a library.

    T steps of noise leave of a graph only the library's shares of atoms and bonds; the network guesses the graph from
    what is left, and the way back is drawn step by step. Nothing makes what comes out a molecule: graphs that are none,
    are in pieces or outside the space are dropped and counted in the log.

    The library is learnt once for all rounds and campaigns of a workspace. Each round begins there and trains
    `fine_tune` steps on batches of which half is of the library, half of the measured molecules by rank, the best most
    often. The surrogate does not steer the network: it chooses among what is proposed, as for every generator.
    Stereochemistry is left out. `fit` is a pure function of its context, so it needs no checkpoint.
    """

    group = "generator"
    kind = "digress"
    reference = "Vignac et al., DiGress: Discrete denoising diffusion for graph generation, ICLR 2023, arXiv:2209.14734"
    spaces = ("molecules",)
    origin: ClassVar[str] = str(Making.BUILT)

    class Options(Component.Options):
        """Options of the generator `digress`."""

        pretrain: FolderPath | None = Field(
            default=None, description="file of the library to learn from, also .gz; null: the campaign's own"
        )
        smiles: str | None = Field(default=None, description="column of SMILES in that file; null: `smiles`")
        molecules: int = Field(default=5000, ge=1, description="members that are learnt; of more, so many at random")
        noise_steps: int = Field(default=60, ge=2, le=1000, description="T, steps of noise; a draw needs as many")
        width: int = Field(default=64, ge=8, le=512, multiple_of=8, description="of the features of nodes")
        layers: int = Field(default=4, ge=1, le=12, description="of the graph transformer")
        pretrain_steps: int = Field(default=2500, ge=1, le=1_000_000, description="steps on the library")
        batch_size: int = Field(default=64, ge=2, le=4096, description="graphs per step")
        learning_rate: float = Field(default=2e-3, gt=0, description="on the library, at first; it falls to zero")
        fine_tune: int = Field(
            default=40, ge=0, le=100_000, description="steps towards the best measured, each round; 0: none"
        )
        tuning_rate: float = Field(default=3e-4, gt=0, description="learning rate of these steps, at first")

    def __init__(self, options: Any = None, /, **values: Any) -> None:
        super().__init__(options, **values)
        self._space: Molecules | None = None
        self._taken: frozenset[str] = frozenset()
        self._diffusion: Diffusion | None = None
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
        members = self._library(context)
        graphs, refused = told(members)
        graphs = [one for one in graphs if 1 < len(one.labels) <= space.max_heavy_atoms]
        if refused:
            reasons = "; ".join(f"{reason} ({n})" for reason, n in refused.most_common(3))
            logger.info("digress learns %d of %d molecules; refused: %s.", len(graphs), len(members), reasons)
        if not graphs:
            raise ValueError(
                f"The generator 'digress' learns from a library, and none of {len(members)} molecules can be told as a "
                f"graph of 2 to {space.max_heavy_atoms} atoms. Give `pretrain`, a file of molecules, or a data source "
                "with a library."
            )
        alphabet = Alphabet.of(graphs)
        library = Graphs.of(graphs, alphabet)
        diffusion = self._diffusion = self._untrained(alphabet)
        steps = max(1, round(options.fine_tune * context.effort)) if options.fine_tune else 0
        known = [one for one in told(context.known)[0] if alphabet.knows(one)] if steps else []
        with single_thread():
            self._pretrain(diffusion, library, context, steps if known else 0)
            if known:
                self._tune(diffusion, library, Graphs.of(known, alphabet), context, steps)

    def sample(self, n: int, *, seed: int) -> list[Candidate]:
        """Return up to n distinct molecules inside the space that are not in the campaign.

        Raises:
            RuntimeError: `fit` was not called.
        """
        diffusion, space = self._require_fit()
        generator = torch.Generator().manual_seed(derive_seed(seed, "digress draws"))
        found, counts = dict[str, Candidate](), Counter[str]()
        with single_thread():
            for _ in range(_ROUNDS * math.ceil(n / _SET)):
                for text in diffusion.draw(_SET, generator).smiles(diffusion.alphabet):
                    counts["drawn"] += 1
                    if text is None:
                        counts["invalid"] += 1
                        continue
                    try:
                        obj = space.admit(text)
                    except NotStandardError:
                        counts["outside"] += 1
                        continue
                    key = space.identity(obj)
                    if key in self._taken or key in found:
                        counts["repeated" if key in found else "known"] += 1
                    elif len(found) < n:
                        found[key] = Candidate(id=key, object=obj, source=self.kind)
                if len(found) >= n:
                    break
        logger.info(
            "digress drew %d graphs for %d candidates: %d were no molecule, %d outside the space, %d in the campaign, "
            "%d met before.",
            *(counts["drawn"], len(found), counts["invalid"], counts["outside"], counts["known"], counts["repeated"]),
        )
        return list(found.values())

    def state(self) -> dict[str, Any]:
        """Return alphabet, weights and the history."""
        diffusion, _ = self._require_fit()
        return {
            "alphabet": diffusion.alphabet.to_state(),
            "weights": dict(diffusion.network.state_dict()),
            "history": self.history(),
        }

    def load_state(self, state: Mapping[str, Any], context: GenerationContext) -> None:
        """Restore what `state` returned; the library is not read again."""
        self._prepare(context)
        self._diffusion = self._untrained(Alphabet.from_state(state["alphabet"]))
        self._diffusion.network.load_state_dict(state["weights"])
        self._history = [dict(row) for row in state["history"]]

    def history(self) -> list[dict[str, float]]:
        """Return the course of the library's loss, then the loss of each step towards the best measured."""
        return [dict(row) for row in self._history]

    def _prepare(self, context: GenerationContext) -> Molecules:
        self._space = space = of_molecules(context.space)
        self._taken = frozenset(map(space.identity, (*context.known, *context.asked)))
        return space

    def _require_fit(self) -> tuple[Diffusion, Molecules]:
        if self._diffusion is None or self._space is None:
            raise RuntimeError("The generator 'digress' has learnt nothing yet; call `fit` or `load_state` first.")
        return self._diffusion, self._space

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

    def _untrained(self, alphabet: Alphabet) -> Diffusion:
        options, generator = self.options, torch.Generator().manual_seed(0)
        network = GraphNetwork(alphabet.valences, options.width, options.layers, 8, generator)
        return Diffusion(alphabet, network, options.noise_steps)

    def _pretrain(self, diffusion: Diffusion, library: Graphs, context: GenerationContext, tuning: int) -> None:
        options, alphabet = self.options, diffusion.alphabet
        how = options.model_dump(mode="json", exclude={"pretrain", "smiles", "molecules", "fine_tune", "tuning_rate"})
        key = digest(["digress 1", alphabet.to_state(), library.nodes.tolist(), library.edges.tolist(), how])

        def make() -> dict[str, torch.Tensor]:
            losses = list[float]()

            def report(step: int, loss: float) -> None:
                losses.append(loss)
                context.progress(step, options.pretrain_steps + tuning, {"prior_loss": loss})

            diffusion.train(
                drawn_from(library, options.batch_size),
                torch.Generator().manual_seed(0),
                steps=options.pretrain_steps,
                learning_rate=options.learning_rate,
                report=report,
            )
            return {**diffusion.network.state_dict(), "losses": torch.tensor(losses)}

        weights = dict(kept_weights(context.cache, key, make))
        losses = weights.pop("losses").tolist()
        diffusion.network.load_state_dict(weights)
        every = max(1, len(losses) // _CURVE)
        self._history = [
            {"step": float(step), "prior_loss": math.fsum(losses[step - every : step]) / every}
            for step in range(every, len(losses) + 1, every)
        ]

    def _tune(
        self, diffusion: Diffusion, library: Graphs, known: Graphs, context: GenerationContext, steps: int
    ) -> None:
        options, before = self.options, self.options.pretrain_steps
        half = options.batch_size // 2

        def batch(generator: torch.Generator) -> Graphs:
            usual = torch.randint(len(library), (options.batch_size - half,), generator=generator)
            share = 10.0 ** (-_DECADES * torch.rand(half, generator=generator, dtype=torch.float64))
            return together(library[usual], known[(share * len(known)).long().clamp(max=len(known) - 1)])

        def report(step: int, loss: float) -> None:
            self._history.append({"step": float(before + step), "loss": loss})
            context.progress(before + step, before + steps, {"loss": loss})

        generator = torch.Generator().manual_seed(derive_seed(context.seed, "digress"))
        diffusion.train(batch, generator, steps=steps, learning_rate=options.tuning_rate, report=report)


def drawn_from(graphs: Graphs, n: int) -> Callable[[torch.Generator], Graphs]:
    """Return what draws n of some graphs, all alike."""
    return lambda generator: graphs[torch.randint(len(graphs), (n,), generator=generator)]


def together(first: Graphs, second: Graphs) -> Graphs:
    """Return two batches as one."""
    most = max(first.nodes.shape[1], second.nodes.shape[1])
    both = [
        Graphs(
            torch.nn.functional.pad(one.nodes, (0, more)),
            torch.nn.functional.pad(one.edges, (0, more, 0, more)),
            one.sizes,
        )
        for one in (first, second)
        for more in [most - one.nodes.shape[1]]
    ]
    return Graphs(*(torch.cat([getattr(one, name) for one in both]) for name in ("nodes", "edges", "sizes")))
