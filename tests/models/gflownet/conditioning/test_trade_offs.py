"""One policy for all trade-offs between two rewards on a grid, against exact laws; see `models.systems.preference_conditioned`."""

from __future__ import annotations

import pytest
import torch

from data.pareto import hypervolume, undominated
from models.gflownet.judging.exact import target_law
from models.registry import build
from models.systems.preference_conditioned import CONDITIONS, FRONT, HEIGHT, STEPS, Trained, log_rewards

OBJECTS = [(u, v) for u in range(HEIGHT) for v in range(HEIGHT)]
VALUES = log_rewards(OBJECTS)


def weighed(weights, beta, scalarisation="weighted_sum"):
    """Log-rewards of the grid under a preference."""
    conditioning = build("conditioning", {"kind": "preference", "beta": beta, "scalarisation": scalarisation})
    return conditioning.log_reward(VALUES, torch.tensor([weights], dtype=torch.float64).expand(len(VALUES), -1))


def test_the_front_of_the_grid_is_what_was_published():
    points = [tuple(point) for point in VALUES.exp().tolist()]
    rounded = [tuple(round(value, 12) for value in point) for point in points]
    front = [rounded[place] for place in undominated(rounded)]
    assert (len(front), len(set(front))) == (28, 19)
    assert hypervolume(points, (0.0, 0.0)) == pytest.approx(FRONT, abs=1e-8)


@pytest.mark.parametrize(
    ("beta", "weights", "log_z", "first", "second"),
    [
        (1.0, (1.0, 0.0), 4.096594, 0.605542, 0.041042),
        (1.0, (0.75, 0.25), 4.096594, 0.464417, 0.182167),
        (1.0, (0.5, 0.5), 4.096594, 0.323292, 0.323292),
        (8.0, (1.0, 0.0), 2.395070, 0.891415, 0.005347),
        (8.0, (0.75, 0.25), 0.111620, 0.889887, 0.005746),
        (8.0, (0.5, 0.5), -2.399998, 0.446214, 0.446214),
        (32.0, (1.0, 0.0), 1.016336, 0.969896, 0.003635),
        (32.0, (0.5, 0.5), -20.347610, 0.486458, 0.486458),
    ],
)
def test_the_law_of_a_weighted_sum_is_the_one_calculated_by_hand(beta, weights, log_z, first, second):
    log_reward = weighed(weights, beta)
    law = torch.from_numpy(target_law(log_reward.numpy()))
    assert float(log_reward.logsumexp(0)) == pytest.approx(log_z, abs=1e-5)
    assert (law @ VALUES.exp()).tolist() == pytest.approx([first, second], abs=1e-5)


def test_the_middle_of_the_front_is_asked_for_by_chebyshev_and_not_by_a_weighted_sum():
    inside = VALUES.exp().amin(1) >= 0.2
    shares = {
        kind: float(torch.from_numpy(target_law(weighed((0.5, 0.5), 8.0, kind).numpy()))[inside].sum())
        for kind in ("weighted_sum", "product", "chebyshev")
    }
    assert shares["weighted_sum"] < 0.001
    assert shares["chebyshev"] > 0.8
    assert shares["weighted_sum"] < shares["product"] < shares["chebyshev"]


@pytest.mark.trial
@pytest.mark.timeout(300)
def test_a_weighted_sum_has_the_law_of_every_preference_and_never_the_middle_of_the_front():
    trained = Trained.under(CONDITIONS["weighted_sum"], steps=STEPS["weighted_sum"])
    assert trained.unseen() <= 0.1
    assert trained.fidelity() >= 0.95
    asked, reached = trained.middle()
    assert asked < 1e-6
    assert reached < 0.001
    assert trained.volume() < 0.5


@pytest.mark.trial
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["chebyshev", "focus_region"])
def test_chebyshev_and_focus_regions_reach_the_whole_front(kind):
    trained = Trained.under(CONDITIONS[kind], steps=STEPS[kind])
    assert trained.unseen() <= 0.1
    assert trained.fidelity() >= 0.95
    assert trained.volume() >= 0.9
    asked, reached = trained.middle()
    assert asked > 0.8
    assert reached > 0.7


@pytest.mark.trial
@pytest.mark.timeout(300)
def test_replayed_objects_are_trained_on_in_hindsight():
    options = {"replay_share": 0.5, "replay": {"kind": "uniform", "capacity": 300}}
    trained = Trained.under(CONDITIONS["focus_region"], steps=STEPS["focus_region"], **options)
    assert trained.unseen() <= 0.1
    assert trained.volume() >= 0.9
