"""Writes what RTPProxy writes: pcap files with Ethernet, IPv4, UDP and RTP headers, for tests and benches."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support.rtp_peer import build_rtp

HEADER = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
FRAME_US = 20_000


@dataclass(frozen=True)
class Sent:
    """One packet as a node would see it."""

    #: Arrival, microseconds of Unix time.
    at_us: int
    #: Port of the node on which it arrives.
    port: int
    datagram: bytes


def record(packet: Sent) -> bytes:
    """Return a packet with all its headers."""
    udp = struct.pack("!HHHH", 40_000, packet.port, 8 + len(packet.datagram), 0) + packet.datagram
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 127, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1")
    data = bytes(12) + b"\x08\x00" + ip + udp
    head = struct.pack("<IIII", packet.at_us // 1_000_000, packet.at_us % 1_000_000, len(data), len(data))
    return head + data


def write_pcap(path: Path, packets: Iterable[Sent]) -> Path:
    """Write a file; the packets are in the order of arrival."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(HEADER)
        file.writelines(record(packet) for packet in packets)
    return path


def stream(
    frames: Iterable[bytes],
    *,
    port: int,
    start_us: int,
    payload_type: int = 0,
    ssrc: int = 1,
    sequence: int = 0,
    timestamp: int = 0,
) -> list[Sent]:
    """Return frames as one phone sends them, one each 20 ms."""
    sent = []
    for n, frame in enumerate(frames):
        datagram = build_rtp(sequence + n, timestamp, ssrc, frame, payload_type)
        sent.append(Sent(start_us + n * FRAME_US, port, datagram))
        timestamp += len(frame)
    return sent


def interleaved(*streams: Iterable[Sent]) -> list[Sent]:
    """Return the packets of several streams in the order of arrival."""
    return sorted((packet for one in streams for packet in one), key=lambda packet: packet.at_us)
