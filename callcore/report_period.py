"""Which periods a report has: days, weeks, hours in the zone of a tenant, on days of 23, 24 and 25 hours alike.

Decides where periods begin and end, as moments; whoever counts only compares moments. Days are days of the wall
clock; hours and quarters go by elapsed time, so that the hour which comes twice in autumn is two periods and the one
that spring leaves out is none. Reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

from callcore.errors import BadInput

#: Sums are kept by quarters of an hour.
QUARTER = timedelta(minutes=15)
#: A report with more periods is meant otherwise.
MOST_PERIODS = 10_000
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class BadPeriod(BadInput):
    """The days, hours or weekdays of a report make no sense."""

    error_id = "bad-period"


class Step(StrEnum):
    """How a report is divided."""

    #: Not at all.
    TOTAL = "total"
    QUARTER = "15min"
    HALF = "30min"
    HOUR = "hour"
    DAY = "day"
    #: From Monday on.
    WEEK = "week"
    MONTH = "month"


_MINUTES = {Step.QUARTER: 15, Step.HALF: 30, Step.HOUR: 60}


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` on, up to but without `end`; both in the zone of the tenant."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it really is."""
        return (self.end.astimezone(UTC) - self.start.astimezone(UTC)).total_seconds()


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of each day counts: clock times of the tenant, and days of the week (1: Monday)."""

    opens: time = time(0)
    #: None: midnight.
    closes: time | None = None
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)


def midnight(day: date, zone: tzinfo) -> datetime:
    """Return the moment at which a day begins; where midnight is left out, the first moment of the day."""
    # Of a time that does not exist, fold 0 takes the offset from before: that is the moment of the change.
    return datetime.combine(day, time(0), zone).astimezone(UTC).astimezone(zone)


def periods(first: date, last: date, step: Step, zone: tzinfo) -> tuple[Period, ...]:
    """Divide the days from `first` to `last`, both included; raises BadPeriod."""
    if last < first:
        raise BadPeriod(f"{first} comes after {last}")
    if not date(1970, 1, 2) <= first or not last <= date(9998, 12, 31):
        raise BadPeriod("days of reports lie between 1970 and 9998")
    starts = list(_starts(first, last, step, zone))
    ends = [*starts[1:], midnight(last + timedelta(days=1), zone)]
    return tuple(Period(start, end) for start, end in zip(starts, ends, strict=True))


def _starts(first: date, last: date, step: Step, zone: tzinfo) -> Iterator[datetime]:
    """Yield where periods begin; the first and the last one may be parts of a week or month."""
    for count, start in enumerate(_unlimited(first, last, step, zone)):
        if count == MOST_PERIODS:
            raise BadPeriod(f"more than {MOST_PERIODS} periods: take fewer days or longer periods")
        yield start


def _unlimited(first: date, last: date, step: Step, zone: tzinfo) -> Iterator[datetime]:
    if step in _MINUTES:
        end = midnight(last + timedelta(days=1), zone).astimezone(UTC)
        moment = midnight(first, zone).astimezone(UTC)
        while moment < end:
            local = moment.astimezone(zone)
            yield local
            # To the next full hour of the clock, also after an offset that is no whole hour.
            moment += timedelta(minutes=_MINUTES[step] - local.minute % _MINUTES[step])
        return
    day = first
    while day <= last:
        yield midnight(day, zone)
        day = _next(day, step) if step is not Step.TOTAL else last + timedelta(days=1)


def _next(day: date, step: Step) -> date:
    if step is Step.DAY:
        return day + timedelta(days=1)
    if step is Step.WEEK:
        return day + timedelta(days=7 - day.weekday())
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def window(hours: str = "", weekdays: str = "") -> Window:
    """Read "09:00-18:00" and "mon-fri" or "mon,wed"; empty: all. Raises BadPeriod."""
    opens, closes = _hours(hours) if hours else (time(0), None)
    return Window(opens, closes, _weekdays(weekdays) if weekdays else Window().weekdays)


def _hours(text: str) -> tuple[time, time | None]:
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})", text)
    if not match:
        raise BadPeriod(f"{text!r} are no hours: write 09:00-18:00")
    values = [int(part) for part in match.groups()]
    opens, closes = values[0] * 60 + values[1], values[2] * 60 + values[3]
    if opens % 15 or closes % 15 or values[1] > 59 or values[3] > 59 or not opens < closes <= 1440:
        raise BadPeriod(f"{text}: from earlier to later, in whole quarters of an hour, at most to 24:00")
    return time(opens // 60, opens % 60), None if closes == 1440 else time(closes // 60, closes % 60)


def _weekdays(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.strip().partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise BadPeriod(f"{part!r} is no weekday: write mon-fri, or mon,wed")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found |= {(begin + n) % 7 + 1 for n in range((end - begin) % 7 + 1)}
    return tuple(sorted(found))


def span_before(day: date, every: str) -> tuple[date, date]:
    """Return first and last day of the whole "day", "week" or "month" that ended last before this day."""
    if every == "day":
        return day - timedelta(days=1), day - timedelta(days=1)
    if every == "week":
        monday = day - timedelta(days=day.weekday())
        return monday - timedelta(days=7), monday - timedelta(days=1)
    last = day.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last
