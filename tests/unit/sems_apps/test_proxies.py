"""Which proxy a media host calls through."""

from __future__ import annotations

import pytest

from sems_apps.host.proxies import SILENT_LOOKS, Proxies, parse_address

HERE, THERE, THIRD = ("192.0.2.1", 5070), ("192.0.2.2", 5070), ("192.0.2.3", 5070)


def rows(**lives: bool) -> list[tuple[str | None, bool]]:
    names = {"here": HERE, "there": THERE, "third": THIRD}
    return [(f"udp:{names[name][0]}:{names[name][1]}", alive) for name, alive in lives.items()]


@pytest.fixture
def proxies() -> Proxies:
    return Proxies({"192.0.2.1", "127.0.0.1"})


def test_the_proxy_of_the_call_is_used_while_nothing_else_is_known(proxies: Proxies) -> None:
    assert proxies.next_hop(HERE) == HERE


def test_the_proxy_of_the_call_is_used_while_it_lives(proxies: Proxies) -> None:
    proxies.set(rows(there=True, here=True))
    assert proxies.next_hop(HERE) == HERE
    assert proxies.next_hop(THERE) == THERE


def test_another_one_that_lives_takes_the_place_of_a_dead_one(proxies: Proxies) -> None:
    proxies.set(rows(here=False, third=True, there=True))
    assert proxies.next_hop(HERE) == THERE
    proxies.set(rows(here=True, there=True))
    assert proxies.next_hop(HERE) == HERE


def test_without_any_that_lives_nothing_changes(proxies: Proxies) -> None:
    proxies.set(rows(here=False, there=False))
    assert proxies.next_hop(HERE) == HERE


def test_a_silent_proxy_is_avoided_until_the_table_must_know(proxies: Proxies) -> None:
    table = rows(here=True, there=True)
    proxies.set(table)
    proxies.silent(HERE)
    assert proxies.next_hop(HERE) == THERE
    for _ in range(SILENT_LOOKS - 1):
        proxies.set(table)
        assert proxies.next_hop(HERE) == THERE
    proxies.set(table)
    assert proxies.next_hop(HERE) == HERE


def test_a_silent_proxy_is_better_than_none(proxies: Proxies) -> None:
    proxies.set(rows(here=True, there=False))
    proxies.silent(HERE)
    assert proxies.next_hop(HERE) == HERE
    proxies.set(rows(here=False, there=True))
    proxies.silent(THERE)
    assert proxies.next_hop(HERE) == HERE


def test_an_unknown_proxy_is_not_held_for_dead(proxies: Proxies) -> None:
    proxies.set(rows(there=True))
    assert proxies.next_hop(HERE) == HERE


def test_a_media_host_is_heard_and_never_called_through(proxies: Proxies) -> None:
    proxies.set([*rows(here=False), (f"udp:{THERE[0]}:5080", None)])
    assert (proxies.accepts(THERE[0]), proxies.next_hop(HERE)) == (True, HERE)


def test_only_known_proxies_are_heard(proxies: Proxies) -> None:
    proxies.set([*rows(there=False), (None, True), ("udp:host.example", True)])
    assert [proxies.accepts(host) for host in ("127.0.0.1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "")] == [
        *(True, True, True, False, False)
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("udp:192.0.2.1:5070", HERE),
        ("udp:[2001:db8::1]:5070", ("2001:db8::1", 5070)),
        ("", None),
        ("udp:x", None),
    ],
)
def test_addresses(text: str, address: tuple[str, int] | None) -> None:
    assert parse_address(text) == address
