"""Calls divided among campaigns: limits hold, shares follow weights, nobody is told a wrong reason."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from callcore.dial import DialReason
from callcore.dial_share import Rate, Shared, Shares, Wish

WISHES = st.lists(
    st.builds(
        Wish,
        campaign=st.integers(1, 6),
        calls=st.integers(0, 12),
        because=st.just(DialReason.AGENTS_BUSY),
        priority=st.integers(0, 2),
        weight=st.integers(1, 50).map(float),
        lines=st.integers(0, 12),
        rate=st.integers(0, 12),
        uses=st.sampled_from([(), ("hosts",), ("hosts", "tenant 1")]),
    ),
    max_size=6,
    unique_by=lambda wish: wish.campaign,
)


@given(wishes=WISHES, hosts=st.integers(-2, 20), tenant=st.integers(0, 20))
@settings(max_examples=300, deadline=None)
def test_no_limit_is_passed_and_nothing_is_left_over(wishes: list[Wish], hosts: int, tenant: int) -> None:
    shared = {
        "hosts": Shared(hosts, DialReason.HOST_LIMIT),
        "tenant 1": Shared(tenant, DialReason.TENANT_LIMIT),
    }
    grants = Shares().divide(wishes, shared)
    for name, limit in shared.items():
        used = sum(grants[wish.campaign].calls for wish in wishes if name in wish.uses)
        assert used <= max(0, limit.left)
    for wish in wishes:
        grant = grants[wish.campaign]
        most = min(wish.calls, wish.lines, wish.rate)
        assert 0 <= grant.calls <= most
        if grant.calls == most:
            continue
        # Less than it may: then a limit that it shares is used up, and is named or shared out.
        full = [
            name
            for name in wish.uses
            if sum(grants[other.campaign].calls for other in wishes if name in other.uses)
            >= max(0, shared[name].left)
        ]
        assert full
        assert grant.binding in {shared[name].binding for name in full} | {DialReason.FAIR_SHARE}


@given(weights=st.lists(st.integers(1, 20), min_size=2, max_size=5))
@settings(max_examples=100, deadline=None)
def test_over_time_each_gets_its_part(weights: list[int]) -> None:
    shares, got = Shares(), Counter[int]()
    rounds = 400
    wishes = [
        Wish(campaign=number, calls=100, weight=float(weight), uses=("hosts",))
        for number, weight in enumerate(weights)
    ]
    for _ in range(rounds):
        grants = shares.divide(wishes, {"hosts": Shared(3, DialReason.HOST_LIMIT)})
        got.update({number: grant.calls for number, grant in grants.items()})
    assert sum(got.values()) == 3 * rounds
    for number, weight in enumerate(weights):
        assert abs(got[number] - 3 * rounds * weight / sum(weights)) <= len(weights) + 1


def test_who_wants_nothing_leaves_the_part_to_the_others() -> None:
    wishes = [
        Wish(campaign=1, calls=0, because=DialReason.HOURS, weight=100.0, uses=("hosts",)),
        Wish(campaign=2, calls=9, uses=("hosts",)),
    ]
    grants = Shares().divide(wishes, {"hosts": Shared(5, DialReason.HOST_LIMIT)})
    assert (grants[1].calls, grants[1].binding) == (0, DialReason.HOURS)
    assert (grants[2].calls, grants[2].binding) == (5, DialReason.HOST_LIMIT)


def test_the_higher_priority_goes_first() -> None:
    wishes = [
        Wish(campaign=1, calls=4, priority=0, weight=100.0, uses=("hosts",)),
        Wish(campaign=2, calls=4, priority=5, weight=1.0, uses=("hosts",)),
    ]
    grants = Shares().divide(wishes, {"hosts": Shared(5, DialReason.HOST_LIMIT)})
    assert (grants[1].calls, grants[2].calls) == (1, 4)


def test_own_limits_are_named() -> None:
    for limits, reason in (
        ({"lines": 0}, DialReason.LINES),
        ({"rate": 0}, DialReason.CALLS_PER_SECOND),
        ({"calls": 0, "because": DialReason.NO_AGENTS}, DialReason.NO_AGENTS),
    ):
        wish = Wish(**{"campaign": 1, "calls": 3, **limits})  # type: ignore[arg-type]
        assert Shares().divide([wish], {})[1].binding is reason


def test_calls_per_second_are_kept_and_even() -> None:
    rate, placed = Rate(), 0
    for tick in range(1000):
        now = tick * 0.1
        calls = rate.allowed(7.5, now)
        assert calls <= 4, "a burst"
        rate.used(calls)
        placed += calls
    assert abs(placed - 750) <= 4


def test_a_slow_rate_is_kept_too() -> None:
    rate, placed = Rate(), 0
    for tick in range(1000):
        calls = rate.allowed(0.1, tick * 0.1)
        rate.used(calls)
        placed += calls
    assert 10 <= placed <= 11


def test_after_a_pause_there_is_no_burst() -> None:
    rate = Rate()
    rate.used(rate.allowed(100.0, 0.0))
    assert rate.allowed(100.0, 3600.0) <= 50
