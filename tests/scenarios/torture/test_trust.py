"""What somebody claims is not believed: internal headers, call tokens, tags, domains that are not ours."""

from __future__ import annotations

import uuid

import pytest

from tests.scenarios.torture.field import Field, Place
from tests.scenarios.torture.hostile import Aim, build, forged_internal_headers
from tests.scenarios.torture.sender import Sink, freshen
from tests.support.attacker import assert_not_leaked, forged_headers, new_marker
from tests.support.net_loop import NetLoop
from tests.support.sip_call import Call
from tests.support.sip_phone import Phone
from tests.support.sip_plan import Plan
from tests.support.switch import Switch

METHODS = [
    *("INVITE", "MESSAGE", "OPTIONS", "NOTIFY", "PUBLISH", "REFER", "SUBSCRIBE"),
    *("INFO", "UPDATE", "PRACK", "BYE", "CANCEL", "REGISTER"),
]
#: Codes that refuse, or ask for a password.
REFUSALS = {401, 403, 405, 407, 481, 489}


def test_a_phone_cannot_write_internal_headers(switch: Switch, net_loop: NetLoop) -> None:
    marker, claimed = new_marker(), str(uuid.uuid4())
    with switch.phone(net_loop, "100") as alice, switch.phone(net_loop, "101") as bob:
        alice.register()
        bob.register()
        bob.plan = Plan.answer()
        call = alice.call("sip:101@demo.test", headers=[("X-KS-Call", claimed), *forged_headers(marker)])
        call.hang_up(headers=forged_headers(marker))
        bob.calls[0].wait_ended()
        assert_not_leaked(marker, bob)
        assert_not_leaked(claimed, bob)
        alice.unregister()
        bob.unregister()
    assert str(switch.cdr(call.call_id)["call_id"]) != claimed


def test_a_callee_cannot_write_internal_headers(switch: Switch, net_loop: NetLoop) -> None:
    marker = new_marker()
    with switch.phone(net_loop, "100") as alice, switch.phone(net_loop, "101") as bob:
        alice.register()
        bob.register()
        bob.plan = Plan.answer(headers=forged_headers(marker))
        alice.call("sip:101@demo.test").hang_up()
        assert_not_leaked(marker, alice)
        alice.unregister()
        bob.unregister()


def test_a_carrier_cannot_write_internal_headers_in_any_disguise(field: Field) -> None:
    marker = new_marker()
    aim = Aim(*field.switch.address, "example.com")
    for message in forged_internal_headers(aim, marker.encode()):
        verdict = field.sender(Place.GATEWAY).send(freshen(message.raw, marker), "udp", message.name)
        for item in verdict.relayed:
            # a carriage return alone ends no line (RFC 3261 section 7): what follows it is still the value
            assert b"\nX-KS-" not in item.upper(), message.name
    assert field.switch.rows("SELECT 1 FROM call WHERE call_id::text LIKE %s", [f"%{marker}%"]) == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["foreign domain", "preloaded route", "route by us", "our domain as sender"])
def test_no_stranger_is_relayed(field: Field, method: str, how: str) -> None:
    host, port = field.sink.address
    target = f"sip:somebody@{host}:{port}".encode()
    aim = Aim(*field.switch.address, "example.com" if how == "our domain as sender" else "foreign.example")
    here = b"<sip:%s:%d;lr>" % (aim.host.encode(), aim.port)
    routes = {
        "preloaded route": (b"Route: <" + target + b";lr>",),
        "route by us": (b"Route: " + here, b"Route: <" + target + b";lr>"),
    }.get(how, ())
    field.settle()
    forwarded = field.forwarded()
    for transport in ("udp", "tcp"):
        raw = build(
            aim, f"{how}{method}{transport}", method.encode(), uri=target, extra=routes, transport=transport
        )
        verdict = field.sender(Place.STRANGER).send(raw, transport)
        assert verdict.relayed == ()
        assert set(verdict.codes) <= REFUSALS
        assert verdict.codes
    assert field.forwarded() == forwarded


