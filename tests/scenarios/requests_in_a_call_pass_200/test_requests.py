"""Everything that may be said inside a call goes through: hold, resume, UPDATE, PRACK, REFER, INFO, MESSAGE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.baresip import Baresip, tone_share, wave_samples
from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import compare, known_payload
from tests.support.sip_call import Call
from tests.support.sip_message import parse_message
from tests.support.sip_phone import Nat, Phone
from tests.support.sip_plan import Plan
from tests.support.sipp import SippRun
from tests.support.switch import Switch


@pytest.fixture
def alice(switch: Switch, net_loop: NetLoop) -> Iterator[Phone]:
    """The registered phone of account 100, behind NAT, so that its media is relayed."""
    with switch.phone(net_loop, "100", nat=Nat(), media=True) as phone:
        phone.register()
        yield phone
        phone.unregister()


@pytest.fixture
def bob(switch: Switch, net_loop: NetLoop) -> Iterator[Phone]:
    """The registered phone of account 101."""
    with switch.phone(net_loop, "101", media=True) as phone:
        phone.register()
        yield phone
        phone.unregister()


def _kinds(switch: Switch, row: dict[str, object], kind: str) -> list[dict[str, object]]:
    return [event["data"] for event in switch.events(row["call_id"]) if event["kind"] == kind]


def _hears(listener: Call, speaker: Call, seed: int, frames: int = 25) -> None:
    sent = known_payload(frames / 50, seed)
    before = len(listener.media.received)
    speaker.media.play(sent)
    listener.media.wait_received(before + frames)
    compare(sent, listener.media.received[before:]).assert_exact(frames)


@pytest.mark.parametrize("holder", ["caller", "callee"])
def test_hold_and_resume_keep_the_relay(switch: Switch, alice: Phone, bob: Phone, holder: str) -> None:
    call = alice.call("101")
    other = bob.wait_call().wait_answered()
    _hears(other, call, 1)
    holds, held = (call, other) if holder == "caller" else (other, call)
    assert holds.hold().code == 200
    assert held.held
    assert holds.remote_sdp is not None
    assert holds.remote_sdp.direction == "recvonly"
    assert holds.resume().code == 200
    assert not held.held
    relay = range(switch.config.rtp.port_min, switch.config.rtp.port_max + 1)
    for side in (call, other):
        assert side.remote_sdp is not None
        assert side.remote_sdp.port in relay
    _hears(other, call, 2)
    _hears(call, other, 3)
    other.hang_up()
    call.wait_ended()
    row = switch.cdr(call.call_id)
    assert (row["final_code"], row["hung_up_by"]) == (200, "callee")
    updates = [(data["by"], data["method"], data["hold"]) for data in _kinds(switch, row, "call.update")]
    assert updates == [(holder, "INVITE", True), (holder, "INVITE", False)]


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_update_with_and_without_offer(switch: Switch, alice: Phone, bob: Phone, by: str) -> None:
    call = alice.call("101")
    other = bob.wait_call().wait_answered()
    side, far = (call, other) if by == "caller" else (other, call)
    assert side.update().code == 200
    assert side.update("sendonly").code == 200
    assert far.held
    assert side.update("sendrecv").code == 200
    _hears(other, call, 4)
    call.hang_up()
    row = switch.cdr(call.call_id)
    assert [data["hold"] for data in _kinds(switch, row, "call.update")] == [None, True, False]
    assert {data["by"] for data in _kinds(switch, row, "call.update")} == {by}


def test_reliable_ringing_is_acknowledged_end_to_end(switch: Switch, alice: Phone, bob: Phone) -> None:
    bob.plan = Plan.answer(ring_code=183, reliable=True, early_media=True, final_after=0.2)
    call = alice.call("101")
    other = bob.wait_call().wait_answered()
    assert len(other.pracked) == 1
    assert "100rel" in (call.provisional[-1].headers.get("Require") or "")
    _hears(other, call, 5)
    call.hang_up()
    row = switch.cdr(call.call_id)
    assert [data["code"] for data in _kinds(switch, row, "call.ring")] == [183]


def test_refer_dtmf_and_messages_pass(switch: Switch, alice: Phone, bob: Phone) -> None:
    call = alice.call("101")
    other = bob.wait_call().wait_answered()
    assert call.refer("sip:102@demo.test").code == 202
    assert other.referred == ["<sip:102@demo.test>"]
    assert other.notify_refer(100, "Trying").code == 200
    assert other.notify_refer(200, "OK").code == 200
    assert call.refer_progress == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    dtmf = b"Signal=5\r\nDuration=160\r\n"
    assert other.request("INFO", dtmf, [("Content-Type", "application/dtmf-relay")]).code == 200
    assert call.wait_request("INFO").body == dtmf
    assert call.message("inside").code == 200
    assert other.wait_request("MESSAGE").body == b"inside"
    assert other.request("OPTIONS").code == 200
    call.hang_up()
    row = switch.cdr(call.call_id)
    assert [data["to"] for data in _kinds(switch, row, "call.refer")] == ["<sip:102@demo.test>"]
    assert [data["by"] for data in _kinds(switch, row, "call.refer")] == ["caller"]


def test_message_goes_from_account_to_account(switch: Switch, alice: Phone, bob: Phone) -> None:
    text = "привет, 101 ☎"
    assert alice.message("101", text).code == 200
    received = bob.wait_request("MESSAGE")
    assert received.body.decode() == text
    assert not received.headers.starting_with("X-KS-")
    assert "Proxy-Authorization" not in received.headers
    assert alice.message("103", text).code == 202  # it waits for his phone
    switch.rows("DELETE FROM stored_message RETURNING message_id")
    assert alice.message("nobody", text).code == 404


@pytest.mark.parametrize("scenario", ["uac_hold", "uac_update", "uac_refer", "uac_request"])
def test_sipp_phones_use_them_too(switch: Switch, sipp: Callable[..., SippRun], scenario: str) -> None:
    uas = sipp("uas_answer", user="102")
    _register(switch, sipp, uas, 3600)
    run = sipp(
        scenario, remote=switch.address, caller="103", callee="102", domain="demo.test", auth=("103", "pw103")
    )
    run.wait()
    uas.wait()
    _register(switch, sipp, uas, 0)
    invite = next(item for item in uas.messages() if not item.sent and item.first_line.startswith("INVITE "))
    row = switch.cdr(parse_message(invite.raw).call_id)
    assert (row["account"], row["final_code"], row["hung_up_by"]) == ("103", 200, "caller")


def _register(switch: Switch, sipp: Callable[..., SippRun], uas: SippRun, expires: int) -> None:
    run = sipp(
        "uac_register",
        remote=switch.address,
        caller="102",
        callee="102",
        domain="demo.test",
        auth=("102", "pw102"),
        challenge=401,
        contact_user="102",
        contact_host=f"127.0.0.1:{uas.port}",
        expires=expires,
    )
    run.wait()


def test_baresip_phones_hear_each_other(switch: Switch, net_loop: NetLoop, tmp_path: Path) -> None:
    one = Baresip(
        net_loop, tmp_path / "a", "102", switch.DOMAIN, proxy=switch.address, password="pw102", tone_hz=440
    )
    two = Baresip(
        net_loop,
        tmp_path / "b",
        "103",
        switch.DOMAIN,
        proxy=switch.address,
        password="pw103",
        answer="auto",
        tone_hz=1000,
    )
    with one, two:
        one.wait_registered()
        two.wait_registered()
        one.dial("103")
        one.wait_event("CALL_ESTABLISHED")
        two.wait_event("CALL_ESTABLISHED")
        switch.wait(lambda: two.recording("dec").stat().st_size > 30_000, 10, "two seconds of sound")
        one.hang_up()
        two.wait_event("CALL_CLOSED")
    assert tone_share(wave_samples(two.recording("dec"))[4000:], 440) > 0.5
    assert tone_share(wave_samples(one.recording("dec"))[4000:], 1000) > 0.5
