"""What the trial of outcome-conditioned GFlowNets asks of measured data: three transcription factors, and campaigns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from data.records import FloatArray
from data.tables.obtain import load_factors, table
from models.systems.base import Bench, Purchase

FACTORS = "FOXC1", "KLF1", "POU3F4"
"""A forkhead, a zinc finger and a POU protein: chosen by family, before anything was measured."""
EXPONENT, SHARP = 3.0, 10.0
"""Of the reward: that of `tfbind8` everywhere in this package, and a sharper one."""
LEAST = 1e-4
"""Least reward, of 1 at most."""
ROUNDS, BATCH, KNOWN, BEST = 3, 64, 200, 50
FRESH_STEPS = 120
"""Of the GFlowNet without a pre-training: it takes about as long as conversion, imitation and 50 steps."""
_OTHER = str.maketrans("ACGT", "TGCA")


def factor_scores(bench: Bench, objects: list[str]) -> FloatArray:
    """Return scores of sequences of one length, (factors, X), between 0 and 1 for each of the three factors.

    Of eight letters a score is that of the table, which is of both strands; of fewer letters the mean over all
    sequences of the table that have them in a row.
    """
    names, sequences, values = load_factors(bench.home)
    chosen = values[:, [names.index(name) for name in FACTORS]]
    place, length = {text: at for at, text in enumerate(objects)}, len(objects[0])
    total, count = np.zeros((len(objects), len(FACTORS))), np.zeros(len(objects))
    for text, row in zip(sequences, chosen, strict=True):
        strands = {text, text.translate(_OTHER)[::-1]}
        for at in [place[one[i : i + length]] for one in strands for i in range(len(one) - length + 1)]:
            total[at] += row
            count[at] += 1
    scores = total / np.maximum(count, 1)[:, None]
    low, high = scores.min(0), scores.max(0)
    out: FloatArray = ((scores - low) / (high - low)).T
    return out


def rewards_of(scores: FloatArray, exponent: float) -> FloatArray:
    """Return log-rewards of scores."""
    out: FloatArray = np.log(np.maximum(scores**exponent, LEAST))
    return out


def campaigns(seed: int, bench: Bench, steps: int, tell: Callable[[int, int], None]) -> dict[str, float]:
    """Let two campaigns buy, from a pre-training and from nothing; return what they found and CPU-seconds of a round.

    Args:
        seed: of both.
        bench: that runs them.
        steps: of the pre-training.
        tell: called with a round from 1 on, and their number.
    """
    construction = {"kind": "letters", "mode": "prepend_append", "hidden": [256, 256]}
    both = {"construction": construction, "proposals": 1000}
    arms = {
        "pretrained": {"kind": "outcome_conditioned", "pretrain": {"steps": steps}, "outcomes": 200, **both},
        "fresh": {"kind": "gflownet", "steps": FRESH_STEPS, **both},
    }
    out = dict[str, float]()
    for number, (arm, generator) in enumerate(arms.items()):
        began: dict[int, float] = {}

        def heard(round: int, number: int = number, began: dict[int, float] = began) -> None:
            began.setdefault(round, time.process_time())
            tell(number * (ROUNDS + 1) + round + 1, len(arms) * (ROUNDS + 1))

        bought = bench.campaign(_campaign(arm, generator, seed, bench), heard)
        spent = time.process_time() - began.get(1, time.process_time())
        out |= {f"{arm}_round_seconds": spent / ROUNDS, **_judged(arm, bought)}
    return out


def _judged(arm: str, bought: list[Purchase]) -> dict[str, float]:
    values = sorted((one.value for one in bought if one.round > 0), reverse=True)
    calls = {f"{arm}_calls": float(len(values)), f"{arm}_found": float(np.mean(values[:BEST]))}
    return calls | {f"{arm}_best": values[0]}


def _campaign(arm: str, generator: Mapping[str, Any], seed: int, bench: Bench) -> dict[str, Any]:
    file = str(table("tfbind8", bench.home))
    return {
        "name": arm,
        "seed": seed,
        "space": {"kind": "sequences", "alphabet": "dna", "length": 8},
        "objectives": [
            {"name": "binding", "goal": "maximise", "oracle": {"kind": "table", "path": file, "value": "value"}}
        ],
        "data": {
            "kind": "csv", "path": file, "value": "value", "below_quantile": 0.5, "sample": KNOWN, "initial": 0,
        },
        "proxy": {"kind": "gaussian_process", "restarts": 1, "likelihood_points": 400},
        "acquisition": {"kind": "upper_confidence_bound", "beta": 0.1},
        "generator": dict(generator),
        "selector": {"kind": "top_k"},
        "control": {"kind": "random", "fraction": 0},
        "rounds": ROUNDS,
        "batch_size": BATCH,
    }  # fmt: skip
