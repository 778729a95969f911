"""When a schedule opens or closes next.

Decides nothing about opening hours: it asks `Schedule.is_open` at the moments at which the answer can change
(ends of ranges, midnights, the moments at which clocks are put forward or back). Reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from callcore.schedule import Schedule

#: Without holidays the hours repeat every week; in one of two weeks clocks may skip them.
_ORDINARY_DAYS = 15
#: A holiday puts off what would be weekly, by a week and the part after midnight.
_DAYS_AFTER_HOLIDAY = 9
_DAY = timedelta(days=1)


def next_change(schedule: Schedule, now: datetime) -> datetime | None:
    """Return the first moment after `now` (aware) at which the schedule opens or closes, in its own zone.

    None: it never does.
    """
    is_open = schedule.is_open(now)
    for moment in sorted(_moments(schedule, now)):
        if moment > now and schedule.is_open(moment) != is_open:
            return moment.astimezone(schedule.zone)
    return None


def _moments(schedule: Schedule, now: datetime) -> set[datetime]:
    """Return the moments at which the answer can change, in UTC."""
    minutes = {0}
    for entry in schedule.ranges:
        minutes |= {entry.start_minute, entry.end_minute}
    found: set[datetime] = set()
    for day in _days(schedule, now.astimezone(UTC).astimezone(schedule.zone).date()):
        midnight = datetime.combine(day, time(), schedule.zone)
        for minute in minutes:
            wall = midnight + timedelta(minutes=minute)
            # The wall-clock time comes twice on the night on which clocks are put back.
            found |= {wall.replace(fold=0).astimezone(UTC), wall.replace(fold=1).astimezone(UTC)}
        found |= _clock_changes(midnight.astimezone(UTC), schedule.zone)
    return found


def _days(schedule: Schedule, today: date) -> set[date]:
    yesterday = today - _DAY
    days = set(_run(yesterday, _ORDINARY_DAYS))
    if schedule.on_holidays != "ignore":
        for holiday in schedule.holidays:
            if holiday >= yesterday:
                days.update(_run(holiday, _DAYS_AFTER_HOLIDAY))
    return days


def _run(first: date, count: int) -> Iterator[date]:
    for offset in range(count):
        # Nobody plans beyond the last day that the calendar knows.
        if first <= date.max - timedelta(days=offset + 2):
            yield first + timedelta(days=offset)


def _clock_changes(start: datetime, zone: tzinfo) -> set[datetime]:
    """Return the moment within a day of `start` at which the zone's offset changes, as a set of one or none."""

    def offset(seconds: int) -> timedelta | None:
        return (start + timedelta(seconds=seconds)).astimezone(zone).utcoffset()

    before, after = 0, 86_400
    if offset(before) == offset(after):
        return set()
    while after - before > 1:
        middle = (before + after) // 2
        if offset(middle) == offset(before):
            before = middle
        else:
            after = middle
    return {start + timedelta(seconds=after)}
