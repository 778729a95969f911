"""RTPProxy's protocol as text; the replies are what a real node answered."""

from __future__ import annotations

import pytest

from rtpproxy_ctl.protocol import (
    PROTOCOL_VERSION,
    BadReply,
    Counters,
    ErrorCode,
    HasCapability,
    RtpError,
    Version,
    from_datagram,
    to_datagram,
)


def test_a_reply_is_split_into_cookie_and_text() -> None:
    assert from_datagram(b"c0ffee 20040107\n") == ("c0ffee", "20040107")


def test_a_version_is_a_number() -> None:
    assert Version().encode() == "V"
    assert Version().parse("20040107") == PROTOCOL_VERSION


@pytest.mark.parametrize(("text", "known"), [("1", True), ("0", False)])
def test_a_capability_is_known_or_not(text: str, known: bool) -> None:
    command = HasCapability(20081224)
    assert command.encode() == "VF 20081224"
    assert command.parse(text) is known


def test_counters_come_back_under_the_names_asked_for() -> None:
    command = Counters(["nsess_created", "pps_in"])
    assert command.encode() == "G nsess_created pps_in"
    assert command.parse("6 0.000000") == {"nsess_created": 6.0, "pps_in": 0.0}


@pytest.mark.parametrize("text", ["6", "6 0.0 1", "6 many"])
def test_an_answer_that_does_not_fit_the_counters_is_refused(text: str) -> None:
    with pytest.raises(BadReply):
        Counters(["nsess_created", "pps_in"]).parse(text)


@pytest.mark.parametrize("names", [[], ["two words"], ["pps_in\nX"]])
def test_a_counter_name_cannot_smuggle_a_command(names: list[str]) -> None:
    with pytest.raises(ValueError, match="not names of counters"):
        Counters(names)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (0, ErrorCode.UNKNOWN_COMMAND),
        (3, ErrorCode.BAD_SUBCOMMAND),
        (19, ErrorCode.BAD_ARGUMENT),
        (37, ErrorCode.REFUSED_ARGUMENT),
        (50, ErrorCode.UNKNOWN_SESSION),
        (72, ErrorCode.NO_PORTS),
        (85, ErrorCode.NO_MEMORY),
        (98, ErrorCode.OVERLOADED),
        (99, ErrorCode.DRAINING),
    ],
)
def test_an_error_number_belongs_to_a_family(number: int, code: ErrorCode) -> None:
    with pytest.raises(RtpError) as caught:
        from_datagram(f"c0ffee E{number}\n".encode())
    assert (caught.value.code, caught.value.number) == (code, number)


def test_every_family_has_a_range_that_begins_with_it() -> None:
    assert [ErrorCode.from_number(code) for code in ErrorCode] == list(ErrorCode)


def test_an_unknown_error_number_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="no such RTPProxy error: 4"):
        ErrorCode.from_number(4)


@pytest.mark.parametrize("datagram", [b"", b"c0ffee", b"c0ffee \n"])
def test_a_reply_without_text_is_refused(datagram: bytes) -> None:
    with pytest.raises(BadReply):
        from_datagram(datagram)


@pytest.mark.parametrize("text", ["", "-1", "1x", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_only_plain_digits_are_a_number(text: str) -> None:
    with pytest.raises(BadReply):
        Version().parse(text)


@pytest.mark.parametrize("cookie", ["", "a b", "a\nb"])
def test_a_cookie_has_no_white_space(cookie: str) -> None:
    with pytest.raises(ValueError, match="not a cookie"):
        to_datagram(cookie, "V")


def test_a_datagram_begins_with_the_cookie() -> None:
    assert to_datagram("c0ffee", "V") == b"c0ffee V"
