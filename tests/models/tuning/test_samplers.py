"""Samplers as what is tuned: one reward call serves all members, settings change in the course, files keep the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data.config import ConfigError
from data.sampler_config import parse_sampler
from models.systems.shared_replay import Counted
from models.tuning.base import Budget
from models.tuning.samplers import SamplerSubject, option_key, usual_ranges, with_settings
from models.tuning.shared_replay import SharedReplay

CONFIG: dict[str, Any] = {
    "environment": {"kind": "hypergrid", "dimensions": 2, "height": 4},
    "policy": {"kind": "mlp", "hidden": [8]},
    "training": {"batch_size": 16, "replay_share": 0.5, "epsilon": 0.1},
}
RANGES = {"lr": [1e-3, 1e-1], "epsilon": [0.0, 0.2]}


def subject(config: dict[str, Any] = CONFIG, over: dict[str, Any] | None = RANGES, units: int = 4) -> SamplerSubject:
    return SamplerSubject.of(config, over, units=units, home=Path(), base=Path())


def test_a_reward_that_one_member_asked_for_serves_all() -> None:
    counted = Counted(subject().study.reward, 15)
    shared = subject()
    shared = replace(shared, study=replace(shared.study, reward=counted))
    SharedReplay(rounds=2).search(shared, 4, Budget(), seed=0)
    assert counted.calls == 4 * 8, "four steps of half a batch of 16, whatever the number of members"


def test_members_of_a_company_have_one_replay_and_weights_of_their_own() -> None:
    first, second = subject().company([subject().settings] * 2, [0, 1])
    drawn = [one.draw(2) for one in (first, second)]
    for one in (first, second):
        one.learn(drawn)
    assert first.trainer.replay is second.trainer.replay
    assert len(first.trainer.replay) > 0
    second.adopt(first.weights())
    second.learn([second.draw(1)])
    states = [one.trainer.policy.state_dict() for one in (first, second)]
    assert not all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))


def test_learning_from_what_one_drew_is_the_step_it_would_have_taken() -> None:
    plain = with_settings(CONFIG, {"training.replay_share": 0})
    alone, split = (
        subject(plain).member({"training.learning_rate": 0.01, "training.epsilon": 0.0}, 0) for _ in range(2)
    )
    alone.train(2)
    for _ in range(2):
        split.trainer.learn([split.trainer.draw(16)])
    assert split.score() == pytest.approx(alone.score(), abs=1e-3), "rounding apart"


def test_a_copy_scores_as_what_it_was_copied_from_and_keeps_its_settings() -> None:
    good, poor = (
        subject().member({"training.learning_rate": rate, "training.epsilon": 0.1}, 0) for rate in (0.05, 0.002)
    )
    good.train(3)
    poor.adopt(good.weights())
    assert poor.score() == good.score()
    assert poor.trainer.options.learning_rate == 0.002


def test_an_objective_that_must_know_where_trajectories_come_from_shares_nothing() -> None:
    config = with_settings({**CONFIG, "objective": {"kind": "reverse_kl"}}, {"training.replay_share": 0})
    with pytest.raises(ConfigError, match="must know the law"):
        subject(config).company([{}], [0])


def test_keys_are_those_of_the_training_unless_they_say_otherwise() -> None:
    assert option_key("lr") == "training.learning_rate"
    assert option_key("epsilon.start") == "training.epsilon.start"
    assert option_key("objective.decay") == "objective.decay"
    with pytest.raises(ConfigError, match="no option 'learning_rat'"):
        option_key("learning_rat")


def test_an_epsilon_with_a_course_is_tuned_at_its_start() -> None:
    falling = {"shape": "linear", "start": 0.2, "end": 0.0}
    config = with_settings(CONFIG, {"training.epsilon": falling})
    assert "training.epsilon.start" in usual_ranges(config)
    assert subject(config, None).settings["training.epsilon.start"] == 0.2


def test_on_policy_objectives_get_no_replay() -> None:
    config = with_settings({**CONFIG, "objective": {"kind": "reverse_kl"}}, {"training.replay_share": 0})
    assert "training.replay_share" not in usual_ranges(config)
    assert "training.replay_share" in usual_ranges(CONFIG)


def test_settings_go_into_a_file_that_keeps_the_rest() -> None:
    changed = with_settings(CONFIG, {"training.epsilon": 0.0, "objective.kind": "detailed_balance"})
    assert changed["training"] == {"batch_size": 16, "replay_share": 0.5, "epsilon": 0.0}
    assert parse_sampler(changed).objective == {"kind": "detailed_balance"}
    assert CONFIG["training"]["epsilon"] == 0.1
