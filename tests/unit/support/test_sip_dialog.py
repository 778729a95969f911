"""Route sets, targets and sequence numbers of a dialog."""

from __future__ import annotations

from tests.support.sdp import Sdp, is_held, parse_sdp
from tests.support.sip_dialog import dialog_as_callee, dialog_as_caller
from tests.support.sip_message import SipRequest, SipResponse, make_response, parse_message
from tests.support.sip_syntax import SipUri, parse_uri

_INVITE = (
    b"INVITE sip:101@10.0.0.9:5080 SIP/2.0\r\n"
    b"Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n"
    b"Via: SIP/2.0/UDP p2.example;branch=z9hG4bK2\r\n"
    b"From: <sip:100@demo.example>;tag=caller\r\nTo: <sip:101@demo.example>\r\n"
    b"Call-ID: c1\r\nCSeq: 5 INVITE\r\nMax-Forwards: 68\r\nContact: <sip:100@10.0.0.1>\r\n"
    b"Content-Length: 0\r\n\r\n"
)
OUR_CONTACT = SipUri("10.0.0.9", "101", 5080)


def invite(text: bytes = _INVITE) -> SipRequest:
    """Return the INVITE as the callee sees it."""
    message = parse_message(text)
    assert isinstance(message, SipRequest)
    return message


def answer(request: SipRequest) -> SipResponse:
    """Return a 200 to it."""
    return make_response(request, 200, to_tag="callee", headers=[("Contact", f"<{OUR_CONTACT}>")])


def test_callee_takes_the_record_route_as_it_is_and_the_caller_turns_it_round() -> None:
    callee = dialog_as_callee(invite(), "callee")
    caller = dialog_as_caller(invite(), answer(invite()))
    assert [str(route) for route in callee.route_set] == ["<sip:p2.example;lr>", "<sip:p1.example;lr>"]
    assert [str(route) for route in caller.route_set] == ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]
    assert str(callee.next_hop()) == "sip:p2.example;lr"
    assert (callee.local_tag, callee.remote_tag) == ("callee", "caller")


def test_loose_routers_leave_the_remote_target_in_the_request_uri() -> None:
    bye = dialog_as_caller(invite(), answer(invite())).request("BYE")
    assert bye.uri == "sip:101@10.0.0.9:5080"
    assert bye.headers.all("Route") == ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]
    assert str(bye.cseq) == "6 BYE"


def test_strict_router_comes_into_the_request_uri_and_the_target_last() -> None:
    strict = invite(_INVITE.replace(b"<sip:p1.example;lr>", b"<sip:p1.example>"))
    bye = dialog_as_caller(strict, answer(strict)).request("BYE")
    assert bye.uri == "sip:p1.example"
    assert bye.headers.all("Route") == ["<sip:p2.example;lr>", "<sip:101@10.0.0.9:5080>"]


def test_ack_keeps_the_number_of_its_invite() -> None:
    dialog = dialog_as_caller(invite(), answer(invite()))
    assert str(dialog.request("ACK", 5).cseq) == "5 ACK"
    assert str(dialog.request("UPDATE").cseq) == "6 UPDATE"


def test_faults_of_the_other_side_are_named() -> None:
    dialog = dialog_as_callee(invite(), "callee")
    bye = dialog_as_caller(invite(), answer(invite())).request("BYE")
    bye.headers.remove("Route")
    assert dialog.fault(bye, OUR_CONTACT) == ""
    assert "CSeq" in dialog.fault(bye, OUR_CONTACT)
    bye.headers.put("CSeq", "9 BYE")
    assert "not our Contact" in dialog.fault(bye, parse_uri("sip:101@10.0.0.9:5081"))
    bye.headers.put("CSeq", "10 BYE")
    bye.headers.add("Route", "<sip:p2.example;lr>")
    assert "Route left" in dialog.fault(bye, OUR_CONTACT)


def test_re_invite_refreshes_the_target() -> None:
    dialog = dialog_as_callee(invite(), "callee")
    dialog.refresh_target(invite(_INVITE.replace(b"10.0.0.1", b"10.0.0.2")))
    assert dialog.request("BYE").uri == "sip:100@10.0.0.2"


def test_sdp_round_trip_and_hold() -> None:
    offer = Sdp("10.0.0.1", 4000, (8, 0, 101), "sendonly", 12, 3)
    assert parse_sdp(offer.encode()) == offer
    assert is_held(offer)
    assert not is_held(Sdp("10.0.0.1", 4000))
    assert is_held(Sdp("0.0.0.0", 4000))
