"""SIP requests and responses: strict reading and exact writing, and framing on a stream.

`parse_message` accepts what RFC 3261 allows a proxy to send and nothing else: CRLF line ends, UTF-8, the
mandatory header fields once each, a Content-Length that is present and right, a Via branch with the magic
cookie, a CSeq that fits the method. It knows nothing of dialogs and transactions (sip_transaction.py,
sip_dialog.py).

    message = parse_message(datagram)
    assert message.headers.get("X-KS-Call") is None
    reply = make_response(message, 486, "Busy Here", to_tag="abc")
    sock.sendto(reply.encode(), source)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.support.sip_syntax import (
    TOKEN,
    CSeq,
    NameAddr,
    SipSyntaxError,
    Via,
    is_token,
    parse_cseq,
    parse_name_addr,
    parse_params,
    parse_via,
    split_quoted,
)

HeaderList: TypeAlias = Iterable[tuple[str, str]]

BRANCH_COOKIE = "z9hG4bK"
#: Compact forms of the IANA registry.
COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
_ONCE = ("from", "to", "call-id", "cseq", "content-length")
_REQUEST_LINE = re.compile(rf"({TOKEN}) ([^\s<>]+) SIP/2\.0")
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6]\d\d) (.*)", re.S)
_CALL_ID = re.compile(r"[\x21-\x7e]+")


def canonical(name: str) -> str:
    """Return the lower-case long name of a header field."""
    lower = name.lower()
    return COMPACT.get(lower, lower)


class Headers:
    """Header fields in their order; names compare without case and in both forms."""

    def __init__(self, items: HeaderList = ()) -> None:
        self.items: list[tuple[str, str]] = list(items)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> str | None:
        """Return the first value, or None."""
        return next(iter(self.all(name)), None)

    def all(self, name: str) -> list[str]:
        """Return the values of every line of this name, as they were written."""
        wanted = canonical(name)
        return [value for item, value in self.items if canonical(item) == wanted]

    def values(self, name: str) -> list[str]:
        """Return the values, comma lists taken apart."""
        return [part for line in self.all(name) for part in split_quoted(line, ",")]

    def add(self, name: str, value: str) -> None:
        """Append a line."""
        self.items.append((name, value))

    def put(self, name: str, value: str) -> None:
        """Replace all lines of this name by one at the place of the first (or at the end)."""
        wanted, kept, placed = canonical(name), [], False
        for item in self.items:
            if canonical(item[0]) != wanted:
                kept.append(item)
            elif not placed:
                kept.append((name, value))
                placed = True
        self.items = kept if placed else [*kept, (name, value)]

    def remove(self, name: str) -> None:
        """Delete all lines of this name."""
        self.items = [item for item in self.items if canonical(item[0]) != canonical(name)]

    def names(self) -> list[str]:
        """Return the names as written."""
        return [name for name, _ in self.items]

    def starting_with(self, prefix: str) -> list[tuple[str, str]]:
        """Return the lines whose name begins with `prefix`, without case: `starting_with("X-KS-")`."""
        return [item for item in self.items if item[0].lower().startswith(prefix.lower())]


@dataclass
class SipMessage:
    """What requests and responses share."""

    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def start_line(self) -> str:
        """Return the first line."""
        raise NotImplementedError

    def encode(self) -> bytes:
        """Write the message; Content-Length is set from the body."""
        self.headers.put("Content-Length", str(len(self.body)))
        lines = [self.start_line(), *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body

    def need(self, name: str) -> str:
        """Return the first value; raise when the field is missing."""
        value = self.headers.get(name)
        if value is None:
            raise SipSyntaxError(f"no {name} in {self.start_line()!r}")
        return value

    @property
    def call_id(self) -> str:
        """Call-ID."""
        return self.need("Call-ID")

    @property
    def cseq(self) -> CSeq:
        """CSeq."""
        return parse_cseq(self.need("CSeq"))

    @property
    def from_addr(self) -> NameAddr:
        """From."""
        return parse_name_addr(self.need("From"))

    @property
    def to_addr(self) -> NameAddr:
        """To."""
        return parse_name_addr(self.need("To"))

    @property
    def vias(self) -> list[Via]:
        """All Via values, topmost first."""
        return [parse_via(value) for value in self.headers.values("Via")]

    @property
    def contacts(self) -> list[NameAddr]:
        """All Contact values but "*"."""
        return [parse_name_addr(value) for value in self.headers.values("Contact") if value != "*"]

    @property
    def record_route(self) -> list[NameAddr]:
        """Record-Route, in the order of the message."""
        return [parse_name_addr(value) for value in self.headers.values("Record-Route")]

    def supports(self, option: str) -> bool:
        """Whether Supported or Require names the option tag."""
        tags = self.headers.values("Supported") + self.headers.values("Require")
        return option in [tag.lower() for tag in tags]


@dataclass
class SipRequest(SipMessage):
    """A request."""

    method: str = ""
    uri: str = ""

    def start_line(self) -> str:
        """Return the Request-Line."""
        return f"{self.method} {self.uri} SIP/2.0"


@dataclass
class SipResponse(SipMessage):
    """A response."""

    code: int = 0
    reason: str = ""

    def start_line(self) -> str:
        """Return the Status-Line."""
        return f"SIP/2.0 {self.code} {self.reason}"


def parse_message(data: bytes) -> SipRequest | SipResponse:
    """Read one whole message; raise `SipSyntaxError` for anything that RFC 3261 does not allow."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise SipSyntaxError(f"no empty line in {data[:200]!r}")
    start, *lines = _header_lines(head)
    message = _start(start)
    message.headers = Headers(map(_split_header, _unfold(lines)))
    message.body = body
    _check(message)
    return message


