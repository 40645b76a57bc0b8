"""When a schedule runs: a cron in a time zone, an interval, or when results are told; its runs, as Prefect counts them.

Times are counted by the classes of Prefect's own server, so that what is printed is what will run, also on the days on
which clocks change.
"""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from data.config import ConfigError

if TYPE_CHECKING:
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

SHORTEST = timedelta(minutes=1)
"""Prefect looks for new runs about so often."""
LONGEST = timedelta(days=366)
UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOST_COUNTED = 10_000
"""Times that are counted at most."""
_AT_ONCE = 1000
"""Times for which Prefect's classes give an answer at most."""
SHOWN = "%a %Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True)
class When:
    """When a schedule runs; exactly one of the first three is given.

    Attributes:
        cron: five fields, read in `zone`.
        every: the interval.
        told: whenever the results are there that a round waits for.
        zone: name of the time zone.
    """

    cron: str | None
    every: timedelta | None
    told: bool
    zone: str = "UTC"

    def told_as(self) -> str:
        """Return it as people say it."""
        if self.told:
            return "when the results of a batch are told"
        if self.every is not None:
            return f"every {shown_interval(self.every)}"
        return f"at '{self.cron}'"

    def options(self) -> str:
        """Return the options of the command that say it."""
        if self.told:
            return "--when-told"
        when = f'--cron "{self.cron}"' if self.every is None else f"--every {shown_interval(self.every)}"
        return when if self.zone == "UTC" else f"{when} --timezone {self.zone}"

    def schedule(self, anchor: datetime) -> CronSchedule | IntervalSchedule | None:
        """Return Prefect's schedule, an interval counted from `anchor`; None: runs are started by what is told.

        An interval is of hours that pass: in a zone whose clocks change, Prefect moves one of days by an hour or not,
        as the moment is at which it counts.
        """
        from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

        if self.told:
            return None
        if self.every is None:
            return CronSchedule(cron=self.cron or "", timezone=self.zone)
        return IntervalSchedule(interval=self.every, anchor_date=anchor, timezone="UTC")


def when_of(cron: str | None, every: str | None, when_told: bool, zone: str | None) -> When:
    """Return when a schedule runs, as the command line says it.

    Args:
        cron: five fields.
        every: an interval, such as 6h.
        when_told: whenever the results of a batch are told.
        zone: name of a time zone; None: UTC.

    Raises:
        ConfigError: not exactly one of the first three is given, or one cannot be used.
    """
    given = {"--cron": cron is not None, "--every": every is not None, "--when-told": when_told}
    named = [name for name, is_given in given.items() if is_given]
    if len(named) != 1:
        raise ConfigError(
            f"A schedule has one of --cron, --every and --when-told; got {' and '.join(named) or 'none of them'}. Give "
            'one: --cron "0 2 * * *" is every night at two, --every 6h every six hours, --when-told whenever the '
            "results of a batch are told."
        )
    if when_told and zone is not None:
        raise ConfigError(f"--timezone is {zone}, and --when-told has no times of day. Leave --timezone out.")
    return When(
        cron=None if cron is None else checked_cron(cron),
        every=None if every is None else checked_interval(every),
        told=when_told,
        zone="UTC" if zone is None else checked_zone(zone),
    )


def checked_interval(text: str) -> timedelta:
    """Return an interval.

    Raises:
        ConfigError: it is none, or too short or too long.
    """
    read = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?(min|h|d|w)", text.strip())
    if read is None:
        raise ConfigError(
            f"--every is {text!r}, which is no interval; expected a number and min, h, d or w: 30min, 6h, 1d, 2w."
        )
    interval = timedelta(**{UNITS[read[2]]: float(read[1])})
    if not SHORTEST <= interval <= LONGEST:
        raise ConfigError(f"--every is {text!r}; expected 1min to 366d. Prefect looks for runs about once a minute.")
    return interval


def shown_interval(interval: timedelta) -> str:
    """Return an interval as `--every` takes it, in the largest unit that has no fraction."""
    for unit, name in reversed(UNITS.items()):
        if interval % timedelta(**{name: 1}) == timedelta(0):
            return f"{interval // timedelta(**{name: 1})}{unit}"
    return f"{interval / timedelta(minutes=1):g}min"


def checked_zone(zone: str) -> str:
    """Return the name of a time zone.

    Raises:
        ConfigError: there is none of that name, or Prefect knows it not.
    """
    names = available_timezones()
    try:
        if zone not in names:
            raise ValueError(zone)
        from prefect.client.schemas.schedules import CronSchedule

        CronSchedule(cron="0 0 * * *", timezone=zone)
    except ValueError as error:
        places = {name.rpartition("/")[2].casefold(): name for name in sorted(names)}
        near = difflib.get_close_matches(zone.rpartition("/")[2].casefold(), places, n=1)
        hint = f" Did you mean {places[near[0]]}?" if near else ""
        raise ConfigError(
            f"--timezone is {zone!r}, which is no time zone; expected a name such as Europe/Berlin, America/New_York "
            f"or UTC.{hint}"
        ) from error
    return zone


def checked_cron(cron: str) -> str:
    """Return a cron.

    Raises:
        ConfigError: it has not five fields, they are out of their ranges, or no day ever has them.
    """
    from prefect._vendor.croniter import croniter  # type: ignore[attr-defined]  # Prefect reads it so

    try:
        if len(cron.split()) != 5 or any(letter in cron.upper().split() for letter in "RH"):
            raise ValueError("it has not five fields of numbers")
        croniter(cron, datetime.now(UTC)).get_next(datetime)  # type: ignore[no-untyped-call]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"--cron is {cron!r}, which is no schedule ({error}); expected five fields, minute hour day month weekday, "
            'in the time zone of --timezone: "0 2 * * *" is every night at two.'
        ) from error
    return cron


def next_times(
    schedule: CronSchedule | IntervalSchedule, zone: str, start: datetime, number: int = 3
) -> list[datetime]:
    """Return the next times of a schedule from `start` on, as clocks in a time zone show them."""
    return _times(schedule, zone, start, None, number)


def times_between(
    schedule: CronSchedule | IntervalSchedule, zone: str, start: datetime, end: datetime
) -> list[datetime]:
    """Return the times of a schedule after `start` and before `end`, the first `MOST_COUNTED` of them."""
    found: list[datetime] = []
    after = start
    while len(found) < MOST_COUNTED:
        more = [time for time in _times(schedule, zone, after, end, _AT_ONCE) if after < time < end]
        if not more:
            break
        found += more
        after = more[-1]
    return found[:MOST_COUNTED]


def _times(
    schedule: CronSchedule | IntervalSchedule, zone: str, start: datetime, end: datetime | None, number: int
) -> list[datetime]:
    from prefect.server.schemas import schedules as counted

    kind: type[counted.CronSchedule | counted.IntervalSchedule] = getattr(counted, type(schedule).__name__)
    times = asyncio.run(kind(**schedule.model_dump()).get_dates(number, start=start, end=end))
    return [datetime.fromtimestamp(time.timestamp(), ZoneInfo(zone)) for time in times]


def shown_times(times: Sequence[datetime], most: int = 3) -> str:
    """Return times as people read them, the last ones where there are many."""
    told = ", ".join(format(time, SHOWN) for time in times[-most:])
    return told if len(times) <= most else f"..., {told}"
