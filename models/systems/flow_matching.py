"""Flow matching on a torus and in a box, with optimal transport in batches: are laws learnt, and paths straighter?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from data.config import derive_seed
from data.records import FloatArray
from models.generators.flow_box import ReflectedBox
from models.generators.flow_paths import Geometry, VelocityField, fit, follow
from models.generators.flow_torus import FlatTorus
from models.gflownet.environments.torus import CONCENTRATION, Torus
from models.registry import Component
from models.systems.base import Bench, Check, System
from models.threads import single_thread

_FINE = 50
"""Steps of Euler's rule otherwise."""
_SIDE = 12
_COARSE = 4
"""Steps of Euler's rule under which straight paths are told from bent ones."""
Draw = Callable[[int, np.random.Generator], FloatArray]


class FlowMatchingClaim(System["FlowMatchingClaim.Options"]):
    """Fields of velocities fitted to paths from noise to data."""

    kind: ClassVar[str] = "flow_matching"
    cites: ClassVar[tuple[str, ...]] = (
        "chen2024riemannian", "xie2024reflected", "tong2024improving", "lipman2023flow",
    )  # fmt: skip
    title: ClassVar[str] = "Flow matching: Riemannian, reflected, with optimal transport"
    claim: ClassVar[str] = (
        "A field of velocities that is fitted to shortest paths, with no equation solved in training, carries noise to "
        "the law of the data: around a torus by the shorter way, and in a box without leaving it. With pairs matched "
        "by optimal transport in each batch paths are straighter: they cost less energy, and a few steps suffice."
    )
    protocol: ClassVar[str] = (
        "Two coordinates. On the torus the sum of three products of von Mises laws of concentration 4; in the box a "
        "mixture of Beta(1, 6) and of Beta(6, 1) in both, with all its mass near two corners. 50,000 data; network "
        "64 x 64 x 64, 6,000 steps, batch 128, pairs matched or as drawn. Of 50,000 draws the total variation of the "
        "histogram in 12 x 12 cells from the exact probabilities (0.016 on average for a perfect law), by 50 "
        "steps of Euler's rule and by 4; the mean energy of the paths; and, in the box, the share of ends outside, "
        "with reflection and without. 10,000 of either, whose own noise is 0.035 each, and 3,000 steps had left 0.072 "
        "on the torus and 0.068 in the box."
    )
    parts: ClassVar[tuple[tuple[str, str], ...]] = (("generator", "flow_matching"),)
    settings: ClassVar[tuple[str, ...]] = ("generator: {kind: flow_matching, coupling: optimal}",)
    example: ClassVar[str] = "campaigns/process/imitation.yaml"
    axes: ClassVar[tuple[str, str]] = ("Steps of training", "Loss (log)")
    checks: ClassVar[tuple[Check, ...]] = (
        Check("torus: the law of the data comes out", "torus_optimal_tv", at_most=0.06),
        Check("box: the law of the data comes out", "box_optimal_tv", at_most=0.06),
        Check("box: no path leaves the box", "box_optimal_outside", at_most=0.0),
        Check("box: without reflection some ends are outside", "box_optimal_open", at_least=0.001),
        Check("torus: matched pairs cost less energy", "torus_optimal_energy", "torus_drawn_energy", at_most=0),
        Check("box: matched pairs cost less energy", "box_optimal_energy", "box_drawn_energy", at_most=0),
        Check(
            "torus: by 4 steps matched pairs are nearer to the law", "torus_optimal_few", "torus_drawn_few", at_most=0
        ),
        Check("box: by 4 steps matched pairs are nearer to the law", "box_optimal_few", "box_drawn_few", at_most=0),
    )

    class Options(Component.Options):
        """How long the trial takes."""

        steps: int = Field(6000, ge=2, description="steps of each training")
        draws: int = Field(50_000, ge=2, description="points to train with, and to judge by")

    def run(self, seed: int, bench: Bench) -> dict[str, Any]:
        """Fit the four flows; return distances, energies and the course of the losses."""
        steps, figures, curves = self.options.steps, dict[str, Any](), dict[str, list[list[float]]]()
        places: dict[str, tuple[Geometry, Draw, FloatArray, float, float]] = {
            "torus": (FlatTorus(), _on_torus, _torus_cells(), -math.pi, math.pi),
            "box": (ReflectedBox(), _in_box, _box_cells(), 0.0, 1.0),
        }
        number = 0
        for place, (geometry, draw, exact, low, high) in places.items():
            rng = np.random.default_rng(derive_seed(seed, "data", place))
            data = torch.from_numpy(draw(self.options.draws, rng)).float()
            for arm in ("optimal", "drawn"):
                generator = torch.Generator().manual_seed(derive_seed(seed, place))
                losses: list[float] = []

                def report(step: int, loss: float, losses: list[float] = losses, number: int = number) -> None:
                    losses.append(loss)
                    bench.progress(number * steps + step, 4 * steps, {"loss": loss})

                field = VelocityField(geometry, 2, (64, 64, 64), generator)
                with single_thread():
                    fit(
                        field,
                        data,
                        generator,
                        steps=steps,
                        batch_size=128,
                        learning_rate=3e-3,
                        optimal=arm == "optimal",
                        report=report,
                    )
                    start = geometry.base(self.options.draws, 2, generator)
                    ends, energy = follow(field, start, _FINE)
                    few, _ = follow(field, start, _COARSE)
                figures |= {
                    f"{place}_{arm}_tv": _distance(ends, exact, low, high),
                    f"{place}_{arm}_few": _distance(few, exact, low, high),
                    f"{place}_{arm}_energy": float(energy.mean()),
                    f"{place}_{arm}_outside": _outside(ends, low, high),
                }
                if place == "box":
                    field.geometry = _Open()
                    figures[f"box_{arm}_open"] = _outside(follow(field, start, _FINE)[0], low, high)
                name = "pairs matched" if arm == "optimal" else "pairs as drawn"
                width = max(1, steps // 40)
                rows = [losses[at : at + width] for at in range(0, steps, width)]
                curves[f"{place}, {name}"] = [
                    [float(min((at + 1) * width, steps)) for at in range(len(rows))],
                    [math.fsum(row) / len(row) for row in rows],
                ]
                number += 1
        return figures | {"curves": curves}


class _Open(ReflectedBox):
    """The box without its walls."""

    def moved(self, x: Tensor, by: Tensor) -> Tensor:
        """Return the sum."""
        return x + by


def _outside(points: Tensor, low: float, high: float) -> float:
    """Return the share of points (n, 2) that are outside."""
    return float(((points < low) | (points > high)).any(1).double().mean())


def _on_torus(n: int, rng: np.random.Generator) -> FloatArray:
    centres = Torus(angles=2).centres.numpy()
    return rng.vonmises(centres[rng.integers(3, size=n)], CONCENTRATION)


def _in_box(n: int, rng: np.random.Generator) -> FloatArray:
    powers = np.array([(1.0, 6.0), (6.0, 1.0)])[rng.integers(2, size=n)]
    return np.stack([rng.beta(*powers.T), rng.beta(*powers.T)], 1)


def _torus_cells() -> FloatArray:
    """Return the exact probabilities (144,) of the cells, by sums over 60 x 60 points of each."""
    fine = 60 * _SIDE
    x = ((np.arange(fine) + 0.5) / fine * 2.0 - 1.0) * math.pi
    density = np.exp(CONCENTRATION * np.cos(x[:, None] - Torus(angles=2).centres.numpy().T[:, None, :]))
    mass = density.reshape(2, _SIDE, 60, 3).sum(2)
    joint = np.einsum("ik,jk->ij", mass[0] / mass[0].sum(0), mass[1] / mass[1].sum(0)) / 3.0
    return np.asarray(joint.ravel(), dtype=np.float64)


def _box_cells() -> FloatArray:
    """Return the exact probabilities (144,) of the cells, of Beta(1, 6), F(x) = 1 - (1 - x)^6, and of its mirror."""
    mass = np.diff(1.0 - (1.0 - np.linspace(0.0, 1.0, _SIDE + 1)) ** 6)
    joint = 0.5 * (np.outer(mass, mass) + np.outer(mass[::-1], mass[::-1]))
    return np.asarray(joint.ravel(), dtype=np.float64)


def _distance(points: Tensor, exact: FloatArray, low: float, high: float) -> float:
    """Return the total variation of the histogram of points (n, 2); what lies outside is mass that misses."""
    edges, (x, y) = np.linspace(low, high, _SIDE + 1), points.double().numpy().T
    found = np.histogram2d(x, y, bins=(edges, edges))[0].ravel() / len(points)
    return 0.5 * (float(np.abs(found - exact).sum()) + 1.0 - float(found.sum()))
