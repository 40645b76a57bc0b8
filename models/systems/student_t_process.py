"""Student-t processes: does an unknown scale of the covariance give better intervals where labels have outliers?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from data.records import FloatArray, Prediction
from models.proxies.evaluation import metrics
from models.proxies.gaussian_process import GaussianProcess
from models.registry import Component
from models.systems.base import Bench, Check, System

NOISE, OUTLIERS, AWAY = 0.1, 0.05, 2.0
"""Standard deviation of the noise, share of the values that are outliers, standard deviation of their shift."""
FEW, MANY, TESTED = 20, 100, 400
FREEDOM = 5.0


class StudentProcessClaim(System["StudentProcessClaim.Options"]):
    """Heavier tails by a scale that the labels decide."""

    kind: ClassVar[str] = "student_t_process"
    cites: ClassVar[tuple[str, ...]] = ("lee2022scale", "shah2014student")
    title: ClassVar[str] = "Student-t process, scale mixtures of Gaussian processes"
    claim: ClassVar[str] = (
        "With an inverse-gamma prior on the scale of its covariance a Gaussian process becomes a Student-t process: "
        "predictions stay in closed form, and its heavier tails, whose width depends on the labels, are better "
        "calibrated than the Gaussian process where data are corrupted."
    )
    protocol: ClassVar[str] = (
        "Smooth functions of two variables (a sum of random waves, standard deviation 1), noise 0.1, one value in "
        "twenty an outlier (shifted by a normal of standard deviation 2), with 20 and with 100 labels; the same labels "
        "and kernel for the Gaussian and the Student-t process (5 degrees of freedom), hyperparameters by the "
        "likelihood of each. Measured on 400 new values, outliers among them, nothing calibrated afterwards: share "
        "inside the central 90 % interval, its distance from 0.9 of each data set, negative log density."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("proxy", "gaussian_process"),)
    settings: ClassVar[tuple[str, ...]] = ("proxy: {tails: student_t}",)
    example: ClassVar[str] = "campaigns/assay/campaign.yaml"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("20 labels: the 90 % intervals hold what they say", "few_student_coverage", at_least=0.86, at_most=0.94),
        Check(
            "20 labels: coverage of a data set is nearer to 90 % than the Gaussian process's",
            "few_student_miss",
            "few_normal_miss",
            at_most=0.0,
        ),
        Check(
            "20 labels: new values are more likely than under the Gaussian process",
            "few_student_nll",
            "few_normal_nll",
            at_most=0.0,
        ),
        Check(
            "100 labels: the 90 % intervals hold what they say", "many_student_coverage", at_least=0.86, at_most=0.94
        ),
        Check(
            "100 labels: coverage of a data set is nearer to 90 % than the Gaussian process's",
            "many_student_miss",
            "many_normal_miss",
            at_most=0.0,
        ),
        Check(
            "100 labels: new values are more likely than under the Gaussian process",
            "many_student_nll",
            "many_normal_nll",
            at_most=0.0,
        ),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        sets: int = Field(40, ge=1, description="data sets of each size")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Fit both processes to data sets with outliers; return coverages and likelihoods."""
        figures: dict[str, Any] = {}
        sets = self.options.sets
        for place, (size, n) in enumerate((("few", FEW), ("many", MANY))):
            found: dict[str, list[float]] = {}
            for number in range(sets):
                for arm, told in _of_set(np.random.default_rng([seed, place, number]), n, seed).items():
                    for name, value in told.items():
                        found.setdefault(f"{size}_{arm}_{name}", []).append(value)
                bench.progress(place * sets + number + 1, 2 * sets, {})
            figures |= {name: float(np.mean(values)) for name, values in found.items()}
        return figures


def _of_set(rng: np.random.Generator, n: int, seed: int) -> dict[str, dict[str, float]]:
    frequency, phase = rng.normal(0.0, 2.5, (30, 2)), rng.uniform(0.0, 2.0 * np.pi, 30)

    def measured(x: FloatArray) -> FloatArray:
        clean = np.sqrt(2.0 / 30.0) * np.cos(x @ frequency.T + phase).sum(1) + NOISE * rng.standard_normal(len(x))
        return np.asarray(clean + (rng.random(len(x)) < OUTLIERS) * AWAY * rng.standard_normal(len(x)))

    x, new = rng.random((n, 2)), rng.random((TESTED, 2))
    y, truth = measured(x), measured(new)
    told = {}
    for arm, options in (("normal", {}), ("student", {"tails": "student_t", "freedom": FREEDOM})):
        proxy = GaussianProcess(features="identity", **options)
        proxy.fit(x, y, seed=seed)  # type: ignore[arg-type]  # rows of numbers are objects of `identity`
        told[arm] = _figures(proxy.predict(new), truth)  # type: ignore[arg-type]
    return told


def _figures(prediction: Prediction, truth: FloatArray) -> dict[str, float]:
    found = metrics(prediction, truth)
    covered = found["coverage_90"]
    return {"coverage": covered, "miss": abs(covered - 0.9), "nll": found["nll"], "rmse": found["rmse"]}
