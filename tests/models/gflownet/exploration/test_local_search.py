"""Local search: valid trajectories, and chains that leave the target law unchanged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.exact import target_law
from models.gflownet.exploration.local_search import LocalSearchOptions, local_search
from models.gflownet.policies.backward import BackwardWalk, TiedBackward, UniformBackward
from models.gflownet.policies.base import initialise
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.gflownet.trajectories import sample_backward, sample_forward
from models.registry import build

SET = build("environment", {"kind": "set", "elements": 5, "chosen": 3})
GRID = HyperGrid(dimensions=2, height=3)


class RandomPolicy(FlatPolicy):
    """A linear policy on k-hot features with random weights; knows the condition only as a shift."""

    def __init__(self, env, seed=0):
        super().__init__(env)
        self.table = torch.nn.Embedding(env.n_features + 1, env.n_actions + env.n_backward + 1)
        initialise(self, torch.Generator().manual_seed(seed), embedding_scale=0.7)

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


def all_objects(env, policy):
    return sorted(set(env.decode(sample_forward(env, policy, 3000, torch.Generator().manual_seed(9)).terminal)))


def search(env, n, seed=0, backward=None, start=None, **options):
    policy, generator = RandomPolicy(env), torch.Generator().manual_seed(seed)
    walk = BackwardWalk(env, policy, backward or UniformBackward())
    paths = sample_forward(env, policy, n, generator)
    if start is not None:
        paths = sample_backward(env, walk, paths.terminal[start(env.decode(paths.terminal))], generator)
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


def law_of_chains(env, accept, depth, backward=None, *, iterations=6, chains=40_000):
    """Total variation from R / Z of chains that start in exactly that law."""
    objects = all_objects(env, RandomPolicy(env))
    target = target_law(value(objects))
    place = {x: i for i, x in enumerate(objects)}

    def start(drawn):
        first = {x: i for i, x in reversed(list(enumerate(drawn)))}
        counts = np.round(target * chains).astype(int)
        return torch.tensor([first[x] for x, count in zip(objects, counts, strict=True) for _ in range(count)])

    found = search(env, 3000, seed=4, backward=backward, start=start, iterations=iterations, depth=depth, accept=accept)
    counts = np.bincount([place[x] for x in env.decode(found.terminal)], minlength=len(objects))
    moved = torch.stack([proposal.accepted for proposal in found.proposals]).float().mean()
    return 0.5 * np.abs(counts / counts.sum() - target).sum(), float(moved)


@pytest.mark.parametrize("accept", ["metropolis_hastings", "barker"])
@pytest.mark.parametrize("backward", [UniformBackward(), TiedBackward()], ids=["uniform", "tied"])
@pytest.mark.parametrize(("env", "depth"), [(SET, 2), (SET, 0.9), (GRID, 3), (GRID, 50)], ids=str)
def test_chains_that_accept_by_ratio_leave_the_target_law_unchanged(env, depth, backward, accept):
    distance, moved = law_of_chains(env, accept, depth, backward)
    assert moved > 0.1
    assert distance < 0.012


def test_greedy_chains_do_not():
    assert law_of_chains(SET, "greedy", 2)[0] > 0.2


def test_chains_forget_where_they_started():
    objects = all_objects(SET, RandomPolicy(SET))
    found = search(
        SET,
        3000,
        start=lambda drawn: torch.full((20_000,), drawn.index(objects[0])),
        iterations=25,
        depth=2,
        accept="metropolis_hastings",
    )
    counts = np.array([SET.decode(found.terminal).count(x) for x in objects])
    assert 0.5 * np.abs(counts / counts.sum() - target_law(value(objects))).sum() < 0.02


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
