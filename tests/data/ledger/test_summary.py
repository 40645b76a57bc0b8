"""What is told of a campaign's candidates."""

import itertools
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.goals import Goal, Goals
from data.ledger.campaigns import StageRow
from data.ledger.summary import (
    arm_figures,
    arm_text,
    best_tenth,
    by_source,
    repeated,
    repeated_told,
    screening_told,
    standing,
    summaries,
    summarise,
)
from data.records import Arm, CallState, CandidateRow

UP, DOWN = Goals([Goal("value")]), Goals([Goal("value", -1)])


def row(origin, value, source="csv", state=CallState.DONE):
    return CandidateRow("m", origin=origin, value=value, source=source, state=state, arm=Arm.INITIAL)


def test_labels_that_came_with_the_file_are_not_told_as_bought():
    rows = [
        row("imported", 5.0),
        row("imported", 1.0),
        row("called", 3.0),
        row("reused", 3.0),
        row(None, None, state="proposed"),
    ]
    csv, given = by_source(rows, [], UP)
    assert (given.source, given.bought, given.mean, given.best) == ("csv (from your data)", 0, 3.0, 5.0)
    assert (csv.source, csv.bought, csv.mean, csv.best) == ("csv", 2, 3.0, 3.0)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([], "-"),
        ([4.5], "4.500, n 1"),
        ([1.0, 8.0], "4.500, n 2"),
        ([1.0, 2.0, 3.0], "2.0 (-0.5 to 4.5), n 3"),  # 4.303 / sqrt(3)
    ],
)
def test_an_interval_is_told_from_three_values_on(values, told):
    assert arm_text(arm_figures([row("called", value) for value in values], Arm.INITIAL, UP)) == told


def test_sources_stand_in_one_order_whatever_that_of_the_candidates():
    rows = [
        row("imported", 1.0),
        row("called", 2.0)._replace(source="random", round=1, arm=Arm.CONTROL),
        row("called", 9.0)._replace(source="genetic", round=1, arm=Arm.ACQUISITION),
        row("called", 8.0)._replace(source="gflownet", round=2, arm=Arm.ACQUISITION),
    ]
    for order in itertools.permutations(rows):
        told = [one.source for one in by_source(order, [], UP)]
        assert told == ["csv (from your data)", "genetic", "random", "gflownet"]


