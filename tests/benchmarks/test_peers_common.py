"""The exact evaluation and the clock that every worker of the throughput benchmark uses."""

import time
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.peers.common import (
    Task,
    all_states,
    exact_tv,
    forward_probs,
    measure,
    rewards,
    target_law,
    terminal_law,
    total_variation,
)
from models.gflownet.environments.hypergrid import GridStates, HyperGrid

GRIDS = st.sampled_from([(1, 5), (2, 3), (2, 4), (3, 3)])


def random_probs(dims, height, seed):
    logits = np.random.default_rng(seed).normal(0.0, 2.0, (height**dims, dims + 1))
    return forward_probs(logits, all_states(dims, height), height)


def by_following_every_trajectory(probs, dims, height):
    """The terminal law, summed over complete trajectories one at a time."""
    number = {tuple(state): row for row, state in enumerate(all_states(dims, height).tolist())}
    law = np.zeros(len(number))

    def follow(state, weight):
        row = number[state]
        law[row] += weight * probs[row, dims]
        for axis in range(dims):
            if state[axis] < height - 1:
                follow((*state[:axis], state[axis] + 1, *state[axis + 1 :]), weight * probs[row, axis])

    follow((0,) * dims, 1.0)
    return law


def perfect_logits(dims, height):
    """Logits of the policy that samples in proportion to the reward, from flows under uniform backward steps."""
    states = all_states(dims, height)
    number = {tuple(state): row for row, state in enumerate(states.tolist())}
    flow = rewards(states, height)
    logits = np.full((len(states), dims + 1), -np.inf)
    for row in sorted(range(len(states)), key=lambda r: -states[r].sum()):
        logits[row, dims] = np.log(flow[row])
        for axis in range(dims):
            child = states[row].copy()
            child[axis] += 1
            if child[axis] < height:
                share = flow[number[tuple(child.tolist())]] / (child > 0).sum()
                logits[row, axis] = np.log(share)
                flow[row] += share
    return logits


class Fake:
    """A training that is wrong for some iterations and then perfect; being asked costs CPU time."""

    def __init__(self, task, perfect_after, seconds=0.0):
        self.task, self.perfect_after, self.seconds, self.done = task, perfect_after, seconds, 0

    def run(self, iterations):
        self.done += iterations

    def transitions(self):
        return 3 * self.done * self.task.batch

    def parameters(self):
        return 7

    def logits(self, states):
        end = time.process_time() + self.seconds
        while time.process_time() < end:
            pass
        if self.done >= self.perfect_after:
            return perfect_logits(self.task.dims, self.task.height)
        return np.zeros((len(states), self.task.dims + 1))


@settings(deadline=None, max_examples=12)
@given(grid=GRIDS, seed=st.integers(0, 1000))
def test_the_terminal_law_is_the_sum_over_all_trajectories(grid, seed):
    probs = random_probs(*grid, seed)
    law = terminal_law(probs, *grid)
    np.testing.assert_allclose(law, by_following_every_trajectory(probs, *grid), atol=1e-14)
    assert law.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("dims", "height"), [(2, 8), (3, 5), (4, 8), (2, 64)])
def test_the_policy_made_from_flows_has_no_total_variation(dims, height):
    task = Task(dims, height, 1, 1)
    assert exact_tv(Fake(task, 0), dims, height) < 1e-12
    assert exact_tv(Fake(task, 1), dims, height) > 0.2


@pytest.mark.parametrize(("dims", "height"), [(2, 8), (4, 8), (2, 64)])
def test_rewards_are_those_of_the_environment(dims, height):
    states = all_states(dims, height)
    grid = HyperGrid(dimensions=dims, height=height, reward="original", r0=0.1, r1=0.5, r2=2.0)
    place = torch.as_tensor(np.concatenate([states, np.ones((len(states), 1), dtype=np.int64)], axis=1))
    ours = grid.log_reward(GridStates(torch.ones(len(states), dtype=torch.bool), place)).exp().numpy()
    np.testing.assert_allclose(rewards(states, height), ours, rtol=1e-12)


def test_the_four_dimensional_grid_has_sixteen_modes():
    values = rewards(all_states(4, 8), 8)
    assert (values > 2.5).sum() == 2**4
    assert values.min() == pytest.approx(0.1)
    assert target_law(4, 8).sum() == pytest.approx(1.0)


def test_states_are_in_the_order_of_nested_loops():
    assert [tuple(state) for state in all_states(3, 4).tolist()] == list(product(range(4), repeat=3))


def test_illegal_steps_get_no_probability_whatever_the_network_says():
    states = all_states(2, 3)
    probs = forward_probs(np.full((9, 3), 50.0), states, 3)
    np.testing.assert_allclose(probs[-1], [0.0, 0.0, 1.0])
    np.testing.assert_allclose(probs[0], [1 / 3, 1 / 3, 1 / 3])


def test_total_variation_of_laws_apart_is_one():
    assert total_variation(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0


def test_a_network_that_has_diverged_is_told():
    class Diverged(Fake):
        def logits(self, states):
            return np.full((len(states), 3), np.nan)

    with pytest.raises(FloatingPointError, match="diverged"):
        exact_tv(Diverged(Task(2, 3, 1, 1), 0), 2, 3)


def test_training_ends_at_the_first_evaluation_that_meets_the_target():
    task = Task(2, 8, batch=4, iterations=100, evaluate_every=5, until_tv=0.05)
    figures = measure(Fake(task, perfect_after=12), task)
    assert figures["reached"] is True
    assert [point[0] for point in figures["curve"]] == [20, 40, 60]
    assert figures["states"] == figures["trajectories"] == 60
    assert figures["transitions"] == 180


def test_training_that_never_meets_the_target_says_so():
    task = Task(2, 8, batch=4, iterations=7, evaluate_every=5, until_tv=0.05)
    figures = measure(Fake(task, perfect_after=8), task)
    assert figures["reached"] is False
    assert figures["iterations"] == 7


def test_evaluation_is_off_the_clock():
    task = Task(2, 4, batch=4, iterations=4, evaluate_every=1)
    before = time.process_time()
    figures = measure(Fake(task, 0, seconds=0.1), task)
    assert time.process_time() - before >= 0.4
    assert figures["cpu_seconds"] < 0.05


def test_a_target_without_evaluations_is_refused(capsys):
    with pytest.raises(SystemExit):
        Task.parse(["--dims", "2", "--height", "8", "--batch", "4", "--iterations", "9", "--until-tv", "0.05"])
    assert "--until-tv needs --evaluate-every" in capsys.readouterr().err


def test_a_grid_of_one_state_is_refused(capsys):
    with pytest.raises(SystemExit):
        Task.parse(["--dims", "2", "--height", "1", "--batch", "4", "--iterations", "9"])
    assert "height at least 2" in capsys.readouterr().err
