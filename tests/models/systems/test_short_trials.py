"""Every system's trial gives each figure that is checked, in seconds if it is asked to be short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.registry import kinds
from models.systems.base import Purchase, System

SYSTEMS: dict[str, type[System]] = {
    kind: cls
    for kind, cls in kinds("system").items()
    if cls.__module__.startswith("models.")  # other tests have systems of their own
}  # type: ignore[assignment]
SHORT: dict[str, dict[str, Any]] = {
    "bayesian_networks": {"steps": 8, "large_steps": 8, "nodes": 3},
    "bayesian_networks_20": {"steps": 4, "nodes": 6, "chain_steps": 2000, "resamplings": 3},
    "biological_sequence_design": {"rounds": 2, "batch_size": 4, "known": 20},
    "composed_samplers": {"steps": 8},
    "conformers": {"steps": 4, "cells": 8},
    "continuous_torus": {"steps": 4},
    "dataset_maps": {"molecules": 40},
    "diffusion_samplers": {"effort": 0.002, "draws": 50},
    "discrete_flow_matching": {"steps": 2, "product_steps": 2, "draws": 50, "imitation_steps": 1},
    "diverse_population": {"iterations": 10, "repeats": 1},
    "energy_decomposition": {"steps": 8, "small_steps": 8, "samples": 32},
    "equivariant_graphs": {"molecules": 20, "steps": 2},
    "feature_shift": {"samples": 1, "rows": 16, "features": 5},
    "flow_matching": {"steps": 2, "draws": 50},
    "function_space_laplace": {"steps": 8, "sets": 1},
    "generative_augmented": {"steps": 8},
    "generative_marginalization": {"steps": 4, "large_steps": 4},
    "gflownet_em": {"points": 40, "starts": 1, "iterations": 2, "first_steps": 2, "steps": 1},
    "graph_edge_lists": {"steps": 4, "learnt": 60, "draws": 20},
    "graph_optimisation": {
        "steps": 2,
        "er_rounds": 1,
        "rb_rounds": 1,
        "train_graphs": 3,
        "test_graphs": 2,
        "large_graphs": 1,
    },
    "greedy_ensembles": {"steps": 8, "sets": 1},
    "guided_training": {"steps": 8, "bag_steps": 8},
    "intervention_design": {"systems": 1, "nodes": 3, "experiments": 2},
    "model_based_tuning": {"repeats": 1, "units": 30, "steps": 40},
    "multi_fidelity": {"effort": 0.01},
    "neural_processes": {"steps": 2, "tested": 20},
    "outcome_conditioned": {
        "grid_steps": 8,
        "steps": 8,
        "scratch_steps": 20,
        "length": 2,
        "distilled_steps": 2,
        "factor_steps": 8,
        "factor_length": 2,
        "campaign_steps": 1,
    },
    "population_based_training": {"steps": 80},
    "preference_conditioned": {"effort": 0.001},
    "prior_fitted_networks": {"steps": 2, "sets": 1},
    "random_decomposition": {"pairs": 2, "first": 5, "rounds": 1, "batch_size": 2, "generations": 1},
    "shapley_attribution": {"molecules": 20, "explained": 2},
    "shared_replay": {"steps": 4, "rounds": 2},
    "student_t_process": {"sets": 1},
    "sub_trajectory_balance": {"steps": 8, "large": 32, "draws": 2},
}
"""Options of the shortest trial of each system."""


class Bench:
    """A bench that keeps what it is told."""

    home = Path()

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def progress(self, done: int, total: int, _told: Any) -> None:
        self.told.append((done, total))

    def campaign(self, config: Mapping[str, Any], tell: Callable[[int], None]) -> list[Purchase]:
        """Have a campaign measure at random what it would measure."""
        known, rng = config["data"]["sample"], np.random.default_rng(config["seed"])
        texts = dict.fromkeys("".join(row) for row in rng.choice(list("ACGT"), (1000, 8)))
        for round in range(config["rounds"] + 1):
            tell(round)
        rounds = [0] * known + [1 + at // config["batch_size"] for at in range(config["rounds"] * config["batch_size"])]
        return [Purchase(round, text, 0.5) for round, text in zip(rounds, texts, strict=False)]


def test_every_system_has_a_short_trial() -> None:
    assert set(SYSTEMS) == set(SHORT)


LONG = {"guided_training", "graph_optimisation"}
"""Systems whose shortest trial takes ten seconds and more."""


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in LONG)) for kind in SHORT])
def test_a_short_trial_gives_every_figure_that_is_checked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("gflownet.rewards.recipes", "systems.biological_sequence_design", "systems.discrete_flow_matching"):
        monkeypatch.setattr(f"models.{place}.load_tfbind8", lambda _: np.random.default_rng(0).random(4**8))
    sequences = ["".join(one) for one in np.random.default_rng(0).choice(list("ACGT"), (60, 8))]
    names = ["FOXC1", "KLF1", "POU3F4", *map(str, range(7))]
    factors = names, sequences, np.random.default_rng(0).normal(0.0, 0.2, (60, 10))
    for place in ("neural_processes", "outcome_factors"):
        monkeypatch.setattr(f"models.systems.{place}.load_factors", lambda _: factors)
    for place in ("biological_sequence_design", "outcome_factors"):
        monkeypatch.setattr(f"models.systems.{place}.table", lambda name, home: home / f"{name}.csv")
    claim, bench = SYSTEMS[kind](**SHORT[kind]), Bench()
    figures = claim.run(0, bench)
    judged = claim.judge([figures, figures])
    assert len(judged) == len(claim.checks)
    assert all(np.isfinite(one.values).all() for one in judged)
    assert bench.told
    assert all(0 < done <= total for done, total in bench.told)
    for curve in figures.get("curves", {}).values():
        assert len(curve[0]) == len(curve[1]) > 0


@pytest.mark.parametrize("kind", ["generative_augmented", "sub_trajectory_balance"])
def test_the_same_seed_gives_the_same_figures(kind: str) -> None:
    assert SYSTEMS[kind](**SHORT[kind]).run(3, Bench()) == SYSTEMS[kind](**SHORT[kind]).run(3, Bench())


@pytest.mark.trial
@pytest.mark.timeout(600)
def test_subtb_learns_a_grid_on_which_trajectory_balance_loses_modes() -> None:
    figures = SYSTEMS["sub_trajectory_balance"](large=64, draws=2).run(7, Bench())
    assert figures["subtb_tv"] < 0.15
    assert figures["tb_tv"] > 0.2


@pytest.mark.trial
@pytest.mark.timeout(600)
def test_rewards_of_novelty_keep_all_goals_and_leave_the_law() -> None:
    figures = SYSTEMS["generative_augmented"]().run(7, Bench())
    assert figures["joint_goals"] == 3
    assert figures["joint_tv"] < 0.05
