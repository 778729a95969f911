"""Headers between proxy and media host, and the order of hosts."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi.ks_acd.media_host import (
    BadHeader,
    in_order,
    known_options,
    queue_headers,
    read_arg,
    read_leg,
    write_arg,
)
from kemi.ks_acd.model import MediaHost, QueueCall

CALL = "01890000-0000-7000-8000-000000000001"
HOSTS = tuple(MediaHost(f"m{n}", f"udp:127.0.0.1:{n}") for n in (1, 2, 3))


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,10}", fullmatch=True), st.text(max_size=40), max_size=6))
def test_an_argument_is_read_back_as_it_was_written(values: dict[str, str]) -> None:
    text = write_arg(values)
    assert read_arg(text) == values
    assert text.isascii()
    assert text.isprintable()


def test_numbers_and_truth_are_told_and_none_is_not() -> None:
    assert (
        write_arg({"a": 1, "b": True, "c": False, "d": None, "e": "+7 (x)"}) == "a=1;b=1;c=0;e=+7%20%28x%29"
    )


def test_a_queue_call_tells_the_host_what_it_must_know() -> None:
    call = QueueCall(5, 7, "sales", "+74951112233", entry_id=0)
    lines = dict(
        line.split(": ", 1) for line in queue_headers(CALL, call, {"music": "jazz; loud", "steps": [1]})
    )
    assert (lines["X-KS-Call"], lines["X-KS-App"], lines["X-KS-Leg"]) == (CALL, "hold_queue", "caller")
    assert read_arg(lines["X-KS-Arg"]) == {
        "tenant": "5",
        "queue": "7",
        "name": "sales",
        "caller": "+74951112233",
        "music": "jazz; loud",
    }


@pytest.mark.parametrize(
    ("given_tags", "known"),
    [
        ("timer, 100rel", ""),
        ("100REL", ""),
        ("replaces, Timer,norefersub", "replaces, norefersub"),
        ("", ""),
        ("path", "path"),
    ],
)
def test_option_tags_that_a_host_does_not_know_are_taken_out(given_tags: str, known: str) -> None:
    assert known_options(given_tags) == known


def test_hosts_are_tried_as_given_and_those_that_rest_last() -> None:
    assert in_order(HOSTS) == HOSTS
    assert in_order(HOSTS, resting=[HOSTS[0].address]) == (HOSTS[1], HOSTS[2], HOSTS[0])
    assert in_order((), seed="x") == ()


def test_calls_are_spread_over_hosts_whose_load_nobody_knows() -> None:
    first = {in_order(HOSTS, seed=f"call {n}")[0] for n in range(60)}
    assert first == set(HOSTS)
    assert all(len(set(in_order(HOSTS, seed=f"call {n}"))) == 3 for n in range(20))


def test_a_leg_of_a_media_host() -> None:
    leg = read_leg(call=CALL, leg="agent", offer="17", arg="tenant=5;to_kind=account")
    assert (leg.call_id, leg.leg, leg.offer_id, leg.tenant_id, leg.to_kind) == (
        UUID(CALL),
        "agent",
        17,
        5,
        "account",
    )
    bare = read_leg(call="", leg="", offer="", arg="")
    assert (bare.call_id, bare.leg, bare.offer_id, bare.tenant_id, bare.to_kind) == (
        None,
        "callee",
        0,
        None,
        "",
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"call": "no id"},
        {"leg": "wizard"},
        {"offer": "-1"},
        {"offer": "9" * 40},
        {"arg": "tenant=x"},
    ],
)
def test_headers_without_sense_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(BadHeader):
        read_leg(**{"call": CALL, "leg": "agent", "offer": "1", "arg": ""} | wrong)
