"""On-policy batches judged while they are drawn: the same values and gradients as a second forward pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.gflownet.conditioning.partition import LogPartition
from models.gflownet.environments.hypergrid import HyperGrid
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.judging.exact import forward_log_probs, terminal_law
from models.gflownet.objectives.trajectory_balance import TrajectoryBalance
from models.gflownet.policies.base import Exploration, PolicyDiverged
from models.gflownet.policies.mlp import MLP
from models.gflownet.training.assessment import Assessor
from models.gflownet.training.recorded import Recorder
from models.registry import build, kinds

GRID = Tabulated(HyperGrid(dimensions=2, height=5))
FIXED = Tabulated(kinds("environment")["bag"](**kinds("environment")["bag"].small))


def recorder(env, *, conditions=0, seed=0, backward="tied"):
    policy = MLP(env, generator=torch.Generator().manual_seed(seed), hidden=(16, 16), conditions=conditions)
    with torch.no_grad():
        policy.dense[-1].weight.mul_(20.0)
    assessor = Assessor(
        env=env,
        policy=policy,
        backward=build("backward_policy", {"kind": backward}),
        objective=TrajectoryBalance(),
        backward_network=policy,
        partition=LogPartition(conditions, torch.Generator().manual_seed(0)),
        partial=env.log_partial,
        reward=lambda states, condition: env.log_reward(states),
    )
    return Recorder(env, policy, assessor), policy


def gradients(policy, scores):
    policy.zero_grad()
    parts = [scores.log_pf.square().sum(), scores.log_flow.sin().sum(), scores.log_pb.cos().sum()]
    torch.stack(parts).sum().backward()
    return [parameter.grad.clone() for parameter in policy.parameters()]


@pytest.mark.parametrize("n", [5, 104], ids=["small", "large"])
@pytest.mark.parametrize("conditions", [0, 3])
@pytest.mark.parametrize("env", [GRID, FIXED], ids=["grid", "bag"])
@pytest.mark.parametrize("exploration", [Exploration(), Exploration(epsilon=0.3, temperature=2.0, early_stop=0.1)])
def test_recorded_scores_are_those_of_a_second_pass(n, conditions, env, exploration):
    record, policy = recorder(env, conditions=conditions)
    generator = torch.Generator().manual_seed(1)
    condition = torch.randn((n, conditions), generator=generator) if conditions else None
    paths, scores = record.draw(n, generator, exploration=exploration, condition=condition)
    recorded = gradients(policy, scores)
    again = record.assessor.score(paths)
    for name in ("log_pf", "log_pb", "log_flow"):
        assert torch.allclose(getattr(scores, name), getattr(again, name), atol=1e-5)
    assert torch.equal(scores.alive, again.alive)
    assert n < 10 or (scores.log_pb != 0).any()
    for one, other in zip(recorded, gradients(policy, again), strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-3)


def test_backward_policies_without_the_trunk_are_scored_too():
    record, policy = recorder(GRID, backward="maximum_entropy")
    paths, scores = record.draw(20, torch.Generator().manual_seed(1))
    assert torch.allclose(scores.log_pb, record.assessor.score(paths).log_pb)
    assert not scores.log_pb.requires_grad
    assert policy.bias.grad is None


def test_a_gradient_after_the_next_drawing_is_refused():
    record, _ = recorder(GRID)
    generator = torch.Generator().manual_seed(1)
    _, scores = record.draw(5, generator)
    record.draw(5, generator)
    with pytest.raises(RuntimeError, match="drawn again before the gradient"):
        scores.log_pf.sum().backward()


@pytest.mark.parametrize("n", [5, 104], ids=["small", "large"])
def test_recorded_trajectories_are_complete_and_legal(n):
    for env in (GRID, FIXED):
        paths, _ = recorder(env)[0].draw(n, torch.Generator().manual_seed(2))
        assert env.forward_mask(paths.before).gather(1, paths.forward[:, None]).all()
        assert torch.equal(env.step(paths.before, paths.forward).index, paths.after.index)
        assert torch.equal(env.undo(paths.before, paths.forward), paths.backward)
        for row in range(n):
            order = (paths.row == row).nonzero()[:, 0]
            order = order[paths.time[order].argsort()]
            assert paths.time[order].tolist() == list(range(len(order)))
            assert paths.before.index[order[0]] == 0
            assert torch.equal(paths.after.index[order[:-1]], paths.before.index[order[1:]])
            assert paths.after.done[order].tolist() == [False] * (len(order) - 1) + [True]
            assert paths.terminal.index[row] == paths.after.index[order[-1]]


@pytest.mark.parametrize("n", [64, 256], ids=["small", "large"])
def test_recorded_draws_follow_the_exact_law(n):
    record, policy = recorder(GRID, seed=3)
    law = terminal_law(GRID.graph, forward_log_probs(GRID.graph, MLPView(policy)))
    generator, counts, draws = torch.Generator().manual_seed(4), np.zeros(len(GRID.graph.states)), 12_800 // n
    for _ in range(draws):
        paths, _ = record.draw(n, generator)
        counts += np.bincount(paths.terminal.index.numpy(), minlength=len(counts))
    expected = law * draws * n
    some = expected > 5
    squares = ((counts[GRID.graph.terminal.numpy()] - expected)[some] ** 2 / expected[some]).sum()
    assert squares < some.sum() + 6 * (2 * some.sum()) ** 0.5


class MLPView(torch.nn.Module):
    """The policy on the states of the enumerated graph instead of their numbers."""

    def __init__(self, policy):
        super().__init__()
        self.policy = policy
        self.frozen = policy.frozen

    def score(self, states, actions, after, condition=None):
        code = GRID.base.codes(GRID.graph.states)
        number = torch.zeros(int(code.max()) + 1, dtype=torch.int64)
        number[code] = torch.arange(len(code))
        index = number[GRID.base.codes(states)]
        return self.policy.score(type(GRID.source(1))(GRID.done[index], index), actions, after, condition)


@pytest.mark.parametrize("exploration", [Exploration(epsilon=0.5), Exploration(early_stop=0.5)])
def test_the_law_of_drawing_is_told(exploration):
    record, _ = recorder(GRID)
    for n in (8, 65):
        paths, _ = record.draw(n, torch.Generator().manual_seed(5), exploration=exploration)
        log_pf = record.assessor.score(paths).log_pf[paths.time, paths.row].detach()
        on_policy = torch.zeros(n).index_add(0, paths.row, log_pf)
        assert not torch.allclose(paths.log_behaviour, on_policy, atol=1e-2)
        legal = GRID.forward_mask(paths.before)
        law = log_pf.exp()
        uniform = 1.0 / legal.sum(1)
        stop = (paths.forward == GRID.stop).float()
        law = (1 - exploration.epsilon) * law + exploration.epsilon * uniform
        law = (1 - exploration.early_stop) * law + exploration.early_stop * stop
        assert torch.allclose(torch.zeros(n).index_add(0, paths.row, law.log()), paths.log_behaviour, atol=1e-4)


@pytest.mark.parametrize("n", [5, 104], ids=["small", "large"])
def test_a_policy_that_diverged_is_named(n):
    record, policy = recorder(GRID)
    with torch.no_grad():
        policy.bias.fill_(torch.nan)
    with pytest.raises(PolicyDiverged, match="diverged"):
        record.draw(n, torch.Generator().manual_seed(0))
