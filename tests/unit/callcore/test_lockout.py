"""Whom a lock-out is about, and when it begins."""

from __future__ import annotations

import pytest

from callcore.lockout import USER_CHARACTERS, Lock, Suspect, begins_lock, source_of


@pytest.mark.parametrize(
    ("ip", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
    ],
)
def test_a_source_is_what_one_customer_has(ip: str, source: str) -> None:
    assert source_of(ip) == source


@pytest.mark.parametrize(
    "suspect",
    [
        Suspect("192.0.2.7"),
        Suspect("192.0.2.7", 3, "100"),
        Suspect.of("2001:db8::1", 3, "a|b|c"),
        Suspect.of("192.0.2.7", 3, ""),
    ],
)
def test_a_key_tells_whom_it_is_about(suspect: Suspect) -> None:
    assert Suspect.from_key(suspect.key) == suspect


def test_a_name_is_never_taken_for_the_whole_source() -> None:
    assert Suspect.of("192.0.2.7", 3, "").key != Suspect("192.0.2.7").key


def test_a_long_name_takes_no_more_memory_than_a_short_one() -> None:
    assert len(Suspect.of("192.0.2.7", 3, "x" * 10_000).username) == USER_CHARACTERS


def test_a_lock_is_read_as_it_was_written() -> None:
    assert Lock.from_text(Lock(1_800_000_000, 10).text) == Lock(1_800_000_000, 10)


def test_a_lock_begins_with_each_multiple_of_the_limit() -> None:
    assert [count for count in range(9) if begins_lock(count, 3)] == [3, 6]
    assert not any(begins_lock(count, 0) for count in range(9))
