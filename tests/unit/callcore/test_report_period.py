"""Periods of reports: whole days of the wall clock, elapsed hours, without gap or overlap in any zone."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.report_period import BadPeriod, Step, periods, span_before, window

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)]
)
def test_days_have_the_hours_that_they_have(day: date, hours: int) -> None:
    assert len(periods(day, day, Step.HOUR, BERLIN)) == hours
    assert len(periods(day, day, Step.QUARTER, BERLIN)) == hours * 4
    [whole] = periods(day, day, Step.DAY, BERLIN)
    assert whole.seconds == hours * 3600


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    first, last = date(2026, 1, 28), date(2026, 3, 3)
    weeks = [part.start.date() for part in periods(first, last, Step.WEEK, UTC)]
    assert weeks == [
        first,
        date(2026, 2, 2),
        date(2026, 2, 9),
        date(2026, 2, 16),
        date(2026, 2, 23),
        date(2026, 3, 2),
    ]
    months = [part.start.date() for part in periods(first, last, Step.MONTH, UTC)]
    assert months == [first, date(2026, 2, 1), date(2026, 3, 1)]
    assert periods(date(2025, 12, 31), date(2026, 1, 1), Step.MONTH, UTC)[-1].start.year == 2026


def test_a_midnight_that_is_left_out_is_the_moment_of_the_change() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # 2026-04-24: 00:00 becomes 01:00
    [day] = periods(date(2026, 4, 24), date(2026, 4, 24), Step.DAY, cairo)
    assert (day.start.hour, day.seconds) == (1, 23 * 3600)


@given(
    st.sampled_from(sorted(available_timezones())),
    st.dates(date(2015, 1, 1), date(2030, 1, 1)),
    st.sampled_from(list(Step)),
)
def test_no_gap_no_overlap_and_whole_quarters_everywhere(name: str, day: date, step: Step) -> None:
    """Sums are kept by quarters of an hour since 2000 began in UTC: every period must begin with one."""
    parts = periods(day, day, step, ZoneInfo(name))
    for one, other in itertools.pairwise(parts):
        assert one.end == other.start
    zero = datetime(2000, 1, 1, tzinfo=UTC)
    for part in parts:
        assert part.seconds > 0
        assert (part.start.astimezone(UTC) - zero).total_seconds() % 900 == 0
    assert parts[0].start.date() == day


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(BadPeriod):
        periods(date(2026, 2, 2), date(2026, 2, 1), Step.DAY, UTC)
    with pytest.raises(BadPeriod):
        periods(date(2026, 1, 1), date(2026, 12, 31), Step.QUARTER, UTC)
    for hours in ("9-18", "18:00-09:00", "09:10-10:00", "09:00-24:15"):
        with pytest.raises(BadPeriod):
            window(hours)
    with pytest.raises(BadPeriod):
        window(weekdays="monday")


def test_windows() -> None:
    part = window("09:00-24:00", "fri-mon,wed")
    assert (part.opens, part.closes, part.weekdays) == (time(9), None, (1, 3, 5, 6, 7))


@pytest.mark.parametrize(
    ("every", "first", "last"),
    [
        ("day", date(2026, 2, 28), date(2026, 2, 28)),
        ("week", date(2026, 2, 16), date(2026, 2, 22)),
        ("month", date(2026, 2, 1), date(2026, 2, 28)),
    ],
)
def test_the_last_whole_period(every: str, first: date, last: date) -> None:
    assert span_before(date(2026, 3, 1), every) == (first, last)  # a Sunday
