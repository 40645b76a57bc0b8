"""Who is best: of one objective, within limits, near a target, of several objectives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.goals import Goal, Goals, read_as
from data.pareto import fronts
from data.records import CallState, CandidateRow

ONE = Goals([Goal("affinity", unit="eV")])
LIMITED = Goals([Goal("affinity", at_most=5.0)])
NEAR = Goals([Goal("gap", target=2.5, unit="eV")])
TWO = Goals([Goal("affinity", unit="eV"), Goal("toxicity", -1, at_most=0.8)])


def row(id, values=None, state=CallState.DONE, predicted=None, round=0, goals=TWO):
    """A candidate of a campaign that reads several values."""
    mean = (predicted or {}).get(goals.main.name, (None, None))[0]
    value = (values or {}).get(goals.main.name)
    return CandidateRow(
        id, value=value, state=state, predicted_mean=mean, round=round, values=values or {}, predicted=predicted
    )


def ids(rows):
    return [one.id for one in rows]


small = st.integers(-3, 3).map(float)


@st.composite
def campaigns(draw):
    """Candidates of two objectives in any state."""
    rows = []
    for i in range(draw(st.integers(0, 14))):
        measured = draw(st.booleans())
        told = {"affinity": (draw(small), 1.0), "toxicity": (draw(small), 1.0)} if draw(st.booleans()) else None
        values = {"affinity": draw(small), "toxicity": draw(small) / 3} if measured else {}
        state = CallState.DONE if measured else draw(st.sampled_from(["proposed", CallState.FAILED]))
        rows.append(row(f"m{i}", values, state, told, draw(st.integers(0, 3))))
    return rows


@given(st.lists(st.tuples(st.none() | small, st.none() | small, st.booleans()), max_size=12), st.sampled_from([-1, 1]))
def test_one_objective_ranks_by_value_then_by_prediction_then_what_failed(given, sign):
    goals = Goals([Goal("affinity", sign)])
    rows = [
        CandidateRow(f"m{i}", value=value, predicted_mean=mean, state=CallState.FAILED if failed else CallState.DONE)
        for i, (value, mean, failed) in enumerate(given)
    ]

    def key(one):
        if one.value is not None:
            return (0, -sign * one.value, one.id)
        return (2 if one.state == CallState.FAILED else 1, -sign * (one.predicted_mean or 0.0), one.id)

    assert goals.ranked(rows) == sorted(rows, key=key)


def test_what_breaks_a_limit_ranks_behind_all_that_keep_to_them_however_good_it_is():
    rows = [
        row("failed", state=CallState.FAILED, goals=LIMITED),
        row("waiting", state="proposed", predicted={"affinity": (9.0, 1.0)}, goals=LIMITED),
        row("outside", {"affinity": 6.0}, goals=LIMITED),
        row("worse", {"affinity": 1.0}, goals=LIMITED),
        row("best", {"affinity": 5.0}, goals=LIMITED),
    ]
    assert ids(LIMITED.ranked(rows)) == ["best", "worse", "outside", "waiting", "failed"]
    assert ids(LIMITED.front(rows)) == ["best"]


def test_the_best_of_a_target_is_what_is_closest_to_it():
    rows = [row(f"{value}", {"gap": value}, goals=NEAR) for value in (0.0, 2.0, 2.6, 4.0)]
    assert ids(NEAR.ranked(rows)) == ["2.6", "2.0", "4.0", "0.0"]


@given(campaigns())
def test_several_objectives_rank_front_by_front_then_outside_then_unmeasured_then_failed(rows):
    ranked = TWO.ranked(rows)
    assert sorted(ranked) == sorted(rows)
    groups = [
        0 if TWO.eligible(one) else 1 if TWO.measured(one) else 3 if one.state == CallState.FAILED else 2
        for one in ranked
    ]
    assert groups == sorted(groups)
    eligible = [one for one in ranked if TWO.eligible(one)]
    place = {i: n for n, front in enumerate(fronts([TWO.vector(one) for one in eligible])) for i in front}
    assert [place[i] for i in range(len(eligible))] == sorted(place.values())
    first = TWO.front(rows)
    assert first == ranked[: len(first)]
    assert set(ids(first)) == {one.id for i, one in enumerate(eligible) if place[i] == 0}


@given(campaigns(), st.randoms())
def test_the_order_of_the_rows_changes_no_rank(rows, random):
    turned = list(rows)
    random.shuffle(turned)
    assert TWO.ranked(turned) == TWO.ranked(rows)


def test_in_a_front_who_would_be_missed_most_comes_first():
    rows = [
        row("corner", {"affinity": 0.0, "toxicity": 0.0}),
        row("crowded", {"affinity": 1.9, "toxicity": 0.11}),
        row("crowding", {"affinity": 2.0, "toxicity": 0.12}),
        row("far", {"affinity": 5.0, "toxicity": 0.7}),
        row("worst", {"affinity": -1.0, "toxicity": 0.79}),
    ]
    assert ids(TWO.ranked(rows))[0] == "far"
    assert ids(TWO.ranked(rows))[-1] == "worst"
    assert set(ids(TWO.front(rows))) == {"corner", "crowded", "crowding", "far"}


def test_the_reference_point_is_of_the_initial_design_whatever_comes_later():
    initial = [row("a", {"affinity": 1.0, "toxicity": 0.2}), row("b", {"affinity": 3.0, "toxicity": 0.9})]
    later = [row("c", {"affinity": -50.0, "toxicity": 70.0}, round=1)]
    assert TWO.reference(initial) == pytest.approx((1.0 - 0.2, -0.9 - 0.07))
    assert TWO.reference(initial + later) == TWO.reference(initial)
    assert TWO.reference([row("x", state="proposed")]) is None
    assert TWO.reference([row("alone", {"affinity": 2.0, "toxicity": 0.0})]) == pytest.approx((1.8, -0.1))


def test_a_row_is_read_as_that_of_one_objective():
    one = row("a", {"affinity": 1.0, "toxicity": 0.2}, predicted={"toxicity": (0.3, 0.1)})
    read = read_as(one, TWO[1])
    assert (read.value, read.predicted_mean, read.predicted_std) == (0.2, 0.3, 0.1)
    assert read_as(one, TWO[0]).predicted_mean is None


@pytest.mark.parametrize(
    ("goal", "told"),
    [
        (Goal("gap"), "maximise gap"),
        (Goal("gap", -1, at_most=0.3), "minimise gap, at most 0.3"),
        (Goal("gap", 0, at_least=1.0, at_most=2.5, unit="eV"), "gap at least 1 eV and at most 2.5 eV"),
        (Goal("gap", target=2.5, unit="eV"), "gap close to 2.5 eV"),
    ],
)
def test_a_goal_is_told_in_words(goal, told):
    assert goal.told == told


def test_only_one_objective_without_limits_and_target_is_plain():
    assert ONE.plain
    assert Goals([Goal("gap", -1)]).plain
    assert not any(goals.plain for goals in (LIMITED, NEAR, TWO))
