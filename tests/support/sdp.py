"""Session descriptions of the test phones: one G.711 stream, written and read (RFC 4566, RFC 3264). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.support.sip_syntax import SipSyntaxError

NAMES = {0: "PCMU", 8: "PCMA", 9: "G722", 18: "G729", 101: "telephone-event"}
#: The answer to each direction (RFC 3264 section 6.1).
MIRROR = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


@dataclass(frozen=True)
class Sdp:
    """What a phone needs to know of an offer or answer."""

    ip: str
    port: int
    payload_types: tuple[int, ...] = (8, 0)
    direction: str = "sendrecv"
    session_id: int = 1
    version: int = 1

    def __str__(self) -> str:
        formats = " ".join(map(str, self.payload_types))
        lines = [
            "v=0",
            f"o=- {self.session_id} {self.version} IN IP4 {self.ip}",
            "s=-",
            f"c=IN IP4 {self.ip}",
            "t=0 0",
            f"m=audio {self.port} RTP/AVP {formats}",
            *(f"a=rtpmap:{number} {NAMES[number]}/8000" for number in self.payload_types if number in NAMES),
            "a=ptime:20",
            f"a={self.direction}",
        ]
        return "\r\n".join(lines) + "\r\n"

    def encode(self) -> bytes:
        """Return the body."""
        return str(self).encode()


def parse_sdp(body: bytes) -> Sdp:
    """Read the first audio stream; strict on line ends, order of the session lines and numbers."""
    text = body.decode("ascii")
    if not text.endswith("\r\n") or "\n" in text.replace("\r\n", ""):
        raise SipSyntaxError(f"SDP without CRLF line ends: {body[-80:]!r}")
    lines = text[:-2].split("\r\n")
    if bad := [line for line in lines if not re.fullmatch(r"[a-z]=.+", line)]:
        raise SipSyntaxError(f"bad SDP line {bad[0]!r}")
    if [line[0] for line in lines[:3]] != ["v", "o", "s"]:
        raise SipSyntaxError(f"SDP starts with {lines[:3]}")
    media = [index for index, line in enumerate(lines) if line.startswith("m=")]
    if not media:
        raise SipSyntaxError("SDP without m=")
    end = media[1] if len(media) > 1 else len(lines)
    return _stream(lines[: media[0]], lines[media[0] : end])


def _stream(session: list[str], stream: list[str]) -> Sdp:
    head = re.fullmatch(r"m=audio (\d+) RTP/AVPF? ([\d ]+)", stream[0])
    if not head:
        raise SipSyntaxError(f"not a plain audio stream: {stream[0]!r}")
    ip = _last(r"c=IN IP4 (\S+)", session + stream)
    origin = re.fullmatch(r"o=\S+ (\d+) (\d+) IN IP4 \S+", session[1])
    if not ip or not origin:
        raise SipSyntaxError("SDP without usable c= or o=")
    direction = _last(r"a=(sendrecv|sendonly|recvonly|inactive)", session + stream) or "sendrecv"
    types = tuple(int(number) for number in head[2].split())
    return Sdp(ip, int(head[1]), types, direction, int(origin[1]), int(origin[2]))


def _last(pattern: str, lines: list[str]) -> str:
    found = [match[1] for line in lines if (match := re.fullmatch(pattern, line))]
    return found[-1] if found else ""


def is_held(sdp: Sdp) -> bool:
    """Whether the sender of this description puts the other side on hold."""
    return sdp.direction in ("sendonly", "inactive") or sdp.ip == "0.0.0.0"
