"""pcap to stereo WAV: every sample of every side in its place."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from G722 import G722

from callcore.g711 import ALAW_DECODED, ULAW_DECODED, alaw_encode, ulaw_encode
from callcore.recording import RecordingReason
from callcore.recording_manifest import Manifest, Side, Window, WindowKind
from kalibri.pcap import BadPcap, read_pcap
from kalibri.recording_mix import Mixed, mix
from tests.support.pcap_build import FRAME_US, Sent, interleaved, stream, write_pcap
from tests.support.recordings import Samples, frames, heard, read_wav, tone
from tests.support.rtp_peer import build_rtp

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
LEFT, RIGHT = 4000, 4002


def manifest(*windows: Window, ports: dict[int, Side] | None = None) -> Manifest:
    return Manifest(
        recording_id=uuid4(),
        call_id=uuid4(),
        tenant_id=0,
        node="n",
        host="h",
        reason=RecordingReason.ROUTE,
        a_number="",
        b_number="",
        spool_dir="",
        final_dir="",
        started_at=START,
        stopped_at=START + timedelta(seconds=60),
        ports={LEFT: Side.CALLER, RIGHT: Side.CALLEE} if ports is None else ports,
        windows=windows,
    )


def mixed(tmp_path: Path, told: Manifest, *files: list[Sent]) -> tuple[Samples, int, Mixed]:
    paths = [write_pcap(tmp_path / f"{n}.pcap", packets) for n, packets in enumerate(files)]
    result = mix(told, paths, tmp_path / "out.wav")
    return *read_wav(tmp_path / "out.wav"), result


def ulaw(samples: Samples, port: int, **facts: int) -> list[Sent]:
    facts.setdefault("start_us", START_US)
    return stream(frames(ulaw_encode(samples).tobytes()), port=port, **facts)


def test_both_sides_are_bit_exact_and_apart(tmp_path: Path) -> None:
    left, right = tone(440, 2, seed=1), tone(1000, 3, seed=2)
    samples, rate, told = mixed(
        tmp_path, manifest(), interleaved(ulaw(left, LEFT), ulaw(right, RIGHT, ssrc=9))
    )
    assert (rate, told.duration_ms, told.origin) == (8000, 3000, START)
    assert np.array_equal(samples[:16_000, 0], heard(left))
    assert not samples[16_000:, 0].any()
    assert np.array_equal(samples[:, 1], heard(right))


def test_a_side_that_begins_later_begins_later(tmp_path: Path) -> None:
    left, right = tone(440, 2, seed=1), tone(1000, 1, seed=2)
    later = ulaw(right, RIGHT, start_us=START_US + 700_000, timestamp=12345)
    samples, _, _ = mixed(tmp_path, manifest(), interleaved(ulaw(left, LEFT), later))
    assert np.array_equal(samples[5600:13_600, 1], heard(right))
    assert not samples[:5600, 1].any()


@pytest.mark.parametrize("seed", range(5))
def test_loss_reordering_and_repetition(tmp_path: Path, seed: int) -> None:
    """1 % loss, packets that overtake each other, packets that come twice: only what is lost is missing."""
    rng = random.Random(seed)
    left = tone(440, 10, seed=seed)
    packets = ulaw(left, LEFT, timestamp=2**32 - 16_000, sequence=65_500)
    lost = {n for n in range(1, len(packets)) if rng.random() < 0.01}
    kept = [packet for n, packet in enumerate(packets) if n not in lost]
    kept += rng.sample(kept, 10)
    moved = sorted(kept[1:], key=lambda packet: packet.at_us + rng.randint(0, 3) * FRAME_US)
    moved.insert(0, packets[0])
    arrived = [Sent(START_US + n * FRAME_US, packet.port, packet.datagram) for n, packet in enumerate(moved)]
    samples, _, told = mixed(tmp_path, manifest(), arrived)
    expected = heard(left).copy()
    for n in lost:
        expected[n * 160 : (n + 1) * 160] = 0
    found = samples[-len(expected) :, 0] if len(samples) > len(expected) else samples[:, 0]
    whole = np.zeros(len(expected), np.int16)
    whole[: len(found)] = found
    assert np.array_equal(whole, expected)
    assert told.quality["caller"]["lost"] == len(lost)


def test_a_codec_change_in_mid_call(tmp_path: Path) -> None:
    one, two = tone(440, 1, seed=1), tone(700, 1, seed=2)
    first = ulaw(one, LEFT)
    second = stream(
        frames(alaw_encode(two).tobytes()),
        port=LEFT,
        start_us=START_US + 1_000_000,
        payload_type=8,
        sequence=50,
        timestamp=8000,
    )
    samples, _, told = mixed(tmp_path, manifest(), first + second)
    assert np.array_equal(samples[:8000, 0], heard(one))
    assert np.array_equal(samples[8000:, 0], ALAW_DECODED[alaw_encode(two)])
    assert told.quality["caller"]["codecs"] == {"PCMU": 50, "PCMA": 50}


def test_a_change_to_g722_keeps_every_narrow_sample(tmp_path: Path) -> None:
    """With G.722 in the call the WAV is 16 kHz: every second sample of G.711 is the one that was sent."""
    narrow, wide = tone(440, 1, seed=1), tone(3000, 1, seed=2, rate=16_000)
    coded = bytes(G722(16_000, 64_000).encode(wide))
    second = stream(
        frames(coded), port=LEFT, start_us=START_US + 1_000_000, payload_type=9, sequence=50, timestamp=8000
    )
    samples, rate, _ = mixed(tmp_path, manifest(), ulaw(narrow, LEFT) + second)
    assert (rate, len(samples)) == (16_000, 32_000)
    assert np.array_equal(samples[:16_000:2, 0], heard(narrow))
    expected = np.frombuffer(G722(16_000, 64_000).decode(coded), np.int16)
    assert np.array_equal(samples[16_000:, 0], expected)
    # What was put between the narrow samples is a tone of the same pitch, not an image of it.
    spectrum = np.abs(np.fft.rfft(samples[1000:15_000, 0].astype(float)))
    assert np.argmax(spectrum) * 16_000 / 14_000 == pytest.approx(440, abs=2)
    assert spectrum[5000:].max() < spectrum.max() / 100


def test_g722_across_blocks_and_losses_is_what_a_decoder_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalibri.recording_mix.BLOCK_TICKS", 1000)  # frames straddle every block
    wide = tone(900, 2, seed=3, rate=16_000)
    coded = frames(bytes(G722(16_000, 64_000).encode(wide)))
    packets = stream(coded, port=RIGHT, start_us=START_US, payload_type=9)
    kept = [packet for n, packet in enumerate(packets) if n not in (20, 21, 60)]
    samples, _, _ = mixed(tmp_path, manifest(), kept)
    decoder = G722(16_000, 64_000)
    expected = np.zeros(len(wide), np.int16)
    for n, frame in enumerate(coded):
        if n not in (20, 21, 60):
            expected[n * 320 : (n + 1) * 320] = np.frombuffer(decoder.decode(frame), np.int16)
    assert np.array_equal(samples[:, 1], expected)


def test_narrow_audio_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalibri.recording_mix.BLOCK_TICKS", 1000)
    left = tone(440, 2, seed=1)
    samples, _, _ = mixed(tmp_path, manifest(), ulaw(left, LEFT))
    assert np.array_equal(samples[:, 0], heard(left))


def test_a_pause_is_silent_and_marked_even_if_the_node_was_slow(tmp_path: Path) -> None:
    left = tone(440, 4, seed=1)
    pause = Window(WindowKind.PAUSE, None, START + timedelta(seconds=1), START + timedelta(seconds=3))
    packets = ulaw(left, LEFT)
    first, second = packets[:53], packets[150:]  # three packets too many were written
    samples, _, told = mixed(tmp_path, manifest(pause), first, second)
    assert [mark.to_json() for mark in told.marks] == [
        {"kind": "pause", "side": None, "from_ms": 1000, "to_ms": 3000}
    ]
    assert np.array_equal(samples[:8000, 0], heard(left)[:8000])
    assert not samples[8000:24_000].any()
    assert np.array_equal(samples[24_000:, 0], heard(left)[24_000:])


def test_a_call_that_ends_in_a_pause_is_as_long_as_it_was(tmp_path: Path) -> None:
    pause = Window(WindowKind.PAUSE, None, START + timedelta(seconds=1), START + timedelta(seconds=5))
    samples, _, told = mixed(tmp_path, manifest(pause), ulaw(tone(440, 1), LEFT))
    assert (told.duration_ms, len(samples)) == (5000, 40_000)


def test_a_file_cut_anywhere_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    left = tone(440, 1, seed=1)
    path = write_pcap(tmp_path / "whole.pcap", ulaw(left, LEFT))
    whole = path.read_bytes()
    size = (len(whole) - 24) // 50
    for cut in [0, 10, 24, 30, 24 + size - 1, 24 + size, 24 + 7 * size + 100, len(whole) - 1, len(whole)]:
        path.write_bytes(whole[:cut])
        mix(manifest(), [path], tmp_path / "out.wav")
        samples, _ = read_wav(tmp_path / "out.wav")
        count = max(cut - 24, 0) // size * 160
        assert np.array_equal(samples[:, 0], heard(left)[:count]), cut


def test_rtcp_dtmf_and_other_payloads_are_no_audio(tmp_path: Path) -> None:
    left = tone(440, 1, seed=1)
    noise = [
        Sent(START_US + 5, LEFT, build_rtp(900, 160, 1, b"\x05\x0a\x00\xa0", 101)),
        Sent(START_US + 6, LEFT + 1, b"\x80\xc8" + bytes(26)),
        Sent(START_US + 7, LEFT, b"\x00\x01\x00\x00"),
        Sent(START_US + 8, LEFT, b""),
    ]
    samples, _, told = mixed(tmp_path, manifest(), interleaved(ulaw(left, LEFT), noise))
    assert np.array_equal(samples[:, 0], heard(left))
    assert told.quality["caller"]["other"] == 1


def test_padding_and_extensions_are_no_audio(tmp_path: Path) -> None:
    left = tone(440, 1, seed=1)
    packets = []
    for n, packet in enumerate(ulaw(left, LEFT)):
        head, payload = bytearray(packet.datagram[:12]), packet.datagram[12:]
        head[0] |= 0x20 | 0x10 | 1  # padding, extension, one contributing source
        datagram = bytes(head) + bytes(4) + b"\xbe\xde\x00\x01" + bytes(4) + payload + b"\0\0\0\x04"
        packets.append(Sent(START_US + n * FRAME_US, LEFT, datagram))
    samples, _, _ = mixed(tmp_path, manifest(), packets)
    assert np.array_equal(samples[:, 0], heard(left))


def test_a_port_that_nobody_named_belongs_to_the_side_that_has_none(tmp_path: Path) -> None:
    """Its controller died before it could tell the callee's port."""
    left, right = tone(440, 1, seed=1), tone(1000, 1, seed=2)
    told = manifest(ports={LEFT: Side.CALLER})
    samples, _, _ = mixed(tmp_path, told, interleaved(ulaw(left, LEFT), ulaw(right, RIGHT, ssrc=9)))
    assert np.array_equal(samples[:, 1], heard(right))


