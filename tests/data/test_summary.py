"""What is told of a campaign's candidates."""

from data.records import Arm, CallState
from data.summary import by_source


def row(origin, value, source="csv", state=CallState.DONE):
    return {"origin": origin, "value": value, "source": source, "state": state, "arm": Arm.INITIAL, "round": 0}


def test_labels_that_came_with_the_file_are_not_told_as_bought():
    rows = [
        row("imported", 5.0),
        row("imported", 1.0),
        row("called", 3.0),
        row("reused", 3.0),
        row(None, None, state="proposed"),
    ]
    (csv,) = by_source(rows, [], maximise=True)
    assert csv.bought == 2
    assert (csv.mean, csv.best) == (3.0, 5.0)
