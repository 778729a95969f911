"""Expected wait: never below zero, said as a range that the speech knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore import speech
from sems_apps.machines.wait_estimate import wait_range


@pytest.mark.parametrize(
    ("seconds", "minutes"),
    [
        (-5, (0, 0)),
        (59, (0, 0)),
        (60, (1, 2)),
        (280, (4, 5)),
        (300, (5, 10)),
        (899, (10, 15)),
        (2000, (30, 45)),
    ],
)
def test_range(seconds: float, minutes: tuple[int, int]) -> None:
    assert wait_range(seconds) == minutes


@given(st.floats(min_value=0, max_value=1e6), st.sampled_from(["ru", "en"]))
def test_every_wait_can_be_said_and_holds_its_range(seconds: float, language: str) -> None:
    low, high = wait_range(seconds)
    assert speech.wait(low, high, language)
    assert low * 60 <= max(seconds, 0)
    assert high == 0 or seconds / 60 <= high or low == 60
