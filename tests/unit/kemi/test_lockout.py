"""Who guesses passwords is locked out; his neighbours, and whom he wants to harm, are not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.support.fake_proxy import FakeProxy
from tests.support.index_files import account_record

FAILURES, USERS, SECONDS = 3, 4, 300
RIGHT, WRONG, STALE, REUSED = 1, -2, -3, -6
NAT, ELSEWHERE = "192.0.2.10", "198.51.100.7"
REFUSED = [(403, "Locked Out")]


@pytest.fixture
def proxy(tmp_path: Path) -> FakeProxy:
    return limited(FakeProxy(tmp_path), failures=FAILURES, users=USERS)


def limited(proxy: FakeProxy, *, failures: int, users: int) -> FakeProxy:
    config = proxy.worker.config
    section = dataclasses.replace(
        config.proxy, lockout_failures=failures, lockout_users=users, lockout_seconds=SECONDS
    )
    proxy.worker.config = dataclasses.replace(config, proxy=section)
    return proxy


def register(proxy: FakeProxy, user: str, result: int, ip: str = NAT) -> list[tuple[int, str]]:
    """Send a REGISTER whose digest the auth module judges so; return the refusal, [] for a challenge."""
    proxy.send("REGISTER", auth=(user, result), tU=user, si=ip)
    assert proxy.challenged or proxy.replies or result == RIGHT
    return proxy.replies


def fail(proxy: FakeProxy, user: str, times: int, ip: str = NAT) -> None:
    for _ in range(times):
        assert register(proxy, user, WRONG, ip) == []


def test_the_third_wrong_password_locks_the_name_at_this_address(proxy: FakeProxy) -> None:
    fail(proxy, "100", FAILURES)
    assert register(proxy, "100", WRONG) == REFUSED
    assert register(proxy, "100", RIGHT) == REFUSED, "a guess that is right is not told"
    assert proxy.ksr.called("auth.pv_auth_check") == [], "nothing is checked any more"
    ((header,),) = proxy.ksr.called("hdr.append_to_reply")
    assert header.startswith("Retry-After: ")
    assert SECONDS - 5 <= int(header.split()[1]) <= SECONDS


def test_neighbours_and_the_same_name_elsewhere_are_served(proxy: FakeProxy) -> None:
    fail(proxy, "100", FAILURES)
    assert register(proxy, "101", RIGHT) == []
    assert register(proxy, "100", RIGHT, ELSEWHERE) == []
    assert [line["data"]["username"] for line in proxy.events("account.registered")] == ["101", "100"]


def test_a_lock_is_told_once(proxy: FakeProxy) -> None:
    fail(proxy, "100", FAILURES)
    for _ in range(5):
        register(proxy, "100", WRONG)
    (told,) = proxy.events("auth.locked")
    assert told["tenant"] == 1
    assert told["data"] == {"username": "100", "failures": FAILURES, "source": NAT, "seconds": SECONDS}
    assert len(proxy.events("auth.failed")) == FAILURES
    assert proxy.ksr.tables["count"]["locked_out"] == 5


def test_a_call_is_refused_as_a_registration_is(proxy: FakeProxy) -> None:
    fail(proxy, "100", FAILURES)
    proxy.send("INVITE", auth=("100", RIGHT), si=NAT)
    assert (proxy.replies, proxy.relayed) == (REFUSED, False)


def test_who_sends_no_credentials_is_challenged_as_ever(proxy: FakeProxy) -> None:
    fail(proxy, "100", FAILURES)
    proxy.ksr.results["auth.has_credentials"] = -1
    proxy.send("REGISTER", tU="100", si=NAT)
    assert proxy.challenged
    assert proxy.replies == []


def test_who_forges_an_address_fails_in_nobodys_name(proxy: FakeProxy) -> None:
    for nonce in (proxy.nonce(ELSEWHERE), proxy.nonce(NAT, expires=1), "AAAA", "no base64!"):
        for _ in range(FAILURES):
            proxy.send("REGISTER", auth=("100", WRONG), nonce=nonce, tU="100", si=NAT)
            assert proxy.ksr.called("auth.auth_challenge") == [("demo.example", 1 | 16)], "a new one, at once"
            assert proxy.ksr.called("auth.pv_auth_check") == [], "nothing is learnt of the password"
    assert proxy.events("auth.") == []
    assert register(proxy, "100", RIGHT) == []


@pytest.mark.parametrize("result", [STALE, REUSED])
def test_an_old_nonce_is_no_failure(proxy: FakeProxy, result: int) -> None:
    for _ in range(3 * FAILURES):
        assert register(proxy, "100", result) == []
    assert proxy.events("auth.locked") == []


def test_a_right_password_ends_the_count(proxy: FakeProxy) -> None:
    for _ in range(3):
        fail(proxy, "100", FAILURES - 1)
        register(proxy, "100", RIGHT)
    assert proxy.events("auth.locked") == []


def test_many_names_lock_the_address_whether_they_exist_or_not(proxy: FakeProxy) -> None:
    for user in ("ghost", "100", "admin", "999"):
        fail(proxy, user, 1)
    (told,) = proxy.events("auth.locked")
    assert (told["tenant"], told["data"]) == (None, {"users": USERS, "source": NAT, "seconds": SECONDS})
    assert register(proxy, "101", RIGHT) == REFUSED
    assert register(proxy, "101", RIGHT, ELSEWHERE) == []


def test_phones_that_were_right_before_go_on_when_their_address_is_locked(proxy: FakeProxy) -> None:
    register(proxy, "100", RIGHT)
    for user in ("a", "b", "c", "d"):
        fail(proxy, user, 1)
    assert register(proxy, "101", RIGHT) == REFUSED
    assert register(proxy, "100", RIGHT) == []
    fail(proxy, "100", FAILURES)
    assert register(proxy, "100", RIGHT) == REFUSED, "its own lock is another matter"


def test_a_changed_password_of_many_phones_locks_no_address(proxy: FakeProxy) -> None:
    users = [str(number) for number in range(200, 200 + 2 * USERS)]
    proxy.set_entries({f"a:1:{user}": account_record(username=user, tenant_id=1) for user in users})
    for user in users:
        register(proxy, user, RIGHT)
    for user in users:
        fail(proxy, user, 1)
    assert proxy.events("auth.locked") == []


def test_one_phone_that_tries_all_day_counts_as_one_name(proxy: FakeProxy) -> None:
    limited(proxy, failures=0, users=USERS)
    fail(proxy, "100", 10 * USERS)
    assert proxy.events("auth.locked") == []


def test_a_lock_ends_by_its_own_time(proxy: FakeProxy) -> None:
    fail(proxy, "100", FAILURES)
    (key,) = proxy.ksr.tables["locked"]
    proxy.ksr.tables["locked"][key] = "1000000000 3"
    assert register(proxy, "100", RIGHT) == []


def test_zero_switches_it_off(proxy: FakeProxy) -> None:
    limited(proxy, failures=0, users=0)
    fail(proxy, "100", 100)
    assert register(proxy, "100", RIGHT) == []
    assert {"failed", "locked", "proven"} & set(proxy.ksr.tables) == set()
