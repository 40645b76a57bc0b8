from __future__ import annotations

import numpy as np
import pytest

from data.records import Prediction
from models.acquisition.constrained_bound import ConstrainedBound
from models.protocols import Scoring

TARGET = Prediction(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.5, 0.1, 2.0]))
SIDE = Prediction(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.25, 0.25, 0.5, 0.5]))
BOTH = (TARGET, SIDE)


def scored(beta=2.0, *constraints, predicted=BOTH, signs=()):
    return ConstrainedBound(beta=beta, constraints=constraints).towards(signs).score(predicted, Scoring()).tolist()


@pytest.mark.parametrize(
    ("limits", "inside"),
    [
        ({"at_most": 1.0}, [True, True, True, False]),  # 2 - 2 x 0.5 is 1, which is allowed
        ({"at_most": 0.99}, [True, True, False, False]),
        ({"at_least": 1.5}, [False, True, True, True]),
        ({"at_least": 0.6, "at_most": 1.9}, [False, True, True, False]),
    ],
)
def test_who_can_be_feasible_within_the_deviations_has_its_bound_and_the_others_never(limits, inside):
    bound = [3.0, 3.0, 3.2, 8.0]
    assert scored(2.0, {"objective": 1, **limits}) == [
        b if one else -np.inf for b, one in zip(bound, inside, strict=True)
    ]


def test_all_constraints_must_hold_and_the_target_counts_as_one():
    limits = [{"objective": 1, "at_most": 1.0}, {"objective": 0, "at_least": 3.1}]
    assert scored(2.0, *limits) == [-np.inf, -np.inf, 3.2, -np.inf]


def test_to_minimise_the_bound_is_that_of_the_opposite_and_limits_stay_in_their_unit():
    limits = [{"objective": 1, "at_most": 1.0}, {"objective": 0, "at_least": 0.0}]
    low = (Prediction(-TARGET.mean, TARGET.std), SIDE)
    assert scored(2.0, *limits, predicted=low, signs=(-1, 1)) == [1.0, -1.0, -2.8, -np.inf]


def test_no_optimism_leaves_the_means():
    assert scored(0.0, {"objective": 1, "at_most": 1.0}) == [1.0, 2.0, -np.inf, -np.inf]
    assert scored(0.0) == [1.0, 2.0, 3.0, 4.0]


def test_only_if_nobody_can_be_feasible_is_that_declared():
    limits = {"objective": 1, "at_least": 4.0, "at_most": 9.0}
    bold, shy = (ConstrainedBound(beta=beta, constraints=[limits]) for beta in (2.0, 1.9))
    assert bold.verdict(BOTH) is None  # 3 + 2 x 0.5 is 4
    verdict = shy.verdict(BOTH)
    assert verdict is not None
    assert "None of 4 candidates can satisfy the constraints within 1.9 standard deviations" in verdict
    assert "objective 1 at least 4 and at most 9" in verdict
    assert "Relax a constraint, raise beta" in verdict
    assert shy.score(BOTH, Scoring()).tolist() == [-np.inf] * 4


def test_an_empty_pool_is_not_declared_infeasible():
    nobody = Prediction(np.zeros(0), np.ones(0))
    limited = ConstrainedBound(constraints=[{"at_least": 4.0}])
    assert limited.verdict((nobody,)) is None
    assert limited.score((nobody,), Scoring()).shape == (0,)
