"""Population based training: who copies whom, and the paper's toy, whose values are exact."""

from __future__ import annotations

import numpy as np
import pytest

from models.systems.population_based_training import Toy, climbed
from models.tuning.base import Budget
from models.tuning.population import Population, rounds_of

TOP = 1.2 - 2 * (0.9 * 0.98**100) ** 2
"""Each of the 50 exploits lets one of two members go on, so each coordinate has had half of the 200 steps."""


@pytest.mark.parametrize("seed", range(5))
def test_copied_weights_climb_the_hill_that_no_member_sees_whole(seed: int) -> None:
    assert climbed(seed, inherit="weights") == pytest.approx(TOP, abs=1e-3)
    assert pytest.approx(1.1715, abs=5e-5) == TOP


def test_without_copying_each_member_reaches_what_its_own_coordinate_gives() -> None:
    assert climbed(0, exploit="none") == pytest.approx(1.2 - 0.81 - (0.9 * 0.98**200) ** 2, abs=1e-12)


def test_a_population_that_copies_what_it_sees_too_is_stuck() -> None:
    assert climbed(0, inherit="all") < 0.4


def test_under_truncation_the_worst_fifth_takes_the_weights_of_the_best() -> None:
    sources = Population().chosen([float(n) for n in range(10)], np.random.default_rng(0))
    assert [number for number, source in enumerate(sources) if source is not None] == [0, 1]
    assert set(sources[:2]) <= {8, 9}


def test_in_a_tournament_nobody_takes_the_weights_of_a_worse_one() -> None:
    for seed in range(20):
        sources = Population(exploit="tournament").chosen([3.0, 1.0, 2.0, -np.inf], np.random.default_rng(seed))
        assert sources[0] is None
        assert all(
            [3.0, 1.0, 2.0, -np.inf][source] > score
            for source, score in zip(sources, [3.0, 1.0, 2.0, -np.inf], strict=True)
            if source is not None
        )


def test_a_spent_budget_ends_the_search_after_the_round() -> None:
    ticks = iter(range(1000))
    found = Population(rounds=50).search(Toy(), 2, Budget(cpu_seconds=5, clock=lambda: float(next(ticks))), seed=0)
    assert max(row.units for row in found.rows) < Toy().units
    assert len({row.units for row in found.rows if row.member == 0}) == len({row.units for row in found.rows})


def test_the_same_seed_takes_the_same_way() -> None:
    ways = [Population(rounds=5).search(Toy(), 2, Budget(), seed=3).rows for _ in range(2)]
    assert [(row.member, row.units, row.score, row.source) for row in ways[0]] == [
        (row.member, row.units, row.score, row.source) for row in ways[1]
    ]


def test_rounds_divide_the_units_whatever_they_are() -> None:
    assert rounds_of(10, 3) == [(0, 3), (3, 7), (7, 10)]
    assert rounds_of(2, 10) == [(0, 1), (1, 2)]
