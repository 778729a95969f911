"""SIP values: URIs, name-addr, Via, CSeq, parameters. Strict parsers and their exact inverse (RFC 3261
section 25).

Pure: bytes and text only. Whatever the grammar does not allow raises `SipSyntaxError`; nothing is guessed
or repaired, because a test phone that forgives hides the fault of the proxy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
_TOKEN = re.compile(TOKEN)
_USER = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]|%[0-9A-Fa-f]{2})+")
_PASSWORD = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,]|%[0-9A-Fa-f]{2})*")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?\.?")
_URI_PARAM = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$]|%[0-9A-Fa-f]{2})+")
_URI_HEADERS = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()\[\]/?:+$&=]|%[0-9A-Fa-f]{2})+")
_VIA = re.compile(rf"SIP\s*/\s*2\.0\s*/\s*({TOKEN})\s+(.+)", re.S)
_CSEQ = re.compile(rf"(\d{{1,10}})[ \t]+({TOKEN})")
_TEL = re.compile(r"tel:([+0-9A-Fa-f*#\-.()]+)((?:;.*)?)")


class SipSyntaxError(ValueError):
    """The text does not follow the grammar of RFC 3261."""


def is_token(text: str) -> bool:
    """Tell whether `text` is a token of RFC 3261."""
    return bool(_TOKEN.fullmatch(text))


def split_quoted(text: str, separator: str) -> list[str]:
    """Split at `separator` outside quoted strings and outside <>; an open quote or bracket is an error."""
    parts, start, quoted, angle, index = [], 0, False, False, 0
    while index < len(text):
        char = text[index]
        if quoted and char == "\\":
            index += 1
        elif char == '"' and not angle:
            quoted = not quoted
        elif not quoted and char in "<>":
            if angle == (char == "<"):
                raise SipSyntaxError(f"unbalanced {char} in {text!r}")
            angle = char == "<"
        elif char == separator and not quoted and not angle:
            parts.append(text[start:index])
            start = index + 1
        index += 1
    if quoted or angle:
        raise SipSyntaxError(f"unterminated quote or bracket in {text!r}")
    return [part.strip(" \t") for part in (*parts, text[start:])]


def quote(text: str) -> str:
    """Return `text` as a quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """Return the content of a quoted-string; other text comes back as it is."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.S)
    return text


def parse_params(parts: list[str]) -> dict[str, str]:
    """Read generic-params ("name" or "name=value"); names become lower case, a repeated name is an error."""
    params: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip(" \t") for piece in part.partition("="))
        if not is_token(name) or (equals and not value):
            raise SipSyntaxError(f"bad parameter {part!r}")
        if name.lower() in params:
            raise SipSyntaxError(f"parameter {name} twice")
        params[name.lower()] = value
    return params


def format_params(params: Mapping[str, str]) -> str:
    """Write ";name=value" for each; an empty value is a flag."""
    return "".join(f";{name}={value}" if value else f";{name}" for name, value in params.items())


@dataclass(frozen=True)
class SipUri:
    """A sip: or sips: URI (or tel:, whose number is the user and whose host is empty)."""

    host: str
    user: str = ""
    port: int | None = None
    scheme: str = "sip"
    password: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    headers: str = ""

    def __str__(self) -> str:
        if self.scheme == "tel":
            return f"tel:{self.user}{format_params(self.params)}"
        userinfo = self.user + (f":{self.password}" if self.password else "")
        return (
            f"{self.scheme}:{userinfo + '@' if userinfo else ''}{self.hostport}"
            f"{format_params(self.params)}{'?' + self.headers if self.headers else ''}"
        )

    @property
    def hostport(self) -> str:
        """Host, with the port when one is written."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def is_loose(self) -> bool:
        """Whether this is a loose router (parameter lr)."""
        return "lr" in self.params

    @property
    def transport(self) -> str:
        """udp, tcp or tls, as the URI says (sips means tls)."""
        return "tls" if self.scheme == "sips" else self.params.get("transport", "udp").lower()


