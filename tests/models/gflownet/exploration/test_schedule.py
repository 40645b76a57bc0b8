"""Schedules: the values at the ends and between, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.gflownet.exploration.schedule import Schedule

SHAPES = ["linear", "cosine", "exponential"]


def test_a_constant_never_changes():
    assert {Schedule.constant(0.05).at(step, 10) for step in range(20)} == {0.05}


@pytest.mark.parametrize(("shape", "middle"), [("linear", 0.505), ("cosine", 0.505), ("exponential", 0.1)], ids=SHAPES)
def test_a_schedule_has_its_middle_value_half_way(shape, middle):
    schedule = Schedule(shape=shape, start=1.0, end=0.01)
    assert schedule.at(50, 101) == pytest.approx(middle)
    assert schedule.at(0, 101) == 1.0
    assert schedule.at(100, 101) == 0.01


def test_a_cosine_starts_flat():
    schedule = Schedule(shape="cosine", start=1.0, end=0.0)
    assert schedule.at(25, 101) == pytest.approx(0.5 + math.sqrt(0.125))


@pytest.mark.parametrize("shape", SHAPES)
@given(
    start=st.floats(1e-3, 10),
    end=st.floats(1e-3, 10),
    share=st.floats(0.05, 1),
    steps=st.integers(1, 200),
)
@settings(deadline=None, max_examples=30)
def test_a_schedule_goes_one_way_and_ends_at_its_end(shape, start, end, share, steps):
    schedule = Schedule(shape=shape, start=start, end=end, share=share)
    values = [schedule.at(step, steps) for step in range(steps)]
    rising = sorted(values)
    tolerance = 1e-12 * max(start, end)
    assert all(abs(a - b) <= tolerance for a, b in zip(values, rising if start <= end else rising[::-1], strict=True))
    assert values[-1] == end
    assert all(value == end for value in values[math.ceil(share * (steps - 1)) :])
    assert steps == 1 or values[0] == start


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 1.0, "end": 0.5}, "a constant schedule has no end value"),
        ({"shape": "linear", "start": 1.0}, "needs `end`"),
        ({"shape": "exponential", "start": 1.0, "end": 0.0}, "expected both positive"),
        ({"shape": "linear", "start": 1.0, "end": 0.0, "share": 0.0}, "greater than 0"),
        ({"shape": "stairs", "start": 1.0}, "'constant', 'linear', 'cosine' or 'exponential'"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        Schedule(**options)


def test_a_step_before_the_first_is_refused():
    with pytest.raises(ValueError, match="got -1 of 10"):
        Schedule.constant(1.0).at(-1, 10)


def test_a_schedule_is_rebuilt_from_its_values():
    schedule = Schedule(shape="cosine", start=1.0, end=0.2, share=0.5)
    assert Schedule(**schedule.model_dump(mode="json")) == schedule
