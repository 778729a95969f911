"""Hours in which people may be called, where they are.

Decides whether weekly hours are open at a moment in every zone in which a number may be, and when they next will be.
A number that may be in several zones is called only while all of them are open: nobody is woken because we did not
know better. Never decides for no zone at all: who does not know the zone says which zones shall count instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from callcore.schedule import Schedule
from callcore.value import value

#: How far ahead an opening is looked for: a year has every weekday around every holiday.
HORIZON = timedelta(days=370)
#: Hours change at whole minutes only, and zones by whole quarters of an hour.
_STEP = timedelta(minutes=15)
_DAY = timedelta(days=1)


@value
class CallingHours:
    """Weekly hours and holidays without a zone; build with `make`."""

    hours: str
    holidays: tuple[date, ...]
    on_holidays: str

    @classmethod
    def make(cls, hours: str, *, holidays: Iterable[date] = (), on_holidays: str = "closed") -> CallingHours:
        """Check and build; raises BadSchedule."""
        made = cls(hours, tuple(sorted(holidays)), on_holidays)
        made.in_zone("UTC")
        return made

    def in_zone(self, zone: str) -> Schedule:
        """Return the hours as a schedule in a zone (IANA name); raises BadSchedule for an unknown one."""
        return Schedule.make(
            schedule_id=0,
            tenant_id=0,
            name=zone,
            zone_name=zone,
            hours=self.hours,
            holidays=self.holidays,
            on_holidays=self.on_holidays,
        )

    def is_open(self, zones: Sequence[str], now: datetime) -> bool:
        """Tell whether the hours are open in all of these zones; of no zones False."""
        return bool(zones) and all(self.in_zone(zone).is_open(now) for zone in zones)

    def next_open(
        self, zones: Sequence[str], after: datetime, *, also: CallingHours | None = None
    ) -> datetime | None:
        """Return the first moment, not before `after`, at which the hours are open in all zones.

        also: further hours that must be open too. None: never within a year, or no zones. The result is `after`
        itself or a whole minute, in UTC.
        """
        schedules = [self.in_zone(zone) for zone in zones]
        schedules += [also.in_zone(zone) for zone in zones] if also else []
        if not schedules:
            return None
        moment = after.astimezone(UTC)
        if _all_open(schedules, moment):
            return moment
        return _search(schedules, moment)


def _all_open(schedules: Sequence[Schedule], moment: datetime) -> bool:
    return all(schedule.is_open(moment) for schedule in schedules)


def _search(schedules: Sequence[Schedule], after: datetime) -> datetime | None:
    """Look at each moment at which one of the schedules can open: its starts, midnights around holidays."""
    end, begin = after + HORIZON, after
    while begin <= end:
        # The same local day begins up to 26 hours apart: only what lies in these 24 hours may be compared.
        until = begin + _DAY
        near = {
            opening
            for schedule in schedules
            for days in (-1, 0, 1)
            for opening in _openings(schedule, begin + days * _DAY)
        }
        for opening in sorted(near):
            if begin <= opening < until and after < opening <= end and _all_open(schedules, opening):
                return opening
        begin = until
    return None


def _openings(schedule: Schedule, near: datetime) -> set[datetime]:
    """Return the moments, on the local day of `near`, at which a schedule may open.

    Local midnight counts: a holiday ends there, and overnight hours go on. Wall-clock times that daylight saving
    skips are the moment at which the clock jumps.
    """
    local_day = near.astimezone(schedule.zone).date()
    minutes = {0} | {entry.start_minute for entry in schedule.ranges}
    found = set()
    for minute in minutes:
        naive = datetime(local_day.year, local_day.month, local_day.day) + timedelta(minutes=minute)  # noqa: DTZ001
        for fold in (0, 1):
            moment = naive.replace(tzinfo=schedule.zone, fold=fold).astimezone(UTC)
            found.add(_after_gap(schedule, naive, moment))
    return found


def _after_gap(schedule: Schedule, naive: datetime, moment: datetime) -> datetime:
    """Return the moment, or the end of the gap when daylight saving skipped this wall-clock time."""
    if moment.astimezone(schedule.zone).replace(tzinfo=None) == naive:
        return moment
    jump = datetime.fromtimestamp(moment.timestamp() // 900 * 900, UTC) - timedelta(hours=3)
    offset = jump.astimezone(schedule.zone).utcoffset()
    while jump.astimezone(schedule.zone).utcoffset() == offset:
        jump += _STEP
    return jump
