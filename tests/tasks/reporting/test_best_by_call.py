from data.goals import Goal, Goals
from data.records import CandidateRow
from tasks.reporting.publishing import _best_by_call

UP, DOWN = Goals([Goal("value")]), Goals([Goal("value", -1)])


def row(round, position, value, origin="called", id="x"):
    return CandidateRow(id, value=value, round=round, position=position, origin=origin)


def test_the_best_so_far_follows_the_order_of_purchase_and_failed_calls_count():
    bought = [row(0, 1, 2.0, id="a"), row(0, 0, 1.0, id="z"), row(1, 0, None), row(1, 1, 5.0), row(1, 2, None, None)]
    curve = [(point["call"], point["best_so_far"]) for point in _best_by_call(bought, UP)]
    assert curve == [(1, 1.0), (2, 2.0), (3, 2.0), (4, 5.0)]
    assert [point["best_so_far"] for point in _best_by_call(bought, DOWN)] == [1.0] * 4


def test_values_that_came_with_the_data_are_no_calls():
    known = [row(0, 0, 3.0, "imported"), row(0, 1, 4.0), row(0, 2, 2.0, "reused")]
    curve = [(point["call"], point["best_so_far"]) for point in _best_by_call(known, UP)]
    assert curve == [(0, 3.0), (1, 4.0), (2, 4.0)]


def test_nothing_is_known_before_the_first_value():
    assert _best_by_call([row(0, 0, None), row(0, 1, 1.0)], UP)[0] == {"call": 1, "best_so_far": None}
