"""Pauses with hysteresis: load of the machine, providers that fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcore.dial_brake import FailureBrake, FailureLimit, LoadBrake, LoadLimit


def test_load_pauses_at_the_limit_and_goes_on_below_the_lower_one() -> None:
    brake, limit = LoadBrake(), LoadLimit(2.0, 1.5)
    seen = [brake.look(load, limit) for load in (1.9, 2.0, 1.9, 1.5, 1.49, 1.9, 2.1)]
    assert seen == [False, True, True, True, False, False, True]


def test_a_limit_that_could_never_end_is_refused() -> None:
    with pytest.raises(ValueError, match="resume_below"):
        LoadLimit(1.0, 2.0)


@given(st.lists(st.floats(0, 5), min_size=1))
def test_between_the_limits_nothing_changes(loads: list[float]) -> None:
    brake, limit = LoadBrake(), LoadLimit(3.0, 2.0)
    before = False
    for load in loads:
        after = brake.look(load, limit)
        assert after == (before if 2.0 <= load < 3.0 else load >= 3.0)
        before = after


def test_a_provider_that_fails_rests_and_is_tried_by_a_few_calls() -> None:
    brake = FailureBrake(FailureLimit(share=0.5, sample=10, rest_seconds=30.0))
    for number in range(9):
        brake.ended(number % 2 == 0, 0.0)
        assert brake.room(0.0) is None
    brake.ended(True, 1.0)
    assert brake.room(30.9) == 0
    assert brake.room(31.1) == FailureBrake.PROBES
    brake.placed(2)
    assert brake.room(31.2) == 1
    brake.ended(False, 32.0)
    assert brake.room(32.0) is None


def test_the_rest_grows_while_the_probes_fail_and_has_a_longest() -> None:
    brake = FailureBrake(FailureLimit(sample=4, rest_seconds=10.0, longest_seconds=40.0))
    for _ in range(4):
        brake.ended(True, 0.0)
    now, rests = 0.0, []
    for _ in range(4):
        began = now
        while brake.room(now) == 0:
            now += 1.0
        rests.append(now - began)
        brake.placed(1)
        brake.ended(True, now)
    assert rests == [10.0, 20.0, 40.0, 40.0]


def test_some_failures_are_life() -> None:
    brake = FailureBrake()
    for number in range(200):
        brake.ended(number % 4 == 0, float(number))
        assert brake.room(float(number)) is None
