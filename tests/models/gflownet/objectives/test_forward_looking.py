"""Forward-looking objectives: the loss of whole flows, however a reward of unfinished states splits them."""

from __future__ import annotations

import pytest

from models.registry import build, kinds

PLAIN = {
    kind: kind.removeprefix("forward_looking_") for kind in kinds("objective") if kind.startswith("forward_looking_")
}


def test_detailed_balance_sub_trajectory_balance_and_flow_matching_look_forward():
    assert set(PLAIN.values()) == {"detailed_balance", "sub_trajectory_balance", "flow_matching"}


@pytest.mark.parametrize("kind", PLAIN)
def test_it_is_marked_and_has_the_loss_needs_and_options_of_its_plain_form(made, kind):
    looking, plain = kinds("objective")[kind], kinds("objective")[PLAIN[kind]]
    assert (looking.forward_looking, plain.forward_looking) == (True, False)
    assert looking.needs == plain.needs
    assert looking.learns_flow
    assert looking.reference != plain.reference
    t = made.random(1)
    options = {"residual": "huber"}
    losses = [build("objective", {"kind": name, **options}).loss(t).item() for name in (kind, PLAIN[kind])]
    assert losses[0] == losses[1]
