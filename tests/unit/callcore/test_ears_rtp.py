"""Packets become a line of samples without gaps, whatever comes in."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callcore.ears_rtp import Piece, RtpTrack
from callcore.g711 import ALAW_DECODED, ULAW_DECODED, alaw_encode, ulaw_encode
from tests.support.ears_process import packet
from tests.support.ears_sounds import FRAME, RATE, Samples


def audio(count: int) -> Samples:
    return np.random.default_rng(count).integers(-8000, 8000, count * FRAME).astype(np.int16)


def frames_of(samples: Samples) -> list[Samples]:
    return [samples[at : at + FRAME] for at in range(0, len(samples), FRAME)]


def joined(pieces: list[Piece]) -> Samples:
    return np.concatenate([samples for samples, _ in pieces]) if pieces else np.zeros(0, np.int16)


@pytest.mark.parametrize("alaw", [True, False])
def test_both_laws_come_out_as_they_went_in(alaw: bool) -> None:
    samples = audio(5)
    track = RtpTrack()
    heard = [
        piece
        for number, frame in enumerate(frames_of(samples))
        for piece in track.packet(packet(frame, number, alaw=alaw), number * 0.02)
    ]
    expected = ALAW_DECODED[alaw_encode(samples)] if alaw else ULAW_DECODED[ulaw_encode(samples)]
    assert np.array_equal(joined(heard), expected)


@settings(max_examples=200)
@given(seed=st.integers(0, 10_000), loss=st.floats(0, 0.4), first=st.integers(0, 2**32 - 1))
def test_lost_packets_are_zeros_in_their_place(seed: int, loss: float, first: int) -> None:
    """Also when counters wrap, when packets come twice, and when one comes after its neighbour."""
    samples = ALAW_DECODED[alaw_encode(audio(30))]
    chooser = random.Random(seed)
    track, heard, kept = RtpTrack(), [], []
    for number, frame in enumerate(frames_of(samples)):
        if number not in (0, 29) and chooser.random() < loss:
            continue
        kept.append(number)
        data = packet(frame, (first + number) & 0xFFFF, time_at=first + number * FRAME)
        for _ in range(chooser.choice([1, 1, 2])):
            heard += track.packet(data, number * 0.02)
    line = joined(heard)
    assert len(line) == len(samples)
    for number in range(30):
        here = slice(number * FRAME, (number + 1) * FRAME)
        assert np.array_equal(line[here], samples[here] if number in kept else np.zeros(FRAME, np.int16))
    assert track.lost == 30 - len(kept)


def test_a_late_packet_is_dropped_and_time_goes_on() -> None:
    frames = frames_of(audio(4))
    track = RtpTrack()
    order = [0, 2, 1, 3]
    heard = [piece for number in order for piece in track.packet(packet(frames[number], number), 0.0)]
    assert [len(samples) for samples, _ in heard] == [FRAME] * 4
    assert [lost for _, lost in heard] == [False, True, False, False]
    assert track.late == 1


def test_another_sender_begins_anew_without_a_gap() -> None:
    frame = audio(1)
    track = RtpTrack()
    track.packet(packet(frame, 100, source=1), 0.0)
    assert len(track.packet(packet(frame, 9, source=2, time_at=77), 0.02)) == 1
    assert len(track.packet(packet(frame, 10, source=2, time_at=77 + 100 * RATE), 0.04)) == 1


def test_silence_suppression_is_silence_not_loss() -> None:
    frame = audio(1)
    track = RtpTrack()
    track.packet(packet(frame, 0), 0.0)
    assert track.idle(0.2) == []
    silent = joined(track.idle(1.3))
    assert len(silent) == RATE
    assert track.idle(1.35) == []
    (gap, lost), (voice, _) = track.packet(packet(frame, 1, time_at=FRAME + 2 * RATE), 2.0)
    assert (len(gap), lost, len(voice)) == (RATE, False, FRAME)


def test_header_extensions_contributors_and_padding_are_passed_over() -> None:
    frame = audio(1)
    octets = alaw_encode(frame).tobytes()
    head = bytes([0x80 | 0x20 | 0x10 | 2, 0x88]) + bytes(10)
    data = head + bytes(8) + b"\xbe\xde\x00\x01" + bytes(4) + octets + b"\0\0\0\4"
    assert np.array_equal(joined(RtpTrack().packet(data, 0.0)), ALAW_DECODED[alaw_encode(frame)])


@settings(max_examples=400)
@given(st.lists(st.tuples(st.binary(max_size=80), st.booleans(), st.floats(0, 100)), max_size=30))
def test_nothing_that_comes_in_raises_or_grows_without_limit(
    arrivals: list[tuple[bytes, bool, float]],
) -> None:
    track = RtpTrack()
    now = 0.0
    for data, like_rtp, later in arrivals:
        now += later
        pieces = track.packet(b"\x80\x08" + data if like_rtp else data, now) + track.idle(now)
        assert sum(len(samples) for samples, _ in pieces) <= 11 * RATE


def test_other_codecs_are_noticed_but_not_key_presses_or_rtcp() -> None:
    track = RtpTrack()
    for kind in (13, 101, 72):
        track.packet(bytes([0x80, kind]) + bytes(20), 0.0)
    assert track.other_codec is None
    track.packet(bytes([0x80, 18]) + bytes(20), 0.0)
    assert track.other_codec == 18
