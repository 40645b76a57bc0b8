from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from data.goals import Goal
from data.records import CandidateRow
from tasks.reporting.arms_plot import reached_for_cost, running_top
from tasks.reporting.plots import png, svg

VALUE = Goal("value")


def row(name: str, value: float | None, round: int, arm: str, position: int, **more: Any) -> CandidateRow:
    row = CandidateRow(name, "CCO", value, round, position, arm=arm, state="done", origin="called")
    return row._replace(**more)


def campaign(rounds: int = 3, chosen: int = 8, control: int = 2) -> list[CandidateRow]:
    """A campaign whose chosen candidates are worth 10 and whose control is worth nothing."""
    rows = [row(f"i{k}", 1.0, 0, "initial", k) for k in range(12)]
    for number in range(1, rounds + 1):
        rows += [row(f"a{number}.{k}", 10.0, number, "acquisition", k) for k in range(chosen)]
        rows += [row(f"c{number}.{k}", 0.0, number, "control", chosen + k) for k in range(control)]
    return rows


def lines(figure: Figure, axes: int) -> dict[str, tuple[list[float], list[float]]]:
    return {
        str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata()))
        for line in figure.axes[axes].get_lines()
    }


def test_what_was_paid_stands_under_what_was_reached() -> None:
    drawn = lines(reached_for_cost(campaign(), {0: 12.0, 1: 100.0, 2: 100.0, 3: 100.0}, VALUE), 0)
    at, best = drawn["best"]
    assert at[-1] == pytest.approx(312.0)
    assert best[11:13] == [1.0, 10.0]
    assert at[12] == pytest.approx(22.0), "the cost of a round is spread evenly over its calls"


def test_both_arms_are_compared_by_equally_many_purchases() -> None:
    drawn = lines(reached_for_cost(campaign(), {}, VALUE), 1)
    (sizes, chosen), (_, control) = drawn["acquisition"], drawn["control"]
    assert sizes == [0, 2, 4, 6]
    assert control == [1.0] * 4
    assert chosen == pytest.approx([1.0 + 0.9 * n for n in sizes]), "ten best: n of 10, the others of 1"


def test_a_failed_call_counts_as_bought_and_reaches_nothing() -> None:
    rows = [one._replace(value=None, state="failed") if one.arm == "acquisition" else one for one in campaign()]
    drawn = lines(reached_for_cost(rows, {}, VALUE), 1)
    assert drawn["acquisition"] == ([0, 2, 4, 6], [1.0] * 4)


def test_what_breaks_a_limit_is_paid_for_and_not_reached() -> None:
    outside = frozenset(one.id for one in campaign() if one.arm == "acquisition")
    figure = reached_for_cost(campaign(), {0: 12.0, 1: 10.0, 2: 10.0, 3: 10.0}, VALUE, outside=outside)
    at, best = lines(figure, 0)["best"]
    assert at[-1] == pytest.approx(42.0)
    assert set(best) == {1.0}


def test_values_that_came_with_the_data_cost_nothing() -> None:
    rows = [one._replace(origin="imported") if one.arm == "initial" else one for one in campaign()]
    at, best = lines(reached_for_cost(rows, {1: 10.0, 2: 10.0, 3: 10.0}, VALUE), 0)["best"]
    assert at[:12] == [0.0] * 12
    assert best[11] == 1.0
    assert at[12] == pytest.approx(1.0)


def test_a_candidate_bought_again_at_a_higher_level_is_paid_for_in_both_rounds() -> None:
    rows = campaign(rounds=0)
    twice = row("l", 5.0, 1, "acquisition", 0, booked={1: (1, 0), 2: (1, 0)}, levels={})
    at, best = lines(reached_for_cost([*rows, twice], {0: 12.0, 1: 1.0, 2: 20.0}, VALUE), 0)["best"]
    assert at[-2:] == pytest.approx([13.0, 33.0])
    assert best[-2:] == [1.0, 5.0]


def test_the_axis_says_calls_where_each_costs_one_and_cost_otherwise() -> None:
    calls = reached_for_cost(campaign(), {0: 12.0, 1: 10.0, 2: 10.0, 3: 10.0}, VALUE)
    cost = reached_for_cost(campaign(), {0: 12.0, 1: 10.0, 2: 10.0, 3: 11.5}, VALUE)
    assert calls.axes[0].get_xlabel() == "Calls of the oracle, 42 in all"
    assert cost.axes[0].get_xlabel() == "Cost, 43.5 in all"


@pytest.mark.parametrize("rows", [[], campaign(rounds=0), campaign(control=0)])
def test_without_two_arms_that_is_said(rows: list[CandidateRow]) -> None:
    figure = reached_for_cost(rows, {}, VALUE)
    assert "no comparison" in figure.axes[1].get_title()


def test_the_mean_of_the_ten_best_begins_with_the_tenth_value_and_follows_the_goal() -> None:
    values = np.array([*range(9), np.nan, 9.0, 100.0], dtype=float)
    up, down = running_top(values, VALUE), running_top(values, Goal("value", -1))
    assert np.isnan(up[:10]).all()
    assert up[10] == 4.5
    assert up[11] == pytest.approx(14.5)
    assert down[10:].tolist() == [4.5, 4.5]


def test_the_same_rows_in_any_order_give_the_same_bytes() -> None:
    one, other = (reached_for_cost(rows, {}, VALUE) for rows in (campaign(), campaign()[::-1]))
    assert png(one) == png(other)
    assert svg(one) == svg(other)
