"""Positive controls: attackers win against an unguarded server, a plain Kamailio survives the torture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.scenarios.torture.hostile import Aim, hostile_messages
from tests.scenarios.torture.mutate import mutants
from tests.scenarios.torture.sender import Sender, Sink, freshen
from tests.scenarios.torture.table import ALL, BY_NAME, Outcome
from tests.support.attacker import (
    assert_not_leaked,
    enumerate_accounts,
    forged_headers,
    guess_password,
    new_marker,
)
from tests.support.sip_carrier import Carrier
from tests.support.sip_phone import Phone
from tests.support.tiny_kamailio import TinyKamailio

SEEDS = [message.raw for message in ALL]


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TinyKamailio, Sink]]:
    """A Kamailio with passwords but no guard at all; unknown domains go to the sink."""
    with (
        Sink() as sink,
        TinyKamailio(tmp_path_factory.mktemp("tk"), auth="MD5", sink=sink.address) as proxy,
    ):
        yield proxy, sink


@pytest.fixture
def sender(victim: tuple[TinyKamailio, Sink]) -> Sender:
    """A sender that knows the victim's processes."""
    return Sender(victim[0].address, sink=victim[1], probe=victim[0].probe)


def test_password_in_the_list_is_found(victim: tuple[TinyKamailio, Sink]) -> None:
    proxy = victim[0]
    words = [f"{pin:04}" for pin in range(50)] + [proxy.PASSWORD, "later"]
    result = guess_password(proxy.address, proxy.DOMAIN, "100", words, ip="127.0.0.2")
    assert (result.found, result.tried, result.codes[401]) == (proxy.PASSWORD, 51, 50)


def test_password_not_in_the_list_is_not_found(victim: tuple[TinyKamailio, Sink]) -> None:
    proxy = victim[0]
    result = guess_password(proxy.address, proxy.DOMAIN, "100", ["a", "b"])
    assert (result.found, result.blocked, result.codes) == (None, False, {401: 2})


def test_silent_server_counts_as_blocking() -> None:
    with Sink(code=None) as deaf:
        result = guess_password(deaf.address, "x.example", "100", ["a"] * 10)
    assert (result.blocked, result.tried) == (True, 3)


def test_enumeration_tells_accounts_apart_where_the_server_does(
    victim: tuple[TinyKamailio, Sink], make_phone: Callable[..., Phone]
) -> None:
    proxy = victim[0]
    phone = make_phone("150", proxy.DOMAIN, proxy=proxy.address, password=proxy.PASSWORD)
    phone.register()
    by_register = enumerate_accounts(proxy.address, proxy.DOMAIN, ["150", "999", "nobody"])
    assert len(set(by_register.values())) == 1
    by_options = enumerate_accounts(proxy.address, proxy.DOMAIN, ["150", "999"], method="OPTIONS")
    assert len(set(by_options.values())) == 2


def test_forged_headers_reach_the_callee_of_an_unguarded_proxy(
    victim: tuple[TinyKamailio, Sink], make_phone: Callable[..., Phone], make_carrier: Callable[..., Carrier]
) -> None:
    phone = make_phone("160", victim[0].DOMAIN, proxy=victim[0].address)
    carrier = make_carrier()
    marker = new_marker()
    target = f"sip:7@{carrier.address[0]}:{carrier.address[1]}"
    call = phone.invite(target, headers=forged_headers(marker)).wait_answered()
    with pytest.raises(AssertionError, match="received forged-"):
        assert_not_leaked(marker, carrier)
    assert len(carrier.seen_headers("X-KS-")) == len(forged_headers(marker))
    call.hang_up()
    assert_not_leaked(new_marker(), carrier, phone)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_all_torture_messages_are_survived(sender: Sender, transport: str) -> None:
    salt = f"-{transport}"  # the transactions of the other run are still remembered
    verdicts = {item.name: sender.send(freshen(item.raw, salt), transport, item.name) for item in ALL}
    assert all(verdict.alive for verdict in verdicts.values())
    sender.assert_alive()
    assert verdicts["zeromf"].codes == (483,)
    assert verdicts["esc01"].outcome is Outcome.RELAYED
    assert verdicts["esc01"].codes == (480,)
    assert verdicts["bigcode"].outcome is Outcome.SILENT
    assert verdicts["scalar02"].outcome in (Outcome.ANSWERED, Outcome.SILENT)


def test_stream_that_cannot_be_framed_is_seen_as_closed_or_silent(sender: Sender) -> None:
    verdict = sender.send(BY_NAME["ncl"].raw, "tcp")
    assert verdict.alive
    assert verdict.closed or verdict.outcome is not Outcome.RELAYED


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_mutants_are_survived(sender: Sender, transport: str) -> None:
    count = 2_000 if transport == "udp" else 300
    raws = (item.raw for item in mutants(SEEDS, seed=1, count=count))
    tally = sender.send_all(raws, transport)
    assert tally.sent == count
    assert tally.codes
    assert not tally.leaks


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_hostile_messages_are_survived(
    sender: Sender, victim: tuple[TinyKamailio, Sink], transport: str
) -> None:
    proxy = victim[0]
    aim = Aim(proxy.ip, proxy.port, proxy.DOMAIN)
    raws = [item.raw for item in hostile_messages(aim) if transport in item.transports]
    tally = sender.send_all(raws, transport)
    assert tally.sent == len(raws)
    assert not tally.leaks
