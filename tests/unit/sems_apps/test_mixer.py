"""Mixing of G.711: who hears whom, bit-exact where one speaks, the sum where several do."""

from __future__ import annotations

import numpy as np
import pytest

from callcore.g711 import ALAW_DECODED, alaw_encode
from sems_apps.host.mixer import LEAD_FRAMES, MOST_FRAMES, PCMA, Mixer
from tests.support.rtp_peer import build_rtp, known_payload, parse_rtp


def mixer(**hears: str) -> Mixer:
    """Make a mixer of three; "caller" hears what `caller` says, and so on."""
    made = Mixer(PCMA, 1000)
    for name in ("caller", "agent", "boss"):
        made.add(name)
    made.connect({name: words.split() for name, words in hears.items()})
    return made


def say(made: Mixer, name: str, frames: list[bytes]) -> None:
    for number, frame in enumerate(frames):
        made.receive(name, build_rtp(number, number * 160, 7, frame))


def heard(made: Mixer, ticks: int) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for _ in range(ticks):
        for name, packet in made.tick():
            parsed = parse_rtp(packet, 0.0, ("", 0))
            assert parsed is not None
            found.setdefault(name, []).append(parsed.payload)
    return found


def test_one_voice_is_heard_bit_exact() -> None:
    made = mixer(boss="caller agent")
    frames = known_payload(0.1, seed=1)
    say(made, "caller", frames)
    assert heard(made, 5) == {"boss": frames}


def test_two_voices_are_added() -> None:
    made = mixer(boss="caller agent")
    one, two = known_payload(0.06, seed=1), known_payload(0.06, seed=2)
    say(made, "caller", one)
    say(made, "agent", two)
    parts = [ALAW_DECODED[np.frombuffer(frame[0], np.uint8)].astype(int) for frame in (one, two)]
    wanted = alaw_encode(np.clip(sum(parts), -32768, 32767).astype(np.int16)).tobytes()
    assert heard(made, 1)["boss"][0] == wanted


def test_nobody_hears_himself_or_whom_he_may_not() -> None:
    made = mixer(caller="agent caller", agent="caller boss")
    say(made, "boss", known_payload(0.06, seed=3))
    assert set(heard(made, 3)) == {"agent"}


def test_a_voice_is_heard_only_when_enough_has_come_and_a_burst_does_not_delay() -> None:
    made = mixer(boss="caller")
    say(made, "caller", known_payload(0.02 * (LEAD_FRAMES - 1), seed=1))
    assert heard(made, 3) == {}
    frames = known_payload(0.02 * 3 * MOST_FRAMES, seed=2)
    say(made, "caller", frames)
    assert heard(made, 3 * MOST_FRAMES)["boss"] == frames[-MOST_FRAMES:]


def test_packets_of_one_stream_count_on_over_silence() -> None:
    made = mixer(boss="caller")
    say(made, "caller", known_payload(0.06, seed=1))
    packets = [parse_rtp(packet, 0.0, ("", 0)) for _ in range(3) for _, packet in made.tick()]
    made.tick()
    say(made, "caller", known_payload(0.06, seed=2))
    packets += [parse_rtp(packet, 0.0, ("", 0)) for _ in range(3) for _, packet in made.tick()]
    known = [packet for packet in packets if packet is not None]
    assert [packet.sequence for packet in known] == list(range(1, 7))
    assert known[3].timestamp - known[2].timestamp == 2 * 160
    assert len({packet.ssrc for packet in known}) == 1


@pytest.mark.parametrize(
    "packet", [b"", b"\x80\x08", build_rtp(1, 1, 1, bytes(160), 0), build_rtp(1, 1, 1, bytes(100))]
)
def test_what_cannot_be_mixed_is_left_out(packet: bytes) -> None:
    made = mixer(boss="caller")
    for _ in range(4):
        made.receive("caller", packet)
        made.receive("stranger", packet)
    assert heard(made, 3) == {}


def test_only_g711_is_mixed() -> None:
    with pytest.raises(ValueError, match="payload type 9"):
        Mixer(9, 1)
