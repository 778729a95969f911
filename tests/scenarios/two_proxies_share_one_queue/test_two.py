"""Two proxies and two media hosts on one database: callers and agents meet wherever each of them is."""

from __future__ import annotations

import pytest

from tests.support.call_centre import Agent, CallCentre, Queue, assert_music
from tests.support.faults import start, stop
from tests.support.fix_call_centre import TwoProxies
from tests.support.rtp_peer import known_payload
from tests.support.sip_call import Call
from tests.support.sip_phone import Nat
from tests.support.sip_plan import Plan


def same_queue(queue: Queue, centre: CallCentre) -> Queue:
    """Return the queue as the other machine reaches it."""
    centre.switch.save()
    return Queue(centre, queue.name, queue.number, queue.queue_id)


def assert_media(call: Call, other: Call) -> None:
    call.media.play(known_payload(1, 1))
    other.media.play(known_payload(1, 2))
    call.media.wait_received(len(call.media.received) + 15)
    other.media.wait_received(len(other.media.received) + 15)


def test_an_account_calls_another_that_is_registered_elsewhere(two_proxies: TwoProxies) -> None:
    here, there = two_proxies.first, two_proxies.second
    alice, bob = here.phone("100", media=True, nat=Nat()), there.phone("101", media=True, nat=Nat())
    alice.register()
    bob.register()
    call = alice.call("sip:101@demo.test")
    other = bob.calls[0].wait_answered()
    assert other.invite.headers.starting_with("X-KS-") == []
    assert_media(call, other)
    call.hold()
    call.resume()
    other.hold()
    other.hang_up()
    call.wait_ended()
    # And the other way, ended by the caller.
    back = bob.call("sip:100@demo.test")
    back.hang_up()
    alice.calls[-1].wait_ended()
    row = here.switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"]) == (200, "callee")
    assert bob.invite("sip:102@demo.test").wait_ended().code == 480


def test_one_queue_for_callers_and_agents_of_both(two_proxies: TwoProxies) -> None:
    here, there = two_proxies.first, two_proxies.second
    eve: Agent = here.agent(media=True)
    adam: Agent = there.agent(media=True)
    sales = here.queue([eve, adam], strategy="linear", wrapup_seconds=0)
    far = same_queue(sales, there)
    # Direct, to the agent of the caller's own proxy, then to that of the other one.
    first = there.caller("100", media=True).call(far.uri)
    eve.wait("busy")
    second = there.caller("101", media=True).call(far.uri)
    adam.wait("busy")
    assert_media(first, eve.call().wait_answered())
    # Nobody is free: both wait, at whichever host, in one line.
    third = here.caller("102", media=True).call(sales.uri)
    fourth = there.caller("103", media=True).call(far.uri)
    for number, call in ((3, third), (4, fourth)):
        sales.wait_entry("waiting", number=number)
        assert_music(here.switch, call.media, frames=20)
    first.hang_up()
    assert eve.call(2).wait_answered().invite.from_addr.uri.user == "102"
    second.hang_up()
    assert adam.call(2).wait_answered().invite.from_addr.uri.user == "103"
    assert_media(third, eve.call(2))
    assert_media(fourth, adam.call(2))
    third.hang_up()
    fourth.hang_up()
    eve.wait("free")
    adam.wait("free")


def test_an_agent_of_the_other_proxy_who_rejects_is_followed_by_the_next(two_proxies: TwoProxies) -> None:
    here, there = two_proxies.first, two_proxies.second
    adam, eve = there.agent(), here.agent()
    sales = here.queue([adam, eve], strategy="linear", wrapup_seconds=0)
    adam.phone.plan = Plan.reject(603)
    call = here.caller().call(sales.uri)
    eve.wait("busy")
    assert sales.outcomes == ["rejected", ""]
    call.hang_up()
    eve.wait("free")


@pytest.mark.parametrize("known", [True, False], ids=["known to be dead", "just died"])
def test_who_waits_behind_a_dead_proxy_gets_an_agent_through_the_other(
    two_proxies: TwoProxies, known: bool
) -> None:
    here, there = two_proxies.first, two_proxies.second
    eve = there.agent(login=False, media=True)
    sales = here.queue([eve], anchor="always", wrapup_seconds=0)
    call = here.caller(media=True).call(sales.uri)
    sales.wait_entry("waiting")
    stop(here.switch, "kamailio")
    statement = "SELECT 1 FROM node WHERE name = %s AND heartbeat_at < clock_timestamp() - interval '8 s'"
    if known:
        here.switch.wait(
            lambda: here.switch.rows(statement, ["n1-proxy"]), 30, "the proxy is known to be dead"
        )
    eve.phone.register()
    eve.do("login", "test")
    eve.phone.wait_call(1, 60)
    other = eve.call().wait_answered(40)
    eve.wait("busy")
    assert sales.outcomes == [""]  # the proxy's silence is not charged to her
    assert_media(call, other)
    other.hang_up()
    eve.wait("free", seconds=30)
    start(here.switch, "kamailio")
