"""When an event is tried again."""

from __future__ import annotations

from kalibri.services.webhook import MAX_ATTEMPTS, delay_seconds


def test_delays_double_up_to_an_hour() -> None:
    delays = [delay_seconds(attempts) for attempts in range(1, MAX_ATTEMPTS + 1)]
    assert delays[:3] == [2, 4, 8]
    assert delays[-1] == 3600
    assert 3600 < sum(delays) < 24 * 3600
