"""The breaker: who asks when the database does not answer."""

from __future__ import annotations

from kemi.ks_acd.breaker import FIRST_REST_SECONDS, LONGEST_REST_SECONDS, Breaker


def test_closed_it_lets_everything_through() -> None:
    assert Breaker().allows(0.0)


def test_after_a_failure_nobody_asks_for_a_while() -> None:
    breaker = Breaker()
    breaker.failed(100.0)
    assert not breaker.allows(100.0 + FIRST_REST_SECONDS / 2)
    assert breaker.allows(100.0 + FIRST_REST_SECONDS)


def test_the_rest_grows_up_to_its_bound_and_a_success_ends_it() -> None:
    breaker, now = Breaker(), 0.0
    rests = []
    for _ in range(8):
        breaker.failed(now)
        rests.append(breaker.open_until - now)
        now = breaker.open_until
    assert rests[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(rests) == LONGEST_REST_SECONDS
    breaker.succeeded()
    assert breaker.allows(now)
    breaker.failed(now)
    assert breaker.open_until - now == FIRST_REST_SECONDS
