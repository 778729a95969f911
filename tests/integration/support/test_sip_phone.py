"""The phones against a plain Kamailio: what passes here and fails with our proxy is the proxy's fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import RtpPeer, compare, known_payload
from tests.support.sip_carrier import Carrier
from tests.support.sip_phone import Nat, Phone
from tests.support.sip_plan import Plan
from tests.support.sip_transaction import ProtocolViolation
from tests.support.tiny_kamailio import TinyKamailio, client_context, server_context

MakePhone = Callable[..., Phone]
MakeCarrier = Callable[..., Carrier]

KINDS = ["udp", "tcp", "tls", "nat"]


@pytest.fixture
def phone_of(make_phone: MakePhone, tiny_kamailio: TinyKamailio) -> MakePhone:
    """Return a maker of phones at the tiny Kamailio: udp, tcp, tls or nat (udp with a private address)."""

    def make(username: str, kind: str = "udp", **more: object) -> Phone:
        proxy = tiny_kamailio.tls_address if kind == "tls" else tiny_kamailio.address
        more |= {"proxy": proxy, "password": tiny_kamailio.PASSWORD} | more
        if kind == "tls":
            more["client_tls"] = client_context(tiny_kamailio.home / "cert.pem")
        if kind == "nat":
            more["nat"] = Nat(port=5060 + int(username) % 1000)
        return make_phone(username, tiny_kamailio.DOMAIN, transport="udp" if kind == "nat" else kind, **more)

    return make


def outside(carrier: Carrier, number: str = "74951112233") -> str:
    """Return the URI of a number at a carrier."""
    return f"sip:{number}@{carrier.address[0]}:{carrier.address[1]}"


@pytest.mark.parametrize("caller_kind", KINDS)
@pytest.mark.parametrize("callee_kind", KINDS)
def test_call_with_hold_update_and_refer(phone_of: MakePhone, caller_kind: str, callee_kind: str) -> None:
    caller, callee = phone_of("100", caller_kind), phone_of("101", callee_kind)
    caller.register()
    callee.register()
    call = caller.call("101")
    incoming = callee.wait_call()
    assert call.hold().code == 200
    assert incoming.held
    assert call.resume().code == 200
    assert not incoming.held
    assert incoming.hold().code == 200
    assert call.held
    assert call.update().code == 200
    assert call.refer("sip:102@tiny.example").code == 202
    assert incoming.referred == ["<sip:102@tiny.example>"]
    assert incoming.notify_refer(200, "OK").code == 200
    assert call.refer_progress == ["SIP/2.0 200 OK"]
    assert incoming.hang_up().code == 200
    assert call.wait_ended().ended_by == "remote"


def test_digest_sha256_is_answered_and_a_wrong_password_is_not_taken(phone_of: MakePhone) -> None:
    good, bad = phone_of("110"), phone_of("110", password="wrong")
    assert good.register().code == 200
    assert [str(contact.uri) for contact in good.bindings] == [str(good.contact)]
    assert bad.register(code=0).code == 401
    assert good.unregister().headers.all("Contact") == []


def test_cancel_while_ringing(phone_of: MakePhone) -> None:
    caller, callee = phone_of("120"), phone_of("121")
    callee.register()
    callee.plan = Plan.ring()
    call = caller.invite("121").wait_ringing()
    assert call.cancel().code == 200
    assert (call.code, call.ended_by) == (487, "local")
    assert callee.wait_call().wait_ended().cancelled


@pytest.mark.parametrize("code", [302, 404, 486, 603])
def test_refusals_come_through(phone_of: MakePhone, make_carrier: MakeCarrier, code: int) -> None:
    carrier = make_carrier(plan=Plan.reject(code, "Because", headers=[("X-Why", "test")]))
    call = phone_of("130").invite(outside(carrier)).wait_ended()
    assert (call.code, call.ended_by) == (code, "remote")
    assert call.final is not None
    assert (call.final.reason, call.final.headers.get("X-Why")) == ("Because", "test")


def test_reliable_ringing_is_acknowledged_by_prack(phone_of: MakePhone, make_carrier: MakeCarrier) -> None:
    plan = Plan.answer(ring_code=183, reliable=True, early_media=True, final_after=0.2)
    carrier = make_carrier(plan=plan)
    call = phone_of("140").call(outside(carrier))
    assert len(carrier.calls[0].pracked) == 1
    assert [response.code for response in call.provisional if response.code > 100] == [183]
    assert call.hang_up().code == 200


def test_callee_hangs_up_by_plan(phone_of: MakePhone, make_carrier: MakeCarrier) -> None:
    carrier = make_carrier(plan=Plan.answer(bye_after=0.05))
    assert phone_of("150").call(outside(carrier)).wait_ended().ended_by == "remote"


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_carrier_is_called_on_a_stream(
    phone_of: MakePhone, make_carrier: MakeCarrier, tiny_kamailio: TinyKamailio, transport: str
) -> None:
    tls = {
        "server_tls": server_context(tiny_kamailio.home),
        "client_tls": client_context(tiny_kamailio.home / "cert.pem"),
    }
    carrier = make_carrier(
        domain=tiny_kamailio.DOMAIN, transport=transport, **tls if transport == "tls" else {}
    )
    call = phone_of("155").call(f"{outside(carrier)};transport={transport}")
    assert carrier.calls[0].hold().code == 200
    assert carrier.calls[0].hang_up().code == 200
    assert call.wait_ended().held


def test_plans_are_used_one_after_the_other(phone_of: MakePhone, make_carrier: MakeCarrier) -> None:
    carrier = make_carrier(plan=Plan.reject(404))
    carrier.plans += [Plan.reject(486), Plan.redirect("sip:1@other.example")]
    caller = phone_of("160")
    codes = [caller.invite(outside(carrier)).wait_ended().code for _ in range(3)]
    assert codes == [486, 302, 404]


def test_silent_carrier_gets_every_repetition_and_answers_nothing(
    phone_of: MakePhone, make_carrier: MakeCarrier
) -> None:
    carrier = make_carrier(plan=Plan.silence())
    phone_of("165").invite(outside(carrier))
    carrier.wait_request("INVITE", 2)
    assert carrier.calls[0].server is not None
    assert carrier.calls[0].server.last == b""


def test_media_is_bit_exact_in_both_directions(phone_of: MakePhone) -> None:
    caller, callee = phone_of("170", media=True), phone_of("171", media=True)
    callee.register()
    call = caller.call("171")
    there, back = known_payload(1, seed=1), known_payload(1, seed=2)
    call.media.play(there)
    callee.calls[0].media.play(back)
    compare(there, callee.calls[0].media.wait_received(50)).assert_exact(50)
    compare(back, call.media.wait_received(50)).assert_exact(50)
    call.hang_up()


def test_peer_without_sdp_learns_from_the_first_packet(net_loop: NetLoop) -> None:
    with RtpPeer(net_loop) as told, RtpPeer(net_loop) as learning:
        frames = known_payload(0.4, seed=3)
        learning.play(frames)
        told.play(frames, to=("127.0.0.1", learning.port))
        compare(frames, told.wait_received(20)).assert_exact(20)
        assert learning.remote == ("127.0.0.1", told.port)


def test_phone_behind_nat_answers_the_pings(phone_of: MakePhone) -> None:
    phone = phone_of("180", "nat")
    phone.register()
    ping = phone.wait_request("OPTIONS")
    assert ping.uri == str(phone.contact)


def test_message_outside_and_inside_a_call(phone_of: MakePhone) -> None:
    caller, callee = phone_of("190"), phone_of("191")
    callee.register()
    assert caller.message("191", "привет").code == 200
    assert callee.requests("MESSAGE")[0].body.decode() == "привет"
    call = caller.call("191")
    assert call.message("inside").code == 200
    assert callee.calls[0].wait_request("MESSAGE").body == b"inside"


def test_trunk_registers_and_calls_with_digest(make_phone: MakePhone, make_carrier: MakeCarrier) -> None:
    carrier = make_carrier(
        domain="trunk.example", trunks={"7495": "s3"}, algorithm="SHA-256", challenge_calls=True
    )
    trunk = make_phone("7495", "trunk.example", password="s3", proxy=carrier.address)
    assert trunk.register().code == 200
    assert carrier.wait_registered("7495").uri == trunk.contact
    call = trunk.call("+79160000000")
    assert carrier.calls[0].invite.headers.get("Proxy-Authorization") is not None
    assert call.hang_up().code == 200
    thief = make_phone("7495", "trunk.example", password="guess", proxy=carrier.address)
    assert thief.register(code=0).code == 401
    assert carrier.auth_failures == ["wrong password"]


def test_violation_of_the_other_side_is_raised_at_the_next_wait(
    net_loop: NetLoop, make_phone: MakePhone, make_carrier: MakeCarrier
) -> None:
    carrier = make_carrier()
    make_phone("1", "x.example", proxy=carrier.address)
    carrier.transport.flow(carrier.address).send(b"INVITE sip:x SIP/2.0\r\n\r\n")
    with pytest.raises(ProtocolViolation, match="from"):
        net_loop.wait(lambda: False, 2)


def test_lenient_phone_only_lists_violations(make_carrier: MakeCarrier, net_loop: NetLoop) -> None:
    carrier = make_carrier(strict=False)
    carrier.transport.flow(carrier.address).send(b"junk\r\n\r\n")
    net_loop.wait(lambda: carrier.violations, 2)


def test_two_hundred_calls_at_once(phone_of: MakePhone, make_carrier: MakeCarrier) -> None:
    caller, carrier = phone_of("300"), make_carrier(plan=Plan.answer(final_after=0.5))
    calls = [caller.invite(outside(carrier, str(number))) for number in range(200)]
    for call in calls:
        call.wait_answered(30)
    assert len(carrier.calls) == 200
    for call in calls:
        call.send_bye()
    for incoming in carrier.calls:
        assert incoming.wait_ended(30).ended_by == "remote"
