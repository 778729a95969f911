"""How an expected wait is said: as a range, because people hold a number against us and a range is what we know. Pure.

The estimate itself (position x handling time / agents) is the database's: acd_positions.
"""

from __future__ import annotations

import math

#: Nobody wants to hear more than this; it is said as "more than an hour".
LONGEST_MINUTES = 60


def wait_range(seconds: float) -> tuple[int, int]:
    """Return the wait as minutes, from and to; (0, 0): less than a minute. Never below zero.

    The step grows with the wait: 1 minute up to 5, then 5, above half an hour 15.
    """
    minutes = max(0.0, seconds) / 60
    if minutes < 1:
        return 0, 0
    step = 1 if minutes < 5 else 5 if minutes < 30 else 15
    low = min(math.floor(minutes / step) * step, LONGEST_MINUTES)
    return low, low + step
