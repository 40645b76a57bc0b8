"""Gap-encoded edge lists: are they short, is what a network writes in them valid, and is it like the library?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy.linalg import sqrtm

from data.chemistry.descriptors import NAMES, descriptors
from data.chemistry.labelled_graphs import labelled_graph, molecule
from data.config import derive_seed
from data.edge_lists import cells, neighbours_of, smallest_bandwidth, words
from data.records import FloatArray
from data.tables.shipped import labelled_library
from models.generators.geel import Taught, taught
from models.generators.geel_grammar import Numbered
from models.generators.geel_network import Lesson, WordNetwork, batch_of, imitate, sentences_of
from models.generators.random import random_objects
from models.registry import Component
from models.spaces.base import variation_of
from models.spaces.molecules import Molecules
from models.systems.base import Bench, Check, System
from models.threads import single_thread

_PROPERTIES = (
    *("MolWt", "HeavyAtomCount", "TPSA", "FractionCSP3", "LabuteASA", "NumHDonors", "NumHAcceptors", "NumHeteroatoms"),
    *("RingCount", "NumAromaticRings", "NumHeterocycles", "NumBridgeheadAtoms", "NumSpiroAtoms", "NumAmideBonds"),
)
_SEARCHED = 100
"""Molecules whose least bandwidth over all orders is searched for."""


class GraphEdgeListsClaim(System["GraphEdgeListsClaim.Options"]):
    """Molecules written edge by edge."""

    kind: ClassVar[str] = "graph_edge_lists"
    cites: ClassVar[tuple[str, ...]] = (
        "jang2024graph",
        "diamant2023bandwidth",
        "cuthill1969reducing",
        "jensen2019graph",
    )
    title: ClassVar[str] = "GEEL, edge lists by gaps; bandwidth restriction"
    claim: ClassVar[str] = (
        "With nodes in Cuthill and McKee's order graphs have a small bandwidth: a band of the adjacency matrix loses "
        "none, and edges told by gaps make short sentences of few words. A recurrent network that learns such "
        "sentences writes graphs that are valid without correction, new, and distributed as those that it learnt."
    )
    protocol: ClassVar[str] = (
        "The shipped 5,761 molecules of 3 to 14 heavy atoms, split at random into 4,000 to learn and 1,000 that are "
        "held out. An LSTM of 128, one layer, 1,500 steps of 64 molecules; besides the words it sees how many bonds "
        "are left, which the paper's does not. 1,000 molecules are drawn with valences as part of the grammar, and "
        "1,000 where the network alone counts bonds; none is corrected. Distance: Frechet distance of 14 descriptors, "
        "in units of the held-out standard deviations, to the held-out molecules without stereochemistry; bridgeheads "
        "and spiro atoms are so rare among these (deviation below 0.1) that few molecules decide it. Beside it 1,000 "
        "molecules of the sampler of fragments, uniform over its steps, and 1,000 crossovers of random pairs of the "
        "library; and 1,000 of the library itself, which is as near as can be."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("generator", "geel"),)
    settings: ClassVar[tuple[str, ...]] = ("generator: {kind: geel, bandwidth: 5}",)
    example: ClassVar[str] = "campaigns/own_library/learnt.yaml"
    axes: ClassVar[tuple[str, str]] = ("Steps of training", "Loss of a word, nats (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("valid without correction, valences in the grammar: share of 1", "valid", at_least=0.95),
        Check("valid without correction where the network alone counts bonds", "valid_free", at_least=0.95),
        Check("distinct among the valid", "unique", at_least=0.95),
        Check("not in the library, of the distinct", "novel", at_least=0.5),
        Check("nearer to the held-out molecules than the sampler of fragments", "distance", "fragments", at_most=0.0),
        Check("nearer than random recombinations of the library", "distance", "recombined", at_most=0.0),
        Check("edges are fewer than half of the pairs of nodes", "length_share", at_most=0.5),
        Check("words of gaps are fewer than half of those without a band", "vocabulary_share", at_most=0.5),
        Check("held-out molecules that are within the band of the library", "covered", at_least=0.99),
        Check("pairs of nodes within the molecule's own band are fewer than half", "own_band_share", at_most=0.5),
        Check("pairs of nodes within the band of the library", "band_share"),
        Check("Cuthill and McKee's order has the least bandwidth of all orders: share", "least_bandwidth"),
        Check("distance of the library itself", "library"),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(1500, ge=2, description="steps of the training")
        learnt: int = Field(4000, ge=20, le=4761, description="molecules to learn")
        draws: int = Field(1000, ge=20, le=1000, description="molecules drawn, held out, and of each other arm")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Learn, draw and compare; return shares and distances, and the course of the loss."""
        options, space = self.options, Molecules()
        texts = labelled_library()["smiles"].tolist()
        order = np.random.default_rng(derive_seed(seed, "split")).permutation(len(texts)).tolist()
        library = [texts[at] for at in order[: options.learnt]]
        held_out = [texts[at] for at in order[-options.draws :]]
        told = taught(library, space, None)
        losses = list[float]()

        def report(step: int, loss: float) -> None:
            losses.append(loss)
            bench.progress(step, options.steps, {"loss": loss})

        with single_thread():
            generator = torch.Generator().manual_seed(derive_seed(seed, "network"))
            network = WordNetwork(told.grammar, 128, 1, generator)
            lesson = Lesson.of(told.grammar, batch_of(told.sentences))
            imitate(
                network,
                lesson,
                generator,
                steps=options.steps,
                batch_size=64,
                learning_rate=1e-2,
                dropout=0.1,
                report=report,
            )
            drawn = _drawn(network, told, options.draws, generator, valence=True)
            free = _drawn(network, told, options.draws, generator, valence=False)
        flat, valid = [_flat(text) for text in library], [text for text in drawn if text is not None]
        distinct, target = set(valid), [_flat(text) for text in held_out]
        arms = {
            "distance": valid,
            "fragments": random_objects(space, options.draws, derive_seed(seed, "fragments")),
            "recombined": _recombined(library, space, options.draws, seed),
            "library": flat[: options.draws],
        }
        every = max(1, options.steps // 40)
        means = [float(np.mean(losses[at : at + every])) for at in range(0, len(losses), every)]
        return {
            "valid": len(valid) / len(drawn),
            "valid_free": sum(text is not None for text in free) / len(free),
            "unique": len(distinct) / max(len(valid), 1),
            "novel": len(distinct.difference(flat)) / max(len(distinct), 1),
            **{name: frechet(arm, target) for name, arm in arms.items()},
            **_coding(told, held_out),
            "curves": {"geel": [[float((at + 1) * every) for at in range(len(means))], means]},
        }


def _flat(smiles: str) -> str:
    """Return a molecule without its stereochemistry."""
    graph = labelled_graph(smiles)
    return molecule(graph.labels, graph.bonds) or ""


def _drawn(
    network: WordNetwork, told: Taught, n: int, generator: torch.Generator, *, valence: bool
) -> list[str | None]:
    """Return n molecules as they were written, None where one is none."""
    rows = sentences_of(network, told.grammar, n, generator, valence=valence).tolist()
    graphs = map(told.grammar.decode, rows)
    return [molecule(graph.labels, graph.bonds) for graph in graphs]


def _recombined(library: Sequence[str], space: Molecules, n: int, seed: int) -> list[str]:
    """Return n crossovers of pairs of a library; fewer where they do not go together."""
    variation, rng = variation_of(space, library, "recombination"), np.random.default_rng(derive_seed(seed, "pairs"))
    found = list[str]()
    for _ in range(20 * n):
        first, second = rng.integers(len(library), size=2).tolist()
        child = variation.crossover(library[first], library[second], rng)
        if child is not None:
            found.append(child)
        if len(found) == n:
            break
    return found


def frechet(molecules: Sequence[str], target: Sequence[str], *, without: Sequence[str] = ()) -> float:
    """Return the squared Frechet distance of normal laws with the descriptors' means and covariances.

    Both are in units of the standard deviations of the target's descriptors; those of `without` are left out.
    """
    columns = [NAMES.index(name) for name in _PROPERTIES if name not in without]
    x, y = (descriptors(some)[:, columns] for some in (molecules, target))
    deviation = y.std(0)
    scale = np.where(deviation > 0, deviation, 1.0)
    x, y = x / scale, y / scale
    a, b = (np.cov(some.T) + 1e-6 * np.eye(some.shape[1]) for some in (x, y))
    shift: FloatArray = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(a + b - 2.0 * np.real(sqrtm(a @ b))))


def _coding(told: Taught, held_out: Sequence[str]) -> dict[str, float]:
    """Return lengths and widths of the held-out molecules, with the band of the library."""
    graphs = [Numbered.of(labelled_graph(text)) for text in held_out]
    pairs = [cells(len(graph.labels), len(graph.labels)) for graph in graphs]
    width = told.grammar.width
    searched = graphs[:_SEARCHED]
    least = [smallest_bandwidth(neighbours_of(len(graph.labels), graph.bonds)) for graph in searched]
    return {
        "length_share": sum(len(graph.bonds) for graph in graphs) / sum(pairs),
        "vocabulary_share": words(width) / words(told.grammar.most - 1),
        "covered": sum(graph.bandwidth <= width for graph in graphs) / len(graphs),
        "band_share": sum(cells(len(graph.labels), width) for graph in graphs) / sum(pairs),
        "own_band_share": sum(cells(len(graph.labels), graph.bandwidth) for graph in graphs) / sum(pairs),
        "least_bandwidth": sum(graph.bandwidth == one for graph, one in zip(searched, least, strict=True)) / len(least),
    }