def test_a_thousand_rounds_are_summarised_as_each_is_and_each_row_is_looked_at_once():
    looks = 0

    class Row(CandidateRow):
        @property
        def state(self):
            nonlocal looks
            looks += 1
            return CallState.DONE

    rows = [Row(*row("called", float((7 * i) % 1000))._replace(round=i // 2)) for i in range(2000)]
    found = summaries(rows, DOWN)
    assert looks <= 10 * len(rows)
    for round in (0, 1, 17, 999):
        assert found[round] == summarise(rows, round, DOWN)
    measured = [row.value for row in rows[: 2 * 18]]
    assert (found[17].calls, found[17].best, found[17].top10_mean) == (
        36,
        min(measured),
        sum(sorted(measured)[:10]) / 10,
    )


def test_hits_are_the_best_tenth_of_all_and_their_families_are_counted_where_it_is_told_what_one_is():
    rows = [
        row("called", float(value), source="edits" if value % 2 else "genetic")._replace(
            id=f"m{value}", object=f"o{value}"
        )
        for value in range(40)
    ]
    told = {one.source: one for one in by_source(rows, [], UP, family=lambda obj: "odd" if int(obj[1:]) % 2 else obj)}
    assert {source: (one.hits, one.families) for source, one in told.items()} == {"edits": (2, 1), "genetic": (2, 2)}
    least = {one.source: one for one in by_source(rows[:31], [], DOWN)}
    assert {source: (one.hits, one.families) for source, one in least.items()} == {
        "edits": (1, None),
        "genetic": (2, None),
    }
    assert [one.hits for one in by_source([row("called", None, state="proposed")], [], UP)] == []


def test_a_metric_that_is_not_finite_does_not_keep_the_refusals_from_being_told():
    metrics = {"final_loss": math.inf, "met": 9.0, "refused_by/alerts": 4.0, "refused_by/space": 1.0}
    stage = StageRow(1, "train_generator", "", "", "", metrics, 0.0)
    assert screening_told([stage]) == [
        "Generators met 9 objects, of which screens refused 5: alerts 4, outside the space 1."
    ]


TWO = Goals([Goal("affinity"), Goal("toxicity", -1, at_most=0.8)])


def measured(id, round, affinity, toxicity, arm=None, state=CallState.DONE):
    arm = arm or (Arm.ACQUISITION if round else Arm.INITIAL)
    values = {"affinity": affinity, "toxicity": toxicity} if state == CallState.DONE else {}
    return CandidateRow(
        id, value=values.get("affinity"), round=round, arm=arm, state=state, origin="called", values=values
    )


@st.composite
def courses(draw):
    """Candidates of some rounds of a campaign of two objectives, one of them with a limit."""
    rows = []
    for i in range(draw(st.integers(1, 25))):
        round = draw(st.integers(0, 3))
        arm = draw(st.sampled_from([Arm.ACQUISITION, Arm.CONTROL])) if round else Arm.INITIAL
        state = draw(st.sampled_from([CallState.DONE, CallState.DONE, CallState.FAILED]))
        rows.append(measured(f"m{i}", round, draw(st.floats(-3, 3)), draw(st.floats(-1, 1)), arm, state))
    return rows


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no reason to fail
@given(courses())
def test_the_hypervolume_of_a_campaign_never_falls_and_each_round_is_summarised_as_in_the_whole(rows):
    told = summaries(rows, TWO)
    volumes = [one.hypervolume for one in told]
    assert volumes == sorted(volumes)
    for one in told:
        alone = summarise(rows, one.round, TWO)
        assert alone.hypervolume == pytest.approx(one.hypervolume)
        assert (alone.front, alone.best_of, alone.feasible) == (one.front, one.best_of, one.feasible)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no reason to fail
@given(courses())
def test_nothing_that_breaks_a_limit_is_the_best_of_anything(rows):
    kept = [one.values for one in rows if one.state == CallState.DONE and one.values["toxicity"] <= 0.8]
    last = summaries(rows, TWO)[-1]
    assert last.best == max((one["affinity"] for one in kept), default=None)
    assert last.best_of.get("toxicity") == min((one["toxicity"] for one in kept), default=None)
    assert standing(rows, TWO).best == last.best
    assert {one.id for one in rows if one.id in best_tenth(rows, TWO)} <= {one.id for one in rows if TWO.eligible(one)}
    assert max((one.best for one in by_source(rows, [], TWO) if one.best is not None), default=None) == last.best


def test_a_round_tells_the_share_that_keeps_to_the_limits_by_arm():
    rows = [
        measured("a", 0, 1.0, 0.9),
        measured("b", 0, 1.0, 0.1),
        measured("c", 1, 9.0, 0.9),
        measured("d", 1, 2.0, 0.5),
        measured("e", 1, 2.0, 0.5, state=CallState.FAILED),
        measured("f", 1, 2.0, 0.9, Arm.CONTROL),
    ]
    first, second = summaries(rows, TWO)
    assert (first.feasible, first.acquisition_feasible, first.control_feasible) == (0.5, None, None)
    assert (second.feasible, second.acquisition_feasible, second.control_feasible) == (pytest.approx(1 / 3), 0.5, 0.0)
    assert (second.best, second.acquisition, second.control) == (2.0, second.acquisition, None)
    assert (second.acquisition.n, second.acquisition.mean) == (1, 2.0)


def test_both_arms_are_compared_by_equally_many_calls():
    initial = [measured("a", 0, 0.0, 0.8), measured("b", 0, 1.0, 0.0)]
    control = [measured("c", 1, 1.5, 0.4, Arm.CONTROL)]
    chosen = [measured(f"d{i}", 1, 2.0, 0.1) for i in range(9)]
    (_, told) = summaries([*initial, *control, *chosen], TWO)
    # Nine equal purchases are worth one of them: what is compared is one call with one call.
    assert (told.volumes.n, told.volumes.acquisition) == (1, pytest.approx(told.hypervolume))
    assert told.volumes.control == pytest.approx(summaries(initial + control, TWO)[-1].hypervolume)
    failed = [measured(f"e{i}", 1, 2.0, 0.1, state=CallState.FAILED) for i in range(9)]
    (start, mixed) = summaries([*initial, *control, *chosen, *failed], TWO)
    assert start.hypervolume < mixed.volumes.acquisition < mixed.hypervolume  # a failed call is a call
    assert summaries(initial + chosen, TWO)[-1].volumes is None


def test_one_plain_objective_has_neither_front_nor_shares():
    (told,) = summaries([row("called", 1.0)], UP)
    assert (told.hypervolume, told.front, told.feasible, told.best_of, told.volumes) == (None,) * 5


def test_the_spread_of_repeated_measurements_is_pooled_over_the_objects():
    goals = Goals([Goal("yield", unit="%"), Goal("purity")])
    rows = [
        CandidateRow("A", repeats={"yield": (1.0, 3.0)}),
        CandidateRow("B", repeats={"yield": (5.0, 5.0, 8.0)}),
        CandidateRow("C"),
    ]
    (found,) = repeated(rows, goals)
    assert (found.objective, found.objects, found.freedom) == ("yield", 2, 3)
    assert found.deviation == pytest.approx(((2 + 6) / 3) ** 0.5)
    assert repeated_told(found, goals) == (
        "yield: 2 measured repeatedly, standard deviation of a measurement 1.6 % (3 degrees of freedom)."
    )


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no reason to fail
@given(courses(), st.randoms(use_true_random=False))
def test_summaries_do_not_depend_on_the_order_in_which_candidates_are_given(rows, random):
    """The terminal reads them in the order of purchase, the page ranked: both tell the same figures."""
    rows = [one._replace(position=place) for place, one in enumerate(rows)]
    shuffled = random.sample(rows, len(rows))
    for one, other in zip(summaries(rows, TWO), summaries(shuffled, TWO), strict=True):
        assert one.volumes == other.volumes
        assert (one.calls, one.failed, one.best, one.front) == (other.calls, other.failed, other.best, other.front)
        assert one.hypervolume == pytest.approx(other.hypervolume)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no reason to fail
@given(courses(), st.randoms(use_true_random=False))
def test_a_round_alone_is_told_by_the_same_figures_as_among_all_in_whatever_order_candidates_are_given(rows, random):
    """The page's tiles tell one round, its header and the terminal all of them; a position is one of a round."""
    bought = {round: itertools.count() for round in range(4)}
    rows = [one._replace(position=next(bought[one.round])) for one in rows]
    for one in summaries(rows, TWO):
        assert summarise(random.sample(rows, len(rows)), one.round, TWO) == one


def test_both_arms_are_drawn_from_in_the_order_of_rounds():
    initial = [measured("a", 0, 0.0, 0.8), measured("b", 0, 1.0, 0.0)]
    rounds = [
        measured(f"{arm}{round}{i}", round, 0.3 * i + round, 0.1 * i, arm)._replace(position=i)
        for round in (1, 2, 3)
        for arm, n in ((Arm.ACQUISITION, 5), (Arm.CONTROL, 2))
        for i in range(n)
    ]
    told = summaries(initial + rounds, TWO)[-1].volumes
    assert told is not None
    assert summarise(initial + rounds, 3, TWO).volumes == told


def test_an_arm_of_which_nothing_keeps_to_the_limits_says_how_many_are_outside():
    goals = Goals([Goal("value", at_most=2.0)])
    rows = [row("called", value)._replace(arm=Arm.CONTROL, round=1) for value in (3.0, 4.0)]
    told = summarise(rows, 1, goals)
    assert arm_text(told.control, told.control_outside) == "2 outside"
    rows += [row("called", 1.0)._replace(arm=Arm.CONTROL, round=1)]
    told = summarise(rows, 1, goals)
    assert arm_text(told.control, told.control_outside) == "1.000, n 1, 2 outside"
