"""Buckets of permissions."""

from __future__ import annotations

from api.limits import RateLimit


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    limit = RateLimit(per_second=2, burst=3)
    assert [limit.take("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert limit.take("a", 0.4) > 0
    assert limit.take("a", 0.5) == 0.0
    assert limit.take("b", 0.5) == 0.0


def test_looking_takes_nothing() -> None:
    limit = RateLimit(per_second=1, burst=1)
    assert limit.wait("a", 0.0) == 0.0
    assert limit.take("a", 0.0) == 0.0
    assert limit.wait("a", 0.5) == limit.wait("a", 0.5) == 0.5


def test_memory_is_bounded_by_forgetting_who_asked_longest_ago() -> None:
    limit = RateLimit(per_second=1, burst=1, max_keys=2)
    for key in "abab":
        limit.take(key, 0.0)
    limit.take("c", 0.0)
    assert len(limit) == 2
    assert limit.take("b", 0.0) > 0
    assert limit.take("a", 0.0) == 0.0
