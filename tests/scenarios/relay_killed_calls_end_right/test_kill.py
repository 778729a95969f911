"""kill -9 of RTPProxy: its calls end and say why, calls have media again within seconds, and none is ever half deaf."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.faults import kill, rpc, start, stop, worker_pids
from tests.support.fix_switch import SETTINGS, made_switch
from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_phone import Nat, Phone
from tests.support.sip_plan import Plan
from tests.support.switch import Switch
from tools.instance.processes import rtp_ports

MEDIA_BACK_SECONDS = 15.0


def hear_each_other(call: Call, other: Call, seed: int) -> None:
    """Play both ways and compare every frame bit by bit."""
    sent = known_payload(1, seed), known_payload(1, seed + 1)
    call.media.play(sent[0])
    other.media.play(sent[1])
    other.media.wait_received(45)
    call.media.wait_received(45)
    compare(sent[0], other.media.received).assert_exact(40, max_lost=2)
    compare(sent[1], call.media.received).assert_exact(40, max_lost=2)


def talk(alice: Phone, bob: Phone) -> tuple[Call, Call]:
    call = alice.call("101", timeout=20)
    return call, bob.calls[-1].wait_answered()


def test_calls_of_the_relay_end_and_new_calls_have_media_again(own_switch: Switch, net_loop: NetLoop) -> None:
    switch = own_switch
    with (
        switch.phone(net_loop, "100", media=True, nat=Nat()) as alice,
        switch.phone(net_loop, "101", media=True) as bob,
    ):
        alice.register()
        bob.register()
        orphaned, other = talk(alice, bob)
        hear_each_other(orphaned, other, 1)
        rtp_port = orphaned.remote_sdp.port if orphaned.remote_sdp else 0
        assert switch.config.rtp.port_min <= rtp_port <= switch.config.rtp.port_max
        began = net_loop.now()
        old = kill(switch, "rtp-1")
        refused: list[str] = []

        def refused_or_heard() -> tuple[Call, Call] | None:
            """A call meanwhile is refused with 503, never half deaf."""
            call = alice.invite("101")
            alice.wait(lambda: call.code, 20, "final response")
            if call.code == 200:
                return call, bob.calls[-1].wait_answered()
            assert call.code == 503, call.code
            refused.append(call.call_id)
            return None

        call, callee = switch.wait(refused_or_heard, MEDIA_BACK_SECONDS, "a call with media")
        took = net_loop.now() - began
        hear_each_other(call, callee, 3)
        print(f"calls with media again after {took:.2f} s, {len(refused)} refused meanwhile")
        switch.instance.wait_back("rtp-1", old)
        # the call whose relay died is ended: nobody would hear the other any more
        orphaned.wait_ended()
        other.wait_ended()
        call.hang_up()
        callee.wait_ended()
    for each, by, cause in ((orphaned, "system", "media_lost"), (call, "caller", "normal")):
        row = switch.cdr(each.call_id)
        assert (row["hung_up_by"], row["final_code"], row["cause"]) == (by, 200, cause)
        assert row["talk_ms"] >= 800
    for sip_call_id in refused:
        assert switch.cdr(sip_call_id)["final_code"] == 503
    assert len(switch.rows("SELECT 1 FROM call")) == 2 + len(refused)


def relay_of(switch: Switch, call: Call) -> str:
    """Return the name of the RTPProxy process in the SDP that the callee was offered."""
    assert call.remote_sdp is not None
    for number in range(1, switch.config.rtp_nodes + 1):
        first, last = rtp_ports(switch.config, number)
        if first <= call.remote_sdp.port <= last:
            return f"rtp-{number}"
    raise AssertionError(f"port {call.remote_sdp.port} is no relay's")


def test_a_relay_lost_before_the_answer_ends_the_call(own_switch: Switch, net_loop: NetLoop) -> None:
    """The relay comes back with no memory of the offer: the answer cannot be relayed, and no other relay may be."""
    switch = own_switch
    with switch.phone(net_loop, "100", nat=Nat()) as alice, switch.phone(net_loop, "101") as bob:
        bob.register()
        bob.plan = Plan.ring()
        call = alice.invite("101").wait_ringing()
        other = bob.wait_call()
        name = relay_of(switch, other)
        switch.instance.wait_back(name, kill(switch, name))
        other.answer()
        call.wait_ended()
        other.wait_ended()
        assert call.code == 200
        assert call.remote_sdp is not None
        assert call.remote_sdp.port == 0, "no media at all, lest one side be deaf"
        assert (call.ended_by, other.ended_by) == ("remote", "remote")
    row = switch.cdr(call.call_id)
    assert (row["hung_up_by"], row["cause"], row["final_code"]) == ("system", "unavailable", 200)
    switch.wait(lambda: not rpc(switch, "dlg.list"), 10, "no dialog is left")
    assert "media.unavailable" in [event["kind"] for event in switch.events(row["call_id"])]


def test_every_worker_finds_the_relay_that_is_back(own_switch: Switch, net_loop: NetLoop) -> None:
    """Each worker has its own socket to the relay, with an error in it after a command to the dead one."""
    switch = own_switch
    with switch.phone(net_loop, "100", nat=Nat()) as alice, switch.phone(net_loop, "101") as bob:
        bob.register()
        stop(switch, "rtp-1")
        calls = 8 * len(worker_pids(switch))
        for _ in range(calls):
            call = alice.invite("101")
            alice.wait(lambda made=call: made.code, 20, "final response")
            assert call.code == 503
        start(switch, "rtp-1")

        def served() -> Call | None:
            call = alice.invite("101")
            alice.wait(lambda: call.code, 20, "final response")
            return call if call.code == 200 else None

        first = switch.wait(served, MEDIA_BACK_SECONDS, "a call with media")
        first.hang_up()
        codes = []
        for _ in range(calls):
            call = alice.call("101", timeout=20)
            codes.append(call.code)
            assert relay_of(switch, call) == "rtp-1"
            call.hang_up()
        assert codes == [200] * calls


@pytest.fixture
def two_relays(_swept: None) -> Iterator[Switch]:
    """An instance with two relays."""
    yield from made_switch({**SETTINGS, "rtp.nodes": 2}, ("100", "101"))


def test_calls_go_on_while_one_of_two_relays_comes_and_goes(two_relays: Switch, net_loop: NetLoop) -> None:
    """Offer and answer of a call meet at one relay, whichever lives at which moment; without any pause."""
    switch = two_relays
    with (
        switch.phone(net_loop, "100", media=True, nat=Nat()) as alice,
        switch.phone(net_loop, "101", media=True) as bob,
    ):
        alice.register()
        bob.register()
        served = set()
        for round_number in range(3):
            bob.plan = Plan.ring()
            old = kill(switch, "rtp-1")
            call = alice.invite("101").wait_ringing()
            other = bob.calls[-1]
            switch.instance.wait_back("rtp-1", old)
            other.answer()
            call.wait_answered()
            other.wait_answered()
            served.add(relay_of(switch, other))
            hear_each_other(call, other, 10 * round_number)
            call.hang_up()
            other.wait_ended()
        assert "rtp-2" in served
