"""Schedules: hours, nights, holidays, time zones with daylight saving, and errors with a position."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callcore.schedule import BadSchedule, Schedule, parse_hours


def schedule(hours: str, zone: str = "UTC", **more: Any) -> Schedule:
    return Schedule.make(schedule_id=1, tenant_id=1, name="s", zone_name=zone, hours=hours, **more)


def at(text: str, zone: str = "UTC", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


# 23 November 2026 is a Monday.
@pytest.mark.parametrize(
    ("hours", "moment", "expected"),
    [
        ("mon-fri 09:00-18:00", "2026-11-23T09:00", True),
        ("mon-fri 09:00-18:00", "2026-11-23T08:59:59", False),
        ("mon-fri 09:00-18:00", "2026-11-23T17:59:59", True),
        ("mon-fri 09:00-18:00", "2026-11-23T18:00", False),
        ("mon-fri 09:00-18:00; sat 10:00-14:00", "2026-11-28T10:00", True),
        ("mon-fri 09:00-18:00; sat 10:00-14:00", "2026-11-29T10:00", False),
        ("MON,wed,fri 9:00-13:00, 14:00-18:00", "2026-11-25T14:30", True),
        ("MON,wed,fri 9:00-13:00, 14:00-18:00", "2026-11-25T13:30", False),
        ("mon,wed,fri 09:00-18:00", "2026-11-24T12:00", False),
        ("mon-sun 00:00-24:00", "2026-11-29T23:59:59", True),
        ("sat-mon 10:00-11:00", "2026-11-23T10:30", True),
        ("sat-mon 10:00-11:00", "2026-11-24T10:30", False),
        ("fri 22:00-06:00", "2026-11-27T22:00", True),
        ("fri 22:00-06:00", "2026-11-28T05:59", True),
        ("fri 22:00-06:00", "2026-11-28T06:00", False),
        ("fri 22:00-06:00", "2026-11-27T05:00", False),
        ("sun 22:00-06:00", "2026-11-23T01:00", True),
        (" mon 09:00 - 18:00 ; ", "2026-11-23T12:00", True),
    ],
)
def test_hours(hours: str, moment: str, expected: bool) -> None:
    assert schedule(hours).is_open(at(moment)) is expected


@pytest.mark.parametrize(
    ("hours", "position", "words"),
    [
        ("", 1, "expected a day, found the end"),
        ("   ", 1, "found the end"),
        ("mon", 4, "expected a time (00:00 to 24:00), found the end"),
        ("mo 09:00-18:00", 1, 'expected a day (mon tue wed thu fri sat sun), found "mo"'),
        ("mon-fri 09:00", 14, 'expected "-", found the end'),
        ("mon 09:00-18:00 sat 10:00-14:00", 17, 'expected ";", found "sat"'),
        ("mon 09:00-25:00", 11, 'found "25:00"'),
        ("mon 09:60-18:00", 5, 'found "09:60"'),
        ("mon 24:00-24:00", 5, 'found "24:00"'),
        ("mon 09:00-09:00", 5, "different start and end"),
        ("mon 9-18", 5, 'a day, a time or one of - , ;, found "9"'),
        ("mon 09:00-18:00; ", None, ""),
        ("mon, 09:00-18:00", 6, 'found "09:00"'),
        ("x" * 1001, 1000, "longer than 1000"),
    ],
)
def test_errors_tell_the_position(hours: str, position: int | None, words: str) -> None:
    if position is None:
        assert parse_hours(hours)
        return
    with pytest.raises(BadSchedule) as refusal:
        parse_hours(hours)
    assert words in refusal.value.message
    assert refusal.value.details["position"] == position


def test_an_unknown_time_zone_and_holiday_rule_are_refused() -> None:
    for zone in ("Europe/Nowhere", "", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(BadSchedule, match="unknown time zone"):
            schedule("mon 09:00-18:00", zone)
    with pytest.raises(BadSchedule, match="on_holidays"):
        schedule("mon 09:00-18:00", on_holidays="maybe")


def test_hours_are_those_of_the_schedules_own_zone() -> None:
    moscow = schedule("mon 09:00-18:00", "Europe/Moscow")
    assert moscow.is_open(at("2026-11-23T06:00", "UTC"))
    assert not moscow.is_open(at("2026-11-23T05:59", "UTC"))
    assert moscow.is_open(at("2026-11-23T15:30", "Asia/Vladivostok")) is False
    assert moscow.is_open(at("2026-11-23T16:00", "Asia/Vladivostok"))


@pytest.mark.parametrize(
    ("rule", "at_noon", "at_night", "tail_after_holiday"),
    [("closed", False, False, False), ("open", True, True, True), ("ignore", True, False, True)],
)
def test_holidays(rule: str, at_noon: bool, at_night: bool, tail_after_holiday: bool) -> None:
    made = schedule("mon-fri 09:00-18:00, 22:00-02:00", holidays=[date(2026, 11, 24)], on_holidays=rule)
    assert made.is_open(at("2026-11-24T12:00")) is at_noon
    assert made.is_open(at("2026-11-24T20:00")) is at_night
    # The night that begins on the holiday.
    assert made.is_open(at("2026-11-25T01:00")) is tail_after_holiday
    assert made.is_open(at("2026-11-25T12:00"))


def test_a_night_that_runs_into_a_closed_holiday_ends_at_midnight() -> None:
    made = schedule("mon 22:00-02:00", holidays=[date(2026, 11, 24)])
    assert made.is_open(at("2026-11-23T23:59"))
    assert not made.is_open(at("2026-11-24T00:30"))


def test_the_holiday_is_that_of_the_schedules_own_zone() -> None:
    made = schedule("mon-sun 00:00-24:00", "Asia/Vladivostok", holidays=[date(2026, 11, 24)])
    assert not made.is_open(at("2026-11-23T14:00", "UTC"))  # already the 24th there
    assert made.is_open(at("2026-11-24T14:00", "UTC"))


def test_daylight_saving_in_spring_and_autumn() -> None:
    """Berlin 2026: 29 March 02:00 becomes 03:00, 25 October 03:00 becomes 02:00."""
    night = schedule("sun 02:00-03:00", "Europe/Berlin")
    spring = [at("2026-03-29T00:00") + timedelta(minutes=step) for step in range(0, 240, 30)]
    assert not any(map(night.is_open, spring))  # that hour does not exist
    autumn = [at("2026-10-25T00:00") + timedelta(minutes=step) for step in range(0, 240, 30)]
    assert [night.is_open(moment) for moment in autumn] == [True] * 4 + [
        False
    ] * 4  # and this one comes twice
    day = schedule("sun 09:00-18:00", "Europe/Berlin")
    assert day.is_open(at("2026-03-29T07:00", "UTC"))
    assert day.is_open(at("2026-10-25T08:00", "UTC"))
    assert not day.is_open(at("2026-10-25T07:30", "UTC"))


def test_now_must_be_aware() -> None:
    with pytest.raises(ValueError, match="aware"):
        schedule("mon 09:00-18:00").is_open(datetime(2026, 11, 23, 12))  # noqa: DTZ001


def test_why_closed_names_day_time_and_holiday() -> None:
    made = schedule("mon 09:00-18:00", "Europe/Moscow", holidays=[date(2026, 11, 23)])
    assert made.why_closed(datetime(2026, 11, 23, 9, 5, tzinfo=UTC)) == (
        "schedule 's' is closed on mon 2026-11-23 12:05 Europe/Moscow, a holiday"
    )


def test_a_schedule_is_read_from_the_system_file() -> None:
    made = Schedule.from_json(
        {
            "schedule_id": 3, "tenant_id": 1, "name": "office", "time_zone": "Europe/Moscow",
            "hours": "mon-fri 09:00-18:00", "holidays": ["2026-12-31"], "on_holidays": "open",
        }
    )  # fmt: skip
    assert made.holidays == {date(2026, 12, 31)}
    assert made.is_open(at("2026-12-31T03:00", "Europe/Moscow"))
