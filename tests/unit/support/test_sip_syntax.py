"""URIs, name-addr, Via and their refusals."""

from __future__ import annotations

import pytest

from tests.support.sip_syntax import (
    NameAddr,
    SipSyntaxError,
    SipUri,
    parse_cseq,
    parse_name_addr,
    parse_params,
    parse_uri,
    parse_via,
    split_quoted,
)


@pytest.mark.parametrize(
    "text",
    [
        "sip:101@demo.example",
        "sip:demo.example:5070;transport=tcp;lr",
        "sips:u:pass@10.0.0.1:5061",
        "sip:+7%204@[2001:db8::1]:5060;x=%41",
        "sip:user;par=u%40example.net@example.com",
        "sip:a@b.example?Route=%3Csip:c.example%3E&Subject=x",
        "tel:+74951112233;phone-context=x.example",
    ],
)
def test_uri_survives_the_round_trip(text: str) -> None:
    assert str(parse_uri(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "sip:@demo.example",
        "http://x.example",
        "sip:u@",
        "sip:u@-bad-",
        "sip:u@h:0",
        "sip:u@h:65536",
        "sip:u@h:5060x",
        "sip:a b@h",
        "sip:u%4@h",
        "sip:u@h;a;a",
        "sip:u@h;=x",
        "sip:u@h?",
        "sip:ы@h",
        "tel:",
    ],
)
def test_bad_uri_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        parse_uri(text)


def test_parameters_outside_brackets_belong_to_the_header() -> None:
    assert parse_name_addr("sip:a@h;tag=1") == NameAddr(SipUri("h", "a"), "", {"tag": "1"})
    inside = parse_name_addr("<sip:a@h;lr>;tag=1")
    assert (inside.uri.params, inside.params) == ({"lr": ""}, {"tag": "1"})


def test_display_name_is_unquoted_and_quoted_again() -> None:
    address = parse_name_addr('"a \\"b\\" \\\\" <sip:a@h>')
    assert address.display == 'a "b" \\'
    assert parse_name_addr(str(address)) == address


@pytest.mark.parametrize(
    "text", ['"a <sip:a@h>', "a, b <sip:a@h>", "<sip:a@h", "<< sip:a@h>>", "<sip:a@h>;=1"]
)
def test_bad_name_addr_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        parse_name_addr(text)


def test_via_takes_white_space_where_the_grammar_does() -> None:
    via = parse_via("SIP  / 2.0  / TCP     spindle.example.com : 5070  ;  branch  =   z9hG4bK9ikj8")
    assert (via.transport, via.host, via.port, via.branch) == (
        "TCP",
        "spindle.example.com",
        5070,
        "z9hG4bK9ikj8",
    )
    assert parse_via("SIP/2.0/TLS h.example;branch=z9hG4bK1").sent_by == ("h.example", 5061)


@pytest.mark.parametrize("text", ["SIP/7.0/UDP h;branch=z", "SIP/2.0/UDP", "SIP/2.0/UDP h;;", "UDP h"])
def test_bad_via_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        parse_via(text)


def test_commas_in_quotes_and_brackets_do_not_split() -> None:
    assert split_quoted('"a,b" <sip:x,y@h>, c', ",") == ['"a,b" <sip:x,y@h>', "c"]


def test_repeated_parameter_is_refused() -> None:
    with pytest.raises(SipSyntaxError):
        parse_params(["a=1", "A=2"])


@pytest.mark.parametrize("text", ["INVITE 1", "-1 INVITE", "1", "1 IN VITE", "36893488147419103232 REGISTER"])
def test_bad_cseq_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        parse_cseq(text)
