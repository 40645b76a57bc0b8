"""Greedy ensembles: do members that are rewarded for differing say better where there were no data?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.records import FloatArray
from models.proxies.mlp_ensemble import MlpEnsemble
from models.registry import Component
from models.systems.base import Bench, Check, System

NOISE, LABELS, TESTED = 0.1, 80, 200


class GreedyEnsembleClaim(System["GreedyEnsembleClaim.Options"]):
    """Members one after the other, against members side by side."""

    kind: ClassVar[str] = "greedy_ensembles"
    cites: ClassVar[tuple[str, ...]] = ("tiulpin2022greedy", "lakshminarayanan2017ensembles")
    title: ClassVar[str] = "Greedy ensembles, members rewarded for differing"
    claim: ClassVar[str] = (
        "Members that are trained one after the other, each rewarded for differing from those before it at inputs "
        "around the data, disagree more where there were no data than members trained independently, tell such inputs "
        "better from others, and predict as well."
    )
    protocol: ClassVar[str] = (
        "One variable: 80 labels of a sine with noise 0.1 on two intervals with a gap between them. Eight perceptrons "
        "of two hidden layers of 64, the same samples and steps for both ensembles; the spread is the standard "
        "deviation between members alone, without what the proxy adds for the distance to the data. Mean spread in "
        "the gap, error at the labels and at 200 new values, and how often an input in the gap has a larger spread "
        "than one at the data."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("proxy", "mlp_ensemble"),)
    settings: ClassVar[tuple[str, ...]] = ("proxy: {diversity: greedy}",)
    example: ClassVar[str] = "campaigns/peptides/greedy.yaml"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("spread in the gap is at least twice that of independent members", "gap_ratio", at_least=2.0),
        Check("the error at the labels is within a twentieth", "fit_ratio", at_most=1.05),
        Check("the error at new values is within a twentieth", "error_ratio", at_most=1.05),
        Check(
            "inputs in the gap are told from others more often than by independent members",
            "greedy_told",
            "plain_told",
            at_least=0.0,
        ),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(1000, ge=8, description="steps of each training")
        sets: int = Field(1, ge=1, description="data sets of each seed")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train both ensembles on several data sets; return spreads and errors."""
        told: dict[str, list[float]] = {}
        for number in range(self.options.sets):
            for name, value in self._of_set(np.random.default_rng([seed, number]), seed).items():
                told.setdefault(name, []).append(value)
            bench.progress(number + 1, self.options.sets, {})
        figures = {name: float(np.mean(values)) for name, values in told.items()}
        for name in ("gap", "fit", "error"):
            figures[f"{name}_ratio"] = figures[f"greedy_{name}"] / figures[f"plain_{name}"]
        return figures

    def _of_set(self, rng: np.random.Generator, seed: int) -> dict[str, float]:
        def drawn(n: int) -> tuple[FloatArray, FloatArray]:
            x = rng.uniform(0.7, 2.0, (n, 1)) * rng.choice([-1.0, 1.0], (n, 1))
            return x, np.sin(3.0 * x[:, 0]) + NOISE * rng.standard_normal(n)

        (x, y), (new, truth) = drawn(LABELS), drawn(TESTED)
        gap = np.linspace(-0.4, 0.4, 41)[:, None]
        found: dict[str, float] = {}
        for arm, diversity in (("plain", "bootstrap"), ("greedy", "greedy")):
            proxy = MlpEnsemble(features="identity", width=64, steps=self.options.steps, diversity=diversity)
            proxy.fit(x, y, seed=seed)  # type: ignore[arg-type]  # rows of numbers are objects of `identity`
            inside, outside = (proxy.between_members(at) for at in (gap, new))  # type: ignore[arg-type]
            fit, error = (proxy.predict(at).mean - values for at, values in ((x, y), (new, truth)))  # type: ignore[arg-type]
            found |= {
                f"{arm}_gap": float(inside.mean()),
                f"{arm}_fit": float(np.sqrt(np.square(fit).mean())),
                f"{arm}_error": float(np.sqrt(np.square(error).mean())),
                f"{arm}_told": float((inside[:, None] > outside[None]).mean()),
            }
        return found
