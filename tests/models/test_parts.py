"""What a campaign's configuration makes: the goal is heeded once, and everything below it only maximises."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from data.config import CampaignConfig
from models.acquisition.base import about_round
from models.component import ComponentError
from models.parts import acquisition_of, reward_of, selector_of, space_of, through_goal
from models.proxies.calibration import calibrated
from models.registry import Component, build
from models.selectors.choice import choose
from tests.models.proxies.problems import FAR, TEST, TRAIN, Y

POOL = [*TEST, *FAR]
LIMIT = float(Y.max()) + 0.3
ACQUISITIONS = [
    ({"kind": kind}, {"kind": kind})
    for kind in ("mean", "upper_confidence_bound", "expected_improvement", "noisy_expected_improvement")
] + [
    (
        {"kind": kind, "constraints": [{"at_most": LIMIT}]},
        {"kind": kind, "constraints": [{"at_least": -LIMIT}]},
    )
    for kind in ("constrained", "constrained_bound")
]
"""Acquisitions of what is to be large, and of its opposite that is to be small: limits are in their own units."""


def config_of(goal, acquisition, selector="kriging_believer"):
    return CampaignConfig.model_validate(
        {
            "name": "one",
            "objectives": [{"name": "gap", "goal": goal, "oracle": {"kind": "rdkit", "property": "logp"}}],
            "acquisition": acquisition,
            "selector": {"kind": selector},
        }
    )


@cache
def proxy_of(sign):
    proxy = calibrated(build("proxy", {"kind": "gaussian_process"}))
    proxy.fit(TRAIN, sign * Y, seed=1)
    return proxy


def course(config, sign):
    """Return what is bought, the rewards by the proxy and those of measured values."""
    proxy, values = through_goal(config, proxy_of(sign), sign * Y)
    acquisition, space = acquisition_of(config), space_of(config)
    about = about_round(acquisition, proxy, TRAIN, values, seed=3, space=space)
    prediction = proxy.predict(POOL)
    scored = acquisition.score((prediction,), replace(about, objects=tuple(POOL)))
    selector = selector_of(config)
    chosen = choose(selector, acquisition, proxy, about, POOL, prediction, scored, 4, space=space, seed=2)
    reward = reward_of(config, proxy, TRAIN, values, seed=3)
    return [POOL[i] for i in chosen], reward([*POOL, *TRAIN]), reward.of_values(values)


@pytest.mark.parametrize("selector", ["kriging_believer", "thompson", "local_penalisation", "pareto_diverse"])
@pytest.mark.parametrize(("up", "down"), ACQUISITIONS, ids=lambda spec: spec["kind"])
def test_minimising_is_the_mirror_image_of_maximising_the_opposite(up, down, selector):
    bought, rewards, known = course(config_of("maximise", up, selector), 1)
    others, same_rewards, same_known = course(config_of("minimise", down, selector), -1)
    assert len(set(bought)) == 4
    assert others == bought
    np.testing.assert_array_equal(same_rewards, rewards)
    np.testing.assert_array_equal(same_known, known)
    assert np.ptp(rewards) > 0


def test_to_minimise_buys_others_and_rewards_small_values():
    spec = {"kind": "upper_confidence_bound"}
    (high, _, known), (low, _, turned) = (course(config_of(goal, spec), 1) for goal in ("maximise", "minimise"))
    assert not set(high) & set(low)
    np.testing.assert_array_equal(np.argsort(known, kind="stable"), np.argsort(Y, kind="stable"))
    np.testing.assert_allclose(turned, -known, atol=2e-9)


class Older(Component):
    """A plugin's acquisition that is called with the best value and the goal."""

    group = "acquisition"
    kind = "older_of_the_parts_test"

    def score(self, prediction, *, best, maximise):
        return prediction.mean


def test_an_acquisition_that_is_called_as_it_once_was_is_refused_before_anything_is_bought():
    with pytest.raises(
        ComponentError, match=r"'older_of_the_parts_test'.*has `score\(prediction, \*, best, maximise\)`"
    ):
        acquisition_of(config_of("maximise", {"kind": Older.kind}))


def test_an_acquisition_of_several_objectives_is_refused_for_one():
    with pytest.raises(ComponentError, match=r"'chebyshev' weighs at least 2 objectives.*this campaign has 1"):
        acquisition_of(config_of("maximise", {"kind": "chebyshev"}))
