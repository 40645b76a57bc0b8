"""The torus of real angles: its integral, its steps, and what it refuses. On a grid it is tried with all others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.torus import Torus, wrapped
from models.gflownet.judging.exact import enumerate_graph
from models.gflownet.judging.metrics import angular_distance


def some(env, n, seed=0):
    return env.encode((torch.rand((n, env.angles), generator=torch.Generator().manual_seed(seed)) * 40 - 20).tolist())


def test_the_reward_of_two_angles_integrates_to_the_known_number():
    """By the midpoint rule, which errs by less than 1e-12 for a function so smooth on a circle."""
    env = Torus(angles=2)
    log_reward = env.log_reward(env.grid(72 * 72))
    z = float(log_reward.exp().sum()) * (2 * math.pi / 72) ** 2
    assert z == pytest.approx(15128.142237, abs=1e-6)
    assert env.log_partition == pytest.approx(9.624312, abs=1e-6)
    assert env.log_partition == pytest.approx(math.log(z), abs=1e-12)


@pytest.mark.parametrize("angles", [1, 3])
def test_log_z_grows_by_the_same_for_every_angle(angles):
    env = Torus(angles=angles)
    side = 17 if angles == 3 else 5184
    log_reward = env.log_reward(env.grid(side**angles))
    z = float(log_reward.exp().sum()) * (2 * math.pi / side) ** angles
    assert env.log_partition == pytest.approx(math.log(z), abs=1e-4)


def test_the_grid_has_cells_of_one_size_and_none_of_too_few():
    env = Torus(angles=2)
    theta = np.unique(env.theta(env.grid(5184)).numpy().round(9))
    assert len(theta) == 72
    assert np.diff(theta) == pytest.approx(2 * math.pi / 72)
    assert Torus(angles=4).grid(5184) is None
    assert Torus(angles=2, cells=4).grid(5184) is None


def test_increments_lead_around_and_back():
    env, generator = Torus(angles=3, steps=4), torch.Generator().manual_seed(0)
    before = env.source(5)
    while not bool(before.done.any()):
        actions = torch.rand((5, 3), generator=generator, dtype=torch.float64) * 30 - 15
        after = env.step(before, actions)
        assert bool(((after.place >= -math.pi) & (after.place < math.pi)).all())
        back = env.backstep(after, env.undo(before, actions))
        assert back.place.numpy() == pytest.approx(before.place.numpy(), abs=1e-12)
        assert torch.equal(back.time, before.time)
        assert env.redo(after, env.undo(before, actions)).numpy() == pytest.approx(actions.numpy())
        before = after
    assert before.time.tolist() == [4] * 5


def test_angles_of_any_size_are_objects():
    env = Torus(angles=2)
    assert env.decode(env.encode([(7.0, -7.0)]))[0] == pytest.approx((7 - 2 * math.pi, 2 * math.pi - 7))
    assert env.log_reward(env.encode([(1.0, 2.0), (1 + 2 * math.pi, 2 - 4 * math.pi)])).numpy() == pytest.approx(
        float(env.log_reward(env.encode([(1.0, 2.0)]))), abs=1e-12
    )
    assert wrapped(torch.tensor([math.pi])).item() == pytest.approx(-math.pi)


def test_cells_are_the_nearest_and_have_the_reward_of_their_angles():
    env, real = Torus(angles=2, cells=8), Torus(angles=2)
    states = env.encode([(0.1, -0.1), (math.pi, -math.pi), (0.8, -0.8)])
    assert states.place.tolist() == [[0, 0], [4, 4], [1, 7]]
    rows = env.decode(states)
    assert env.log_reward(states).numpy() == pytest.approx(real.log_reward(real.encode(rows)).numpy(), abs=1e-12)


def test_all_cells_are_reached_in_one_step_and_left_to_one_source():
    graph = enumerate_graph(Torus(angles=1, steps=3, cells=5), limit=100)
    assert len(graph.states) == 1 + 3 * 5
    assert len(graph.origin) == 5 + 2 * 25


def test_actions_that_are_numbers_have_no_mask():
    env = Torus()
    for ask in (env.forward_mask, env.backward_mask, env.k_hot, env.log_paths):
        with pytest.raises(NotProvided):
            ask(env.source(2))
    with pytest.raises(NotProvided, match="von_mises_mixture"):
        env.forward_mask(env.source(2))


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="has 3 numbers; expected 2"):
        Torus().encode([(0.0, 1.0, 2.0)])


def test_the_distance_of_angles_does_not_know_where_a_turn_begins():
    here, there = [(0.0, math.pi - 0.01)], [(2 * math.pi, 0.01 - math.pi), (math.pi, math.pi - 0.01)]
    assert angular_distance(here, there) == pytest.approx(np.array([[(1 - math.cos(0.02)) / 2, 1.0]]))
