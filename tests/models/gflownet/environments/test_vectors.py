"""Vectors: what a state holds, rows of numbers there and back, and what is not listed is refused."""

from __future__ import annotations

import math

import pytest
import torch

from models.gflownet.environments.base import NotProvided
from models.gflownet.environments.tabulated import Tabulated
from models.gflownet.environments.vectors import Vectors
from models.gflownet.judging.exact import TooManyStates, enumerate_graph
from models.gflownet.policies.vectors import UniformVectors
from models.gflownet.training.trajectories import sample_forward
from models.registry import build, kinds

MIXED = [{"kind": "levels", "n": 3}, {"kind": "real"}, {"kind": "fractions", "n": 3}, {"kind": "real"}]


def mixed():
    return Vectors(variables=MIXED)


def test_a_row_has_all_fractions_and_a_state_all_but_the_last():
    env = mixed()
    row = (2, 0.25, 0.5, 0.125, 0.375, 1.0)
    states = env.encode([row])
    assert states.value.tolist() == [[2.0, 0.25, 0.5, 0.125, 1.0]]
    assert bool(states.done)
    assert env.decode(states) == [row]
    assert isinstance(env.decode(states)[0][0], int)


def test_trajectories_there_and_back_are_the_same_numbers():
    env = mixed()
    paths = sample_forward(env, UniformVectors(env), 50, torch.Generator().manual_seed(0))
    assert len(paths.row) == 50 * 5
    back = env.backstep(paths.after, paths.backward)
    assert env.keys(back) == env.keys(paths.before)
    assert torch.equal(env.redo(paths.after, paths.backward), paths.forward)
    assert paths.forward.dtype == torch.float64
    rows = env.decode(paths.terminal)
    assert len(set(rows)) == 50
    assert all(math.fsum(row[2:5]) == pytest.approx(1.0, abs=1e-12) and min(row[1:]) >= 0.0 for row in rows)
    assert env.decode(env.encode(rows)) == rows


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ((1, 0.5, 0.2, 0.3, 0.5), "has 5 numbers; expected 6"),
        ((3, 0.5, 0.2, 0.3, 0.5, 0.0), "expected an integer 0 .. 2"),
        ((0.5, 0.5, 0.2, 0.3, 0.5, 0.0), "expected an integer 0 .. 2"),
        ((1, 1.5, 0.2, 0.3, 0.5, 0.0), "from 0 to 1"),
        ((1, math.nan, 0.2, 0.3, 0.5, 0.0), "from 0 to 1"),
        ((1, 0.5, 0.2, 0.3, 0.6, 0.0), "sum to 1.1; expected 1"),
    ],
)
def test_a_row_that_is_no_object_is_refused(row, told):
    with pytest.raises(ValueError, match=told):
        mixed().encode([row])


def test_what_would_list_all_numbers_is_refused_in_a_sentence():
    env = mixed()
    with pytest.raises(TooManyStates, match="real variables"):
        enumerate_graph(env)
    with pytest.raises(TooManyStates, match="real variables"):
        Tabulated(env)
    with pytest.raises(NotProvided, match="beta_mixture"):
        env.forward_mask(env.source(1))
    with pytest.raises(ValueError, match="'beta_mixture'"):
        build("policy", {"kind": "mlp"}).build(env, torch.Generator())
    refused = {kind for kind, cls in kinds("objective").items() if cls().refusal(env) is not None}
    assert refused >= {"flow_matching", "forward_looking_flow_matching", "modified_detailed_balance"}
    assert not refused & {"trajectory_balance", "detailed_balance", "sub_trajectory_balance", "log_partition_variance"}
    assert "real variables" in kinds("objective")["flow_matching"]().refusal(env)


@pytest.mark.parametrize("variables", [[{"kind": "levels", "n": 3}, {"kind": "levels", "n": 5}], MIXED[:2]])
def test_the_rewards_of_all_objects_sum_to_two(variables):
    """By the midpoint rule, whose error for Beta(4, 12) with 64 cells is far below 1e-6."""
    env = Vectors(variables=variables)
    grid = env.grid(4096)
    reals = sum(v["kind"] == "real" for v in variables)
    cell = (len(grid) / math.prod(v.get("n", 1) for v in variables)) ** -1 if reals else 1.0
    assert env.log_reward(grid).exp().sum().item() * cell == pytest.approx(2.0, abs=1e-6)


def test_the_reward_of_fractions_integrates_to_two_over_the_simplex():
    """Through the breaks (u, v) of the unit square: fractions u, v (1 - u), (1 - v)(1 - u), Jacobian 1 - u."""
    env = Vectors(variables=[{"kind": "fractions", "n": 3}])
    u, v = torch.cartesian_prod(*[(torch.arange(200).double() + 0.5) / 200] * 2).T
    rows = torch.stack([u, v * (1 - u), (1 - v) * (1 - u)], 1)
    reward = env.log_reward(env.encode(rows.tolist())).exp()
    assert (reward * (1 - u)).mean().item() == pytest.approx(2.0, abs=1e-3)
    # Dirichlet(6, 2, 2) at thirds: Gamma(10) / Gamma(6) / 3^7, twice.
    third = env.log_reward(env.encode([(1 / 3, 1 / 3, 1 / 3)])).exp().item()
    assert third == pytest.approx(2 * 9 * 8 * 7 * 6 / 3**7, rel=1e-9)
