"""Goals: values turned so that larger is better, and limits that turn with them."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config import CampaignConfig
from data.goals import Goal, Goals
from data.records import CandidateRow

values = st.floats(-1e100, 1e100)
limits = st.none() | values


@st.composite
def several(draw):
    """Goals of a few objectives."""
    made = []
    for k in range(draw(st.integers(1, 4))):
        low, high = draw(limits), draw(limits)
        if low is not None and high is not None and low > high:
            low, high = high, low
        made.append(Goal(f"objective {k}", draw(st.sampled_from([-1, 0, 1])), low, high))
    return Goals(made)


@st.composite
def problems(draw):
    """Goals, and a value of each objective."""
    goals = draw(several())
    return goals, [draw(values) for _ in goals]


@given(problems())
def test_signed_twice_is_what_it_was_and_a_minimum_is_turned(problem):
    goals, own = problem
    once = goals.signed(own)
    assert goals.signed(once) == tuple(own)
    assert all(one == (-value if goal.sign < 0 else value) for goal, one, value in zip(goals, once, own, strict=True))


@given(problems(), st.data())
def test_the_better_of_two_values_is_the_larger_signed_one(problem, data):
    goals, own = problem
    others = [data.draw(values) for _ in goals]
    for goal, one, other, a, b in zip(goals, goals.signed(own), goals.signed(others), own, others, strict=True):
        assert (one > other) == ((a < b) if goal.sign < 0 else (a > b))


@given(problems())
def test_a_value_keeps_to_its_limits_exactly_where_the_signed_one_keeps_to_the_signed_ones(problem):
    goals, own = problem
    inside = all(low <= one <= high for one, (low, high) in zip(goals.signed(own), goals.limits(), strict=True))
    assert goals.feasible({goal.name: value for goal, value in zip(goals, own, strict=True)}) == inside


@given(several())
def test_limits_are_in_order_and_infinite_where_none_is_given(goals):
    for goal, (low, high) in zip(goals, goals.limits(), strict=True):
        assert low <= high
        assert sum(map(math.isinf, (low, high))) == [goal.at_least, goal.at_most].count(None)


@given(several(), st.data())
def test_what_was_not_measured_is_nan_and_breaks_a_limit_but_no_goal(goals, data):
    missing = data.draw(st.integers(0, len(goals) - 1))
    own = [None if k == missing else 0.0 for k in range(len(goals))]
    assert [k for k, one in enumerate(goals.signed(own)) if math.isnan(one)] == [missing]
    lone = Goals([goals[missing]])
    assert lone.feasible({}) == (lone[0].at_least is None and lone[0].at_most is None)
    assert lone.feasible({lone[0].name: math.nan}) == lone.feasible({})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sign": 2}, r"The sign of the goal 'gap' is \+1, -1 or 0; got 2"),
        ({"at_least": 2.0, "at_most": 1.0}, "'gap' allows values from 2 to 1, which are none"),
        ({"at_least": math.nan}, "which are none"),
    ],
)
def test_a_goal_that_nothing_reaches_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Goal("gap", **given)


def test_there_is_one_value_per_goal():
    with pytest.raises(ValueError, match="got 2 values and 1 goals"):
        Goals([Goal("gap")]).signed([1.0, 2.0])


@pytest.mark.parametrize(("goal", "sign"), [("maximise", 1), ("minimise", -1)])
def test_a_campaign_has_the_goals_of_its_objectives(goal, sign):
    objective = {"name": "gap", "goal": goal, "oracle": {"kind": "rdkit"}}
    config = CampaignConfig.model_validate({"name": "one", "objectives": [objective]})
    assert config.goals == (Goal("gap", sign),)
    assert "goals" not in config.model_dump()


def test_goals_are_read_without_numpy():
    told = "import sys, data.goals; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", told], check=True)


def test_where_nothing_is_to_be_improved_no_row_is_a_best_one_and_rows_stand_in_the_order_of_their_purchase():
    goals = Goals([Goal("feed", 0), Goal("rate", 0)])
    rows = [
        CandidateRow("b", value=3.0, round=1, position=0, values={"feed": 3.0, "rate": 1.0}),
        CandidateRow("a", value=9.0, round=0, position=1, values={"feed": 9.0, "rate": 1.0}),
        CandidateRow("c", value=1.0, round=0, position=0, values={"feed": 1.0, "rate": 1.0}),
    ]
    assert goals.observed
    assert goals[0].told == "observe feed"
    assert [row.id for row in goals.ranked(rows)] == ["c", "a", "b"]
    assert not any(map(goals.eligible, rows))
    assert all(map(goals.measured, rows))
