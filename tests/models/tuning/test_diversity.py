"""The volume of a population's behaviours, and shares of a union that follow it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.generators.diverse_shares import DiverseShares
from models.protocols import GenerationContext
from models.registry import ComponentError, build
from models.spaces.sequences import Sequences
from models.tuning.diversity import WINDOW, WeightBandit, added_volume, joint_objective, log_volume


def test_two_members_span_what_their_distance_says() -> None:
    behaviours = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert log_volume(behaviours) == pytest.approx(np.log(1 - np.exp(-1.0)), abs=1e-5)


def test_members_that_are_alike_span_next_to_nothing_and_the_logarithm_is_a_number() -> None:
    assert log_volume(np.zeros((3, 2))) == pytest.approx(np.log(3e-12), abs=1e-3)


def test_a_member_like_another_adds_less_than_one_like_none() -> None:
    added = added_volume(np.array([[0.0], [0.1], [9.0]]))
    assert added[2] > added[0]
    assert added[2] == pytest.approx(0.0, abs=1e-5)


def test_without_weight_only_rewards_count() -> None:
    rewards, volumes = np.array([1.0, 2.0]), np.array([5.0, -5.0])
    assert joint_objective(rewards, volumes, 0.0).tolist() == [-1.0, 1.0]
    assert joint_objective(rewards, volumes, 0.5).tolist() == [0.0, 0.0]


def test_the_bandit_prefers_what_made_things_better_and_forgets() -> None:
    bandit = WeightBandit()
    for _ in range(30):
        bandit.learn(1, True)
        bandit.learn(0, False)
    rng = np.random.default_rng(0)
    assert np.mean([bandit.chosen(rng) for _ in range(50)]) > 0.9
    assert len(bandit.outcomes) == WINDOW
    assert WeightBandit.of({"outcomes": bandit.state()}).outcomes == bandit.outcomes


SPACE = Sequences(alphabet="ACGT", length=4)
KNOWN = ["AAAA", "TTTT", "AAAC", "AACA", "TTTG", "ACAA", "GTTT", "CAAA"]
SOURCES = ["one", "far", "two", "one", "far", "two", "far", "one"]


def shares(weight: int) -> np.ndarray:
    made = DiverseShares({"outcomes": [[weight, True]] * 40 + [[1 - weight, False]] * 10})
    return made.shares(np.full(3, 1 / 3), ("one", "two", "far"), KNOWN, SOURCES, 1.0, SPACE, 0)


def test_shares_move_to_the_member_whose_proposals_are_unlike_the_others() -> None:
    diverse, plain = shares(1), shares(0)
    assert diverse.sum() == pytest.approx(1.0)
    assert diverse[2] > 1 / 3
    assert diverse[2] > plain[2]
    assert diverse.min() >= 1 / 6, "half of a share is as set"


def test_the_next_round_goes_on_with_what_was_learnt() -> None:
    made = DiverseShares()
    for best in (1.0, 2.0):
        made.shares(np.full(3, 1 / 3), ("one", "two", "far"), KNOWN, SOURCES, best, SPACE, 0)
        made = DiverseShares(made.state())
    assert [better for _, better in made.bandit.outcomes] == [True]


def test_a_union_moves_its_shares_and_its_state_goes_on(tmp_path: Path) -> None:
    members = [{"generator": {"kind": "random"}}, {"generator": {"kind": "genetic", "offspring": 8, "generations": 1}}]
    union = build("generator", {"kind": "union", "members": members, "diversity": True})
    context = GenerationContext(
        space=SPACE,
        log_reward=lambda objects: np.zeros(len(objects)),
        seed=0,
        known=tuple(KNOWN),
        known_log_reward=np.linspace(1.0, 0.0, len(KNOWN)),
        sources=("random", "genetic") * 4,
        library=tuple(KNOWN),
    )
    union.fit(context)
    state = union.state()
    assert state["diversity"]["best"] == 1.0
    torch.save(state, tmp_path / "state.pt")
    later = build("generator", union.config())
    later.fit(replace(context, warm_start=tmp_path / "state.pt", known_log_reward=np.linspace(2.0, 0.0, len(KNOWN))))
    assert later.state()["diversity"]["outcomes"] == [[state["diversity"]["arm"], 1]]
    assert "parker2020effective" in union.cited()


def test_shares_that_are_held_cannot_follow_diversity() -> None:
    members = [{"generator": {"kind": "random"}}]
    with pytest.raises(ComponentError, match="adapt"):
        build("generator", {"kind": "union", "members": members, "diversity": True, "adapt": False})
