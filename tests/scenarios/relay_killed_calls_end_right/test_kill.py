"""kill -9 of RTPProxy during a call: its calls are ended and told, and calls have media again within seconds."""

from __future__ import annotations

from tests.support.faults import kill
from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_phone import Nat, Phone
from tests.support.switch import Switch

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
