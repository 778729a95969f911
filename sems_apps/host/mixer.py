"""Mixing of G.711: who hears whom in a conversation with supervisors. Pure: RTP in, RTP out, time as an argument.

RTPProxy relays and copies but does not mix. A Mixer takes packets of each participant, and each 20 ms says what to
send to whom: the sum of those whom he hears. A participant who hears only one other gets that one's octets
untouched, so nothing is lost where nothing is mixed.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from callcore.g711 import ALAW_DECODED, ULAW_DECODED, Octets, alaw_encode, ulaw_encode

FRAME_BYTES = 160
FRAME_SECONDS = 0.02
#: Frames that are kept of a participant before he is heard: what a jittery network may be late.
LEAD_FRAMES = 2
#: More than this is a burst; the oldest is dropped, so that the delay does not grow.
MOST_FRAMES = 8
PCMU, PCMA = 0, 8
_HEADER = struct.Struct("!BBHII")


@dataclass(slots=True)
class Voice:
    """One participant: what he said and was not heard yet, and the state of what is sent to him."""

    name: str
    #: Names of those whom he hears.
    hears: frozenset[str] = frozenset()
    frames: deque[bytes] = field(default_factory=deque)
    #: Enough has come since the last silence.
    flowing: bool = False
    sequence: int = 0
    timestamp: int = 0
    ssrc: int = 0


class Mixer:
    """One conversation, all of it with the same payload type."""

    def __init__(self, payload_type: int, ssrc: int) -> None:
        """payload_type: 0 (u-law) or 8 (A-law); ssrc: the first, each participant gets the next one."""
        if payload_type not in (PCMU, PCMA):
            raise ValueError(f"payload type {payload_type} cannot be mixed")
        self._payload_type, self._ssrc = payload_type, ssrc
        self._decoded = ULAW_DECODED if payload_type == PCMU else ALAW_DECODED
        self._voices: dict[str, Voice] = {}

    def add(self, name: str) -> None:
        """Let somebody take part; he hears nobody yet."""
        self._voices.setdefault(name, Voice(name, ssrc=(self._ssrc + len(self._voices)) & 0xFFFFFFFF))

    def remove(self, name: str) -> None:
        """Take somebody out."""
        self._voices.pop(name, None)

    def connect(self, hears: Mapping[str, Iterable[str]]) -> None:
        """Say who hears whom; who is not named hears nobody."""
        for voice in self._voices.values():
            voice.hears = frozenset(hears.get(voice.name, ())) - {voice.name}

    def receive(self, name: str, packet: bytes) -> None:
        """Take an RTP packet of a participant; anything but whole frames of our payload type is left out."""
        voice = self._voices.get(name)
        if voice is None or len(packet) < _HEADER.size or packet[0] >> 6 != 2:
            return
        start = _HEADER.size + 4 * (packet[0] & 0x0F)
        payload = packet[start:]
        if packet[1] & 0x7F != self._payload_type or packet[0] & 0x30 or len(payload) % FRAME_BYTES:
            return
        for at in range(0, len(payload), FRAME_BYTES):
            voice.frames.append(payload[at : at + FRAME_BYTES])
        while len(voice.frames) > MOST_FRAMES:
            voice.frames.popleft()

    def tick(self) -> list[tuple[str, bytes]]:
        """Take one frame of everybody and return a packet for each who hears somebody; call it every 20 ms."""
        said = {
            voice.name: frame for voice in self._voices.values() if (frame := _next_frame(voice)) is not None
        }
        packets = []
        for voice in self._voices.values():
            voice.timestamp = (voice.timestamp + FRAME_BYTES) & 0xFFFFFFFF
            parts = [said[name] for name in sorted(voice.hears) if name in said]
            if parts:
                packets.append((voice.name, self._packet(voice, self._sum(parts))))
        return packets

    def _sum(self, parts: list[bytes]) -> bytes:
        if len(parts) == 1:
            return parts[0]
        total = np.zeros(FRAME_BYTES, np.int32)
        for part in parts:
            total += self._decoded[np.frombuffer(part, np.uint8)]
        samples = np.clip(total, -32768, 32767).astype(np.int16)
        octets: Octets = ulaw_encode(samples) if self._payload_type == PCMU else alaw_encode(samples)
        return octets.tobytes()

    def _packet(self, voice: Voice, payload: bytes) -> bytes:
        voice.sequence = (voice.sequence + 1) & 0xFFFF
        return _HEADER.pack(0x80, self._payload_type, voice.sequence, voice.timestamp, voice.ssrc) + payload


def _next_frame(voice: Voice) -> bytes | None:
    """Return what he says now; after a silence nothing, until enough is there to go on without gaps."""
    if not voice.flowing:
        voice.flowing = len(voice.frames) >= LEAD_FRAMES
    if not voice.flowing:
        return None
    if not voice.frames:
        voice.flowing = False
        return None
    return voice.frames.popleft()
