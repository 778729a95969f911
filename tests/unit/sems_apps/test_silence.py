"""Who has fallen silent is asked, and not more often than is needed."""

from __future__ import annotations

from itertools import pairwise

from sems_apps.host.silence import (
    FIRST_ASK_SECONDS,
    LAST_ASK_SECONDS,
    REMIND_SECONDS,
    SILENCE_SECONDS,
    begin,
    look,
    remind,
)


def test_stream_that_stops_is_asked_after_four_seconds() -> None:
    side = begin(0.0)
    asked = [now for now in range(0, 20, 2) if look(side, 10 * min(now, 6), float(now))]
    assert asked == [6 + SILENCE_SECONDS]


def test_stream_that_goes_on_is_never_asked() -> None:
    side = begin(0.0)
    assert not any(look(side, now, float(now)) for now in range(1, 3000, 2))


def test_side_that_never_sends_is_asked_ever_more_rarely() -> None:
    side = begin(0.0)
    asked = [now for now in range(0, 2000, 2) if look(side, 0, float(now))]
    pauses = [after - before for before, after in pairwise(asked)]
    assert asked[0] == FIRST_ASK_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[-1] == LAST_ASK_SECONDS


def test_who_speaks_again_is_soon_suspect_again() -> None:
    side = begin(0.0)
    for now in range(0, 400, 2):
        look(side, 0, float(now))
    look(side, 7, 400.0)
    assert not look(side, 7, 402.0)
    assert look(side, 7, 404.0)


def test_node_is_reminded_of_who_is_silent_and_of_nobody_else() -> None:
    side = begin(0.0)
    silent = []
    for now in range(0, 40, 2):
        look(side, 0 if now < 14 else now, float(now))
        if remind(side, float(now)):
            silent.append(now)
    assert silent == [4, 8, 12]
    assert max(after - before for before, after in pairwise(silent)) <= REMIND_SECONDS + 2
