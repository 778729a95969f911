"""Reading RTP and the verdict on what became of the frames."""

from __future__ import annotations

import pytest

from tests.support.rtp_peer import RtpPacket, build_rtp, compare, cut_frames, known_payload, parse_rtp

SENT = known_payload(0.4, seed=7)
HERE = ("127.0.0.1", 4000)


def packets(indexes: list[int], ssrc: int = 1) -> list[RtpPacket]:
    """Return received packets that carry these frames in this order, numbered from 65534."""
    return [RtpPacket(0.0, HERE, 8, False, (65534 + i) & 0xFFFF, i * 160, ssrc, SENT[i]) for i in indexes]


def test_known_payload_is_repeatable_and_all_different() -> None:
    assert known_payload(0.4, seed=7) == SENT
    assert known_payload(0.4, seed=8) != SENT
    assert len({*SENT}) == 20
    assert {len(frame) for frame in SENT} == {160}


def test_everything_in_order_is_exact() -> None:
    result = compare(SENT, packets(list(range(20))))
    assert (result.longest_run, result.lost, result.sequence_gaps, result.first) == (20, 0, 0, 0)
    result.assert_exact(20)


def test_missing_first_and_last_frames_are_not_losses() -> None:
    result = compare(SENT, packets(list(range(3, 18))))
    assert (result.longest_run, result.lost, result.first) == (15, 0, 3)
    result.assert_exact(15)


def test_loss_breaks_the_run_and_is_counted() -> None:
    result = compare(SENT, packets([0, 1, 2, 5, 6, 7, 8, 9]))
    assert (result.longest_run, result.lost, result.sequence_gaps) == (5, 2, 2)
    with pytest.raises(AssertionError, match="not bit-exact"):
        result.assert_exact(5)
    result.assert_exact(5, max_lost=2)


def test_reordering_and_duplicates_are_seen() -> None:
    result = compare(SENT, packets([0, 2, 1, 3, 3, 4]))
    assert (result.reordered, result.duplicated, result.lost, result.sequence_gaps) == (1, 1, 0, 0)


def test_one_changed_bit_is_foreign() -> None:
    good = packets(list(range(10)))
    changed = RtpPacket(0.0, HERE, 8, False, 3, 0, 1, bytes([SENT[4][0] ^ 1]) + SENT[4][1:])
    result = compare(SENT, [*good[:4], changed, *good[5:]])
    assert (result.foreign, result.longest_run) == (1, 5)


def test_nothing_received() -> None:
    result = compare(SENT, [])
    assert (result.longest_run, result.first, result.lost) == (0, None, 0)


def test_rtp_header_is_read_back() -> None:
    packet = parse_rtp(build_rtp(65537, 2**32 + 5, 9, b"abc", payload_type=0), 1.5, HERE)
    assert packet == RtpPacket(1.5, HERE, 0, False, 1, 5, 9, b"abc")


def test_csrc_extension_and_padding_are_not_payload() -> None:
    head = bytes([0x80 | 0x20 | 0x10 | 1, 0x80 | 8]) + b"\0\1" + b"\0" * 8
    data = head + b"CSRC" + b"\xbe\xde\0\1extn" + b"payload" + b"\0\0\3"
    packet = parse_rtp(data, 0.0, HERE)
    assert packet is not None
    assert (packet.payload, packet.marker) == (b"payload", True)


@pytest.mark.parametrize(
    "data", [b"", b"\x80" * 11, b"\x40" + b"\0" * 20, b"\x90" + b"\0" * 12, b"\xa0" + b"\0" * 10 + b"\xff"]
)
def test_what_is_no_rtp_is_refused(data: bytes) -> None:
    assert parse_rtp(data, 0.0, HERE) is None


def test_audio_is_cut_into_whole_frames() -> None:
    assert cut_frames(b"a" * 160 + b"b" * 160 + b"c") == [b"a" * 160, b"b" * 160]
