"""Branin at three levels: the facts of the grid, and what cheap values are worth."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.fidelities import BEST, at_cost, branin, course, grid


def test_the_levels_are_those_of_the_literature_over_the_true_domain():
    values = {s: branin(grid(), s) for s in (0.5, 0.75, 1.0)}
    assert [round(float(values[s].min()), 6) for s in values] == [0.407911, 0.405661, 0.403071]
    assert divmod(int(values[1.0].argmin()), 100) == (95, 16)
    best = {s: np.argsort(values[s], kind="stable")[:BEST] for s in values}
    assert [len({*best[s]} & {*best[1.0]}) for s in values] == [18, 23, 50]
    assert round(float(values[1.0][best[1.0]].mean()), 6) == 0.530432
    assert [round(float(spearmanr(values[s], values[1.0])[0]), 4) for s in (0.5, 0.75)] == [0.9316, 0.9812]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_cheap_values_save_a_quarter_of_the_cost_on_seeds_that_nothing_was_chosen_by():
    courses = {arm: [course((arm, seed))["course"] for seed in range(5, 15)] for arm in ("one level", "information")}

    def median(arm, cost, figure):
        return float(np.median([at_cost(one, cost, figure) for one in courses[arm]]))

    # The fifty cells that are believed to be the best: better at 15 than true values alone at 20.
    assert median("information", 15, 1) <= median("one level", 20, 1)
    # The cell that is believed to be the best, and the best value that was measured: better at equal cost.
    assert median("information", 15, 2) <= median("one level", 15, 2)
    assert median("information", 15, 3) <= median("one level", 15, 3)
