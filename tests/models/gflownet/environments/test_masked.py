"""Partly set variables: flows of the fixed point are marginals, exactly; the Ising model against values known before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.gflownet.environments.masked import Masked, every_object
from models.gflownet.judging.exact import backward_log_probs, enumerate_graph, fixed_point
from models.registry import ComponentError, build
from tests.models.gflownet.environments.properties import stays_on_its_device, walk_there_and_back


def ising(**options):
    return build("reward", {"kind": "ising", **options})


def judged(reward, env):
    return reward.build(env, home=Path(), base=Path())


@pytest.mark.parametrize(
    ("side", "log_z", "one", "two", "entropy"),
    [
        (3, 7.11537337, 0.73254215, 0.57998536, 4.875039),
        (4, 12.59850260, 0.74000254, 0.58301892, 8.681267),
    ],
)
def test_the_ising_model_on_a_torus_has_its_known_figures(side, log_z, one, two, entropy):
    value = every_object(side * side)
    log_reward = ising(rows=side, columns=side).log_reward(value)
    law = log_reward.softmax(0)
    assert log_reward.logsumexp(0).item() == pytest.approx(log_z, abs=5e-9)
    assert law[value[:, 0] == 1].sum().item() == pytest.approx(one, abs=5e-9)
    assert law[(value[:, :2] == 1).all(1)].sum().item() == pytest.approx(two, abs=5e-9)
    assert -(law * log_reward.log_softmax(0)).sum().item() == pytest.approx(entropy, abs=5e-7)


def test_the_reward_counts_each_bond_twice_and_judges_what_the_environment_makes():
    env, reward = Masked(variables=12), ising(rows=3, columns=4, coupling=0.3, field=-0.5)
    ones = env.states_of([(1,) * 12, (1,) * 11 + (0,)], torch.Generator())
    values, objects = judged(reward, env)(ones)
    # 24 bonds, two ends each; one spin turned costs its four bonds twice over, and gains the field twice.
    assert values.tolist() == pytest.approx([48 * 0.3 - 6.0, 48 * 0.3 - 6.0 - 16 * 0.3 + 1.0])
    assert objects == [(1,) * 12, (1,) * 11 + (0,)]


@pytest.mark.parametrize(("variables", "values"), [(3, 2), (2, 3), (4, 2)])
def test_flows_of_the_fixed_point_are_the_marginals_of_the_target(variables, values):
    env = Masked(variables=variables, values=values)
    graph = enumerate_graph(env)
    assert len(graph.states) == (values + 1) ** variables
    log_reward = torch.randn(len(graph.objects), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_pb = backward_log_probs(env, graph, build("backward_policy", {"kind": "uniform"}), None)
    point = fixed_point(graph, log_reward.numpy(), log_pb)
    objects, law = torch.tensor(graph.objects), log_reward.softmax(0)
    states = graph.states
    for at, found in enumerate(env.log_marginal(states, point.log_flow, point.log_flow[0]).exp().tolist()):
        held = states.value[at] < values
        agree = (objects[:, held] == states.value[at][held]).all(1)
        assert found == pytest.approx(law[agree].sum().item(), abs=1e-12)


def test_every_object_is_there_once_and_partial_states_have_what_was_asked_for():
    env = Masked(variables=3, values=3)
    assert len({tuple(row) for row in every_object(3, 3).tolist()}) == 27
    states = env.partial([{}, {1: 2}, {0: 0, 1: 1, 2: 2}])
    assert states.value.tolist() == [[3, 3, 3], [3, 2, 3], [0, 1, 2]]
    assert states.done.tolist() == [False, False, True]
    assert env.log_paths(states).exp().tolist() == pytest.approx([1, 1, 6])


@pytest.mark.parametrize("options", [{"variables": 1}, {"variables": 5, "values": 4}, {"variables": 40}])
def test_walks_can_be_taken_back(options):
    env = Masked(**options)
    walk_there_and_back(env, 20, 0)
    stays_on_its_device(env)


def test_what_does_not_fit_is_refused():
    with pytest.raises(
        ValueError, match=r"'ising' of 3 x 3 spins is for 9 variables.*Use \{kind: masked, variables: 9"
    ):
        judged(ising(), Masked(variables=8))
    with pytest.raises(ValueError, match="expected 3 numbers below 2"):
        Masked(variables=3).states_of([(0, 2, 1)], torch.Generator())
    with pytest.raises(ComponentError, match="greater than or equal to 3"):
        ising(rows=2)
