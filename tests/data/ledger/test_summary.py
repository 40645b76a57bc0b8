"""What is told of a campaign's candidates."""

import itertools
import math

import pytest

from data.goals import Goal, Goals
from data.ledger.campaigns import StageRow
from data.ledger.summary import arm_figures, arm_text, by_source, screening_told, summaries, summarise
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
    assert (given.source, given.bought, given.mean, given.best) == ("csv (given)", 0, 3.0, 5.0)
    assert (csv.source, csv.bought, csv.mean, csv.best) == ("csv", 2, 3.0, 3.0)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([], "-"),
        ([4.5], "4.500 (n 1)"),
        ([1.0, 8.0], "4.500 (n 2)"),
        ([1.0, 2.0, 3.0], "2.000 ± 2.5 (n 3)"),  # 4.303 / sqrt(3)
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
        assert told == ["csv (given)", "genetic", "random", "gflownet"]


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
