"""Boltzmann's law of conformers: interpolated energies, the partition function, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from data.config import ConfigError
from data.sampler_config import parse_sampler
from models.gflownet.construction.base import construction_of
from models.gflownet.judging.study import build_study
from models.gflownet.rewards.boltzmann import BoltzmannReward, interpolated
from models.registry import build
from models.systems.conformers import basins

BUTANE = {"kind": "torsions", "smiles": "CCCC"}
RT = 1.987204259e-3 * 298.15


def reward_of(space=BUTANE, **options):
    bound = construction_of(None, build("space", space)).bind(build("space", space))
    recipe = build("reward", {"kind": "boltzmann", "cells": 36, **options}).of(bound)
    return recipe.build(bound.env, home=Path(), base=Path())


def test_values_between_midpoints_are_linear_in_each_angle_and_go_around():
    table = torch.arange(16.0).double().reshape(4, 4)
    at = torch.tensor([[-135.0, -135.0], [-90.0, -135.0], [-90.0, -90.0], [180.0, -135.0], [-180.0, -135.0]])
    assert interpolated(table, torch.deg2rad(at.double())).tolist() == pytest.approx([0.0, 2.0, 2.5, 6.0, 6.0])


def test_the_log_reward_of_a_midpoint_is_its_energy_by_rt():
    reward = reward_of()
    energy = build("oracle", {"kind": "conformer_energy", "starts": 1}).bind(build("space", BUTANE))
    for degrees in (-175, -65, 5, 65):
        (value,) = reward(reward.env.encode([(math.radians(degrees),)]))[0].tolist()
        assert value == pytest.approx(-energy.measure(f"t1={degrees}") / RT, abs=1e-3)


def test_the_partition_function_is_the_sum_over_the_grid():
    """Butane: gauche twice and anti, whose populations follow from their energies and widths."""
    reward = reward_of()
    table = reward.table()
    angles = -175.0 + 10.0 * np.arange(36)
    law = table.softmax(0).numpy()
    assert reward.log_partition() == pytest.approx(math.log(float(table.exp().sum()) * 2 * math.pi / 36))
    anti = law[np.abs(angles) > 120].sum()
    assert 0.55 < anti < 0.75
    assert float(reward_of(temperature=5000.0).table().softmax(0)[np.abs(angles) > 120].sum()) < anti


def test_energies_above_the_highest_are_taken_for_it():
    assert float(reward_of(highest=2.0).table().min()) == pytest.approx(-2.0 / RT)


def test_each_cell_belongs_to_the_minimum_below_it():
    x = np.arange(12) * 2 * np.pi / 12
    energy = np.cos(2 * x)[:, None] + np.cos(x)[None, :]
    found = basins(energy)
    assert len(np.unique(found)) == 2
    assert found[3, 6] != found[9, 6]
    assert (found[1:6] == found[3, 6]).all()


@pytest.mark.parametrize(
    ("space", "reward", "told"),
    [
        ({"kind": "torsions", "smiles": "CCCCCCC"}, {}, "has 1,679,616 cells for 4 angles"),
        ({"kind": "sequences", "alphabet": "dna", "length": 3}, {}, "is for conformers; got a space of sequences"),
    ],
)
def test_what_has_no_grid_of_energies_is_refused(space, reward, told, tmp_path):
    config = parse_sampler({"space": space, "reward": {"kind": "boltzmann", **reward}})
    with pytest.raises(ConfigError, match=told):
        build_study(config, home=tmp_path, base=tmp_path)


def test_an_environment_alone_is_refused(tmp_path):
    keys = {"environment": {"kind": "torus"}, "policy": {"kind": "von_mises_mixture"}}
    config = parse_sampler({**keys, "reward": {"kind": "boltzmann"}})
    with pytest.raises(ConfigError, match="Give the file `space:"):
        build_study(config, home=tmp_path, base=tmp_path)


def test_the_reward_of_a_sampler_file_is_boltzmanns(tmp_path):
    config = parse_sampler(
        {
            "space": BUTANE,
            "construction": {"kind": "increments", "steps": 2, "hidden": [16]},
            "reward": {"kind": "boltzmann", "cells": 12},
            "backward_policy": {"kind": "tied"},
            "training": {"steps": 2, "batch_size": 4, "replay_share": 0},
            "evaluation": {"samples": 16, "held_out": 4},
        }
    )
    study = build_study(config, home=tmp_path, base=tmp_path)
    assert isinstance(study.reward.inner, BoltzmannReward)
    session = study.start(0)
    session.trainer.train()
    assert "log_z_sampled" in session.trainer.history[-1]
