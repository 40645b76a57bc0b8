"""Losses of a residual."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gflownet.objectives.residuals import Residual, residual_loss

KINDS = get_args(Residual)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_zero_at_zero_with_the_same_curvature_for_all_kinds(kind):
    zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loss = residual_loss(zero, kind)
    (slope,) = torch.autograd.grad(loss, zero, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, zero)
    assert (loss.item(), slope.item(), curvature.item()) == (0.0, 0.0, 2.0)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=30)
@given(value=st.floats(1e-3, 1e4))
def test_the_loss_is_even_and_grows_and_its_gradient_is_finite(kind, value):
    t = torch.tensor([-value, value, 1.1 * value], requires_grad=True)
    loss = residual_loss(t, kind)
    (slope,) = torch.autograd.grad(loss.sum(), t)
    assert loss[0].item() == pytest.approx(loss[1].item(), rel=1e-5)
    assert 0 < loss[1] < loss[2]
    assert slope.isfinite().all()


def test_huber_is_linear_beyond_one():
    assert residual_loss(torch.tensor([0.5, 1.0, 3.0]), "huber").tolist() == pytest.approx([0.25, 1.0, 5.0])


def test_the_shifted_cosine_is_that_within_twenty_and_its_tangent_beyond():
    t = torch.tensor([2.0, 20.0, 21.0], dtype=torch.float64)
    expected = 2 * t.cosh() - 2
    expected[2] = 2 * t[1].cosh() - 2 + 2 * t[1].sinh()
    torch.testing.assert_close(residual_loss(t, "shifted_cosh"), expected)
