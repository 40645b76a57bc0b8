"""What every registered objective must keep to, whatever its formula."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gflownet.objectives.base import Objective
from models.registry import kinds

few = settings(deadline=None, max_examples=4)


def gradients(objective, t):
    """Gradients in the answers of a policy, zero where there is none."""
    inputs = [t.log_pf, t.log_pb, t.log_flow]
    found = torch.autograd.grad(objective.loss(t), inputs, allow_unused=True, materialize_grads=True)
    return [torch.where(t.alive, gradient, 0.0) for gradient in found]


@few
@given(seed=st.integers(0, 1000))
def test_the_order_of_trajectories_does_not_matter(made, seed):
    t = made.random(seed)
    order = torch.randperm(len(t), generator=torch.Generator().manual_seed(seed))
    for objective in made.every_objective():
        before, after = objective.loss(t).item(), objective.loss(made.rows(t, order)).item()
        assert after == pytest.approx(before, rel=1e-12, abs=1e-12), objective.config()


@few
@given(seed=st.integers(0, 1000), steps=st.integers(1, 4))
def test_padding_changes_neither_loss_nor_gradients(made, seed, steps):
    t = made.random(seed)
    longer = made.padded(t, steps)
    for objective in made.every_objective():
        assert objective.loss(longer).item() == pytest.approx(objective.loss(t).item(), rel=1e-12), objective.config()
        for short, long in zip(gradients(objective, t), gradients(objective, longer), strict=True):
            torch.testing.assert_close(long[: len(short)], short, rtol=1e-10, atol=1e-12)


@few
@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_no_gradient_is_ever_nan_where_trajectories_are_padded(made, seed, scale):
    t = made.padded(made.random(seed, dtype=torch.float32, n=4, longest=7), 2)
    with torch.no_grad():
        t.log_flow.mul_(scale)
    for objective in made.every_objective():
        every = [t.log_pf, t.log_pb, t.log_flow, t.log_stop, t.log_state_reward, t.log_inflow, t.log_prior]
        found = torch.autograd.grad(objective.loss(t), every, allow_unused=True, materialize_grads=True)
        assert all(bool(gradient.isfinite().all()) for gradient in found), objective.config()


@few
@given(seed=st.integers(0, 1000), shift=st.floats(-30, 30))
def test_a_constant_factor_of_the_reward_moves_flows_and_log_z_and_nothing_else(made, seed, shift):
    t = made.random(seed)
    for objective in made.every_objective():
        if objective.zero_at_optimum or getattr(objective.options, "baseline", "") == "global":
            after = objective.loss(made.shifted(t, shift)).item()
            assert after == pytest.approx(objective.loss(t).item(), rel=1e-8, abs=1e-9), objective.config()


@pytest.mark.parametrize("kind", kinds("objective"))
def test_it_names_its_paper_and_can_be_made_again_from_its_configuration(kind):
    cls = kinds("objective")[kind]
    objective = cls()
    assert issubclass(cls, Objective)
    assert "arXiv:" in cls.reference
    assert cls.from_config(objective.config()).config() == objective.config()


@pytest.mark.parametrize("kind", kinds("objective"))
def test_trajectories_of_unknown_origin_are_refused_exactly_by_objectives_that_need_their_law(made, kind):
    objective = kinds("objective")[kind]()
    t = made.random()
    t.log_behaviour[2] = torch.nan
    if objective.on_policy:
        with pytest.raises(ValueError, match=f"'{kind}'.*1 of 6"):
            objective.loss(t)
    else:
        assert objective.loss(t).isfinite()