@pytest.mark.parametrize("method", ["INVITE", "BYE", "OPTIONS", "\xff"])
def test_a_reply_to_nothing_goes_nowhere(field: Field, method: str) -> None:
    """Sent on by its second Via, it would let a stranger send by us to whomever he names."""
    key = f"stray-{new_marker()}"
    for first in (field.switch.address, ("192.0.2.1", 5060)):
        lines = [
            "SIP/2.0 200 OK",
            "Via: SIP/2.0/UDP {}:{};branch=z9hG4bK{}".format(*first, key),
            "Via: SIP/2.0/UDP {}:{};branch=z9hG4bK{}b".format(*field.sink.address, key),
            f"From: <sip:a@example.com>;tag={key}",
            f"To: <sip:b@example.com>;tag={key}",
            f"Call-ID: {key}",
            f"CSeq: 1 {method}",
            "Content-Length: 0",
        ]
        raw = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        verdict = field.sender(Place.STRANGER).send(raw)
        assert (verdict.relayed, verdict.replies) == ((), ())


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_no_account_is_relayed_to_a_foreign_domain(switch: Switch, net_loop: NetLoop, method: str) -> None:
    with Sink() as sink, switch.phone(net_loop, "100") as alice:
        alice.register()
        target = f"sip:somebody@{sink.address[0]}:{sink.address[1]}"
        if method == "INVITE":
            assert alice.invite(target).wait_ended().code == 404
        else:
            assert alice.message(target, "hello").code == 404
        alice.unregister()
        assert sink.take() == []


def _talk(switch: Switch, alice: Phone, bob: Phone) -> Call:
    alice.register()
    bob.register()
    bob.plan = Plan.answer()
    return alice.call("sip:101@demo.test")


def _in_dialog(call: Call, method: str, routes: tuple[bytes, ...], salt: str, switch: Switch) -> bytes:
    """Write a request of somebody who knows Call-ID, tags and Contact of a call, but was never part of it."""
    dialog = call.dialog
    assert dialog is not None
    change = {
        b"From": f"From: {dialog.local}".encode(),
        b"To": f"To: {dialog.remote}".encode(),
        b"Call-ID": f"Call-ID: {call.call_id}".encode(),
        b"CSeq": f"CSeq: 99 {method}".encode(),
    }
    aim = Aim(*switch.address, switch.DOMAIN)
    uri = str(dialog.remote_target).encode()
    return build(aim, f"{method}{salt}", method.encode(), uri=uri, extra=routes, change=change)


def test_nobody_else_ends_or_changes_a_call(switch: Switch, net_loop: NetLoop, field: Field) -> None:
    with switch.phone(net_loop, "100") as alice, switch.phone(net_loop, "101") as bob:
        call = _talk(switch, alice, bob)
        other = alice.call("sip:101@demo.test")
        assert other.dialog is not None
        stranger = field.sender(Place.STRANGER)
        here = f"<sip:{switch.address[0]}:{switch.address[1]};lr".encode()
        stolen = ", ".join(str(route) for route in other.dialog.route_set).encode()
        forgeries = {
            "no route": (),
            "no token": (b"Route: " + here + b">",),
            "invented token": (b"Route: " + here + b";ksc=" + b"0" * 32 + b"--" + b"0" * 20 + b">",),
            "token of another call": (b"Route: " + stolen,),
        }
        for salt, routes in forgeries.items():
            for method in ("BYE", "INVITE", "UPDATE", "REFER", "INFO", "MESSAGE", "NOTIFY"):
                raw = _in_dialog(call, method, routes, salt, switch)
                assert stranger.send(raw).codes == (481,), (salt, method)
        assert _requests(bob) == []
        assert call.hang_up().code == 200
        assert other.hang_up().code == 200
        alice.unregister()
        bob.unregister()
    assert switch.cdr(call.call_id)["hung_up_by"] == "caller"


def _requests(bob: Phone) -> list[object]:
    return [item for name in ("BYE", "UPDATE", "REFER", "INFO", "NOTIFY") for item in bob.requests(name)]
