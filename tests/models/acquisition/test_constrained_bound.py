from __future__ import annotations

import numpy as np
import pytest

from data.records import Prediction
from models.acquisition.constrained_bound import ConstrainedBound
from models.protocols import Scoring

INF = np.inf
FREE = (-INF, INF)
TARGET = Prediction(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.5, 0.1, 2.0]))
SIDE = Prediction(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.25, 0.25, 0.5, 0.5]))
BOTH = (TARGET, SIDE)


def scored(beta=2.0, *limits, predicted=BOTH, improved=(0,)):
    return ConstrainedBound(beta=beta).score(predicted, Scoring(limits=limits, improved=improved)).tolist()


@pytest.mark.parametrize(
    ("limits", "inside"),
    [
        ((-INF, 1.0), [True, True, True, False]),  # 2 - 2 x 0.5 is 1, which is allowed
        ((-INF, 0.99), [True, True, False, False]),
        ((1.5, INF), [False, True, True, True]),
        ((0.6, 1.9), [False, True, True, False]),
    ],
)
def test_who_can_be_feasible_within_the_deviations_has_its_bound_and_the_others_never(limits, inside):
    bound = [3.0, 3.0, 3.2, 8.0]
    assert scored(2.0, FREE, limits) == [b if one else -np.inf for b, one in zip(bound, inside, strict=True)]


def test_all_limits_must_be_kept_to_and_the_targets_count_too():
    assert scored(2.0, (3.1, INF), (-INF, 1.0)) == [-np.inf, -np.inf, 3.2, -np.inf]


def test_the_bound_is_that_of_what_is_to_be_improved_wherever_it_stands():
    turned = scored(2.0, (-INF, 1.0), FREE, predicted=(SIDE, TARGET), improved=(1,))
    assert turned == scored(2.0, FREE, (-INF, 1.0)) == [3.0, 3.0, 3.2, -np.inf]


def test_no_optimism_leaves_the_means():
    assert scored(0.0, FREE, (-INF, 1.0)) == [1.0, 2.0, -np.inf, -np.inf]
    assert scored(0.0) == [1.0, 2.0, 3.0, 4.0]


def test_only_if_nobody_can_be_feasible_is_that_declared():
    about = Scoring(limits=(FREE, (4.0, 9.0)))
    bold, shy = (ConstrainedBound(beta=beta) for beta in (2.0, 1.9))
    assert bold.verdict(BOTH, about) is None  # 3 + 2 x 0.5 is 4
    verdict = shy.verdict(BOTH, about)
    assert verdict is not None
    assert "None of 4 candidates can keep to the limits of the objectives within 1.9 standard deviations" in verdict
    assert "Relax a limit, raise the option beta" in verdict
    assert shy.score(BOTH, about).tolist() == [-np.inf] * 4


def test_an_empty_pool_is_not_declared_infeasible():
    nobody, about = Prediction(np.zeros(0), np.ones(0)), Scoring(limits=((4.0, INF),))
    assert ConstrainedBound().verdict((nobody,), about) is None
    assert ConstrainedBound().score((nobody,), about).shape == (0,)
