"""Learned energy decomposition as a loss of whole flows; how they are made is tested with the training."""

from __future__ import annotations

import pytest

from models.registry import build

KIND = "learned_energy_decomposition"


@pytest.mark.parametrize("potentials", ["states", "edges"])
@pytest.mark.parametrize(
    ("balance", "plain"),
    [("detailed", {"kind": "detailed_balance"}), ("sub_trajectory", {"kind": "sub_trajectory_balance", "decay": 0.7})],
)
def test_it_has_the_loss_of_its_balance(made, potentials, balance, plain):
    t = made.random(1)
    learnt = build(
        "objective", {"kind": KIND, "potentials": potentials, "balance": balance, "decay": 0.7, "residual": "huber"}
    )
    assert learnt.learns_potentials
    assert not learnt.forward_looking
    assert learnt.loss(t).item() == build("objective", {**plain, "residual": "huber"}).loss(t).item()
