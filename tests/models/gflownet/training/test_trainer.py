"""Training: determinism, resumption bit for bit, and what stops it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from models.gflownet.environments.fragments import FragmentEnvironment
from models.gflownet.objectives.relative_trajectory_balance import RelativeTrajectoryBalance
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.backward import TiedBackward, UniformBackward
from models.gflownet.policies.transformer import FragmentTransformer
from models.gflownet.training.trainer import Trainer, TrainerOptions, TrainingError
from models.sealed import read_sealed

ENV = FragmentEnvironment(only=("c1ccccc1", "C#N", "O", "C"), max_heavy_atoms=10, max_fragments=4)


class Killed(Exception):
    """Stands for the end of the process."""


def reward(terminal):
    molecules = ENV.decode(terminal)
    return torch.tensor([float(s.count("N")) - 0.1 * len(s) for s in molecules]), molecules


def trainer_of(*, seed=0, log_reward=reward, backward=None, objective=None, **options):
    generator = torch.Generator().manual_seed(seed)
    policy = FragmentTransformer(ENV, dim=16, layers=1, heads=2, prior=0.0, generator=generator)
    chosen = TrainerOptions(**{"steps": 12, "batch_size": 16, "checkpoint_every": 4, "replay_share": 0.25, **options})
    return Trainer(
        ENV,
        policy,
        log_reward,
        objective=objective or TrajectoryBalance(),
        backward=backward or UniformBackward(),
        options=chosen,
        generator=generator,
    )


def weights(trainer):
    return {**trainer.policy.state_dict(), "log_z": trainer.log_z.detach()}


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@cache
def uninterrupted(backward):
    trainer = trainer_of(backward=backward)
    trainer.train()
    return trainer


@pytest.mark.parametrize("backward", [UniformBackward(), TiedBackward()], ids=["uniform", "tied"])
@pytest.mark.parametrize("killed_at", [2, 5, 8, 11])
def test_killed_and_resumed_training_ends_like_an_uninterrupted_one(tmp_path, killed_at, backward):
    whole = uninterrupted(backward)

    def kill(done, total, metrics):
        if done == killed_at:
            raise Killed

    path = tmp_path / "checkpoint.pt"
    first = trainer_of(backward=backward)
    with pytest.raises(Killed):
        first.train(checkpoint=path, report=kill)
    second = trainer_of(backward=backward)
    second.train(checkpoint=path)
    assert second.done == 12
    assert equal(weights(second), weights(whole))
    assert second.history == whole.history
    assert torch.equal(second.generator.get_state(), whole.generator.get_state())
    assert second.replay.keys == whole.replay.keys


def test_a_resumed_training_goes_on_against_the_prior_that_it_began_with(tmp_path):
    def begun():
        trainer = trainer_of(objective=RelativeTrajectoryBalance())
        with torch.no_grad():
            for value in trainer.policy.parameters():
                value.add_(0.01)
        trainer.keep_as_prior()
        return trainer

    def kill(done, total, metrics):
        if done == 5:
            raise Killed

    whole, first = begun(), begun()
    whole.train()
    with pytest.raises(Killed):
        first.train(checkpoint=tmp_path / "checkpoint.pt", report=kill)
    second = trainer_of(objective=RelativeTrajectoryBalance())
    second.train(checkpoint=tmp_path / "checkpoint.pt")
    assert equal(weights(second), weights(whole))
    assert equal(second.prior.state_dict(), begun().prior.state_dict())
    assert second.history == whole.history


def test_a_reward_of_one_asks_for_the_prior_itself():
    """Log R = 0 leaves nothing to learn: the first loss is rounding, and no step follows that a gradient asked for."""
    flat = trainer_of(objective=RelativeTrajectoryBalance(), log_reward=lambda s: (torch.zeros(len(s)), ENV.decode(s)))
    assert flat.step()["loss"] < 1e-8


def test_resumption_does_not_begin_anew(tmp_path):
    first = trainer_of()
    first.train(checkpoint=tmp_path / "checkpoint.pt")
    steps = []
    second = trainer_of()
    second.train(checkpoint=tmp_path / "checkpoint.pt", report=lambda done, total, metrics: steps.append(done))
    assert steps == []
    assert equal(weights(first), weights(second))


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    trainer_of().train(checkpoint=tmp_path / "checkpoint.pt", fingerprint="one")
    with pytest.raises(ValueError, match="belongs to another training"):
        trainer_of().train(checkpoint=tmp_path / "checkpoint.pt", fingerprint="two")


def test_the_checkpoint_is_loadable_as_weights_only_and_stands_alone(tmp_path):
    trainer_of().train(checkpoint=tmp_path / "checkpoint.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert read_sealed(tmp_path / "checkpoint.pt")["done"] == 12


def test_training_leaves_the_global_random_state_alone():
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    trainer_of().train()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_the_seed_decides():
    a, b, c = (trainer_of(seed=seed, steps=3) for seed in (0, 0, 1))
    for trainer in (a, b, c):
        trainer.train()
    assert equal(weights(a), weights(b))
    assert a.history != c.history


def test_log_z_starts_from_the_first_batch():
    far = trainer_of(log_reward=lambda terminal: (reward(terminal)[0] + 150.0, reward(terminal)[1]), steps=1)
    far.step()
    assert far.log_z.item() == pytest.approx(150.0, abs=6.0)
    assert far.history[0]["loss"] < 50.0


def test_training_learns():
    trainer = trainer_of(steps=80, batch_size=32, learning_rate=5e-3)
    trainer.train()
    first, last = (np.mean([row["loss"] for row in part]) for part in (trainer.history[:5], trainer.history[-5:]))
    assert last < 0.3 * first


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_reward_that_is_not_finite_is_named(bad):
    trainer = trainer_of(log_reward=lambda terminal: (torch.full((len(terminal),), bad), ["x"] * len(terminal)))
    with pytest.raises(TrainingError, match="log-reward is not finite"):
        trainer.train()


def test_a_policy_that_diverged_is_named():
    trainer = trainer_of(log_reward=lambda terminal: (torch.zeros(len(terminal)), [None] * len(terminal)))
    with torch.no_grad():
        trainer.policy.root_bias.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="diverged"):
        trainer.train()


def test_the_replay_gives_half_its_draws_to_the_best_tenth():
    trainer = trainer_of(steps=12, replay={"kind": "prioritised", "capacity": 30})
    trainer.train()
    replay = trainer.replay
    assert len(replay) <= 30
    assert replay.log_reward.tolist() == sorted(replay.log_reward.tolist(), reverse=True)
    assert len(set(replay.keys)) == len(replay)
    _, values = replay.sample(400, torch.Generator().manual_seed(0))
    top = replay.log_reward[max(1, len(replay) // 10) - 1]
    assert (values >= top).float().mean() > 0.45


def test_an_empty_replay_has_nothing_to_give():
    with pytest.raises(ValueError, match="replay is empty"):
        trainer_of().replay.sample(3, torch.Generator())
