"""Branin at three levels: the facts of the grid, and what cheap values are worth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from models.systems.multi_fidelity import ARMS, BEST, COSTS, START, Step, at_cost, branin, course, grid


def test_the_levels_are_those_of_the_literature_over_the_true_domain() -> None:
    values = {s: branin(grid(), s) for s in (0.5, 0.75, 1.0)}
    assert [round(float(values[s].min()), 6) for s in values] == [0.407911, 0.405661, 0.403071]
    assert divmod(int(values[1.0].argmin()), 100) == (95, 16)
    best = {s: np.argsort(values[s], kind="stable")[:BEST] for s in values}
    assert [len({*best[s]} & {*best[1.0]}) for s in values] == [18, 23, 50]
    truth = [float(values[1.0][best[s]].mean()) for s in values]
    assert np.allclose(truth, [0.8263, 1.9596, 0.530432], atol=5e-5)
    assert round(truth[-1], 6) == 0.530432
    assert [round(float(spearmanr(values[s], values[1.0])[0]), 4) for s in (0.5, 0.75)] == [0.9316, 0.9812]


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_begins_with_the_same_true_values_and_pays_for_the_cheaper_ones(name: str) -> None:
    (first,) = course(ARMS[name], 3, until=0.0)
    (alone,) = course(ARMS["one_level"], 3, until=0.0)
    assert first.measured == alone.measured
    assert first.spent == pytest.approx(
        sum(n * cost for n, cost in zip(START, COSTS, strict=True)) if name != "one_level" else 5.0
    )


def test_an_arm_stands_at_a_cost_where_it_last_was_within_it() -> None:
    steps = [Step(spent, spent, 0.0, 0.0) for spent in (6.6, 9.0, 15.0, 15.2)]
    assert [at_cost(steps, cost).spent for cost in (5, 10, 15, 30)] == [6.6, 9.0, 15.0, 15.2]


@pytest.mark.trial
@pytest.mark.timeout(600)
def test_cheap_values_save_a_quarter_of_the_cost_on_seeds_that_nothing_was_chosen_by() -> None:
    courses = {
        name: [course(ARMS[name], seed, until=ARMS[name].until) for seed in range(5, 15)]
        for name in ("one_level", "information")
    }

    def median(name: str, cost: float, figure: str) -> float:
        return float(np.median([getattr(at_cost(one, cost), figure) for one in courses[name]]))

    # The fifty cells that are believed to be the best: better at 15 than true values alone at 20.
    assert median("information", 15, "fifty") <= median("one_level", 20, "fifty")
    # The cell that is believed to be the best, and the best value that was measured: better at equal cost.
    assert median("information", 15, "cell") <= median("one_level", 15, "cell")
    assert median("information", 15, "measured") <= median("one_level", 15, "measured")
