"""Ways of buying among levels: each is registered, and all keep the promises of `models.buying.base`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.buying.base import NEW, Offer
from models.registry import build, kinds

KINDS = list(kinds("buying"))
every = pytest.mark.parametrize("kind", KINDS)
NESTED = [kind for kind in KINDS if kind != "one_level"]


def made(kind: str, **options: Any) -> Any:
    return build("buying", {"kind": kind, **options})


def offer(levels: int = 2, new: int = 6, held: int = 10, n: int = 4) -> Offer:
    """New members, and held ones that are measured at the cheapest level; larger indices score better."""
    m = new + held

    def joint(members: Any) -> tuple[Any, Any]:
        k = len(members)
        shared = (
            np.kron(np.ones((levels, levels)), np.eye(k))
            * np.linspace(0.5, 1.5, k).repeat(1)[None, :].repeat(levels, 0).ravel()
        )
        return np.tile(np.linspace(-1, 1, k), (levels, 1)), shared + np.diag(np.repeat(np.arange(levels) * 0.1, k))

    return Offer(
        chosen=tuple(range(n)),
        scores=np.linspace(0, 1, m),
        reached=np.array([NEW] * new + [0] * held),
        low=np.array([np.nan] * new + list(np.linspace(1, 0, held))),
        answered=np.array([held] + [0] * (levels - 1)),
        asked=np.array([held] + [0] * (levels - 1)),
        costs=np.array([0.1, 0.5, 1.0][-levels:] if levels > 2 else [0.1, 1.0]),
        n=n,
        best=0.5,
        joint=joint,
        noise=np.full(levels, 1e-3),
    )


@every
@pytest.mark.parametrize("levels", [2, 3])
def test_a_purchase_is_of_levels_that_the_object_does_not_have(kind: str, levels: int) -> None:
    given = offer(levels)
    choices = made(kind).buy(given)
    assert choices
    assert len({choice.member for choice in choices}) == len(choices)
    for member, own in choices:
        assert own
        assert min(own) > given.reached[member]
        if kind in NESTED:
            assert own == given.missing(member, own[-1])


@every
def test_what_is_forbidden_is_not_bought(kind: str) -> None:
    given = offer()
    scores = given.scores.copy()
    scores[-3:] = -np.inf
    assert not {choice.member for choice in made(kind).buy(replace(given, scores=scores))} & {13, 14, 15}


@every
def test_the_control_arm_and_some_of_the_initial_design_are_measured_truly(kind: str) -> None:
    assert made(kind).control(3)[-1] == 2
    design = made(kind).initial(40, 3)
    assert len(design) == 40
    assert sum(2 in own for own in design) >= 6
    assert made(kind).why()


@pytest.mark.parametrize("kind", NESTED)
def test_a_share_of_the_initial_design_goes_up_at_each_level(kind: str) -> None:
    design = made(kind, promote=0.25).initial(100, 3)
    assert [sum(level in own for own in design) for level in range(3)] == [100, 25, 7]


def test_the_funnel_promotes_the_best_by_the_proxy_or_by_the_cheap_value() -> None:
    given = offer()
    assert made("funnel").buy(given)[:2] == [(15, (1,)), (14, (1,))]
    assert made("funnel").buy(replace(given, joint=None))[:2] == [(6, (1,)), (7, (1,))]
    enough = replace(given, asked=np.array([10, 2]))
    assert [own for _, own in made("funnel").buy(enough)] == [(0,)] * 4


def test_information_takes_the_cheap_level_where_it_says_as_much() -> None:
    same = offer(held=0)
    choices = made("information").buy(same)
    assert len(choices) == 4
    assert {own for _, own in choices} == {(0,)}
    deaf = replace(same, noise=np.array([1e6, 1e-3]))
    assert {own for _, own in made("information").buy(deaf)} == {(0, 1)}


def test_information_needs_a_proxy_of_all_levels() -> None:
    with pytest.raises(ValueError, match="autoregressive"):
        made("information").buy(replace(offer(), joint=None))


def test_one_level_buys_the_truth_of_what_was_chosen() -> None:
    assert made("one_level").buy(offer(3)) == [(member, (2,)) for member in range(4)]
