"""Gateways that fail are kept away from, and tried again by a few calls; full ones hold a campaign back."""

from __future__ import annotations

from callcore.dial import DialReason
from callcore.dial_brake import FailureLimit
from callcore.dial_gateways import GatewayRoom, GatewayWatch, Via

SALE, OTHER, GOOD, BAD = 1, 2, 10, 20
LIMIT = FailureLimit(share=0.5, sample=4, rest_seconds=30.0)


def watch(*, bad: int = 4, good: int = 4, now: float = 0.0) -> GatewayWatch:
    """Return what is known after so many failures of one gateway and calls that another one took."""
    made = GatewayWatch(LIMIT)
    for _ in range(good):
        made.ended(SALE, GOOD, "good", failed=False, now=now)
    for _ in range(bad):
        made.ended(SALE, BAD, "bad", failed=True, now=now)
    return made


def test_without_failures_nothing_is_said() -> None:
    made = watch(bad=0)
    assert made.room(SALE, 1.0) == GatewayRoom()
    assert made.plan(SALE, 2, 1.0) == [Via(), Via()]
    assert Via().told == {}


def test_one_gateway_rests_and_the_others_go_on() -> None:
    made = watch()
    room = made.room(SALE, 1.0)
    assert (room.calls, room.detail) == (None, "resting: bad")
    assert made.plan(SALE, 2, 1.0) == [Via(avoid=(BAD,))] * 2
    assert made.plan(SALE, 1, 1.0)[0].told == {"avoid": "20"}


def test_every_campaign_keeps_away_and_only_who_used_it_tries_it_again() -> None:
    made = watch()
    assert made.plan(OTHER, 1, 1.0) == [Via(avoid=(BAD,))]
    assert made.plan(OTHER, 1, 31.0) == [Via(avoid=(BAD,))]
    assert made.plan(SALE, 1, 31.0) == [Via(probe=BAD)]


def test_a_campaign_whose_gateways_all_rest_is_held() -> None:
    made = watch(good=0)
    assert made.room(SALE, 29.0) == GatewayRoom(0, DialReason.GATEWAY_FAILURES, "resting: bad")
    assert made.room(SALE, 31.0).calls == 3, "probes"
    assert made.room(OTHER, 1.0).calls is None, "nobody knows where its dials would go"


def test_probes_are_few_and_one_that_is_taken_ends_the_rest() -> None:
    made = watch(now=0.0)
    made.ended(SALE, GOOD, "good", failed=False, now=31.0)
    vias = made.plan(SALE, 5, 31.0)
    assert vias == [Via(probe=BAD)] * 3 + [Via(avoid=(BAD,))] * 2
    made.placed(SALE, vias, 31.0)
    assert made.plan(SALE, 2, 32.0) == [Via(avoid=(BAD,))] * 2
    made.ended(SALE, BAD, "bad", failed=False, now=33.0)
    assert made.plan(SALE, 1, 33.0) == [Via()]


def test_a_probe_that_fails_makes_the_rest_longer() -> None:
    made = watch(good=0)
    made.placed(SALE, made.plan(SALE, 1, 31.0), 31.0)
    made.ended(SALE, BAD, "bad", failed=True, now=32.0)
    assert made.room(SALE, 91.0).calls == 0
    assert made.room(SALE, 93.0).calls == 3


def test_what_was_dialled_before_the_rest_does_not_end_it() -> None:
    made = watch(good=0)
    made.ended(SALE, BAD, "bad", failed=False, now=2.0)
    assert made.room(SALE, 3.0).calls == 0


def test_probes_of_which_nothing_is_heard_are_made_anew() -> None:
    made = watch(good=0)
    made.placed(SALE, made.plan(SALE, 3, 31.0), 31.0)
    assert made.room(SALE, 32.0).calls == 0
    assert made.room(SALE, 95.0).calls == 3


def test_full_gateways_let_one_call_follow_each_that_ends() -> None:
    made = watch(bad=0)
    made.full(SALE, "good: full: 2 of 2 calls", 1.0)
    room = made.room(SALE, 1.0)
    assert (room.calls, room.reason) == (0, DialReason.GATEWAY_LIMIT)
    assert room.detail == "good: full: 2 of 2 calls"
    made.freed(SALE)
    assert made.room(SALE, 2.0).calls == 1
    made.placed(SALE, made.plan(SALE, 1, 2.0), 2.0)
    assert made.room(SALE, 2.0).calls == 0
    assert made.is_full(SALE)


def test_a_full_gateway_is_asked_for_one_more_line_now_and_then() -> None:
    made = watch(bad=0)
    made.full(SALE, "good is full", 1.0)
    assert [made.room(SALE, now).calls for now in (2.9, 3.0)] == [0, 1]
    made.placed(SALE, made.plan(SALE, 1, 3.0), 3.0)
    assert [made.room(SALE, now).calls for now in (3.1, 4.9, 5.0)] == [0, 0, 1]
    made.full(SALE, "good is full", 5.5)
    assert made.room(SALE, 6.0).calls == 0
    assert made.room(SALE, 65.6) == GatewayRoom(), "nothing was refused for a minute"
    assert not made.is_full(SALE)