def _header_lines(head: bytes) -> list[str]:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SipSyntaxError(f"not UTF-8: {error}") from error
    lines = text.split("\r\n")
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise SipSyntaxError("bare CR, LF or NUL in the header")
    return lines


def _start(line: str) -> SipRequest | SipResponse:
    if match := _STATUS_LINE.fullmatch(line):
        return SipResponse(code=int(match[1]), reason=match[2])
    if match := _REQUEST_LINE.fullmatch(line):
        return SipRequest(method=match[1], uri=match[2])
    raise SipSyntaxError(f"bad start line {line!r}")


def _unfold(lines: list[str]) -> list[str]:
    unfolded: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t"):
            if not unfolded:
                raise SipSyntaxError("continuation before the first header")
            unfolded[-1] += " " + line.strip(" \t")
        else:
            unfolded.append(line)
    return unfolded


def _split_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    name = name.rstrip(" \t")
    if not colon or not is_token(name):
        raise SipSyntaxError(f"bad header line {line!r}")
    return name, value.strip(" \t")


def _check(message: SipRequest | SipResponse) -> None:
    for name in _ONCE:
        if len(message.headers.all(name)) != 1:
            raise SipSyntaxError(f"{len(message.headers.all(name))} × {name} in {message.start_line()!r}")
    length = message.need("Content-Length")
    if not length.isdecimal() or int(length) != len(message.body):
        raise SipSyntaxError(f"Content-Length {length}, body of {len(message.body)}")
    if message.body and "Content-Type" not in message.headers:
        raise SipSyntaxError("body without Content-Type")
    if not _CALL_ID.fullmatch(message.call_id):
        raise SipSyntaxError(f"bad Call-ID {message.call_id!r}")
    if not message.from_addr.tag:
        raise SipSyntaxError("From without tag")
    _check_vias(message)
    _ = message.to_addr, message.contacts, message.record_route
    if isinstance(message, SipRequest):
        _check_request(message)
    elif message.code > 100 and not message.to_addr.tag:
        raise SipSyntaxError(f"To without tag in {message.start_line()!r}")


def _check_vias(message: SipMessage) -> None:
    if not message.vias:
        raise SipSyntaxError("no Via")
    if not message.vias[0].branch.startswith(BRANCH_COOKIE) or message.vias[0].branch == BRANCH_COOKIE:
        raise SipSyntaxError(f"bad branch in {message.vias[0]}")


def _check_request(request: SipRequest) -> None:
    if request.cseq.method != request.method:
        raise SipSyntaxError(f"CSeq {request.cseq} in {request.start_line()!r}")
    hops = request.headers.all("Max-Forwards")
    # Kamailio's own keep-alive pings (nathelper) have none: the one deviation that is forgiven
    is_ping = request.method == "OPTIONS" and len(request.vias) == 1 and not hops
    if not is_ping and (len(hops) != 1 or not hops[0].isdecimal() or int(hops[0]) > 255):
        raise SipSyntaxError(f"Max-Forwards {hops}")
    if request.method in ("INVITE", "SUBSCRIBE", "REFER", "UPDATE") and len(request.contacts) != 1:
        raise SipSyntaxError(f"{len(request.contacts)} Contacts in {request.start_line()!r}")


def make_response(
    request: SipRequest,
    code: int,
    reason: str = "",
    *,
    to_tag: str = "",
    headers: HeaderList = (),
    body: bytes = b"",
) -> SipResponse:
    """Answer `request` as section 8.2.6 says: Via, From, Call-ID and CSeq copied, To with our tag."""
    copied = Headers(("Via", value) for value in request.headers.all("Via"))
    for name in ("From", "To", "Call-ID", "CSeq"):
        copied.add(name, request.need(name))
    if to_tag and not request.to_addr.tag:
        copied.put("To", f"{request.need('To')};tag={to_tag}")
    if request.method == "INVITE" or code < 300:
        copied.items += [("Record-Route", value) for value in request.headers.all("Record-Route")]
    copied.items += list(headers)
    return SipResponse(copied, body, code, reason or REASONS.get(code, "Unspecified"))


REASONS = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    600: "Busy Everywhere",
    603: "Decline",
}


class StreamFramer:
    """Cuts a TCP or TLS stream into messages by Content-Length (section 18.3); counts keep-alive CRLFs."""

    #: A peer that sends a longer header without an empty line is broken.
    MAX_HEADER_BYTES = 65536

    def __init__(self) -> None:
        self.keepalives = 0
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they come, return the messages that are complete; raise when there is no framing."""
        self._buffer += data
        messages = []
        while message := self._next():
            messages.append(message)
        return messages

    def _next(self) -> bytes:
        while self._buffer.startswith(b"\r\n"):
            self._buffer = self._buffer[2:]
            self.keepalives += 1
        head, separator, _ = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            if len(self._buffer) > self.MAX_HEADER_BYTES:
                raise SipSyntaxError("no end of header on the stream")
            return b""
        end = len(head) + 4 + _content_length(head)
        if len(self._buffer) < end:
            return b""
        message, self._buffer = self._buffer[:end], self._buffer[end:]
        return message


def _content_length(head: bytes) -> int:
    lengths = re.findall(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$", head)
    if len(lengths) != 1 or not lengths[0].isdigit():
        raise SipSyntaxError(f"no usable Content-Length on the stream: {lengths}")
    return int(lengths[0])


def parse_auth_params(text: str) -> tuple[str, dict[str, str]]:
    """Read "Digest a=b, c=…" into the scheme and its parameters (values still quoted)."""
    scheme, _, rest = text.partition(" ")
    return scheme, parse_params(split_quoted(rest, ","))
