"""Hours where people are: several zones, holidays, daylight saving."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callcore.dial_hours import CallingHours
from callcore.schedule import BadSchedule

DAILY = CallingHours.make("mon-sun 09:00-21:00")
ZONES = ["Europe/Moscow", "Asia/Kamchatka", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]
HOURS = [
    "mon-sun 09:00-21:00",
    "mon-fri 10:00-18:00",
    "sat 22:00-03:00",
    "mon-sun 02:30-02:45",
    "sun 00:00-24:00",
]

START = datetime(2026, 1, 1, tzinfo=UTC)
moments = st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
zone_sets = st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True)
hours = st.builds(
    lambda text, holidays, on: CallingHours.make(text, holidays=holidays, on_holidays=on),
    st.sampled_from(HOURS),
    st.lists(st.dates(date(2026, 1, 1), date(2027, 12, 31)), max_size=3),
    st.sampled_from(["closed", "open", "ignore"]),
)


def test_all_zones_must_be_open() -> None:
    moscow_morning = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)  # 10:00 in Moscow, 19:00 in Kamchatka
    assert DAILY.is_open(["Europe/Moscow", "Asia/Kamchatka"], moscow_morning)
    noon = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)  # 21:00 in Kamchatka: over
    assert DAILY.is_open(["Europe/Moscow"], noon)
    assert not DAILY.is_open(["Europe/Moscow", "Asia/Kamchatka"], noon)


def test_no_zone_is_never_open() -> None:
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    assert not DAILY.is_open([], now)
    assert DAILY.next_open([], now) is None


def test_hours_that_never_meet() -> None:
    early = CallingHours.make("mon-sun 09:00-10:00")
    assert early.next_open(["Europe/Moscow", "Asia/Kamchatka"], datetime(2026, 11, 23, tzinfo=UTC)) is None


def test_further_hours_shift_the_next_try_into_the_evening() -> None:
    evening = CallingHours.make("mon-fri 18:00-21:00", on_holidays="ignore")
    friday_night = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)
    assert DAILY.next_open(["Europe/Moscow"], friday_night, also=evening) == datetime(
        2026, 11, 30, 15, 0, tzinfo=UTC
    )


def test_holidays_of_the_callee_count_where_he_is() -> None:
    closed = CallingHours.make("mon-sun 09:00-21:00", holidays=[date(2026, 11, 24)])
    monday_evening_utc = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)  # the 24th in Kamchatka, 10:00
    assert not closed.is_open(["Asia/Kamchatka"], monday_evening_utc)
    assert closed.next_open(["Asia/Kamchatka"], monday_evening_utc) == datetime(
        2026, 11, 24, 21, 0, tzinfo=UTC
    )


@pytest.mark.parametrize("text", ["", "monday", "mon 9-18", "mon 09:00-09:00"])
def test_bad_hours_are_refused(text: str) -> None:
    with pytest.raises(BadSchedule):
        CallingHours.make(text)


def test_the_first_of_two_openings_is_found_though_another_zone_begins_its_day_later() -> None:
    """The local day of Honolulu begins when that of Kiritimati is over."""
    hours = CallingHours.make("mon-fri 12:00-24:00; sat-sun 00:00-24:00")
    after = datetime(2026, 3, 5, 10, 0, tzinfo=UTC)
    found = hours.next_open(["Pacific/Honolulu", "Pacific/Kiritimati"], after)
    assert found is not None
    moment = after
    while moment < found:
        assert not hours.is_open(["Pacific/Honolulu", "Pacific/Kiritimati"], moment)
        moment += timedelta(minutes=15)


@settings(max_examples=150, deadline=None)
@given(hours=hours, zones=zone_sets, after=moments)
def test_next_open_is_open_and_nothing_before_it_is(
    hours: CallingHours, zones: list[str], after: datetime
) -> None:
    found = hours.next_open(zones, after)
    last = found if found else after + timedelta(days=9)
    assert found is None or (found >= after and hours.is_open(zones, found))
    # Every quarter of an hour before it is closed.
    moment = max(after, last - timedelta(days=2))
    while moment < last:
        assert not hours.is_open(zones, moment)
        moment += timedelta(minutes=15)


@settings(max_examples=100, deadline=None)
@given(zones=zone_sets, more=zone_sets, at=moments)
def test_more_zones_never_open_what_was_closed(zones: list[str], more: list[str], at: datetime) -> None:
    if DAILY.is_open([*zones, *more], at):
        assert DAILY.is_open(zones, at)
