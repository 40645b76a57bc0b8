"""Local search: valid trajectories, and chains that leave the target law unchanged."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.exploration.local_search import LocalSearchOptions, local_search
from models.gflownet.judging.exact import enumerate_graph, target_law
from models.gflownet.policies.backward import BackwardWalk, TiedBackward, UniformBackward
from models.gflownet.policies.base import initialise
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.gflownet.training.trajectories import sample_backward, sample_forward
from models.registry import build

SET = build("environment", {"kind": "set", "elements": 5, "chosen": 3})
GRID = HyperGrid(dimensions=2, height=3)


class RandomPolicy(FlatPolicy):
    """A linear policy on k-hot features with random weights; knows the condition only as a shift."""

    def __init__(self, env, seed=0):
        super().__init__(env)
        self.table = torch.nn.Embedding(env.n_features + 1, env.n_actions + env.n_backward + 1)
        initialise(self, torch.Generator().manual_seed(seed), embedding_scale=0.4)

    def network(self, states, condition=None):
        out = self.table(self.env.k_hot(states)).sum(1)
        a = self.env.n_actions
        return Outputs(out[:, :a], out[:, a:-1], out[:, -1])


def value(objects):
    return np.array([(0.9 * sum(x) + 0.8 * (x[0] == 1) + 0.5 * x[-1]) % 2.5 for x in objects])


def reward_of(env):
    def reward(terminal):
        objects = env.decode(terminal)
        return torch.tensor(value(objects)), objects

    return reward


@cache
def ends(env):
    """All terminal states and their target law."""
    graph = enumerate_graph(env)
    return graph.states[graph.terminal], target_law(value(graph.objects))


def search(env, n, seed=0, backward=None, terminal=None, **options):
    policy, generator = RandomPolicy(env), torch.Generator().manual_seed(seed)
    walk = BackwardWalk(env, policy, backward or UniformBackward())
    if terminal is None:
        paths = sample_forward(env, policy, n, generator)
    else:
        paths = sample_backward(env, walk, terminal, generator)
    reward = reward_of(env)
    return local_search(env, policy, walk, paths, reward(paths.terminal)[0], reward, generator, **options)


def replayed(env, paths):
    """Step every trajectory from the source by its forward actions; return its states in order of time."""
    for row in range(len(paths)):
        mine = (paths.row == row).nonzero()[:, 0]
        mine = mine[paths.time[mine].argsort()]
        assert paths.time[mine].tolist() == list(range(len(mine)))
        states = env.source(1)
        for place in mine.tolist():
            action = paths.forward[place : place + 1]
            assert env.keys(paths.before[place : place + 1]) == env.keys(states)
            assert bool(env.forward_mask(states)[0, action])
            assert torch.equal(env.undo(states, action), paths.backward[place : place + 1])
            states = env.step(states, action)
            assert env.keys(paths.after[place : place + 1]) == env.keys(states)
        assert env.keys(states) == env.keys(paths.terminal[row : row + 1])
        assert bool(states.done)


@pytest.mark.parametrize("accept", ["greedy", "metropolis_hastings", "barker"])
@pytest.mark.parametrize("depth", [1, 2, 50, 0.4])
@pytest.mark.parametrize("env", [SET, GRID], ids=["set", "grid"])
def test_every_proposal_is_a_complete_trajectory(env, depth, accept):
    found = search(env, 12, iterations=3, depth=depth, accept=accept)
    assert len(found.proposals) == 3
    for proposal in found.proposals:
        replayed(env, proposal.paths)
        assert list(proposal.keys) == env.decode(proposal.paths.terminal)
        assert proposal.log_reward.tolist() == pytest.approx(value(proposal.keys).tolist())
        assert bool(proposal.paths.log_behaviour.isnan().all())


def test_greedy_chains_move_exactly_when_the_reward_grows():
    found = search(SET, 200, iterations=1, depth=2)
    better = found.proposals[0]
    assert 0 < int(better.accepted.sum()) < 200
    assert torch.equal(found.log_reward[better.accepted], better.log_reward[better.accepted])
    assert bool((found.log_reward >= better.log_reward).all())
    assert found.log_reward.tolist() == pytest.approx(value(SET.decode(found.terminal)).tolist())


def distance_to_target(env, found):
    states, target = ends(env)
    place = {key: i for i, key in enumerate(env.keys(states))}
    counts = np.bincount([place[key] for key in env.keys(found.terminal)], minlength=len(target))
    return 0.5 * np.abs(counts / counts.sum() - target).sum()


def law_of_chains(env, accept, depth, backward=None, *, iterations=5, chains=25_000):
    """Total variation from R / Z of chains that start in exactly that law, and the share of accepted moves."""
    states, target = ends(env)
    start = torch.arange(len(target)).repeat_interleave(torch.from_numpy(np.round(target * chains)).long())
    found = search(
        env, 0, seed=4, backward=backward, terminal=states[start], iterations=iterations, depth=depth, accept=accept
    )
    moved = torch.stack([proposal.accepted for proposal in found.proposals]).float().mean()
    return distance_to_target(env, found), float(moved)


@pytest.mark.parametrize("accept", ["metropolis_hastings", "barker"])
@pytest.mark.parametrize("backward", [UniformBackward(), TiedBackward()], ids=["uniform", "tied"])
@pytest.mark.parametrize(
    ("env", "depth"), [(SET, 2), (SET, 0.9), (GRID, 3), (GRID, 50)], ids=["set-2", "set-.9", "grid-3", "grid-50"]
)
def test_chains_that_accept_by_ratio_leave_the_target_law_unchanged(env, depth, backward, accept):
    distance, moved = law_of_chains(env, accept, depth, backward)
    assert moved > 0.1
    assert distance < 0.02


def test_greedy_chains_do_not():
    assert law_of_chains(SET, "greedy", 2)[0] > 0.2


def test_chains_forget_where_they_started():
    states, _ = ends(SET)
    start = states[torch.zeros(5_000, dtype=torch.int64)]
    found = search(SET, 0, terminal=start, iterations=60, depth=3, accept="metropolis_hastings")
    assert distance_to_target(SET, found) < 0.04


def test_conditions_stay_with_their_chains():
    env, generator = SET, torch.Generator().manual_seed(0)
    seen = []

    class Listening(RandomPolicy):
        def network(self, states, condition=None):
            seen.append(condition)
            return super().network(states)

    policy = Listening(env)
    condition = torch.arange(60.0)[:, None]
    paths = sample_forward(env, policy, 60, generator, condition=condition)
    walk = BackwardWalk(env, policy, TiedBackward())
    reward = reward_of(env)
    found = local_search(
        env, policy, walk, paths, reward(paths.terminal)[0], reward, generator, iterations=2, depth=2, accept="barker"
    )
    assert all(torch.equal(proposal.paths.condition, condition) for proposal in found.proposals)
    assert all(here is not None for here in seen)
    assert len(found.proposals) == 2


def test_the_same_seed_gives_the_same_search():
    one, two = (search(GRID, 30, seed=7, iterations=3, depth=2, accept="barker") for _ in range(2))
    assert torch.equal(one.terminal.place, two.terminal.place)
    assert torch.equal(one.proposals[2].paths.forward, two.proposals[2].paths.forward)


@pytest.mark.parametrize(("iterations", "depth"), [(0, 2), (1, 0), (1, 2.5)])
def test_a_search_without_a_step_is_refused(iterations, depth):
    with pytest.raises(ValueError, match="at least one iteration and a depth"):
        search(SET, 4, iterations=iterations, depth=depth)


def test_options_are_the_arguments():
    options = LocalSearchOptions(iterations=2, depth=0.5, accept="barker")
    assert len(search(SET, 4, **options.model_dump()).proposals) == 2
    assert isinstance(LocalSearchOptions(depth=3).depth, int)
