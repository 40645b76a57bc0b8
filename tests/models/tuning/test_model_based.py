"""Rungs, and settings that a model proposes."""

from __future__ import annotations

import numpy as np
import pytest

from models.systems.model_based_tuning import Course, Courses
from models.tuning.base import Budget
from models.tuning.model_based import ModelBased


def test_rungs_are_powers_of_eta_below_a_training_in_full() -> None:
    assert ModelBased().levels(27) == [3, 9, 27]
    assert ModelBased(rungs=4).levels(9) == [1, 3, 9]


def test_the_best_third_at_a_rung_goes_on() -> None:
    tuner = ModelBased()
    assert [score for score in range(6) if tuner.goes_on(score, list(range(6)))] == [4, 5]
    assert tuner.goes_on(1.0, [1.0]), "the first at a rung has no rivals"
    assert not tuner.goes_on(-np.inf, [-np.inf])


def test_no_member_is_trained_further_than_in_full_and_the_budget_ends_the_search() -> None:
    budget = Budget(units=100)
    found = ModelBased().search(Courses(), 3, budget, seed=0)
    assert {row.units for row in found.rows} <= {3, 9, 27}
    assert 100 <= budget.used <= 100 + 27
    assert found.rows[0].settings == Courses().settings, "the file's own settings come first"


def test_places_that_are_in_training_are_not_proposed_twice() -> None:
    found = ModelBased(random=4).search(Courses(), 3, Budget(units=150), seed=1)
    tried = {row.member: tuple(row.settings.values()) for row in found.rows}
    assert len(set(tried.values())) == len(tried)


@pytest.mark.slow
def test_the_model_chooses_better_settings_than_chance_on_known_courses() -> None:
    errors = {
        model: np.mean(
            [
                Course.error(ModelBased(model=model).search(Courses(), 3, Budget(units=200), seed=seed).settings, 27)
                for seed in range(2)
            ]
        )
        for model in (True, False)
    }
    assert errors[True] < errors[False]
