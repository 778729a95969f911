"""Descriptions of one audio stream: read, chosen from, answered."""

from __future__ import annotations

import pytest

from sems_apps.host.sdp import G722, PCMA, PCMU, BadSdp, choose, parse, write_answer, write_offer

OFFER = "\r\n".join(
    [
        *("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0"),
        *("m=audio 4000 RTP/AVP 18 0 8 96", "a=rtpmap:96 telephone-event/8000", "a=rtpmap:18 G729/8000"),
        *("a=sendrecv", "m=video 4002 RTP/AVP 97", "a=rtpmap:97 H264/90000", "a=inactive", ""),
    ]
)


def test_audio_is_found_among_other_streams() -> None:
    offer = parse(OFFER)
    assert (offer.address, offer.port, offer.dtmf, offer.direction) == ("192.0.2.1", 4000, 96, "sendrecv")
    assert [codec.name for codec in offer.codecs] == ["G729", "PCMU", "PCMA"]


def test_codec_is_the_first_of_theirs_that_can_be_played() -> None:
    assert choose(parse(OFFER)) == PCMU
    assert choose(parse(OFFER), (PCMA,)).number == 8


def test_answer_refuses_the_other_streams_and_mirrors_the_direction() -> None:
    answer = write_answer(parse(OFFER.replace("sendrecv", "sendonly")), "127.0.0.1", 5000, 1, PCMU)
    assert "m=audio 5000 RTP/AVP 0 96\r\n" in answer
    assert "m=video 0 RTP/AVP 97" in answer
    assert parse(answer).direction == "recvonly"


def test_offer_can_be_read_again() -> None:
    offer = parse(write_offer("127.0.0.1", 5000, 1, (PCMA, PCMU, G722), 101))
    assert (offer.port, offer.codecs, offer.dtmf) == (5000, (PCMA, PCMU, G722), 101)


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_hold_is_seen(direction: str) -> None:
    assert parse(OFFER.replace("sendrecv", direction)).holds
    assert parse(OFFER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0")).holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=0\r\n",
        "m=audio x RTP/AVP 0\r\nc=IN IP4 1.2.3.4",
        "m=audio 4000 RTP/AVP 0\r\n",
        "m=video 1 RTP/AVP 97\r\nc=IN IP4 1.2.3.4",
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(BadSdp):
        parse(text)


def test_no_common_codec_is_refused() -> None:
    with pytest.raises(BadSdp, match="no codec"):
        choose(parse(OFFER.replace("18 0 8 96", "18 96")))
