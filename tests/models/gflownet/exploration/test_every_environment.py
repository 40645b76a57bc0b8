"""Replays and local search go with every registered environment that has a small instance."""

from __future__ import annotations

import pytest
import torch

from models.gflownet.exploration.local_search import local_search
from models.gflownet.policies.backward import BackwardWalk, UniformBackward
from models.gflownet.policies.flat import FlatPolicy, Outputs
from models.gflownet.training.trajectories import sample_forward
from models.registry import build, kinds

SMALL = {kind: dict(cls.small) for kind, cls in kinds("environment").items() if getattr(cls, "small", None)}


class Uniform(FlatPolicy):
    """Every legal action is as likely."""

    def network(self, states, condition=None):
        n = len(states)
        return Outputs(torch.zeros(n, self.env.n_actions), torch.zeros(n, self.env.n_backward), torch.zeros(n))


@pytest.fixture(params=sorted(SMALL), scope="module")
def env(request):
    return build("environment", {"kind": request.param, **SMALL[request.param]})


def drawn(env, n, seed=0):
    return sample_forward(env, Uniform(env), n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", sorted(kinds("replay")))
def test_a_replay_gives_back_the_states_it_was_given(env, kind):
    options = {"features": "morgan"} if kind == "diverse" and not env.n_features else {}
    replay = build("replay", {"kind": kind, "capacity": 10, **options}).start(env)
    worth = {}
    for seed in range(4):
        terminal = drawn(env, 24, seed).terminal
        objects = env.decode(terminal)
        inside = torch.tensor([x is not None for x in objects])
        names = [x for x in objects if x is not None]
        for name in names:
            worth.setdefault(name, float(len(worth)))
        replay.add(terminal[inside], torch.tensor([worth[name] for name in names]), names)
    assert 0 < len(replay) <= 10
    found, log_reward = replay.sample(30, torch.Generator().manual_seed(9))
    assert bool(found.done.all())
    assert [worth[name] for name in env.decode(found)] == log_reward.tolist()


@pytest.mark.parametrize("depth", [1, 0.5])
def test_proposals_of_local_search_are_legal_from_the_source_to_the_end(env, depth):
    policy, generator = Uniform(env), torch.Generator().manual_seed(0)
    walk = BackwardWalk(env, policy, UniformBackward())
    paths = drawn(env, 16)

    def reward(terminal):
        return torch.tensor([len(str(x)) / 3 for x in env.decode(terminal)]), env.decode(terminal)

    found = local_search(
        env,
        policy,
        walk,
        paths,
        reward(paths.terminal)[0],
        reward,
        generator,
        iterations=2,
        depth=depth,
        accept="metropolis_hastings",
    )
    for proposal in found.proposals:
        new = proposal.paths
        assert bool(env.forward_mask(new.before).gather(1, new.forward[:, None]).all())
        # Where states are labelled, a redone step may end in the same state under other labels.
        forth = zip(env.keys(env.step(new.before, new.forward)), env.keys(new.after), strict=True)
        back = zip(env.keys(env.backstep(new.after, new.backward)), env.keys(new.before), strict=True)
        assert all(a == b or c == d for (a, b), (c, d) in zip(forth, back, strict=True))
        assert bool(env.backward_mask(new.after).gather(1, new.backward[:, None]).all())
        assert bool((env.is_source(new.before) == (new.time == 0)).all())
        order = (new.row * (int(new.time.max()) + 1) + new.time).argsort()
        inner = order[1:][new.row[order][1:] == new.row[order][:-1]]
        outer = order[:-1][new.row[order][1:] == new.row[order][:-1]]
        assert env.keys(new.before[inner]) == env.keys(new.after[outer])
        last = new.after.done
        assert env.keys(new.after[last][new.row[last].argsort()]) == env.keys(new.terminal)
        assert list(proposal.keys) == env.decode(new.terminal)
