"""A side of a relayed call goes on from another address by re-INVITE: both hear each other, however the call began.

Direct media of a PBX, a transfer behind it, a phone in another network: to the proxy they are all the same.
"""

from __future__ import annotations

import itertools

import pytest

from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import RtpPacket, compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_phone import Nat
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

#: What an SDP says when packets come from elsewhere.
PRIVATE = "127.0.0.9"
NOISE = known_payload(0.1, seed=7000)
FRAMES = 10
_seeds = itertools.count(7001)


def say(speaker: Call, listener: Call) -> None:
    """Let one side speak and the other hear every frame; what was noise before does not count."""
    sent, before = known_payload(FRAMES / 50, next(_seeds)), len(listener.media.received)
    speaker.media.play(sent)
    listener.phone.wait(lambda: len(heard(listener, before)) >= FRAMES, 20, "all that was said")
    compare(sent, heard(listener, before)).assert_exact(FRAMES)


def heard(listener: Call, before: int) -> list[RtpPacket]:
    """Return what came since, without the noise."""
    return [packet for packet in listener.media.received[before:] if packet.payload not in NOISE]


@pytest.mark.parametrize("mover", ["caller", "callee"])
@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("speaks", ["from the INVITE on", "after the answer"])
def test_both_hear_each_other_after_a_move(
    switch: Switch, net_loop: NetLoop, mover: str, elsewhere: bool, speaks: str
) -> None:
    """The one who stays is behind NAT, hence the relay; where the other is, his SDP says, or says wrongly."""
    nats = {"caller": Nat(), "callee": Nat()} | {mover: None}
    with (
        switch.phone(net_loop, "100", nat=nats["caller"], media=True) as alice,
        switch.phone(net_loop, "101", nat=nats["callee"], media=True) as bob,
    ):
        for phone in (alice, bob):
            phone.register()
        if elsewhere:
            (alice if mover == "caller" else bob).media_ip = PRIVATE
        bob.plan = Plan.ring(180)
        call = alice.invite("101")
        other = bob.wait_call()
        if speaks == "from the INVITE on":
            other.media.play(NOISE, repeat=True)
        other.ring(183, sdp=True)
        call.wait_ringing()
        if speaks == "from the INVITE on" and not alice.media_ip:
            call.media.wait_received(5)
        other.answer()
        call.wait_answered()
        other.wait_answered()
        other.media.stop()
        moving, staying = (call, other) if mover == "caller" else (other, call)
        say(moving, staying)
        say(staying, moving)
        for _ in range(2):
            moving.move_media()
            assert moving.reinvite().code == 200
            say(moving, staying)
            say(staying, moving)
        call.hang_up()
        other.wait_ended()
        for phone in (alice, bob):
            phone.unregister()
    assert "silent" not in switch.media(call.call_id)
