"""Figures: formulas, and no figure where there is nothing to divide by."""

from __future__ import annotations

import pytest

from callcore.kpi import LevelVariant, OfferSums, QueueSums, StateTimes, queue_figures, service_level

SUMS = QueueSums(
    offered=100,
    answered=70,
    answered_in_time=56,
    abandoned=20,
    abandoned_short=6,
    abandoned_in_time=12,
    left_timeout=4,
    left_callback=3,
    failed=1,
)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (LevelVariant.WITHOUT_SHORT, 66.7),  # 56 / (70 + 20 - 6)
        (LevelVariant.ANY_IN_TIME, 75.6),  # (56 + 12) / 90
        (LevelVariant.OF_ANSWERED, 80.0),
        (LevelVariant.WITH_SHORT, 62.2),
        (LevelVariant.OF_OFFERED, 56.0),
    ],
)
def test_service_level(variant: LevelVariant, expected: float) -> None:
    assert service_level(SUMS, variant) == expected


def test_what_came_is_what_became_of_it() -> None:
    figures = queue_figures(SUMS)
    assert figures.left == 7
    assert figures.open == 2
    assert (
        figures.offered == figures.answered + figures.abandoned + figures.left + figures.failed + figures.open
    )
    assert figures.abandoned_long_percent == 14.9  # 14 / 94


def test_nothing_divided_by_nothing_is_no_figure() -> None:
    figures = queue_figures(QueueSums())
    assert figures.service_level_percent is None
    assert figures.average_handle_seconds is None
    assert figures.survey_average is None
    assert (StateTimes().occupancy_percent, StateTimes().utilisation_percent) == (None, None)
    assert OfferSums().missed_percent is None


def test_pauses_and_ringing_are_outside_of_occupancy() -> None:
    times = StateTimes(free=600, ringing=1000, queue_calls=300, other_calls=500, wrapup=100, paused=2500)
    assert times.logged_in == 5000
    assert times.occupancy_percent == 40.0  # 400 / (400 + 600)
    assert times.utilisation_percent == 8.0  # 400 / 5,000


def test_handle_time_has_no_ringing() -> None:
    sums = OfferSums(
        offers=4, answered=2, rejected=1, ring_ms=99_000, talk_ms=60_000, hold_ms=10_000, wrapup_ms=30_000
    )
    assert sums.average_handle_seconds == 50.0
    assert sums.missed_percent == 25.0
