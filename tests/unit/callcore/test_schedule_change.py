"""When a schedule opens or closes next: compared with asking it minute by minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from callcore.schedule import Schedule
from callcore.schedule_change import next_change

WORK = "mon-fri 09:00-18:00"


def make(
    hours: str, *, zone: str = "Europe/Moscow", holidays: tuple[date, ...] = (), on: str = "closed"
) -> Schedule:
    return Schedule.make(
        schedule_id=1, tenant_id=1, name="s", zone_name=zone, hours=hours, holidays=holidays, on_holidays=on
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def by_minutes(schedule: Schedule, now: datetime, limit: timedelta) -> datetime | None:
    """The slow way, for moments at a whole minute."""
    was = schedule.is_open(now)
    moment = now
    while moment - now < limit:
        moment += timedelta(minutes=1)
        if schedule.is_open(moment) != was:
            return moment
    return None


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-23T10:00+03:00", "2026-11-23T18:00+03:00"),
        ("2026-11-23T18:00+03:00", "2026-11-24T09:00+03:00"),
        ("2026-11-27T18:00+03:00", "2026-11-30T09:00+03:00"),
        ("2026-11-30T05:59:59+00:00", "2026-11-30T09:00+03:00"),
    ],
)
def test_ordinary_week(now: str, expected: str) -> None:
    assert next_change(make(WORK), at(now)) == at(expected)


def test_answer_is_in_the_zone_of_the_schedule() -> None:
    change = next_change(make(WORK), at("2026-11-23T10:00+00:00"))
    assert change is not None
    assert change.isoformat() == "2026-11-23T18:00:00+03:00"


def test_always_open_never_changes_but_for_holidays() -> None:
    always = "mon-sun 00:00-24:00"
    now = at("2026-11-23T10:00+03:00")
    assert next_change(make(always), now) is None
    far = make(always, holidays=(date(2031, 5, 1),))
    assert next_change(far, now) == at("2031-05-01T00:00+03:00")
    assert next_change(make(always, holidays=(date(2031, 5, 1),), on="ignore"), now) is None
    assert next_change(make(always, holidays=(date(2020, 5, 1), date.max)), now) is None


def test_many_holidays_put_off_a_weekly_opening() -> None:
    mondays = tuple(date(2026, 11, 23) + timedelta(days=7 * week) for week in range(30))
    schedule = make("mon 09:00-18:00", holidays=mondays)
    assert next_change(schedule, at("2026-11-22T10:00+03:00")) == at("2027-06-21T09:00+03:00")


def test_holiday_that_is_open_all_day() -> None:
    schedule = make(WORK, holidays=(date(2026, 11, 28),), on="open")
    friday = at("2026-11-27T20:00+03:00")
    assert next_change(schedule, friday) == at("2026-11-28T00:00+03:00")
    assert next_change(schedule, at("2026-11-28T00:00+03:00")) == at("2026-11-29T00:00+03:00")


def test_hours_that_a_clock_change_skips_or_repeats() -> None:
    night = make("sun 02:30-02:45", zone="America/New_York")
    # On 14 March 2027 there is no 02:30 there.
    assert next_change(night, at("2027-03-13T12:00-05:00")) == at("2027-03-21T02:30-04:00")
    repeated = make("sun 01:15-01:45", zone="America/New_York")
    changes = []
    moment = at("2026-11-01T00:00-04:00")
    for _ in range(4):
        change = next_change(repeated, moment)
        assert change is not None
        changes.append(change.astimezone(UTC).strftime("%H:%M"))
        moment = change
    assert changes == ["05:15", "05:45", "06:15", "06:45"]


def test_range_that_begins_inside_the_skipped_hour() -> None:
    schedule = make("sun 02:30-10:00", zone="America/New_York")
    assert next_change(schedule, at("2027-03-14T01:00-05:00")) == at("2027-03-14T03:00-04:00")


@pytest.mark.parametrize("zone", ["Europe/Moscow", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])
@pytest.mark.parametrize(
    "hours", [WORK, "fri-sun 22:00-06:00", "mon-sun 00:00-24:00", "sun 01:30-02:15; mon,wed 00:00-00:30"]
)
@pytest.mark.parametrize("on", ["closed", "open", "ignore"])
def test_same_as_minute_by_minute(zone: str, hours: str, on: str) -> None:
    """In weeks with a clock change, a skipped day (Apia, 30 December 2011) and holidays."""
    for start in ("2011-12-28T20:01+00:00", "2027-03-13T10:07+00:00", "2026-10-31T10:07+00:00"):
        now = at(start)
        holidays = (now.date() + timedelta(days=1), now.date() + timedelta(days=3))
        schedule = make(hours, zone=zone, holidays=holidays, on=on)
        for _ in range(2):
            found = next_change(schedule, now)
            slow = by_minutes(schedule, now, timedelta(days=2))
            if slow is None:
                assert found is None or found - now > timedelta(days=2)
                break
            assert found is not None
            # Python holds a repeated wall-clock time for unequal to any time of another zone.
            assert found.astimezone(UTC) == slow
            now = slow
