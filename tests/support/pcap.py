"""Reads the RTP packets of a pcap file that RTPProxy wrote (Ethernet, IPv4, UDP)."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.support.rtp_peer import RtpPacket, parse_rtp

_RECORD = struct.Struct("<IIII")
FILE_HEADER_BYTES, ETHERNET_BYTES, IP_BYTES, UDP_BYTES = 24, 14, 20, 8


def rtp_by_port(path: Path) -> dict[int, list[RtpPacket]]:
    """Return the RTP packets of a file by the port on which the node received them."""
    data = path.read_bytes()
    found: dict[int, list[RtpPacket]] = {}
    at = FILE_HEADER_BYTES
    while at + _RECORD.size <= len(data):
        seconds, micros, length, _ = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        frame = data[at : at + length]
        at += length
        udp = frame[ETHERNET_BYTES + IP_BYTES :]
        if len(udp) < UDP_BYTES:
            continue
        port = int.from_bytes(udp[2:4], "big")
        packet = parse_rtp(udp[UDP_BYTES:], seconds + micros / 1e6, ("", int.from_bytes(udp[:2], "big")))
        if packet is not None and port % 2 == 0:
            found.setdefault(port, []).append(packet)
    return found
