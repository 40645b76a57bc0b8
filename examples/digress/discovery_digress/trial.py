"""What denoising of molecular graphs costs, and what it gives, beside edge lists: `discover reproduce digress`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from data.chemistry.labelled_graphs import molecule
from data.config import derive_seed
from data.tables.shipped import labelled_library
from discovery_digress.diffusion import Diffusion
from discovery_digress.generator import drawn_from
from discovery_digress.graphs import Alphabet, Graphs, told
from discovery_digress.network import GraphNetwork
from models.generators.geel import taught
from models.generators.geel_network import Lesson, WordNetwork, batch_of, imitate, sentences_of
from models.registry import Component
from models.spaces.molecules import Molecules
from models.systems.base import Bench, Check, System
from models.systems.graph_edge_lists import frechet
from models.threads import single_thread

_RARE = ("NumBridgeheadAtoms", "NumSpiroAtoms")
"""Descriptors that are nearly always zero, so that few molecules decide a distance in units of their deviation."""


class DigressClaim(System["DigressClaim.Options"]):
    """Molecules out of noise."""

    kind: ClassVar[str] = "digress"
    reference = "Vignac et al., DiGress: Discrete denoising diffusion for graph generation, ICLR 2023, arXiv:2209.14734"
    title: ClassVar[str] = "DiGress, denoising of graphs"
    claim: ClassVar[str] = (
        "Discrete noise on nodes and edges that keeps their shares, undone step by step by a graph transformer, gives "
        "molecules that are valid without rules of chemistry, distinct, new, and distributed as those it learnt."
    )
    protocol: ClassVar[str] = (
        "As for the system `graph_edge_lists`, smaller: of the shipped 5,761 molecules of 3 to 14 heavy atoms 4,000 "
        "to learn and 500 held out, at random; 500 are drawn and none is corrected. Valid: one piece, and RDKit "
        "accepts it. 60 steps of noise, a graph transformer of width 64 and 3 layers, 600 steps of 64 molecules. "
        "Beside it the edge lists of `geel`, 900 steps, where the network alone counts bonds, and the coding hangs "
        "nodes together: at these steps both are trained for about as many CPU seconds. `--set steps=N` gives the "
        "denoiser more. Distance: Frechet distance of 14 descriptors to the held-out molecules, and of the 12 of them "
        "that are not nearly always zero. Seconds are of the process, on one thread, and differ from run to run."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("generator", "digress"),)
    example: ClassVar[str] = "examples/digress/campaign.yaml"
    axes: ClassVar[tuple[str, str]] = ("Steps of training", "Loss, nats (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("valid without correction: share of 1", "valid", at_least=0.95),
        Check("distinct among the valid", "unique", at_least=0.95),
        Check("not in the library, of the distinct", "novel", at_least=0.5),
        Check("nearer to the held-out molecules than edge lists", "distance", "geel_distance", at_most=0.0),
        Check("the same without the two rare descriptors", "common", "geel_common", at_most=0.0),
        Check("in one piece, valid or not", "whole"),
        Check("edge lists that are valid without correction", "geel_valid"),
        Check("distinct among the valid edge lists", "geel_unique"),
        Check("not in the library, of the distinct edge lists", "geel_novel"),
        Check("distance of the library itself", "library"),
        Check("the same without the two rare descriptors", "library_common"),
        Check("CPU seconds to train, beside edge lists", "train_seconds", "geel_train_seconds"),
        Check("CPU seconds to draw, beside edge lists", "draw_seconds", "geel_draw_seconds"),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(600, ge=2, description="steps of the denoiser's training")
        geel_steps: int = Field(900, ge=2, description="steps of the training on edge lists")
        layers: int = Field(3, ge=1, description="of the graph transformer")
        noise_steps: int = Field(60, ge=2, description="steps of noise")
        learnt: int = Field(4000, ge=20, le=4761, description="molecules to learn")
        draws: int = Field(500, ge=20, le=1000, description="molecules drawn, and held out")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Learn and draw both ways; return shares, distances, seconds, and the course of the loss."""
        options = self.options
        texts = labelled_library()["smiles"].tolist()
        order = np.random.default_rng(derive_seed(seed, "split")).permutation(len(texts)).tolist()
        library = [texts[at] for at in order[: options.learnt]]
        target = _flat([texts[at] for at in order[-options.draws :]])
        with single_thread():
            figures, losses = self._denoised(library, target, seed, bench)
            figures |= self._spelled(library, target, seed, bench)
        flat = _flat(library)
        figures |= {
            "library": frechet(flat[: options.draws], target),
            "library_common": _common(flat[: options.draws], target),
        }
        every = max(1, len(losses) // 40)
        means = [float(np.mean(losses[at : at + every])) for at in range(0, len(losses), every)]
        return figures | {"curves": {"digress": [[float((at + 1) * every) for at in range(len(means))], means]}}

    def _denoised(
        self, library: Sequence[str], target: Sequence[str], seed: int, bench: Bench
    ) -> tuple[dict[str, Any], list[float]]:
        options, losses = self.options, list[float]()
        graphs = told(library)[0]
        alphabet = Alphabet.of(graphs)
        generator = torch.Generator().manual_seed(derive_seed(seed, "digress"))
        network = GraphNetwork(alphabet.valences, 64, options.layers, 8, generator)
        diffusion = Diffusion(alphabet, network, options.noise_steps)

        def report(step: int, loss: float) -> None:
            losses.append(loss)
            bench.progress(step, options.steps + options.geel_steps, {"loss": loss})

        began = time.process_time()
        batch = drawn_from(Graphs.of(graphs, alphabet), 64)
        diffusion.train(batch, generator, steps=options.steps, learning_rate=3e-3, report=report)
        trained = time.process_time()
        sets = [diffusion.draw(min(100, options.draws - at), generator) for at in range(0, options.draws, 100)]
        seconds = {"train_seconds": trained - began, "draw_seconds": time.process_time() - trained}
        drawn = [text for one in sets for text in one.smiles(alphabet)]
        whole = float(torch.cat([one.whole for one in sets]).float().mean())
        return {**_figures(drawn, library, target), "whole": whole, **seconds}, losses

    def _spelled(self, library: Sequence[str], target: Sequence[str], seed: int, bench: Bench) -> dict[str, Any]:
        options = self.options
        learnt = taught(library, Molecules(), None)
        generator = torch.Generator().manual_seed(derive_seed(seed, "network"))
        network = WordNetwork(learnt.grammar, 128, 1, generator)

        def report(step: int, loss: float) -> None:
            bench.progress(options.steps + step, options.steps + options.geel_steps, {"geel_loss": loss})

        began = time.process_time()
        imitate(
            network,
            Lesson.of(learnt.grammar, batch_of(learnt.sentences)),
            generator,
            steps=options.geel_steps,
            batch_size=64,
            learning_rate=1e-2,
            dropout=0.1,
            report=report,
        )
        trained = time.process_time()
        rows = sentences_of(network, learnt.grammar, options.draws, generator, valence=False).tolist()
        seconds = {"train_seconds": trained - began, "draw_seconds": time.process_time() - trained}
        graphs = map(learnt.grammar.decode, rows)
        figures = _figures([molecule(graph.labels, graph.bonds) for graph in graphs], library, target) | seconds
        return {f"geel_{name}": value for name, value in figures.items()}


def _flat(molecules: Sequence[str]) -> list[str]:
    """Return molecules without their stereochemistry."""
    return [molecule(graph.labels, graph.bonds) or "" for graph in told(molecules)[0]]


def _common(molecules: Sequence[str], target: Sequence[str]) -> float:
    return frechet(molecules, target, without=_RARE)


def _figures(drawn: Sequence[str | None], library: Sequence[str], target: Sequence[str]) -> dict[str, float]:
    valid = [text for text in drawn if text is not None]
    distinct = set(valid)
    few = len(valid) < 2  # a covariance needs two
    return {
        "valid": len(valid) / len(drawn),
        "unique": len(distinct) / max(len(valid), 1),
        "novel": len(distinct.difference(_flat(library))) / max(len(distinct), 1),
        "distance": 1e6 if few else frechet(valid, target),
        "common": 1e6 if few else _common(valid, target),
    }
