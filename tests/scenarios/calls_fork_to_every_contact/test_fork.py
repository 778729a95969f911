"""An account with two phones: both ring, one answers, the other is cancelled; each leg gets the media it needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_phone import Nat, Phone
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

FRAMES = 50


@pytest.fixture
def desk(switch: Switch, net_loop: NetLoop) -> Iterator[Phone]:
    """A phone of account 101 with a public address."""
    with switch.phone(net_loop, "101", media=True) as phone:
        phone.register()
        yield phone
        phone.unregister()


@pytest.fixture
def mobile(switch: Switch, net_loop: NetLoop) -> Iterator[Phone]:
    """Another phone of account 101, behind NAT."""
    with switch.phone(net_loop, "101", media=True, nat=Nat()) as phone:
        phone.register()
        yield phone
        phone.unregister()


def _talk(one: Call, two: Call) -> None:
    for seed, (speaker, listener) in enumerate([(one, two), (two, one)]):
        sent = known_payload(FRAMES / 50, seed)
        speaker.media.play(sent)
        listener.media.wait_received(FRAMES)
        compare(sent, listener.media.received).assert_exact(FRAMES)


@pytest.mark.parametrize("winner", ["desk", "mobile"])
def test_one_answers_and_the_other_is_cancelled(
    switch: Switch, net_loop: NetLoop, desk: Phone, mobile: Phone, winner: str
) -> None:
    first, second = (desk, mobile) if winner == "desk" else (mobile, desk)
    first.plan, second.plan = Plan.answer(ring_after=0.05, final_after=0.3), Plan.ring()
    with switch.phone(net_loop, "100", media=True) as alice:
        call = alice.call("101")
        other = first.wait_call().wait_answered()
        assert second.wait_call().wait_ended().cancelled
        assert call.remote_sdp is not None
        relay = range(switch.config.rtp.port_min, switch.config.rtp.port_max + 1)
        assert (call.remote_sdp.port in relay) == (winner == "mobile")
        _talk(call, other)
        assert call.hold().code == 200
        assert call.resume().code == 200
        assert (call.remote_sdp.port in relay) == (winner == "mobile")
        call.hang_up()
        other.wait_ended()
        assert not call.forked
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"]) == (200, "caller")
    assert [(attempt["account"], attempt["code"]) for attempt in row["attempts"]] == [("101", 200)]
    assert bool(switch.media(call.call_id) if winner == "mobile" else row["media"]) == (winner == "mobile")


def test_busy_phone_does_not_stop_the_other(
    switch: Switch, net_loop: NetLoop, desk: Phone, mobile: Phone
) -> None:
    desk.plan, mobile.plan = Plan.reject(486), Plan.answer(ring_after=0.05, final_after=0.3)
    with switch.phone(net_loop, "100") as alice:
        call = alice.call("101")
        call.hang_up()
    assert switch.cdr(call.call_id)["final_code"] == 200


def test_caller_behind_nat_and_callee_on_tcp(switch: Switch, net_loop: NetLoop) -> None:
    with (
        switch.phone(net_loop, "100", media=True, nat=Nat()) as alice,
        switch.phone(net_loop, "102", media=True, transport="tcp") as bob,
    ):
        alice.register()
        bob.register()
        call = alice.call("102")
        other = bob.wait_call().wait_answered()
        _talk(call, other)
        assert other.hold().code == 200
        assert call.held
        assert other.resume().code == 200
        other.hang_up()
        call.wait_ended()
        alice.unregister()
        bob.unregister()
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"]) == (200, "callee")
    media = switch.media(call.call_id)
    assert min(media["a_packets"], media["b_packets"]) >= FRAMES
