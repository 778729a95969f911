"""The matching order of routes: by priority (small first), then by id; how a route gets a place in it.

Decides which priority puts a route between two others without renumbering any. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from callcore.errors import Refused

#: Smallest difference of two priorities: numeric(12,4).
STEP = Decimal("0.0001")
#: Distance to the first or last route.
GAP = Decimal(1)


class NoRoom(Refused):
    """There is no priority left between the two routes: give one of them another priority."""

    error_id = "no-room"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a route stands."""

    priority: Decimal
    route_id: int


def place_between(low: Place | None, high: Place | None, route_id: int) -> Decimal:
    """Return the priority that puts route `route_id` between two neighbours (None: there is none).

    The middle, rounded to the coarsest priority that fits; raises NoRoom.
    """
    if low is None or high is None:
        if low is not None:
            return (low.priority + GAP).to_integral_value(ROUND_FLOOR)
        return Decimal(0) if high is None else (high.priority - GAP).to_integral_value(ROUND_FLOOR)
    middle = (low.priority + high.priority) / 2
    for digits in range(5):
        rounded = middle.quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR)
        for priority in (rounded, low.priority, high.priority) if digits == 4 else (rounded,):
            strictly = low.priority < priority < high.priority
            if strictly or (digits == 4 and low < Place(priority, route_id) < high):
                return priority
    raise NoRoom(low=low.route_id, high=high.route_id)
