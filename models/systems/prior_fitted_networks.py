"""Prior-fitted networks: does a transformer that was trained on draws of a prior give the posterior of new labels?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from data.records import FloatArray
from models.protocols import Proxy
from models.proxies.evaluation import metrics
from models.proxies.gaussian_process import GaussianProcess
from models.proxies.prior_fitted import PriorFitted
from models.proxies.prior_fitted_network import OneProcess, fitted_network
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.threads import single_thread

NOISE = 0.1
FEW, MANY, TESTED = 20, 100, 400
_JUDGED = 40
"""Draws of 64 sets on which both densities are compared."""


class PriorFittedNetworksClaim(System["PriorFittedNetworksClaim.Options"]):
    """Bayesian inference in one pass."""

    kind: ClassVar[str] = "prior_fitted_networks"
    cites: ClassVar[tuple[str, ...]] = ("muller2022transformers",)
    title: ClassVar[str] = "Prior-fitted networks"
    claim: ClassVar[str] = (
        "A transformer that is trained on sets drawn from a prior gives the posterior predictive of new data in one "
        "pass: as good as exact for Gaussian processes with known hyperparameters, and for priors over "
        "hyperparameters, where nothing exact is at hand, better than choosing them by the likelihood."
    )
    protocol: ClassVar[str] = (
        "Exact: a Gaussian process of one variable (length 0.1 on [0, 1], variances of function and noise 0.1); a "
        "network of width 64 and 3 layers is trained for 1,500 draws of 32 sets and judged on 2,560 new sets of 1 to "
        "30 labels, by the mean log density of 30 more values each, against the exact posterior. Beside the default: "
        "smooth functions of two variables (a sum of random waves, standard deviation 1, in the prior of neither), "
        "noise 0.1, 20 and 100 labels; the shipped network of the proxy `prior_fitted`, and the default Gaussian "
        "process, on 400 new values, nothing calibrated afterwards. Both as a mean and a deviation: the network's "
        "density need not be normal, its own log density is told too."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("proxy", "prior_fitted"),)
    example: ClassVar[str] = "campaigns/process/prior_fitted.yaml"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("known hyperparameters: mean log density below that of the exact posterior (nats)", "gap", at_most=0.05),
        Check(
            "20 labels: new values are more likely than under the default proxy",
            "few_network_nll",
            "few_default_nll",
            at_most=0.0,
        ),
        Check("20 labels: the 90 % intervals hold what they say", "few_network_coverage", at_least=0.86, at_most=0.94),
        Check(
            "100 labels: new values are more likely than under the default proxy",
            "many_network_nll",
            "many_default_nll",
            at_most=0.0,
        ),
        Check(
            "100 labels: the 90 % intervals hold what they say", "many_network_coverage", at_least=0.86, at_most=0.94
        ),
        Check("20 labels: the error beside the default's", "few_network_rmse", "few_default_rmse"),
        Check("100 labels: the error beside the default's", "many_network_rmse", "many_default_rmse"),
        Check("20 labels: negative log density of the buckets themselves", "few_network_bars"),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(1500, ge=1, description="draws that the network of the exact test learns from")
        sets: int = Field(10, ge=1, description="functions of each number of labels")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Train a network of known hyperparameters, and compare the shipped one with the default proxy."""
        steps, sets = self.options.steps, self.options.sets
        total = steps + 2 * sets

        def progress(step: int, loss: float) -> None:
            bench.progress(step, total, {"loss": loss})

        figures: dict[str, Any] = {"gap": _gap(seed, steps, progress)}
        for place, (size, n) in enumerate((("few", FEW), ("many", MANY))):
            found: dict[str, list[float]] = {}
            for number in range(sets):
                for name, value in _of_set(np.random.default_rng([seed, place, number]), n, seed).items():
                    found.setdefault(f"{size}_{name}", []).append(value)
                bench.progress(steps + place * sets + number + 1, total, {})
            figures |= {name: float(np.mean(values)) for name, values in found.items()}
        return figures


def _gap(seed: int, steps: int, progress: Any) -> float:
    prior, gaps = OneProcess(), []
    with single_thread():
        network = fitted_network(prior, seed=seed, steps=steps, width=64, layers=3, progress=progress)
        generator = torch.Generator().manual_seed(seed + 1_000_000)
        with torch.no_grad():
            for _ in range(_JUDGED):
                draw = prior.draw(64, generator)
                gaps.append(float((prior.log_density(draw) - network.log_density(draw)).mean()))
    return float(np.mean(gaps))


def _of_set(rng: np.random.Generator, n: int, seed: int) -> dict[str, float]:
    frequency, phase = rng.normal(0.0, 2.5, (30, 2)), rng.uniform(0.0, 2.0 * np.pi, 30)
    x: FloatArray = rng.random((n + TESTED, 2))
    y = np.sqrt(2.0 / 30.0) * np.cos(x @ frequency.T + phase).sum(1) + NOISE * rng.standard_normal(len(x))
    network = PriorFitted(features="identity")
    arms: dict[str, Proxy] = {"network": network, "default": GaussianProcess(features="identity")}
    told: dict[str, float] = {}
    for arm, proxy in arms.items():
        proxy.fit(x[:n], y[:n], seed=seed)  # type: ignore[arg-type]  # rows of numbers are objects of `identity`
        found = metrics(proxy.predict(x[n:]), y[n:])  # type: ignore[arg-type]
        told |= {f"{arm}_{name}": found[key] for name, key in (("rmse", "rmse"), ("nll", "nll"))}
        told[f"{arm}_coverage"] = found["coverage_90"]
    told["network_bars"] = -float(network.log_density(x[n:], y[n:]).mean())  # type: ignore[arg-type]
    return told
