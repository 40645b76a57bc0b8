"""What a campaign's configuration makes: the goals are heeded once, and everything below them only maximises."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from data.config import CampaignConfig
from models.acquisition.base import about_round
from models.component import ComponentError
from models.parts import acquisition_of, replaced_acquisition_told, reward_of, selector_of, space_of, through_goal
from models.proxies.calibration import calibrated
from models.registry import Component, build
from models.selectors.choice import choose
from tests.models.proxies.problems import FAR, TEST, TRAIN, Y

POOL = [*TEST, *FAR]
ACQUISITIONS = [
    {"kind": kind} for kind in ("mean", "upper_confidence_bound", "expected_improvement", "noisy_expected_improvement")
]
OF_SEVERAL = [{"kind": kind} for kind in ("expected_hypervolume_improvement", "chebyshev", "weighted_sum")]
SELECTORS = ["kriging_believer", "thompson", "local_penalisation", "pareto_diverse", "optimum_probability"]
ORACLE = {"kind": "rdkit", "property": "logp"}
ATOMS = np.array([len(obj) for obj in TRAIN], dtype=float)
"""A second thing that is known of the measured molecules: how long their texts are."""


def config_of(*objectives, acquisition=None, selector="kriging_believer"):
    """Return a campaign of objectives, each a goal or a mapping of goal, at_least, at_most and target."""
    given = [{"goal": one} if isinstance(one, str) else one for one in objectives]
    return CampaignConfig.model_validate(
        {
            "name": "one",
            "objectives": [{"name": f"o{k}", "oracle": ORACLE, **one} for k, one in enumerate(given)],
            **({} if acquisition is None else {"acquisition": acquisition}),
            "selector": {"kind": selector},
        }
    )


@cache
def proxy_of(sign, of="logp"):
    proxy = calibrated(build("proxy", {"kind": "gaussian_process"}))
    proxy.fit(TRAIN, sign * (Y if of == "logp" else ATOMS), seed=1)
    return proxy


def course(config, *signed):
    """Return what is bought, the rewards by the proxies and those of measured values.

    Args:
        config: of the campaign.
        signed: sign and name of what is measured, per objective.
    """
    proxies = tuple(proxy_of(*one) for one in signed)
    own = np.column_stack([sign * (Y if of == "logp" else ATOMS) for sign, of in signed])
    fitted, values = through_goal(config, proxies, own)
    acquisition, space = acquisition_of(config), space_of(config)
    about = about_round(acquisition, fitted, TRAIN, values, seed=3, goals=config.goals, space=space)
    predictions = tuple(one.predict(POOL) for one in fitted)
    scored = acquisition.score(predictions, replace(about, objects=tuple(POOL)))
    selector = selector_of(config)
    chosen = choose(selector, acquisition, fitted, about, POOL, predictions, scored, 4, space=space, seed=2)
    reward = reward_of(config, fitted, TRAIN, values, seed=3)
    return [POOL[i] for i in chosen], reward([*POOL, *TRAIN]), reward.of_values(values)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("limit", [{}, {"at_most": 1.5}], ids=["free", "limited"])
@pytest.mark.parametrize("acquisition", [*ACQUISITIONS, {"kind": "constrained_bound"}], ids=lambda spec: spec["kind"])
def test_minimising_is_the_mirror_image_of_maximising_the_opposite(acquisition, limit, selector):
    up = {"goal": "maximise", **limit}
    down = {"goal": "minimise", **({"at_least": -limit["at_most"]} if limit else {})}
    given = {"acquisition": acquisition, "selector": selector}
    bought, rewards, known = course(config_of(up, **given), (1, "logp"))
    others, same_rewards, same_known = course(config_of(down, **given), (-1, "logp"))
    assert len(set(bought)) == 4
    assert others == bought
    np.testing.assert_array_equal(same_rewards, rewards)
    np.testing.assert_array_equal(same_known, known)
    assert np.ptp(rewards) > 0


@pytest.mark.parametrize("selector", [one for one in SELECTORS if one != "local_penalisation"])
@pytest.mark.parametrize("acquisition", OF_SEVERAL, ids=lambda spec: spec["kind"])
def test_minimising_one_of_several_is_the_mirror_image_too(acquisition, selector):
    given = {"acquisition": acquisition, "selector": selector}
    limits = {"goal": "satisfy", "at_most": 2.0}
    up = course(config_of("maximise", "maximise", limits, **given), (1, "logp"), (-1, "atoms"), (1, "logp"))
    down = course(config_of("maximise", "minimise", limits, **given), (1, "logp"), (1, "atoms"), (1, "logp"))
    assert len(set(up[0])) == 4
    assert down[0] == up[0]
    np.testing.assert_array_equal(down[1], up[1])
    np.testing.assert_array_equal(down[2], up[2])
    assert np.ptp(up[1]) > 0


def test_to_minimise_buys_others_and_rewards_small_values():
    (high, _, known), (low, _, turned) = (course(config_of(goal), (1, "logp")) for goal in ("maximise", "minimise"))
    assert not set(high) & set(low)
    np.testing.assert_array_equal(np.argsort(known, kind="stable"), np.argsort(Y, kind="stable"))
    np.testing.assert_allclose(turned, -known, atol=2e-9)


def test_a_target_buys_and_rewards_what_is_close_to_it():
    target = float(np.median(Y))
    bought, _, known = course(config_of({"goal": "target", "target": target}), (1, "logp"))
    np.testing.assert_array_equal(np.argsort(known), np.argsort(-np.abs(Y - target)))
    spread = np.abs(proxy_of(1).predict(POOL).mean - target)
    chosen = np.abs(proxy_of(1).predict(bought).mean - target)
    assert chosen.mean() < np.median(spread)


def test_what_cannot_be_feasible_is_not_bought_where_other_things_can():
    limit = float(np.median(ATOMS))
    plain, _, _ = course(config_of("maximise"), (1, "logp"))
    config = config_of("maximise", {"goal": "satisfy", "at_most": limit})
    bought, rewards, known = course(config, (1, "logp"), (1, "atoms"))
    assert max(proxy_of(1, "atoms").predict(plain).mean) > limit + 2.0  # without the limit it would be
    assert (proxy_of(1, "atoms").predict(bought).mean < limit + 1.0).all()
    inside = limit >= ATOMS
    assert known[inside].min() > known[~inside].max()
    assert rewards[len(POOL) :][inside].mean() > rewards[len(POOL) :][~inside].mean()


def test_of_several_objectives_the_front_is_rewarded_first():
    config = config_of("maximise", "minimise")
    _, rewards, known = course(config, (1, "logp"), (1, "atoms"))
    values = np.column_stack([Y, -ATOMS])
    beaten = [bool(((values >= one).all(1) & (values > one).any(1)).any()) for one in values]
    assert known[np.logical_not(beaten)].min() > known[beaten].max()
    assert abs(known.mean()) < 0.5
    assert np.isfinite(rewards).all()
    assert np.ptp(rewards) > 1


# Which acquisition


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [
        (["maximise"], {"kind": "upper_confidence_bound"}),
        (["maximise", "minimise"], {"kind": "expected_hypervolume_improvement"}),
        ([{"at_most": 2.0}], {"kind": "constrained", "inner": {"kind": "upper_confidence_bound"}}),
        (
            ["minimise", {"goal": "satisfy", "at_least": 1.0}],
            {"kind": "constrained", "inner": {"kind": "upper_confidence_bound"}},
        ),
        (
            ["minimise", {"goal": "target", "target": 3.0}, {"goal": "satisfy", "at_least": 1.0}],
            {"kind": "constrained", "inner": {"kind": "expected_hypervolume_improvement"}},
        ),
    ],
    ids=str,
)
def test_the_default_goes_by_the_goals(objectives, expected):
    assert acquisition_of(config_of(*objectives)).config() == build("acquisition", expected).config()


@pytest.mark.parametrize(("several", "kind"), [(6, "expected_hypervolume_improvement"), (7, "chebyshev")])
def test_too_many_objectives_for_the_default_get_another_and_a_sentence(several, kind):
    config = config_of(*["maximise"] * several)
    assert acquisition_of(config).config() == build("acquisition", {"kind": kind}).config()
    told = replaced_acquisition_told(config)
    assert (told is None) == (several == 6)
    assert told is None or "improves 7 objectives, and expected_hypervolume_improvement" in told
    assert replaced_acquisition_told(config_of(*["maximise"] * several, acquisition={"kind": "chebyshev"})) is None


@pytest.mark.parametrize(
    ("several", "spec"),
    [
        (7, {"kind": "expected_hypervolume_improvement"}),
        (5, {"kind": "noisy_expected_hypervolume_improvement"}),
        (7, {"kind": "constrained", "inner": {"kind": "expected_hypervolume_improvement"}}),
    ],
)
def test_an_acquisition_that_would_take_hours_is_refused_with_those_that_do_not(several, spec):
    with pytest.raises(ComponentError, match=rf"at most.*; this campaign has {several}\. Use one of .*chebyshev"):
        acquisition_of(config_of(*["maximise"] * several, acquisition=spec))


def test_limits_are_put_around_an_acquisition_that_does_not_heed_them_itself():
    limits = {"goal": "satisfy", "at_least": 1.0}
    for inner in ({"kind": "mean"}, {"kind": "cost_aware"}):
        made = acquisition_of(config_of("maximise", limits, acquisition=inner)).config()
        assert made == build("acquisition", {"kind": "constrained", "inner": inner}).config()
    constrained = {"kind": "constrained", "inner": {"kind": "mean"}}
    inside = {"kind": "cost_aware", "inner": {"kind": "constrained"}}
    for own in (constrained, {"kind": "constrained_bound", "beta": 1.0}, inside):
        made = acquisition_of(config_of("maximise", limits, acquisition=own)).config()
        assert made == build("acquisition", own).config()


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
        acquisition_of(config_of("maximise", acquisition={"kind": Older.kind}))


def test_an_acquisition_of_several_objectives_is_refused_for_one():
    with pytest.raises(ComponentError, match=r"'chebyshev' weighs at least 2 objectives.*this campaign has 1"):
        acquisition_of(config_of("maximise", acquisition={"kind": "chebyshev"}))


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "expected_improvement"},
        {"kind": "constrained"},
        {"kind": "constrained_bound"},
        {"kind": "upper_confidence_bound", "beta": 2.0},
    ],
    ids=str,
)
def test_an_acquisition_of_one_objective_is_refused_for_several_with_those_that_there_are(spec):
    with pytest.raises(ComponentError, match="looks at one objective only; this campaign has 2 to improve") as error:
        acquisition_of(config_of("maximise", "minimise", {"goal": "satisfy", "at_most": 1}, acquisition=spec))
    assert "chebyshev, expected_hypervolume_improvement, noisy_expected_hypervolume_improvement, pareto_rank, " in str(
        error.value
    )
    assert "or constrained around one of them" in str(error.value)


def test_an_acquisition_that_ranks_a_pool_is_refused_before_a_generator_asks_for_a_reward():
    with pytest.raises(ComponentError, match="'pareto_rank' ranks the members of a pool"):
        acquisition_of(config_of("maximise", "minimise", acquisition={"kind": "pareto_rank"}))
    measured = {"kind": "pareto_rank", "among": "measured"}
    bought, rewards, _ = course(config_of("maximise", "minimise", acquisition=measured), (1, "logp"), (1, "atoms"))
    assert len(set(bought)) == 4
    assert np.ptp(rewards) > 0


def test_a_selector_of_one_objective_is_refused_for_several():
    one = config_of("maximise", {"goal": "satisfy", "at_most": 1}, selector="local_penalisation")
    assert selector_of(one).kind == "local_penalisation"
    with pytest.raises(ComponentError, match=r"'local_penalisation' looks at one objective to improve; .* has 2. Use"):
        selector_of(config_of("maximise", "minimise", selector="local_penalisation"))


# Goals


def test_proxies_and_values_are_turned_each_by_its_goal():
    config = config_of("maximise", "minimise", {"goal": "target", "target": 1.0}, {"goal": "satisfy", "at_most": 3.0})
    proxies = tuple(proxy_of(1) for _ in range(4))
    own = np.array([[1.0, 2.0, 3.0, 4.0], [0.5, np.nan, 0.5, np.nan]])
    seen, signed = through_goal(config, proxies, own)
    np.testing.assert_array_equal(signed, [[1.0, -2.0, -2.0, 4.0], [0.5, np.nan, -0.5, np.nan]])
    assert seen[0] is seen[3] is proxies[0]
    np.testing.assert_array_equal(seen[1].predict(POOL).mean, -proxies[0].predict(POOL).mean)
    assert (seen[2].predict(POOL).mean < 0).all()


def test_another_number_of_proxies_or_columns_than_of_objectives_is_refused():
    with pytest.raises(ValueError, match="got 1 proxies, 2 columns and 2 objectives"):
        through_goal(config_of("maximise", "minimise"), (proxy_of(1),), np.zeros((5, 2)))
