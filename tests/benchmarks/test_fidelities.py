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
def test_cheap_values_at_half_the_cost_are_as_good_as_true_ones_alone():
    courses = {arm: [course((arm, seed))["course"] for seed in range(5)] for arm in ("one level", "information")}

    def median(arm, cost, figure):
        return float(np.median([at_cost(one, cost, figure) for one in courses[arm]]))

    # The cell that is believed to be the best: one cell beside the best has 0.406 to 0.408.
    assert median("information", 15, 2) <= median("one level", 30, 2) + 0.005
    # The fifty cells that are believed to be the best: better at 15 than true values alone at 20.
    assert median("information", 15, 1) <= median("one level", 20, 1)