def test_two_lengths_of_packets_in_one_call(tmp_path: Path) -> None:
    left = tone(440, 1, seed=1)
    octets = ulaw_encode(left).tobytes()
    packets, at = [], 0
    for n in range(40):
        size = 240 if n % 3 else 80
        packets.append(Sent(START_US + at * 125, LEFT, build_rtp(n, at, 1, octets[at : at + size], 0)))
        at += size
        if at >= len(octets):
            break
    samples, _, _ = mixed(tmp_path, manifest(), packets)
    assert np.array_equal(samples[:, 0], ULAW_DECODED[np.frombuffer(octets[: len(samples)], np.uint8)])


def test_no_audio_at_all_gives_an_empty_wav(tmp_path: Path) -> None:
    samples, _, told = mixed(tmp_path, manifest(), [])
    assert (len(samples), told.duration_ms, told.origin) == (0, 0, START)


def test_what_is_no_pcap_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(b"nonsense" * 10)
    with pytest.raises(BadPcap):
        read_pcap(path)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_files_never_do_harm(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = write_pcap(tmp_path / "x.pcap", ulaw(tone(440, 0.5), LEFT))
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 60)):
        data[rng.randrange(24, len(data))] = rng.randrange(256)
    path.write_bytes(data)
    told = mix(manifest(), [path], tmp_path / "out.wav")
    assert told.duration_ms <= 2 * 3_660_000
