"""Objectives on the torus, where both directions have densities: zero at the target, resumed bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from data.config import ConfigError
from data.sampler_config import parse_sampler
from models.gflownet.environments.torus import Torus
from models.gflownet.judging.densities import DensityFigures
from models.gflownet.judging.study import build_study
from models.gflownet.policies.von_mises_mixture import VonMisesMixture
from models.gflownet.rewards.base import EnvironmentReward
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.gflownet.training.trajectories import sample_forward
from models.registry import build, kinds
from tests.models.gflownet.rings import ThreePeaks


def trainer_of(env, policy=None, *, objective="trajectory_balance", backward="uniform", seed=0, **options):
    generator = torch.Generator().manual_seed(seed)

    def network():
        return VonMisesMixture(env, generator=generator, hidden=(32, 32))

    return Trainer(
        env,
        policy or network(),
        EnvironmentReward(env),
        objective=build("objective", {"kind": objective}),
        backward=build("backward_policy", {"kind": backward}),
        backward_network=network() if backward == "learned" else None,
        options=TrainerOptions(**{"steps": 12, "batch_size": 16, "checkpoint_every": 4, **options}),
        generator=generator,
    )


def exact_losses(env, policy):
    """The loss of every objective that is zero at its optimum and made for the environment, on random objects."""
    paths = sample_forward(env, ThreePeaks(env, wander=True), 200, torch.Generator().manual_seed(1))
    found = {}
    for kind, cls in kinds("objective").items():
        if cls().refusal(env) is not None or not cls.zero_at_optimum or cls.forward_looking or cls().relative:
            continue
        if cls.learns_potentials:  # the flows are not the policy's alone
            continue
        trainer = trainer_of(env, policy, objective=kind)
        trainer.partition.initialise(env.log_partition)
        found[kind] = trainer.objective.loss(trainer.assessor.assess(paths, env.log_reward(paths.terminal))).item()
    return found


@pytest.mark.parametrize(("angles", "steps"), [(1, 1), (2, 10), (3, 4)])
def test_every_loss_is_zero_where_the_policy_is_the_target(angles, steps):
    env = Torus(angles=angles, steps=steps)
    found = exact_losses(env, ThreePeaks(env))
    assert found.keys() >= {
        "trajectory_balance", "detailed_balance", "sub_trajectory_balance", "log_partition_variance"
    }  # fmt: skip
    assert max(found.values()) < 1e-10, found


def test_every_loss_is_above_zero_where_it_is_not():
    env = Torus(angles=2, steps=4)
    assert min(exact_losses(env, ThreePeaks(env, wander=True)).values()) > 0.1


def test_the_target_itself_is_at_no_distance_from_the_target():
    env = Torus(angles=2, steps=5)
    trainer = trainer_of(env, ThreePeaks(env))
    judge, generator = DensityFigures(trainer, EnvironmentReward(env)), torch.Generator().manual_seed(0)
    paths = sample_forward(env, trainer.policy, 500, generator)
    found = judge.of_samples(paths, env.log_reward(paths.terminal))
    assert found["log_z_sampled"] == pytest.approx(9.624312, abs=1e-6)
    assert found["effective_share"] == pytest.approx(1.0, abs=1e-9)
    assert judge.of_grid(lambda x: x, None, generator)["grid_tv"] == pytest.approx(0.0, abs=1e-9)


def test_the_law_that_wanders_is_at_the_distance_of_the_sum_over_cells():
    env = Torus(angles=2, steps=5)
    trainer = trainer_of(env, ThreePeaks(env, wander=True))
    judge = DensityFigures(trainer, EnvironmentReward(env))
    target = env.log_reward(env.grid(72 * 72)).softmax(0).numpy()
    found = judge.of_grid(lambda x: x, None, torch.Generator().manual_seed(0))
    assert found["grid_tv"] == pytest.approx(0.5 * np.abs(target - 1 / 5184).sum(), abs=1e-9)


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("backward", ["tied", "learned"])
def test_killed_and_resumed_training_ends_like_an_uninterrupted_one(tmp_path, backward):
    def new():
        search = {"iterations": 1, "depth": 1, "accept": "metropolis_hastings"}
        env = Torus(angles=2, steps=3)
        return trainer_of(env, backward=backward, epsilon=0.2, temperature=1.5, local_search=search)

    def kill(done, total, metrics):
        if done == 7:
            raise Killed

    whole, first, second = new(), new(), new()
    whole.train()
    with pytest.raises(Killed):
        first.train(checkpoint=tmp_path / "checkpoint.pt", report=kill)
    second.train(checkpoint=tmp_path / "checkpoint.pt")
    assert second.history == whole.history
    assert all(torch.equal(a, b) for a, b in zip(second.policy.parameters(), whole.policy.parameters(), strict=True))
    assert second.replay.keys == whole.replay.keys


def study(tmp_path, **keys):
    config = {
        "environment": {"kind": "torus", "angles": 1, "steps": 2},
        "policy": {"kind": "von_mises_mixture", "hidden": [16]},
        "backward_policy": {"kind": "tied"},
        "training": {"steps": 3, "batch_size": 8, "evaluate_every": 3, "replay_share": 0.0},
        "evaluation": {"samples": 32, "held_out": 16, "mode_distance": 0.1},
        **keys,
    }
    return build_study(parse_sampler(config), home=tmp_path, base=tmp_path)


def test_a_sampler_file_of_angles_is_judged_by_estimates_of_densities(tmp_path):
    made = study(tmp_path)
    assert "estimated densities" in made.judged_by()
    session = made.start(0)
    session.trainer.train()
    last = session.trainer.history[-1]
    assert last["log_z_error"] == pytest.approx(abs(last["log_z"] - session.trainer.env.log_partition))
    assert {"spearman", "mean_reward", "log_z_sampled", "effective_share", "grid_tv", "modes"} <= last.keys()


def test_the_same_torus_on_a_grid_is_judged_exactly(tmp_path):
    made = study(tmp_path, environment={"kind": "torus", "angles": 1, "cells": 12, "steps": 2}, policy={"kind": "mlp"})
    assert "exactly, over 12 objects (25 states)" in made.judged_by()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"objective": {"kind": "flow_matching"}}, r"flow_matching.*real variables"),
        ({"policy": {"kind": "mlp"}}, r"'mlp'.*Use the policy 'von_mises_mixture'"),
        ({"backward_policy": {"kind": "maximum_entropy"}}, r"maximum_entropy.*not countable"),
    ],
)
def test_what_cannot_be_trained_on_angles_is_refused_in_a_sentence(tmp_path, keys, said):
    with pytest.raises(ConfigError, match=said):
        study(tmp_path, **keys).try_out()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("objective", ["trajectory_balance", "sub_trajectory_balance"])
def test_three_peaks_on_one_circle_are_learnt(objective):
    """Means of cos and sin of 20,000 draws have standard errors below 0.005; 0.03 leaves as much to the policy."""
    env = Torus(angles=1, steps=4)
    course = {"shape": "linear", "start": 0.2, "end": 0.0, "share": 0.5}
    trainer = trainer_of(
        env, objective=objective, backward="tied", steps=1000, batch_size=64, learning_rate=3e-3,
        replay_share=0.0, epsilon=course,
    )  # fmt: skip
    trainer.train()
    paths = sample_forward(env, trainer.policy, 20_000, torch.Generator().manual_seed(1))
    found = DensityFigures(trainer, EnvironmentReward(env)).of_samples(paths, env.log_reward(paths.terminal))
    assert found["log_z_sampled"] == pytest.approx(env.log_partition, abs=0.02)
    assert trainer.log_z.item() == pytest.approx(env.log_partition, abs=0.05)
    theta, grid = paths.terminal.place[:, 0], env.grid(5184)
    target = env.log_reward(grid).softmax(0)
    for k in (1, 2, 3, 6):
        for wave in (torch.cos, torch.sin):
            assert float(wave(k * theta).mean()) == pytest.approx(
                float((wave(k * grid.place[:, 0]) * target).sum()), abs=0.03
            ), math.copysign(k, 1)
