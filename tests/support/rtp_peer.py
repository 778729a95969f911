"""An RTP endpoint for tests: sends known G.711 payloads, keeps what it receives, compares the two bit by bit.

    with NetLoop() as loop, RtpPeer(loop) as a, RtpPeer(loop) as b:
        a.play(known_payload(2.0, seed=1), to=("127.0.0.1", b.port))
        b.wait_received(100)
        compare(known_payload(2.0, seed=1), b.received).assert_exact(min_run=100)

Beside SIPp: put `peer.port` into the scenario with `-key media_port`, and let the peer learn the other
side from the first packet (`symmetric=True`): it then sends there, as the RTP relay itself does.
"""

from __future__ import annotations

import random
import selectors
import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType

from tests.support.net_loop import NetLoop, Timer

FRAME_BYTES = 160
FRAME_SECONDS = 0.02
_HEADER = struct.Struct("!BBHII")
#: Draws for an even port with a free odd neighbour.
_PORT_DRAWS = 100


@dataclass(frozen=True)
class RtpPacket:
    """One received packet."""

    at: float
    source: tuple[str, int]
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse_rtp(data: bytes, at: float, source: tuple[str, int]) -> RtpPacket | None:
    """Read an RTP packet (RFC 3550 section 5.1); None when it is none."""
    if len(data) < _HEADER.size or data[0] >> 6 != 2:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    start = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:  # header extension
        if len(data) < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    end = len(data) - (data[-1] if first & 0x20 else 0)
    if start > end:
        return None
    return RtpPacket(
        at, source, second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, data[start:end]
    )


