"""Laplace in function space: does a network know where it was not trained, and learn without being trained again?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.records import FloatArray
from models.proxies.evaluation import metrics
from models.proxies.function_space_laplace import FunctionSpaceLaplace
from models.registry import Component
from models.systems.base import Bench, Check, System

FIRST, BATCH, BATCHES, TESTED = 60, 20, 3, 400
SPARSE = (FIRST + BATCHES * BATCH) // 4
NOISE = 0.1


class FunctionSpaceLaplaceClaim(System["FunctionSpaceLaplaceClaim.Options"]):
    """A trained network as a sparse Gaussian process."""

    kind: ClassVar[str] = "function_space_laplace"
    cites: ClassVar[tuple[str, ...]] = ("scannell2024function",)
    title: ClassVar[str] = "SFR, Laplace approximation in function space"
    claim: ClassVar[str] = (
        "A trained network becomes a sparse Gaussian process in dual form: its uncertainty is large where there were "
        "no data, inducing points for a part of the data keep what all say, and new data are taken in without "
        "retraining."
    )
    protocol: ClassVar[str] = (
        "One variable: 60 labels of a sine on two intervals with a gap between them; standard deviation of the "
        "function in the gap over that at the data. Two variables: a smooth function (a sum of random waves, standard "
        "deviation 1) with noise 0.1; a network trained on 60 labels is conditioned on three batches of 20 more, one "
        "after the other, and compared on 400 new values with the same network without them, with one trained on all "
        "120, and with one trained on all 120 that has 30 inducing points. Two hidden layers of 64, nothing calibrated "
        "afterwards."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("proxy", "function_space_laplace"),)
    settings: ClassVar[tuple[str, ...]] = ("proxy: {refit: condition}",)
    example: ClassVar[str] = "campaigns/sequential_screening.yaml"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("the deviation in a gap is at least twice that at the data", "gap_over_data", at_least=2.0),
        Check("new labels without retraining lower the error", "conditioned_rmse", "untold_rmse", at_most=0.0),
        Check(
            "without retraining the error is at most a quarter above that of a network trained on all",
            "conditioned_over_retrained",
            at_most=1.25,
        ),
        Check(
            "conditioned, the 90 % intervals hold what they say", "conditioned_coverage", at_least=0.85, at_most=0.95
        ),
        Check("retrained, the 90 % intervals hold what they say", "retrained_coverage", at_least=0.85, at_most=0.95),
        Check(
            "inducing points for a quarter of the labels leave the error within a fifth",
            "sparse_over_retrained",
            at_most=1.2,
        ),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(600, ge=8, description="steps of each training")
        sets: int = Field(3, ge=1, description="functions of each seed")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train, condition and retrain on several functions; return errors and coverages."""
        told: dict[str, list[float]] = {}
        sets = self.options.sets
        for number in range(sets):
            rng = np.random.default_rng([seed, number])
            found = {"gap_over_data": self._gap(rng, seed), **self._sequence(rng, seed)}
            for name, value in found.items():
                told.setdefault(name, []).append(value)
            bench.progress(number + 1, sets, {})
        figures = {name: float(np.mean(values)) for name, values in told.items()}
        for arm in ("conditioned", "sparse"):
            figures[f"{arm}_over_retrained"] = figures[f"{arm}_rmse"] / figures["retrained_rmse"]
        return figures

    def _fitted(self, x: FloatArray, y: FloatArray, seed: int, **options: Any) -> FunctionSpaceLaplace:
        proxy = FunctionSpaceLaplace(features="identity", width=64, steps=self.options.steps, **options)
        proxy.fit(x, y, seed=seed)  # type: ignore[arg-type]  # rows of numbers are objects of `identity`
        return proxy

    def _gap(self, rng: np.random.Generator, seed: int) -> float:
        x = rng.uniform(0.7, 2.0, (60, 1)) * rng.choice([-1.0, 1.0], (60, 1))
        y = np.sin(3.0 * x[:, 0]) + NOISE * rng.standard_normal(60)
        proxy = self._fitted(x, y, seed)
        inside, data = np.linspace(-0.4, 0.4, 21)[:, None], np.sort(x, axis=0)
        spread = [np.sqrt(proxy.joint(at)[1].diagonal()).mean() for at in (inside, data)]  # type: ignore[arg-type]
        return float(spread[0] / spread[1])

    def _sequence(self, rng: np.random.Generator, seed: int) -> dict[str, float]:
        frequency, phase = rng.normal(0.0, 2.5, (30, 2)), rng.uniform(0.0, 2.0 * np.pi, 30)
        n = FIRST + BATCHES * BATCH
        x = rng.random((n + TESTED, 2))
        y = np.sqrt(2.0 / 30.0) * np.cos(x @ frequency.T + phase).sum(1) + NOISE * rng.standard_normal(len(x))
        new, truth = x[n:], y[n:]
        arms = {"untold": self._fitted(x[:FIRST], y[:FIRST], seed)}
        conditioned = FunctionSpaceLaplace(arms["untold"].options)
        conditioned.load_state(arms["untold"].state())
        for at in range(FIRST, n, BATCH):
            conditioned.condition(x[at : at + BATCH], y[at : at + BATCH])  # type: ignore[arg-type]
        arms["conditioned"] = conditioned
        arms["retrained"] = self._fitted(x[:n], y[:n], seed)
        arms["sparse"] = self._fitted(x[:n], y[:n], seed, inducing_points=SPARSE)
        told: dict[str, float] = {}
        for arm, proxy in arms.items():
            found = metrics(proxy.predict(new), truth)  # type: ignore[arg-type]
            told |= {f"{arm}_rmse": found["rmse"], f"{arm}_coverage": found["coverage_90"], f"{arm}_nll": found["nll"]}
        return told
