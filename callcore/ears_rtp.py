"""RTP with G.711 to a gapless line of samples, as it arrives (RFC 3550, RFC 3551). Pure; time is an argument.

Places packets by their timestamps: what is missing becomes zeros that say whether they were lost or not sent. A sender
that falls silent (no packets during silence) is silence, told by the clock. Never raises, whatever bytes come in, and
remembers no audio.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from callcore.ears_spectrum import RATE, Samples
from callcore.g711 import ALAW_DECODED, ULAW_DECODED

PCMU: Final = 0
PCMA: Final = 8
_TABLES: Final = {PCMU: ULAW_DECODED, PCMA: ALAW_DECODED}
#: RFC 3551 6: comfort noise belongs to any codec; 96 and above are told by SDP (key presses for us).
_COMFORT_NOISE: Final = 13
_DYNAMIC: Final = 96
_HEADER: Final = 12
_LONGEST_PAYLOAD: Final = 1600
#: A jump of the timestamp by more than this is a new beginning, not a gap.
_LONGEST_GAP: Final = 5 * RATE
#: Without packets for so long, in seconds, the sender is silent. Packets of a live leg come each 20 ms.
_SILENT_AFTER: Final = 0.3

Piece = tuple[Samples, bool]


class RtpTrack:
    """One leg's incoming audio."""

    def __init__(self) -> None:
        self._source: int | None = None
        self._next_time = 0
        self._next_sequence = 0
        self._heard_at: float | None = None
        #: Silence that was told since the last packet.
        self._silence = 0
        self.packets = 0
        #: Packets that sequence numbers miss, that came too late, that are no RTP or of another codec.
        self.lost = 0
        self.late = 0
        self.unusable = 0
        #: Payload type of another codec that came in; None: none yet.
        self.other_codec: int | None = None

    def packet(self, data: bytes, now: float) -> list[Piece]:
        """Take a datagram; return audio that goes on where the last piece ended, each with whether it was lost.

        now: seconds on any clock that never goes back.
        """
        payload = self._payload(data)
        if payload is None:
            return []
        kind, sequence, time, source, octets = payload
        self.packets += 1
        ahead = _signed(time - self._next_time)
        begins = source != self._source or not -_LONGEST_GAP < ahead < _LONGEST_GAP
        if not begins and ahead < 0:
            self.late += 1
            return []
        gap: list[Piece] = []
        if not begins and ahead > 0:
            missing = (sequence - self._next_sequence) & 0xFFFF
            was_lost = 0 < missing < 0x8000
            self.lost += missing if was_lost else 0
            gap = [(np.zeros(ahead, np.int16), was_lost)]
        samples = _TABLES[kind][np.frombuffer(octets, np.uint8)]
        self._source, self._heard_at, self._silence = source, now, 0
        self._next_time = (time + len(samples)) & 0xFFFFFFFF
        self._next_sequence = (sequence + 1) & 0xFFFF
        return [*gap, (samples, False)]

    def idle(self, now: float) -> list[Piece]:
        """Return the silence of a sender who has sent nothing for a while; call it now and then."""
        if self._heard_at is None:
            return []
        silent = round((now - self._heard_at - _SILENT_AFTER) * RATE) - self._silence
        if silent < RATE // 10:
            return []
        self._silence += silent
        self._next_time = (self._next_time + silent) & 0xFFFFFFFF
        return [(np.zeros(min(silent, _LONGEST_GAP), np.int16), False)]

    def _payload(self, data: bytes) -> tuple[int, int, int, int, bytes] | None:
        """Return codec, sequence, timestamp, source and octets of a packet, None if it has no audio for us."""
        if len(data) < _HEADER or data[0] >> 6 != 2:
            self.unusable += 1
            return None
        start = _HEADER + 4 * (data[0] & 0x0F)
        if data[0] & 0x10:  # header extension
            if len(data) < start + 4:
                self.unusable += 1
                return None
            start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
        end = len(data)
        if data[0] & 0x20:
            end -= data[-1]
        kind = data[1] & 0x7F
        if kind not in _TABLES:
            if kind != _COMFORT_NOISE and kind < _DYNAMIC and not 64 <= kind <= 95:  # those would be RTCP
                self.other_codec = kind
            self.unusable += 1
            return None
        if not 0 < end - start <= _LONGEST_PAYLOAD:
            self.unusable += 1
            return None
        sequence = int.from_bytes(data[2:4], "big")
        time, source = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
        return kind, sequence, time, source, data[start:end]


def _signed(difference: int) -> int:
    """Return a difference of 32-bit counters, which wrap."""
    return (difference + 0x80000000 & 0xFFFFFFFF) - 0x80000000
