"""A place in the order of routes: always between the neighbours, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalibri.services.route_order import NoRoom, Place, place_between

PLACES = st.builds(
    Place,
    st.decimals(min_value=-100, max_value=100, places=4),
    st.integers(1, 20),
)


@given(low=st.none() | PLACES, high=st.none() | PLACES, route_id=st.integers(21, 30) | st.integers(-10, 0))
def test_the_place_is_between_the_neighbours_or_there_is_no_room(
    low: Place | None, high: Place | None, route_id: int
) -> None:
    if low is not None and high is not None and not low < high:
        low, high = high, low
        if low == high:
            return
    try:
        found = Place(place_between(low, high, route_id), route_id)
    except NoRoom:
        assert low is not None
        assert high is not None
        assert high.priority - low.priority <= Decimal("0.0001")
        return
    assert low is None or low < found
    assert high is None or found < high
    assert found.priority == found.priority.quantize(Decimal("0.0001"))


@pytest.mark.parametrize(
    ("low", "high", "priority"),
    [
        ("10", "20", "15"),
        ("10", "11", "10.5"),
        ("10", "10.5", "10.2"),
        (None, "10", "9"),
        ("10.5", None, "11"),
        (None, None, "0"),
    ],
)
def test_priorities_stay_readable(low: str | None, high: str | None, priority: str) -> None:
    def place(text: str | None) -> Place | None:
        return None if text is None else Place(Decimal(text), 1)

    assert place_between(place(low), place(high), 2) == Decimal(priority)
