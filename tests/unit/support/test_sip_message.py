"""What the strict parser takes and what it refuses."""

from __future__ import annotations

import pytest

from tests.support.sip_message import (
    Headers,
    SipRequest,
    SipResponse,
    StreamFramer,
    make_response,
    parse_message,
)
from tests.support.sip_syntax import SipSyntaxError

INVITE = (
    b"INVITE sip:101@demo.example SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKtop;rport, SIP/2.0/TCP [::1]:5062;branch=z9hG4bKsecond\r\n"
    b"v: SIP/2.0/UDP third.example;branch=z9hG4bKthird\r\n"
    b'From: "A \\"x\\", B" <sip:100@demo.example>;tag=1\r\n'
    b"To: <sip:101@demo.example>\r\n"
    b"i: call-1\r\n"
    b"CSeq: 7 INVITE\r\n"
    b"Max-Forwards: 70\r\n"
    b"m: <sip:100@10.0.0.1>;q=0.5\r\n"
    b"Subject: folded\r\n \tvalue\r\n"
    b"X-KS-Call : forged\r\n"
    b"Content-Type: text/plain\r\n"
    b"l: 4\r\n"
    b"\r\n"
    b"body"
)


def with_change(old: bytes, new: bytes) -> bytes:
    """Return the good INVITE with one change."""
    assert INVITE.count(old) == 1, old
    return INVITE.replace(old, new)


def test_good_request_is_read_with_compact_names_folding_and_lists() -> None:
    message = parse_message(INVITE)
    assert isinstance(message, SipRequest)
    assert (message.method, message.uri, message.call_id, message.body) == (
        "INVITE",
        "sip:101@demo.example",
        "call-1",
        b"body",
    )
    assert [via.branch for via in message.vias] == ["z9hG4bKtop", "z9hG4bKsecond", "z9hG4bKthird"]
    assert message.vias[1].sent_by == ("[::1]", 5062)
    assert message.from_addr.display == 'A "x", B'
    assert message.contacts[0].params == {"q": "0.5"}
    assert message.headers.get("subject") == "folded value"


def test_space_before_the_colon_does_not_hide_a_header() -> None:
    assert parse_message(INVITE).headers.starting_with("x-ks-") == [("X-KS-Call", "forged")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Max-Forwards: 70\r\n", b""),
        (b"Max-Forwards: 70", b"Max-Forwards: 256"),
        (b"l: 4", b"l: 3"),
        (b"l: 4", b"l: -4"),
        (b"l: 4\r\n", b""),
        (b"l: 4", b"l: 4\r\nContent-Length: 4"),
        (b"CSeq: 7 INVITE", b"CSeq: 7 OPTIONS"),
        (b"CSeq: 7 INVITE", b"CSeq: 2147483648 INVITE"),
        (b"i: call-1\r\n", b""),
        (b"i: call-1", b"i: call-1\r\nCall-ID: call-2"),
        (b"i: call-1", b"i: call 1"),
        (b";tag=1", b""),
        (b";tag=1", b";tag=1;tag=2"),
        (b"branch=z9hG4bKtop", b"branch=z9hG4bK"),
        (b"branch=z9hG4bKtop", b"branch=top"),
        (b"m: <sip:100@10.0.0.1>;q=0.5\r\n", b""),
        (b"Content-Type: text/plain\r\n", b""),
        (b"Subject: folded", b"Sub ject: folded"),
        (b"Subject: folded", b"Subject: folded\nX: bare line feed"),
        (b"Subject: folded", b"Subject: \xff\xfe"),
        (b"Subject: folded", b"Subject: nul\x00"),
        (b"INVITE sip:101@demo.example SIP/2.0", b"INVITE  sip:101@demo.example SIP/2.0"),
        (b"INVITE sip:101@demo.example SIP/2.0", b"INVITE <sip:101@demo.example> SIP/2.0"),
        (b"INVITE sip:101@demo.example SIP/2.0", b"INVITE sip:101@demo.example SIP/2.0 "),
        (b"To: <sip:101@demo.example>", b"To: <sip:101@demo.example"),
        (b"To: <sip:101@demo.example>", b'To: "x <sip:101@demo.example>'),
        (b"To: <sip:101@demo.example>", b"To: Doe, John <sip:101@demo.example>"),
        (b"\r\n\r\nbody", b"\r\nbody"),
    ],
)
def test_bad_request_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(SipSyntaxError):
        parse_message(with_change(old, new))


def test_response_needs_a_to_tag_but_100_does_not() -> None:
    request = parse_message(INVITE)
    assert isinstance(request, SipRequest)
    assert isinstance(parse_message(make_response(request, 100).encode()), SipResponse)
    with pytest.raises(SipSyntaxError, match="To without tag"):
        parse_message(make_response(request, 200).encode())
    answer = parse_message(make_response(request, 486, to_tag="9").encode())
    assert (answer.to_addr.tag, answer.headers.all("Via")) == ("9", request.headers.all("Via"))


def test_keepalive_of_kamailio_without_max_forwards_is_forgiven_only_for_options() -> None:
    ping = (
        b"OPTIONS sip:102@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK0\r\n"
        b"From: sip:ping@x.example;tag=1\r\nTo: sip:102@10.0.0.1\r\nCall-ID: p\r\nCSeq: 1 OPTIONS\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    assert parse_message(ping).cseq.number == 1
    with pytest.raises(SipSyntaxError, match="Max-Forwards"):
        parse_message(ping.replace(b"OPTIONS", b"MESSAGE"))


def test_put_replaces_every_line_of_a_name_in_either_form() -> None:
    headers = Headers([("f", "1"), ("To", "2"), ("From", "3")])
    headers.put("From", "4")
    assert list(headers) == [("From", "4"), ("To", "2")]


def test_encode_and_parse_are_inverse() -> None:
    message = parse_message(INVITE)
    again = parse_message(message.encode())
    assert list(again.headers) == list(message.headers)
    assert again.body == message.body


def test_stream_is_cut_at_any_place() -> None:
    stream = b"\r\n\r\n" + INVITE + b"\r\n\r\n" + INVITE
    for size in (1, 7, 100, len(stream)):
        framer = StreamFramer()
        messages = [
            message
            for start in range(0, len(stream), size)
            for message in framer.feed(stream[start : start + size])
        ]
        assert messages == [INVITE, INVITE]
        assert framer.keepalives == 4


@pytest.mark.parametrize("bad", [b"l: -1", b"l: five", b"x: 4", b"l: 4\r\nl: 4"])
def test_stream_without_framing_is_refused(bad: bytes) -> None:
    with pytest.raises(SipSyntaxError):
        StreamFramer().feed(with_change(b"l: 4", bad))
