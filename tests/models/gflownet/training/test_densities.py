"""Objectives on densities: zero where the policy is the target, trained there, resumed bit for bit.

In `vectors` each product of the reward integrates to one, so Z is 2, and what is next given what is set is known in
closed form (`TwoPeaks`): every loss that is zero at the optimum must be zero there, term by term.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy import stats

from models.gflownet.environments.vectors import Vectors
from models.gflownet.policies.beta_mixture import BetaMixture
from models.gflownet.policies.vectors import UniformVectors
from models.gflownet.rewards.base import EnvironmentReward, TensorReward
from models.gflownet.training.trainer import Trainer, TrainerOptions
from models.gflownet.training.trajectories import sample_forward
from models.gflownet.training.warm_up import imitate
from models.registry import build, kinds
from tests.models.gflownet.peaks import TwoPeaks

REAL, FRACTIONS = {"kind": "real"}, {"kind": "fractions", "n": 4}
MIXED = [{"kind": "levels", "n": 3}, REAL, FRACTIONS, {"kind": "levels", "n": 2}, REAL]


def trainer_of(env, policy=None, *, reward=None, objective="trajectory_balance", seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    chosen = {"steps": 12, "batch_size": 16, "checkpoint_every": 4, **options}
    return Trainer(
        env,
        policy or BetaMixture(env, generator=generator, hidden=(64, 64)),
        reward or EnvironmentReward(env),
        objective=build("objective", {"kind": objective}),
        backward=build("backward_policy", {"kind": "uniform"}),
        options=TrainerOptions(**chosen),
        generator=generator,
    )


def exact_losses(env, policy, **options):
    """The loss of every objective that is zero at its optimum and made for the environment, on random objects."""
    paths = sample_forward(env, UniformVectors(env), 200, torch.Generator().manual_seed(1))
    found = {}
    for kind, cls in kinds("objective").items():
        if cls().refusal(env) is not None or not cls.zero_at_optimum:
            continue
        if cls.forward_looking or cls.learns_potentials:  # the flows are not the policy's alone
            continue
        trainer = trainer_of(env, policy, objective=kind, **options)
        trainer.partition.initialise(math.log(2.0))
        seen = trainer.assessor.assess(paths, env.log_reward(paths.terminal))
        if trainer.objective.relative:
            # Under a uniform prior the target is the same law, and Z its share of a density that is the same everywhere.
            assessor = replace(trainer.assessor, prior=UniformVectors(env))
            (density,) = assessor.assess(paths, seen.log_reward).log_prior.sum(0).unique().tolist()[:1]
            trainer.partition.initialise(math.log(2.0) + density)
            seen = assessor.assess(paths, seen.log_reward)
        found[kind] = trainer.objective.loss(seen).item()
    return found


@pytest.mark.parametrize("variables", [[REAL] * 3, MIXED], ids=["three reals", "of every kind"])
def test_every_loss_is_zero_where_the_policy_is_the_target(variables):
    env = Vectors(variables=variables)
    found = exact_losses(env, TwoPeaks(env))
    assert found.keys() >= {
        "trajectory_balance", "detailed_balance", "sub_trajectory_balance", "log_partition_variance"
    }  # fmt: skip
    assert max(found.values()) < 1e-10, found


def test_every_loss_is_above_zero_where_it_is_not():
    env = Vectors(variables=MIXED)
    found = exact_losses(env, UniformVectors(env))
    assert min(found.values()) > 0.1, found


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("killed_at", [5, 11])
def test_killed_and_resumed_training_ends_like_an_uninterrupted_one(tmp_path, killed_at):
    def new():
        search = {"iterations": 2, "depth": 1}
        return trainer_of(Vectors(variables=MIXED), epsilon=0.2, temperature=1.5, local_search=search)

    def kill(done, total, metrics):
        if done == killed_at:
            raise Killed

    whole, first, second = new(), new(), new()
    whole.train()
    with pytest.raises(Killed):
        first.train(checkpoint=tmp_path / "checkpoint.pt", report=kill)
    second.train(checkpoint=tmp_path / "checkpoint.pt")
    assert second.history == whole.history
    assert all(torch.equal(a, b) for a, b in zip(second.policy.parameters(), whole.policy.parameters(), strict=True))
    assert second.replay.keys == whole.replay.keys
    assert torch.equal(second.replay.terminal.value, whole.replay.terminal.value)
    assert torch.equal(second.generator.get_state(), whole.generator.get_state())


@dataclass
class Rows:
    """What `imitate` asks of a construction, for rows of numbers."""

    env: Vectors

    def states(self, members, generator):
        return self.env.encode(members)


def test_given_objects_are_imitated():
    """Beta(20, 60) has the entropy -1.66 nats: no law does better than a loss of -1.66 for each such variable."""
    env, best = Vectors(variables=[REAL, {"kind": "levels", "n": 3}]), float(stats.beta(20, 60).entropy())
    x = stats.beta(20, 60).rvs(400, random_state=0)
    trainer = trainer_of(env, batch_size=64, learning_rate=1e-2)
    losses = imitate(trainer, Rows(env), [(value, 2) for value in x], 120, torch.Generator().manual_seed(0))
    assert losses[0] == pytest.approx(math.log(3.0), abs=0.5)
    assert np.mean(losses[-20:]) == pytest.approx(best, abs=0.15)


def test_a_category_an_integer_and_a_real_are_drawn_as_often_as_the_sum_says():
    """R = (c + 1)(1 + x) 2^i: Z = 6 * 3/2 * 15 = 135; c has the shares 1, 2, 3 of 6, i 1, 2, 4, 8 of 15, x the mean
    5/9 with the variance 7/18 - 25/81 = 13/162.

    400 draws: four standard errors are 0.1 at most for a share, 0.057 for the mean of x; 0.02 is for the training.
    """
    env = Vectors(variables=[{"kind": "levels", "n": 3}, REAL, {"kind": "levels", "n": 4}])
    reward = TensorReward(env, lambda s: (s.value[:, 0] + 1) * (s.value[:, 1] + 1) * 2 ** s.value[:, 2])
    trainer = trainer_of(env, reward=reward, steps=150, batch_size=32, learning_rate=5e-3)
    trainer.train()
    assert trainer.log_z.item() == pytest.approx(math.log(135), abs=0.1)
    rows = np.array(env.decode(sample_forward(env, trainer.policy, 400, torch.Generator().manual_seed(1)).terminal))
    assert np.bincount(rows[:, 0].astype(int), minlength=3) / 400 == pytest.approx(np.array([1, 2, 3]) / 6, abs=0.12)
    assert np.bincount(rows[:, 2].astype(int), minlength=4) / 400 == pytest.approx(2.0 ** np.arange(4) / 15, abs=0.12)
    assert rows[:, 1].mean() == pytest.approx(5 / 9, abs=4 * math.sqrt(13 / 162 / 400) + 0.02)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("objective", ["trajectory_balance", "sub_trajectory_balance", "log_partition_variance"])
def test_two_products_of_betas_in_three_dimensions_are_learnt(objective):
    """Log Z is log 2, and the marginal of each variable half Beta(4, 12), half Beta(12, 4).

    With r = log 2 + log q - log R, the log Z that suits draws of q best is log 2 - KL(q || R / Z), and KL is about half
    the mean square of r: a root mean square up to 0.3, which is asserted, lets log Z be off by 0.045. So the second half
    of the training is on-policy. The mean of R / q over n draws has the expectation 2 whatever q is; five standard
    errors. A histogram of n = 20,000 draws in 20 bins is off by up to 1/2 sqrt(2 * 20 / (pi n)) = 0.013 in total
    variation on average; 0.03 leaves as much to the policy.
    """
    env = Vectors(variables=[REAL] * 3)
    course = {"shape": "linear", "start": 0.2, "end": 0.0, "share": 0.5}
    options = {"steps": 700, "batch_size": 64, "learning_rate": 3e-3, "replay_share": 0.0, "epsilon": course}
    trainer = trainer_of(env, objective=objective, **options)
    trainer.train()
    n = 20_000
    paths = sample_forward(env, trainer.policy, n, torch.Generator().manual_seed(1))
    gap = (env.log_reward(paths.terminal) - paths.log_behaviour).numpy()
    ratio = np.exp(gap)
    print(objective, trainer.log_z.item(), np.log(ratio.mean()), gap.std())
    assert np.sqrt(np.mean((gap - math.log(2.0)) ** 2)) < 0.3
    if objective != "log_partition_variance":  # which has no log Z to learn
        assert trainer.log_z.item() == pytest.approx(math.log(2.0), abs=0.045)
    assert ratio.mean() == pytest.approx(2.0, abs=5 * ratio.std() / math.sqrt(n))
    edges = np.linspace(0, 1, 21)
    mass = np.diff(0.5 * (stats.beta(4, 12).cdf(edges) + stats.beta(12, 4).cdf(edges)))
    for column in paths.terminal.value.numpy().T:
        assert 0.5 * np.abs(np.histogram(column, edges)[0] / n - mass).sum() < 0.03
