"""Figures of laws with densities, against laws that are known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from data.config import ConfigError
from data.sampler_config import parse_sampler
from models.gflownet.environments.vectors import Vectors
from models.gflownet.judging.densities import DensityFigures
from models.gflownet.judging.study import build_study
from models.gflownet.policies.vectors import UniformVectors
from models.gflownet.rewards.base import EnvironmentReward
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.gflownet.training.trajectories import sample_forward
from models.registry import build
from tests.models.gflownet.peaks import TwoPeaks

REAL, LEVEL = {"kind": "real"}, {"kind": "levels", "n": 3}


def figures(variables, policy_class):
    env = Vectors(variables=variables)
    policy, generator = policy_class(env), torch.Generator().manual_seed(0)
    trainer = Trainer(
        env,
        policy,
        EnvironmentReward(env),
        objective=build("objective", {"kind": "trajectory_balance"}),
        backward=build("backward_policy", {"kind": "uniform"}),
        options=TrainerOptions(),
        generator=generator,
    )
    judge = DensityFigures(trainer, EnvironmentReward(env))
    paths = sample_forward(env, policy, 500, generator)
    return judge.of_samples(paths, env.log_reward(paths.terminal)) | judge.of_grid(lambda x: x, None, generator)


def test_the_target_itself_is_at_no_distance_from_the_target():
    found = figures([REAL, LEVEL, REAL], TwoPeaks)
    assert found["log_z_sampled"] == pytest.approx(math.log(2.0), abs=1e-9)
    assert found["effective_share"] == pytest.approx(1.0, abs=1e-9)
    assert found["grid_tv"] == pytest.approx(0.0, abs=1e-9)


def test_the_uniform_law_is_at_the_distance_of_the_integral():
    """The total variation of a real from half Beta(4, 12) and half Beta(12, 4); E[R / q] is 2 all the same."""
    found = figures([REAL], UniformVectors)
    x = (np.arange(100_000) + 0.5) / 100_000
    target = 0.5 * (stats.beta(4, 12).pdf(x) + stats.beta(12, 4).pdf(x))
    assert found["grid_tv"] == pytest.approx(0.5 * np.abs(target - 1.0).mean(), abs=1e-4)
    # (E R)^2 / E R^2 of a uniform number, and five standard errors of 500 draws.
    share = 1.0 / (target**2).mean()
    assert found["effective_share"] == pytest.approx(share, abs=0.1)
    assert found["log_z_sampled"] == pytest.approx(math.log(2.0), abs=5 * math.sqrt((1 / share - 1) / 500))


def test_there_is_no_grid_of_fractions_or_of_three_reals():
    assert "grid_tv" not in figures([{"kind": "fractions", "n": 3}], TwoPeaks)
    assert "grid_tv" not in figures([REAL, REAL, REAL, LEVEL], TwoPeaks)


def study(tmp_path, **keys):
    config = {
        "environment": {"kind": "vectors", "variables": [REAL, REAL]},
        "policy": {"kind": "beta_mixture", "hidden": [16]},
        "training": {"steps": 3, "batch_size": 8, "evaluate_every": 3, "replay_share": 0.0},
        "evaluation": {"samples": 32, "held_out": 16},
        **keys,
    }
    return build_study(parse_sampler(config), home=tmp_path, base=tmp_path)


def test_a_sampler_file_of_real_numbers_is_judged_by_densities(tmp_path):
    made = study(tmp_path)
    assert "real variables" in made.judged_by()
    session = made.start(0)
    session.trainer.train()
    last = session.trainer.history[-1]
    assert last["log_z_error"] == pytest.approx(abs(last["log_z"] - math.log(2.0)))
    assert {"spearman", "mean_reward", "log_z_sampled", "effective_share", "grid_tv"} <= last.keys()
    assert last["reward_calls"] == 3 * 8  # a real number is never drawn twice


def test_log_z_has_no_error_where_it_is_not_learnt_or_not_known(tmp_path):
    (tmp_path / "two.py").write_text("def ones(rows):\n    return [1.0 + row[0] for row in rows]\n")
    for keys in (
        {"objective": {"kind": "log_partition_variance"}},
        {"reward": {"kind": "python", "function": "two:ones"}},
    ):
        session = study(tmp_path, **keys).start(0)
        session.trainer.train()
        assert "log_z_error" not in session.trainer.history[-1]
        assert "log_z_sampled" in session.trainer.history[-1]


def test_what_cannot_be_trained_on_real_numbers_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"flow_matching.*real variables.*detailed_balance"):
        study(tmp_path, objective={"kind": "flow_matching"})
    with pytest.raises(ConfigError, match=r"'mlp'.*Use the policy 'beta_mixture'"):
        study(tmp_path, policy={"kind": "mlp"})
