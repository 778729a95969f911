"""RTP out of the pcap files that RTPProxy writes: fast, and as far as a file goes.

Reads Ethernet, IPv4 and IPv6 headers as RTPProxy makes them up, and RTP headers (RFC 3550 section 5.1), for all
packets at once by NumPy; only the chain of record lengths is followed one by one. A file that ends in the middle
of a record (its node was killed) is read up to there. Decides nothing about audio.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from callcore.errors import BadInput

Octets = NDArray[np.uint8]
Ints = NDArray[np.int64]

_HEADER_BYTES: Final = 24
_RECORD_BYTES: Final = 16
_ETHERNET_BYTES: Final = 14
_UDP_BYTES: Final = 8
_RTP_BYTES: Final = 12
_LINK_ETHERNET: Final = 1
_IPV4, _IPV6 = 0x0800, 0x86DD
_IPV6_BYTES: Final = 40
#: Magic of the file → (byte order, units of the second field of a time stamp in a second).
_MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
}
#: No packet that RTPProxy writes is longer: what says so is damage.
_MAX_RECORD_BYTES: Final = 65_536 + _RECORD_BYTES


class BadPcap(BadInput):
    """This is no pcap file of RTPProxy."""

    error_id = "bad-pcap"


@dataclass(frozen=True, slots=True)
class RtpPackets:
    """RTP packets of a file in the order of arrival; arrays of one length."""

    #: Time of arrival, Unix time in microseconds.
    at_us: Ints
    #: Destination port: the port of the node.
    port: Ints
    payload_type: Ints
    sequence: Ints
    timestamp: Ints
    ssrc: Ints
    #: Where the payload lies in the file.
    offset: Ints
    #: Its length in bytes.
    length: Ints

    def __len__(self) -> int:
        return len(self.at_us)

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> RtpPackets:
        """Return some of the packets."""
        return RtpPackets(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True, slots=True)
class PcapFile:
    """A file, mapped into memory, and the RTP packets in it."""

    data: Octets
    packets: RtpPackets
    #: The file ends in the middle of a record.
    cut_short: bool


def read_pcap(path: Path) -> PcapFile:
    """Read a file; an empty one has no packets. Raises BadPcap, OSError."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < _HEADER_BYTES:
            nothing = np.zeros(0, np.uint8)
            return PcapFile(nothing, _packets(nothing, np.zeros(0, np.int64), "<", 1), True)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    magic = bytes(mapped[:4])
    if magic not in _MAGICS:
        raise BadPcap(f"{path.name}: not a pcap file")
    order, units = _MAGICS[magic]
    if struct.unpack_from(order + "I", mapped, 20)[0] & 0xFFFF != _LINK_ETHERNET:
        raise BadPcap(f"{path.name}: not captured from Ethernet")
    offsets, end = _records(mapped, order)
    data = np.frombuffer(mapped, np.uint8)
    return PcapFile(data, _packets(data, offsets, order, units), end < len(mapped))


def _records(mapped: mmap.mmap, order: str) -> tuple[Ints, int]:
    """Follow the chain of records; return where each begins, and where the last whole one ends."""
    captured = struct.Struct(order + "I").unpack_from
    offset, size = _HEADER_BYTES, len(mapped)
    found = []
    while offset + _RECORD_BYTES <= size:
        end = offset + _RECORD_BYTES + captured(mapped, offset + 8)[0]
        if end > size or end - offset > _MAX_RECORD_BYTES:
            break
        found.append(offset)
        offset = end
    return np.array(found, np.int64), offset


def _number(data: Octets, at: Ints, count: int, order: str = ">") -> Ints:
    """Read unsigned numbers of `count` bytes, one at each place."""
    value = np.zeros(len(at), np.int64)
    for i in range(count):
        value |= data[at + i].astype(np.int64) << 8 * (count - 1 - i if order == ">" else i)
    return value


def _packets(data: Octets, records: Ints, order: str, units: int) -> RtpPackets:
    """Take apart what is an RTP packet; everything else (RTCP, STUN, damage) is passed over."""
    length = _number(data, records + 8, 4, order)
    records = records[length >= _ETHERNET_BYTES + _IPV6_BYTES]
    end = records + _RECORD_BYTES + _number(data, records + 8, 4, order)
    ip = records + _RECORD_BYTES + _ETHERNET_BYTES
    kind = _number(data, ip - 2, 2)
    udp = ip + np.where(kind == _IPV6, _IPV6_BYTES, (data[ip] & 15).astype(np.int64) * 4)
    rtp = udp + _UDP_BYTES
    whole = ((kind == _IPV4) | (kind == _IPV6)) & (rtp + _RTP_BYTES <= end)
    records, end, udp, rtp = records[whole], end[whole], udp[whole], rtp[whole]
    payload, stop = _payload(data, rtp, end)
    payload_type = data[rtp + 1].astype(np.int64) & 0x7F
    # RTCP's packet types 200 to 204 look like these (RFC 5761 section 4).
    wanted = (data[rtp] >> 6 == 2) & (payload <= stop) & ((payload_type < 72) | (payload_type > 76))
    seconds = _number(data, records, 4, order)
    fraction = _number(data, records + 4, 4, order)
    return RtpPackets(
        at_us=seconds * 1_000_000 + fraction * 1_000_000 // units,
        port=_number(data, udp + 2, 2),
        payload_type=payload_type,
        sequence=_number(data, rtp + 2, 2),
        timestamp=_number(data, rtp + 4, 4),
        ssrc=_number(data, rtp + 8, 4),
        offset=payload,
        length=stop - payload,
    ).select(wanted)


def _payload(data: Octets, rtp: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Return where payloads begin and end, after contributing sources and extension, before the padding."""
    first = data[rtp].astype(np.int64)
    start = rtp + _RTP_BYTES + 4 * (first & 15)
    extended = np.flatnonzero((first & 0x10 > 0) & (start + 4 <= end))
    start[extended] += 4 + 4 * _number(data, start[extended] + 2, 2)
    padded = first & 0x20 > 0
    return start, end - np.where(padded, data[end - 1].astype(np.int64), 0)
