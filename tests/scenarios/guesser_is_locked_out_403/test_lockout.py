"""Who guesses passwords gets 403 for a time; his neighbours, and his victim elsewhere, register as ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.attacker import fail_in_the_name_of, guess_password
from tests.support.faults import kill_proxy
from tests.support.fix_switch import SETTINGS, made_switch
from tests.support.net_loop import NetLoop
from tests.support.switch import Switch

FAILURES, USERS, SECONDS = 5, 6, 3600
WRONG = [f"wrong{number}" for number in range(3 * FAILURES)]
#: Each test has addresses of its own, since locks last.
GUESSER, NAT, SPRAYER, FORGER, VICTIM, RESTART, HOME = (f"127.0.3.{number}" for number in range(1, 8))


@pytest.fixture(scope="module")
def guarded(_swept: None) -> Iterator[Switch]:
    """A switch that locks out guessers, with as many workers as a production proxy."""
    limits = {
        "proxy.lockout_failures": FAILURES,
        "proxy.lockout_users": USERS,
        "proxy.lockout_seconds": SECONDS,
        "proxy.workers": 4,
    }
    yield from made_switch(SETTINGS | limits, ("100", "101", "102", "103", "104"))


def locks(switch: Switch, source: str) -> list[dict[str, Any]]:
    """Return the events of locks at a source."""
    switch.wait_stored()
    rows = switch.rows("SELECT tenant_id, data FROM call_event WHERE kind = 'auth.locked'")
    return [row for row in rows if row["data"]["source"] == source]


def test_a_guesser_is_refused_even_when_he_guesses_right(guarded: Switch, net_loop: NetLoop) -> None:
    guess = guess_password(guarded.address, guarded.DOMAIN, "100", [*WRONG, "pw100"], ip=GUESSER)
    assert guess.found is None
    assert guess.blocked
    assert guess.codes == {401: FAILURES, 403: 3}
    right = guess_password(guarded.address, guarded.DOMAIN, "100", ["pw100"], ip=GUESSER)
    assert (right.found, right.codes) == (None, {403: 1})
    (told,) = locks(guarded, GUESSER)
    assert told["tenant_id"] == guarded.tenant_id
    assert told["data"] == {"username": "100", "failures": FAILURES, "source": GUESSER, "seconds": SECONDS}
    with guarded.phone(net_loop, "100", ip=HOME) as elsewhere:
        elsewhere.register()
        with guarded.phone(net_loop, "101", ip=GUESSER) as neighbour:
            neighbour.register()
            neighbour.call("100").hang_up()


def test_one_phone_with_a_wrong_password_harms_no_neighbour(guarded: Switch, net_loop: NetLoop) -> None:
    with guarded.phone(net_loop, "102", ip=NAT) as before, guarded.phone(net_loop, "103", ip=NAT) as after:
        before.register()
        for _ in range(10):
            guess_password(guarded.address, guarded.DOMAIN, "101", WRONG, ip=NAT)
        before.register()
        after.register()


def test_who_tries_many_names_is_refused_but_not_who_was_right_there(
    guarded: Switch, net_loop: NetLoop
) -> None:
    with guarded.phone(net_loop, "102", ip=SPRAYER) as known, guarded.phone(net_loop, "103") as stranger:
        known.register()
        for user in ("nobody1", "nobody2", "104", "nobody3", "100", "nobody4"):
            guess = guess_password(guarded.address, guarded.DOMAIN, user, ["1234"], ip=SPRAYER)
            assert guess.codes == {401: 1}
        right = guess_password(guarded.address, guarded.DOMAIN, "103", ["pw103"], ip=SPRAYER)
        assert (right.found, right.codes) == (None, {403: 1})
        known.register()
        stranger.register()
    (told,) = locks(guarded, SPRAYER)
    assert (told["tenant_id"], told["data"]) == (
        None,
        {"users": USERS, "source": SPRAYER, "seconds": SECONDS},
    )


def test_nobody_fails_in_the_name_of_another_address(guarded: Switch, net_loop: NetLoop) -> None:
    got = fail_in_the_name_of(VICTIM, guarded.address, guarded.DOMAIN, "104", 3 * FAILURES, ip=FORGER)
    assert set(got) == {(401, True)}, "the nonce is not good there"
    with guarded.phone(net_loop, "104", ip=VICTIM) as victim:
        victim.register()
    assert locks(guarded, VICTIM) == []


def test_an_administrator_sees_and_lifts_locks(guarded: Switch) -> None:
    guess_password(guarded.address, guarded.DOMAIN, "102", WRONG, ip=HOME)
    rows = guarded.ksctl_json("lockout", "list", "--source", HOME)
    (lock,) = rows
    assert (lock["username"], lock["count"], lock["tenant_id"]) == ("102", FAILURES, guarded.tenant_id)
    assert 0 < lock["seconds_left"] <= SECONDS
    assert guarded.TENANT in guarded.ksctl("lockout", "list", "--source", HOME)
    guarded.ksctl("lockout", "lift", HOME, "--username", "nobody", code=3)
    guarded.ksctl("lockout", "lift", HOME, "--username", "102")
    assert guarded.ksctl_json("lockout", "list", "--source", HOME) == []
    assert guess_password(guarded.address, guarded.DOMAIN, "102", ["pw102"], ip=HOME).found == "pw102"
    again = guess_password(guarded.address, guarded.DOMAIN, "103", WRONG, ip=HOME)
    assert again.codes[401] == FAILURES
    guarded.ksctl("lockout", "lift-all")
    assert guarded.ksctl_json("lockout", "list") == []
    assert guess_password(guarded.address, guarded.DOMAIN, "103", ["pw103"], ip=HOME).found == "pw103"


def test_a_restart_forgets_locks(guarded: Switch) -> None:
    guess_password(guarded.address, guarded.DOMAIN, "100", WRONG, ip=RESTART)
    assert guess_password(guarded.address, guarded.DOMAIN, "100", ["pw100"], ip=RESTART).codes == {403: 1}
    kill_proxy(guarded)
    assert guess_password(guarded.address, guarded.DOMAIN, "100", ["pw100"], ip=RESTART).found == "pw100"
