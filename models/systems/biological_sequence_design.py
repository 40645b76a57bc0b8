"""GFN-AL: do batches that a GFlowNet proposes find better, more diverse and newer sequences in rounds of learning?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.config import derive_seed
from data.tables.obtain import load_tfbind8, table
from models.registry import Component
from models.systems.base import Bench, Check, Purchase, System

LETTERS, LENGTH = "ACGT", 8
BEST = 100
"""Sequences that are judged: the best that an arm has bought."""
PARENTS = 200
"""Best measured sequences that evolution breeds from."""
WHAT = "mean", "diversity", "novelty"

Values = Mapping[str, float]


class BiologicalSequenceDesignClaim(System["BiologicalSequenceDesignClaim.Options"]):
    """Rounds of a surrogate, a GFlowNet on its upper confidence bound, and measurements of what it proposes."""

    kind: ClassVar[str] = "biological_sequence_design"
    cites: ClassVar[tuple[str, ...]] = ("jain2022biological",)
    title: ClassVar[str] = "GFN-AL, biological sequence design"
    claim: ClassVar[str] = (
        "In rounds of active learning a GFlowNet that is trained on an acquisition of a surrogate, on its own samples "
        "and on the data, proposes batches with higher scores that are more diverse and newer than other searches'."
    )
    protocol: ClassVar[str] = (
        "TFBind8, 65,536 DNA sequences of eight letters. Each arm knows the same 1,000 of the lower half and buys 4 "
        "rounds of 128. Two campaigns with a Gaussian process, its upper confidence bound (beta 0.1) and the best 128 "
        "of 2,000 proposals: of a GFlowNet, and of the genetic search on the same surrogate. Beside them evolution of "
        "what is measured, and chance. Of the best 100 that an arm bought: mean score, diversity (mean distance in "
        "letters of pairs) and novelty (mean distance to the nearest known at first). The paper's surrogate is a "
        "neural network, and its other searches are others."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (
        ("generator", "gflownet"),
        ("acquisition", "upper_confidence_bound"),
    )
    settings: ClassVar[tuple[str, ...]] = ("data: {below_quantile: 0.5}",)
    example: ClassVar[str] = "campaigns/tfbind8.yaml"
    axes: ClassVar[tuple[str, str]] = ("Sequences bought", "Mean score of the best 100 bought")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("mean score: better than the best that was known", "gflownet_mean", "known_mean", at_least=0.0),
        Check("mean score: better than chance", "gflownet_mean", "chance_mean", at_least=0.0),
        Check("mean score: better than evolution", "gflownet_mean", "evolution_mean", at_least=0.0),
        Check("mean score: better than the genetic search on the same surrogate", "gflownet_mean", "genetic_mean",
              at_least=0.0),
        Check("diversity: more than of evolution", "gflownet_diversity", "evolution_diversity", at_least=0.0),
        Check("diversity: more than of the genetic search on the same surrogate", "gflownet_diversity",
              "genetic_diversity", at_least=0.0),
        Check("novelty: more than of evolution", "gflownet_novelty", "evolution_novelty", at_least=0.0),
        Check("novelty: more than of the genetic search on the same surrogate", "gflownet_novelty",
              "genetic_novelty", at_least=0.0),
    )  # fmt: skip

    class Options(Component.Options):
        """How long the trial takes."""

        rounds: int = Field(4, ge=1, description="rounds of purchases")
        batch_size: int = Field(128, ge=2, description="purchases of a round")
        known: int = Field(1000, ge=20, description="weak binders that are known at first")
        steps: int = Field(300, ge=1, description="steps of the GFlowNet's training in each round")
        proposals: int = Field(2000, ge=2, description="proposals of which a round's batch is the best")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Let each arm buy; return scores, diversity and novelty of its best, and of each round under `rounds`."""
        options = self.options
        values = dict(zip(_sequences(), load_tfbind8(bench.home).tolist(), strict=True))
        generators = {"gflownet": _gflownet(options), "genetic": {"kind": "genetic", "proposals": options.proposals}}
        stages = options.rounds + 1
        known, arms = set[str](), dict[str, list[list[str]]]()
        for number, (arm, generator) in enumerate(generators.items()):

            def tell(round: int, number: int = number) -> None:
                bench.progress(number * stages + round + 1, len(generators) * stages, {})

            bought = bench.campaign(self._campaign(arm, generator, seed, bench), tell)
            known, arms[arm] = _of_rounds(bought, options.rounds)
        calls = [len(batch) for batch in arms["gflownet"]]
        rng = np.random.default_rng(derive_seed(seed, "other arms"))
        arms["evolution"] = evolution(values, known, calls, rng)
        arms["chance"] = chance(values, known, calls, rng)
        figures: dict[str, Any] = {"known_mean": _judged(sorted(known), known, values)["mean"]}
        told, curves = dict[str, Any](), dict[str, list[list[float]]]()
        for arm, batches in arms.items():
            so_far = [[text for batch in batches[: at + 1] for text in batch] for at in range(len(batches))]
            told[arm] = [_judged(texts, known, values) for texts in so_far]
            figures |= {f"{arm}_{name}": told[arm][-1][name] for name in WHAT}
            curves[arm] = [[float(len(texts)) for texts in so_far], [one["mean"] for one in told[arm]]]
        return figures | {"rounds": told, "curves": curves}

    def _campaign(self, arm: str, generator: Mapping[str, Any], seed: int, bench: Bench) -> dict[str, Any]:
        options, file = self.options, str(table("tfbind8", bench.home))
        return {
            "name": arm,
            "seed": seed,
            "space": {"kind": "sequences", "alphabet": "dna", "length": LENGTH},
            "objectives": [
                {"name": "binding", "goal": "maximise", "oracle": {"kind": "table", "path": file, "value": "value"}}
            ],
            "data": {
                "kind": "csv", "path": file, "value": "value", "below_quantile": 0.5, "sample": options.known,
                "initial": 0,
            },
            "proxy": {"kind": "gaussian_process", "restarts": 1, "likelihood_points": 400},
            "acquisition": {"kind": "upper_confidence_bound", "beta": 0.1},
            "generator": dict(generator),
            "selector": {"kind": "top_k"},
            "control": {"kind": "random", "fraction": 0},
            "rounds": options.rounds,
            "batch_size": options.batch_size,
        }  # fmt: skip