def parse_uri(text: str) -> SipUri:
    """Read a sip:, sips: or tel: URI."""
    scheme, colon, rest = text.partition(":")
    if scheme.lower() == "tel":
        return _parse_tel(text)
    if not colon or scheme.lower() not in ("sip", "sips"):
        raise SipSyntaxError(f"not a SIP URI: {text!r}")
    userinfo, at, hostpart = rest.rpartition("@")
    if at and not userinfo:
        raise SipSyntaxError(f"empty user in {text!r}")
    user, colon, password = userinfo.partition(":")
    if (user and not _USER.fullmatch(user)) or not _PASSWORD.fullmatch(password):
        raise SipSyntaxError(f"bad user part in {text!r}")
    hostpart, question, headers = hostpart.partition("?")
    if question and not _URI_HEADERS.fullmatch(headers):
        raise SipSyntaxError(f"bad headers in {text!r}")
    hostport, *params = hostpart.split(";")
    host, port = parse_hostport(hostport)
    return SipUri(host, user, port, scheme.lower(), password, _uri_params(params), headers)


def _parse_tel(text: str) -> SipUri:
    match = _TEL.fullmatch(text)
    if not match:
        raise SipSyntaxError(f"bad tel URI {text!r}")
    return SipUri("", match[1], None, "tel", "", _uri_params([part for part in match[2].split(";") if part]))


def _uri_params(parts: list[str]) -> dict[str, str]:
    params: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not _URI_PARAM.fullmatch(name) or (equals and not _URI_PARAM.fullmatch(value)):
            raise SipSyntaxError(f"bad URI parameter {part!r}")
        if name.lower() in params:
            raise SipSyntaxError(f"URI parameter {name} twice")
        params[name.lower()] = value
    return params


def parse_hostport(text: str) -> tuple[str, int | None]:
    """Read "host" or "host:port"."""
    match = _HOST.match(text)
    if not match:
        raise SipSyntaxError(f"bad host {text!r}")
    rest = text[match.end() :]
    if not rest:
        return match[0], None
    if not re.fullmatch(r":\d{1,5}", rest) or not 0 < int(rest[1:]) < 65536:
        raise SipSyntaxError(f"bad port in {text!r}")
    return match[0], int(rest[1:])


@dataclass(frozen=True)
class NameAddr:
    """Value of From, To, Contact, Route, Record-Route, Refer-To."""

    uri: SipUri
    display: str = ""
    params: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{format_params(self.params)}"

    @property
    def tag(self) -> str:
        """The tag, or an empty text."""
        return self.params.get("tag", "")


def parse_name_addr(text: str) -> NameAddr:
    """Read name-addr or addr-spec with header parameters (without <> all parameters are the header's)."""
    address, *params = split_quoted(text, ";")
    if not address.endswith(">"):
        return NameAddr(parse_uri(address), "", parse_params(params))
    display, _, uri = address[:-1].rpartition("<")
    display = display.strip(" \t")
    if display and not display.startswith('"') and not all(map(is_token, display.split())):
        raise SipSyntaxError(f"display name wants quotes: {text!r}")
    return NameAddr(parse_uri(uri), unquote(display), parse_params(params))


@dataclass(frozen=True)
class Via:
    """One hop of Via."""

    transport: str
    host: str
    port: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        hostport = self.host if self.port is None else f"{self.host}:{self.port}"
        return f"SIP/2.0/{self.transport} {hostport}{format_params(self.params)}"

    @property
    def branch(self) -> str:
        """The branch, or an empty text."""
        return self.params.get("branch", "")

    @property
    def sent_by(self) -> tuple[str, int]:
        """Host and port of the sender; the port of the transport when none is written."""
        return self.host.lower(), self.port or (5061 if self.transport.upper() == "TLS" else 5060)


def parse_via(text: str) -> Via:
    """Read one Via value."""
    sent, *params = split_quoted(text, ";")
    match = _VIA.fullmatch(sent)
    if not match:
        raise SipSyntaxError(f"bad Via {text!r}")
    host, port = parse_hostport(re.sub(r"\s*:\s*", ":", match[2].strip()))
    return Via(match[1], host, port, parse_params(params))


@dataclass(frozen=True)
class CSeq:
    """Sequence number and method."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_cseq(text: str) -> CSeq:
    """Read CSeq; the number must stay below 2**31 (section 8.1.1.5)."""
    match = _CSEQ.fullmatch(text)
    if not match or int(match[1]) >= 2**31:
        raise SipSyntaxError(f"bad CSeq {text!r}")
    return CSeq(int(match[1]), match[2])