def build_rtp(sequence: int, timestamp: int, ssrc: int, payload: bytes, payload_type: int = 8) -> bytes:
    """Write an RTP packet."""
    return _HEADER.pack(0x80, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def known_payload(seconds: float, seed: int) -> list[bytes]:
    """Return frames of 20 ms that are all different and the same for the same seed."""
    noise = random.Random(seed)
    return [noise.randbytes(FRAME_BYTES) for _ in range(round(seconds / FRAME_SECONDS))]


def cut_frames(audio: bytes) -> list[bytes]:
    """Cut G.711 octets into frames of 20 ms; a short tail is dropped."""
    whole = len(audio) // FRAME_BYTES
    return [audio[i * FRAME_BYTES : (i + 1) * FRAME_BYTES] for i in range(whole)]


class RtpPeer:
    """One UDP socket on an even port that speaks RTP."""

    def __init__(
        self,
        loop: NetLoop,
        ip: str = "127.0.0.1",
        *,
        payload_type: int = 8,
        ssrc: int | None = None,
        symmetric: bool = True,
    ) -> None:
        self.ip, self.payload_type = ip, payload_type
        self.ssrc = random.getrandbits(32) if ssrc is None else ssrc
        #: Where we send: told by SDP (`remote = …`), or learnt from the first packet when `symmetric`.
        self.remote: tuple[str, int] | None = None
        self.symmetric = symmetric
        self.received: list[RtpPacket] = []
        #: Datagrams that were no RTP.
        self.junk: list[bytes] = []
        self.sent = 0
        self._loop = loop
        self._frames: list[bytes] = []
        self._repeat = False
        #: Frames of these that are sent.
        self._done = 0
        self._timer: Timer | None = None
        self._sequence = random.getrandbits(16)
        self._timestamp = random.getrandbits(32)
        self._sock = _even_socket(ip)
        self.port = int(self._sock.getsockname()[1])
        loop.run(lambda: loop.watch(self._sock, selectors.EVENT_READ, self._readable))

    def __enter__(self) -> RtpPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def play(
        self, frames: Iterable[bytes], *, to: tuple[str, int] | None = None, repeat: bool = False
    ) -> None:
        """Send the frames, one in 20 ms; waits for an address when none is known yet."""
        if to:
            self.remote = to
        self._frames, self._repeat = list(frames), repeat
        self._loop.run(self._start)

    def stop(self) -> None:
        """Stop sending."""
        self._loop.run(self._halt)

    def send_raw(self, data: bytes, to: tuple[str, int]) -> None:
        """Send any datagram from our port."""
        self._sock.sendto(data, to)

    def press(self, key: str, payload_type: int = 101) -> None:
        """Send one key as RFC 4733 does: three packets while it is held, three at its end."""
        assert self.remote, "nobody to send the key to"
        event = "0123456789*#ABCD".index(key)
        self._timestamp += FRAME_BYTES
        for number in range(6):
            end, duration = (0x80, 960) if number > 2 else (0, 160 * (number + 1))
            payload = struct.pack("!BBH", event, end | 10, duration)
            packet = build_rtp(self._sequence, self._timestamp, self.ssrc, payload, payload_type)
            self.send_raw(packet, self.remote)
            self._sequence += 1
        self._timestamp += 960

    def close(self) -> None:
        """Stop and close the socket."""
        if self._sock.fileno() >= 0:
            self.stop()
            self._loop.run(lambda: self._loop.unwatch(self._sock))
            self._sock.close()

    def wait_received(self, count: int, timeout: float = 10.0) -> list[RtpPacket]:
        """Wait for `count` packets in all."""
        self._loop.wait(lambda: len(self.received) >= count, timeout, lambda: self._progress(count))
        return list(self.received)

    def wait_played(self, timeout: float = 30.0) -> None:
        """Wait until all frames are sent."""
        self._loop.wait(lambda: self._done >= len(self._frames), timeout, f"{len(self._frames)} frames sent")

    def _progress(self, count: int) -> str:
        return f"{count} RTP packets at port {self.port}, {len(self.received)} came, {self.sent} sent"

    def _start(self) -> None:
        self._halt()
        self._begun, self._done = self._loop.now(), 0
        self._tick()

    def _halt(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None

    def _tick(self) -> None:
        """Send what is due by the clock: a late tick catches up, so that the rate stays 50 a second."""
        self._timer = None
        if self.remote is None:
            self._begun = self._loop.now()
        due = int((self._loop.now() - self._begun) / FRAME_SECONDS) + 1 if self.remote else 0
        while self._done < due and self._next_frame():
            pass
        if self._repeat or self._done < len(self._frames):
            pause = self._begun + self._done * FRAME_SECONDS - self._loop.now()
            self._timer = self._loop.after(pause if self.remote else FRAME_SECONDS, self._tick)

    def _next_frame(self) -> bool:
        if not self._repeat and self._done >= len(self._frames):
            return False
        assert self.remote
        frame = self._frames[self._done % len(self._frames)]
        packet = build_rtp(self._sequence, self._timestamp, self.ssrc, frame, self.payload_type)
        with suppress(ConnectionRefusedError, BlockingIOError):
            self._sock.sendto(packet, self.remote)
        self._done += 1
        self.sent += 1
        self._sequence += 1
        self._timestamp += len(frame)
        return True

    def _readable(self, _events: int) -> None:
        while self._sock.fileno() >= 0:
            try:
                data, source = self._sock.recvfrom(4096)
            except ConnectionRefusedError:
                continue
            except BlockingIOError:
                return
            packet = parse_rtp(data, self._loop.now(), source)
            if packet is None:
                self.junk.append(data)
                continue
            self.received.append(packet)
            if self.symmetric and self.remote is None:
                self.remote = source


def _even_socket(ip: str) -> socket.socket:
    for _ in range(_PORT_DRAWS):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((ip, 0))
        if sock.getsockname()[1] % 2 == 0:
            return sock
        sock.close()
    raise RuntimeError(f"no even UDP port in {_PORT_DRAWS} draws")


@dataclass(frozen=True)
class Comparison:
    """What became of the frames that were sent."""

    sent: int
    received: int
    #: Longest run of consecutive sent frames that came in order, one after the other, bit-exact.
    longest_run: int
    #: Index of the first sent frame that came (None: none did).
    first: int | None
    #: Sent frames that did not come between the first and the last that came.
    lost: int
    #: Packets whose payload was never sent.
    foreign: int
    duplicated: int
    reordered: int
    #: RTP sequence numbers missing between the first and the last packet of each SSRC.
    sequence_gaps: int
    ssrcs: frozenset[int] = field(default_factory=frozenset)

    def assert_exact(self, min_run: int, *, max_lost: int = 0) -> None:
        """Fail unless at least `min_run` frames in a row came bit-exact, and nothing else did."""
        faults = self.lost > max_lost or self.foreign or self.duplicated
        assert self.longest_run >= min_run, f"media not bit-exact: {self}"
        assert not faults, f"media not bit-exact: {self}"


def compare(sent: Sequence[bytes], packets: Sequence[RtpPacket]) -> Comparison:
    """Compare received packets with the frames that were sent (known_payload: all different)."""
    index_of = {frame: index for index, frame in enumerate(sent)}
    indexes = [index_of.get(packet.payload) for packet in packets]
    known = [index for index in indexes if index is not None]
    span = set(range(min(known), max(known) + 1)) if known else set()
    return Comparison(
        sent=len(sent),
        received=len(packets),
        longest_run=_longest_run(indexes),
        first=min(known, default=None),
        lost=len(span - set(known)),
        foreign=len(indexes) - len(known),
        duplicated=len(known) - len(set(known)),
        reordered=sum(1 for before, after in pairwise(known) if after < before),
        sequence_gaps=_sequence_gaps(packets),
        ssrcs=frozenset(packet.ssrc for packet in packets),
    )


def _longest_run(indexes: Sequence[int | None]) -> int:
    best = run = 0
    previous: int | None = None
    for index in indexes:
        follows = previous is not None and index == previous + 1
        run = 0 if index is None else run + 1 if follows else 1
        best, previous = max(best, run), index
    return best


def _sequence_gaps(packets: Sequence[RtpPacket]) -> int:
    gaps = 0
    for ssrc in {packet.ssrc for packet in packets}:
        numbers = [packet.sequence for packet in packets if packet.ssrc == ssrc]
        # signed 16-bit distance from the first: numbers wrap, and a late packet may be older than the first
        steps = {((number - numbers[0] + 0x8000) & 0xFFFF) - 0x8000 for number in numbers}
        gaps += max(steps) - min(steps) + 1 - len(steps)
    return gaps
