"""Schedules: when a route applies.

Decides whether a moment lies inside weekly hours such as "mon-fri 09:00-18:00; sat 10:00-14:00", in a time
zone with its daylight saving, with holidays. Reads no clock: the moment is an argument.

Hours are wall-clock times. In the hour that daylight saving repeats both passes count; in the hour that it
skips no moment exists. A range whose end is before its start belongs to the day on which it starts and runs
into the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from callcore.errors import BadInput

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_A_DAY = 24 * 60
MAX_HOURS_CHARACTERS = 1000

_TOKEN = re.compile(r"\s*(?:(?P<time>\d{1,2}:\d{2})|(?P<word>[a-z]+)|(?P<mark>[-,;]))", re.ASCII)


class BadSchedule(BadInput):
    """A schedule is not valid."""

    error_id = "bad-schedule"


@dataclass(frozen=True, slots=True)
class DayRange:
    """Hours of one weekday; `end` up to 24:00, or before `start` for a range into the next day."""

    #: 0 is Monday.
    weekday: int
    start_minute: int
    end_minute: int

    @property
    def overnight(self) -> bool:
        """Tell whether the range runs into the next day."""
        return self.end_minute < self.start_minute


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    #: 1 for the first character.
    position: int


class _Parser:
    """Recursive descent over: entry (";" entry)*; entry = days times; lists by ",", ranges by "-"."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._index = 0

    def parse(self) -> tuple[DayRange, ...]:
        ranges: list[DayRange] = []
        while self._peek().kind != "end":
            days = self._days()
            for start, end in self._times():
                ranges.extend(DayRange(day, start, end) for day in days)
            if self._peek().kind != "end":
                self._mark(";")
        return tuple(ranges)

    def _days(self) -> list[int]:
        days: list[int] = []
        while True:
            days.extend(self._day_range())
            if self._peek().text != ",":
                return days
            self._index += 1

    def _day_range(self) -> list[int]:
        first = self._day()
        if self._peek().text != "-":
            return [first]
        self._index += 1
        last = self._day()
        return [(first + step) % 7 for step in range((last - first) % 7 + 1)]

    def _day(self) -> int:
        token = self._next()
        if token.text not in DAYS:
            raise _error(token, "a day (mon tue wed thu fri sat sun)")
        return DAYS.index(token.text)

    def _times(self) -> list[tuple[int, int]]:
        times = [self._time_range()]
        while self._peek().text == ",":
            self._index += 1
            times.append(self._time_range())
        return times

    def _time_range(self) -> tuple[int, int]:
        first = self._peek()
        start = self._time(latest=MINUTES_A_DAY - 1)
        self._mark("-")
        end = self._time(latest=MINUTES_A_DAY)
        if start == end:
            raise _error(first, "a range with different start and end (all day is 00:00-24:00)")
        return start, end

    def _time(self, *, latest: int) -> int:
        token = self._next()
        hours, _, minutes = token.text.partition(":")
        if token.kind != "time" or int(minutes) > 59 or int(hours) * 60 + int(minutes) > latest:
            raise _error(token, "a time (00:00 to 24:00)")
        return int(hours) * 60 + int(minutes)

    def _mark(self, mark: str) -> None:
        token = self._next()
        if token.text != mark:
            raise _error(token, f'"{mark}"')

    def _peek(self) -> _Token:
        return self._tokens[self._index]

    def _next(self) -> _Token:
        token = self._tokens[self._index]
        self._index = min(self._index + 1, len(self._tokens) - 1)
        return token


def _tokens(text: str) -> list[_Token]:
    lowered = text.lower().rstrip()
    tokens: list[_Token] = []
    position = 0
    while position < len(lowered):
        match = _TOKEN.match(lowered, position)
        if match is None or match.lastgroup is None:
            start = len(lowered) - len(lowered[position:].lstrip())
            raise _error(_Token("mark", lowered[start], start + 1), "a day, a time or one of - , ;")
        kind = match.lastgroup
        tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
        position = match.end()
    return [*tokens, _Token("end", "", len(lowered) + 1)]


def _error(token: _Token, expected: str) -> BadSchedule:
    found = "the end" if token.kind == "end" else f'"{token.text}"'
    message = f"hours, position {token.position}: expected {expected}, found {found}"
    return BadSchedule(message, position=token.position)