def evolution(values: Values, known: set[str], calls: Sequence[int], rng: np.random.Generator) -> list[list[str]]:
    """Return what evolution of what is measured buys: crossings of two of the best, half of them mutated.

    Args:
        values: of every sequence.
        known: at first.
        calls: purchases of each round.
        rng: of parents, crossings and mutations.
    """
    measured = {text: values[text] for text in sorted(known)}
    bought: list[list[str]] = []
    for n in calls:
        parents = sorted(measured, key=lambda text: -measured[text])[:PARENTS]
        batch: dict[str, None] = {}
        while len(batch) < n:
            first, second = rng.choice(parents, 2).tolist()
            child = _child(first, second, rng)
            if child not in measured:
                batch[child] = None
        measured |= {text: values[text] for text in batch}
        bought.append(list(batch))
    return bought


def chance(values: Values, known: set[str], calls: Sequence[int], rng: np.random.Generator) -> list[list[str]]:
    """Return what is bought at random, round by round, of what is not known."""
    others = sorted(values.keys() - known)
    order = rng.permutation(len(others))
    ends = np.cumsum(calls)
    return [[others[i] for i in order[end - n : end]] for n, end in zip(calls, ends, strict=True)]


def diversity(texts: Sequence[str]) -> float:
    """Return the mean distance in letters of the pairs of sequences of one length; 0 of a single one."""
    letters = _letters(texts)
    pairs = (letters[:, None] != letters[None]).sum(2)[np.triu_indices(len(texts), 1)]
    return float(pairs.mean()) if len(pairs) else 0.0


def novelty(texts: Sequence[str], known: Sequence[str]) -> float:
    """Return the mean distance in letters of sequences of one length to the nearest of those that are known."""
    start = _letters(known)
    return float(np.mean([(start != row).sum(1).min() for row in _letters(texts)]))


def _letters(texts: Sequence[str]) -> Any:
    return np.array([list(text) for text in texts])


def _sequences() -> list[str]:
    """Return all sequences in the order of the table."""
    digits = (np.arange(len(LETTERS) ** LENGTH)[:, None] // len(LETTERS) ** np.arange(LENGTH)[::-1]) % len(LETTERS)
    return ["".join(LETTERS[digit] for digit in row) for row in digits.tolist()]


def _child(first: str, second: str, rng: np.random.Generator) -> str:
    begin, end = sorted(rng.integers(0, LENGTH + 1, 2))
    child = first[:begin] + second[begin:end] + first[end:]
    if rng.random() < 0.5:
        place = int(rng.integers(LENGTH))
        child = child[:place] + LETTERS[int(rng.integers(len(LETTERS)))] + child[place + 1 :]
    return child


def _judged(texts: Sequence[str], known: set[str], values: Values) -> dict[str, float]:
    best = sorted(texts, key=lambda text: -values[text])[:BEST]
    mean = float(np.mean([values[text] for text in best]))
    return dict(zip(WHAT, (mean, diversity(best), novelty(best, sorted(known))), strict=True))


def _of_rounds(bought: Sequence[Purchase], rounds: int) -> tuple[set[str], list[list[str]]]:
    """Return what was known at first, and what was bought in each round."""
    batches: list[list[str]] = [[one.object for one in bought if one.round == round] for round in range(rounds + 1)]
    return set(batches[0]), batches[1:]


def _gflownet(options: BiologicalSequenceDesignClaim.Options) -> dict[str, Any]:
    return {
        "kind": "gflownet",
        "construction": {"kind": "letters", "hidden": [256, 256]},
        "inverse_temperature": 3,
        "steps": options.steps,
        "proposals": options.proposals,
    }
