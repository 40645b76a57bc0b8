"""When schedules run: what is refused, the next times, and the days on which clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.timing import (
    MOST_COUNTED,
    checked_interval,
    next_times,
    shown_interval,
    shown_times,
    times_between,
    when_of,
)

BAD_INPUT = 2
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
ANCHOR = datetime(2026, 1, 5, 9, 0, tzinfo=BERLIN)
moments = st.datetimes(datetime(2026, 1, 5, 9), datetime(2029, 1, 1)).map(lambda one: one.replace(tzinfo=UTC))


def cron(text, zone="UTC"):
    return when_of(text, None, False, zone).schedule(ANCHOR)


def every(text, zone="Europe/Berlin"):
    return when_of(None, text, False, zone).schedule(ANCHOR)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ["got none of them", "--cron", "--every", "--when-told"]),
        (("--cron", "0 2 * * *", "--every", "6h"), ["got --cron and --every"]),
        (("--every", "6h", "--when-told"), ["got --every and --when-told"]),
        (("--cron", "0 2 * *"), ["'0 2 * *'", "expected five fields"]),
        (("--cron", "0 0 31 2 *"), ["failed to find next date"]),
        (("--every", "6 hours"), ["'6 hours'", "30min, 6h, 1d, 2w"]),
        (("--every", "0.5min"), ["expected 1min to 366d"]),
        (("--cron", "0 2 * * *", "--timezone", "Europe/Berln"), ["no time zone", "Did you mean Europe/Berlin?"]),
        (("--cron", "0 2 * * *", "--timezone", "../etc/passwd"), ["no time zone"]),
        (("--when-told", "--timezone", "UTC"), ["Leave --timezone out"]),
        (("--when-told",), ["asks none", "kind: laboratory"]),
        (("--every", "6h", "--what", "retrain", "--set", "rounds=3"), ["reads the campaign from the ledger"]),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_before_anything_is_started(bench, options, words):
    told = bench.discover("schedule", str(bench.file), *options)
    assert told.exit == BAD_INPUT
    for word in words:
        assert word in told.message
    assert not (bench.home / "prefect").exists()


@pytest.mark.parametrize("pool", ["", "a/b", "prefect-own"])
def test_a_pool_that_prefect_would_not_take_is_refused(bench, pool):
    told = bench.discover("deploy", str(bench.file), "--pool", pool)
    assert told.exit == BAD_INPUT
    assert "expected a name" in told.message


def test_every_night_at_two_stays_at_two_when_clocks_change():
    for zone in (BERLIN, NEW_YORK):
        times = next_times(cron("0 4 * * *", zone.key), zone.key, datetime(2027, 3, 10, tzinfo=UTC), 300)
        assert {(time.hour, time.minute) for time in times} == {(4, 0)}
        assert {time.utcoffset() for time in times} == {zone.utcoffset(datetime(2027, month, 1)) for month in (1, 7)}


def test_a_time_that_a_day_lacks_runs_once_within_the_hour_before_or_after():
    times = next_times(cron("30 2 * * *", "Europe/Berlin"), "Europe/Berlin", datetime(2027, 3, 26, 12, tzinfo=UTC), 3)
    assert [time.day for time in times] == [27, 28, 29]
    assert times[1].hour in (1, 3)


def test_a_time_that_a_day_has_twice_runs_once():
    times = next_times(cron("30 2 * * *", "Europe/Berlin"), "Europe/Berlin", datetime(2026, 10, 24, 12, tzinfo=UTC), 3)
    assert [time.day for time in times] == [25, 26, 27]


@given(start=moments, hour=st.integers(0, 23), zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]))
@settings(max_examples=60, deadline=None)
@example(start=datetime(2027, 3, 27, 12, tzinfo=UTC), hour=2, zone="Europe/Berlin")
@example(start=datetime(2026, 10, 24, 12, tzinfo=UTC), hour=2, zone="Europe/Berlin")
def test_a_daily_cron_runs_once_on_each_day_in_its_zone(start, hour, zone):
    times = next_times(cron(f"30 {hour} * * *", zone), zone, start, 5)
    days = [time.date() for time in times]
    assert days == [days[0] + timedelta(days=number) for number in range(5)]
    assert all(time >= start for time in times)
    assert all(time.tzinfo == ZoneInfo(zone) for time in times)


@given(start=moments, hours=st.integers(1, 72))
@settings(max_examples=60, deadline=None)
@example(start=datetime(2027, 3, 27, 12, tzinfo=UTC), hours=6)
@example(start=datetime(2026, 10, 24, 12, tzinfo=UTC), hours=6)
def test_intervals_are_hours_that_pass_whatever_clocks_do(start, hours):
    times = [time.astimezone(UTC) for time in next_times(every(f"{hours}h"), "Europe/Berlin", start, 6)]
    assert {late - early for early, late in pairwise(times)} == {timedelta(hours=hours)}
    assert start <= times[0] < start + timedelta(hours=hours)
    assert (times[0] - ANCHOR) % timedelta(hours=hours) == timedelta(0)


@given(minutes=st.integers(1, 366 * 24 * 60))
@settings(deadline=None)
def test_an_interval_is_shown_as_it_can_be_given_again(minutes):
    interval = timedelta(minutes=minutes)
    assert checked_interval(shown_interval(interval)) == interval


def test_missed_times_lie_between_and_are_counted_up_to_a_limit():
    start = datetime(2026, 11, 1, 2, tzinfo=UTC)
    nightly = times_between(cron("0 2 * * *"), "UTC", start, start + timedelta(days=3))
    assert [time.day for time in nightly] == [2, 3]
    assert len(times_between(cron("* * * * *"), "UTC", start, start + timedelta(days=2))) == 2 * 24 * 60 - 1
    assert len(times_between(cron("* * * * *"), "UTC", start, start + timedelta(days=30))) == MOST_COUNTED
    assert shown_times(nightly) == "Mon 2026-11-02 02:00, Tue 2026-11-03 02:00"