@lru_cache(maxsize=1024)
def parse_hours(text: str) -> tuple[DayRange, ...]:
    """Parse weekly hours; raises BadSchedule with the position (from 1) of what it does not understand."""
    if len(text) > MAX_HOURS_CHARACTERS:
        raise BadSchedule(
            f"hours are longer than {MAX_HOURS_CHARACTERS} characters", position=MAX_HOURS_CHARACTERS
        )
    ranges = _Parser(text).parse()
    if not ranges:
        raise BadSchedule("hours, position 1: expected a day, found the end", position=1)
    return ranges


@lru_cache(maxsize=256)
def time_zone(name: str) -> tzinfo:
    """Return the time zone of this IANA name; raises BadSchedule if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSchedule(f"unknown time zone {name!r}", time_zone=name) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Named weekly hours of a tenant; build with `make`, which checks everything."""

    schedule_id: int
    tenant_id: int
    name: str
    zone: tzinfo
    ranges: tuple[DayRange, ...]
    #: Local dates.
    holidays: frozenset[date] = frozenset()
    #: closed: never on a holiday; open: all day; ignore: holidays are ordinary days.
    on_holidays: str = "closed"
    #: As stored, for people.
    hours: str = ""
    time_zone_name: str = field(default="UTC")

    @classmethod
    def make(
        cls,
        *,
        schedule_id: int,
        tenant_id: int,
        name: str,
        zone_name: str,
        hours: str,
        holidays: Iterable[date] = (),
        on_holidays: str = "closed",
    ) -> Schedule:
        """Check and build; raises BadSchedule."""
        if on_holidays not in ("closed", "open", "ignore"):
            raise BadSchedule(f"on_holidays: {on_holidays!r} is not one of closed, open, ignore")
        return cls(
            schedule_id=schedule_id,
            tenant_id=tenant_id,
            name=name,
            zone=time_zone(zone_name),
            ranges=parse_hours(hours),
            holidays=frozenset(holidays),
            on_holidays=on_holidays,
            hours=hours,
            time_zone_name=zone_name,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schedule:
        """Build from an entry of system.*.json; raises BadSchedule."""
        return cls.make(
            schedule_id=data["schedule_id"],
            tenant_id=data["tenant_id"],
            name=data["name"],
            zone_name=data["time_zone"],
            hours=data["hours"],
            holidays=[date.fromisoformat(day) for day in data.get("holidays") or ()],
            on_holidays=data.get("on_holidays", "closed"),
        )

    def is_open(self, now: datetime) -> bool:
        """Tell whether the schedule is open at this aware moment.

        Hours that begin on a closed holiday are closed as a whole, also their part after midnight.
        """
        if now.tzinfo is None:
            raise ValueError("an aware time is needed")
        # Python compares and adds wall-clock times inside one zone, so go through UTC once.
        local = now.astimezone(UTC).astimezone(self.zone)
        today = local.date()
        if today in self.holidays and self.on_holidays != "ignore":
            return self.on_holidays == "open"
        minute = local.hour * 60 + local.minute
        return self._today(today.weekday(), minute) or self._since_yesterday(today, minute)

    def _today(self, weekday: int, minute: int) -> bool:
        return any(
            entry.weekday == weekday
            and entry.start_minute <= minute
            and (entry.overnight or minute < entry.end_minute)
            for entry in self.ranges
        )

    def _since_yesterday(self, today: date, minute: int) -> bool:
        yesterday = today - timedelta(days=1)
        if yesterday in self.holidays and self.on_holidays == "closed":
            return False
        weekday = yesterday.weekday()
        return any(
            entry.overnight and entry.weekday == weekday and minute < entry.end_minute
            for entry in self.ranges
        )

    def why_closed(self, now: datetime) -> str:
        """Say in plain words why the schedule is closed at this moment."""
        local = now.astimezone(UTC).astimezone(self.zone)
        holiday = ", a holiday" if local.date() in self.holidays else ""
        day = DAYS[local.weekday()]
        return (
            f"schedule {self.name!r} is closed on {day} {local:%Y-%m-%d %H:%M} {self.time_zone_name}{holiday}"
        )
