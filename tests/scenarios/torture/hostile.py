"""Builders of hostile messages, by class: what attackers and broken devices send, beyond RFC 4475.

    for message in hostile_messages(Aim(host="127.0.0.1", port=5060, domain="demo.example", user="100")):
        verdict = sender.send(message.raw, message.transports[0])

Every message carries its own Call-ID and branch, and asks by rport for the answer at its source.
`transports` names where it makes sense.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

UDP: tuple[str, ...] = ("udp",)
TCP: tuple[str, ...] = ("tcp",)
BOTH: tuple[str, ...] = ("udp", "tcp")

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 9000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    b"a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)

_METHODS = (
    *b"FOO invite Register PUBLISH SUBSCRIBE REFER NOTIFY PRACK UPDATE INFO".split(),
    *b"BYE CANCEL ACK GET KDMQ SIP/2.0".split(),
    b"X" * 1000,
    b"!%*_+`'~.-",
)
#: User parts, separated by white space.
_USERS = (
    *rb"""
    '%3B%20DROP%20TABLE%20account%3B-- 'or'1'='1 %27%20OR%201%3D1-- ' null None true
    ..%2F..%2Fetc%2Fpasswd ../../../../etc/passwd /dev/zero ~root a%5C
    %00 a%00b %0a %0D%0AX-KS-Call%3A%20forged %25s%25n%25n %22%7D%2C%7B%22a%22%3A %24%7Bjndi%3Aldap%7D
    $(id) `id` * % %zz + -1 0x41 1e400 #%20x a,b a&b=c
    100%40other.example 100;x=y 100?x=y
    """.split(),
    b"9" * 200,
    b"%D1%8B" * 50,
)
_LENGTHS = (
    *b"-1 -2147483648 99999999999 2147483647 4294967295 4294967300 18446744073709551617".split(),
    *b"1e3 0x10 five 00000000000000000000".split(),
    b"",
    b" ",
    b"10, 10",
    b"9" * 300,
)
#: Values of one header field, with what they make of the parser.
_FIELDS: dict[bytes, tuple[bytes, ...]] = {
    b"Via": (
        b"",
        b"SIP/2.0/UDP",
        b"SIP/2.0/UDP ;branch=z9hG4bK1",
        b"SIP/2.0/UDP :5060;branch=z9hG4bK1",
        b"SIP/2.0/UDP 127.0.0.1:99999;branch=z9hG4bK1",
        b"SIP/2.0/UDP 127.0.0.1:0;branch=z9hG4bK1;rport",
        b"SIP/2.0/UDP [::1;branch=z9hG4bK1",
        b"SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1",
        b"SIP/2.0/UDP 127.0.0.1:9;rport=99999;received=256.1.1.1;branch=z9hG4bK1",
        b"SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK" + b";" * 200,
        b"SIP/2.0/UDP 127.0.0.1:9;maddr=224.0.0.1;ttl=999;branch=z9hG4bK1",
        b"SIP / 2.0 / UDP 127.0.0.1 : 9 ; branch = z9hG4bK1 ; rport",
    ),
    b"From": (b"", b"<>", b"<sip:>;tag=1", b"sip:a@b.example", b"<sip:a@b.example>;tag=", b"*;tag=1"),
    b"To": (b"", b"<>", b"<sip:a@>", b"<sip:a@b.example>;tag=;tag=", b'"a <sip:a@b.example>'),
    b"CSeq": (b"", b"1", b"INVITE", b"-1 OPTIONS", b"1 1", b"9" * 20 + b" OPTIONS", b"1  OPTIONS x"),
    b"Contact": (
        b"*",
        b"<>",
        b"<<sip:a@b>>",
        b"<sip:a@b>;expires=-1",
        b"<sip:a@b>;q=9",
        b"<tel:1>",
        b"<sip:a@b",
    ),
    b"Max-Forwards": (b"", b"-1", b"256", b"99999999999", b"a", b"0x10", b"1, 2"),
    b"Call-ID": (b"", b" ", b"a b", b"@", b"a@b@c"),
    b"Route": (b"", b"<>", b"<sip:>", b"<sip:a;lr", b"sip:a;lr", b"<sip:[::1;lr>", b"<sip:a:99999;lr>"),
    b"Record-Route": (b"", b"<>", b"<sip:a", b"<mailto:a@b>"),
    b"Expires": (b"-1", b"99999999999", b"a"),
    b"Supported": (b",,,,", b"\x00"),
    b"Content-Type": (
        b"",
        b"/",
        b"multipart/mixed",
        b"multipart/mixed;boundary=",
        b"application/sdp;" + b"a" * 500,
    ),
}


@dataclass(frozen=True)
class Aim:
    """Whom the messages are for."""

    host: str
    port: int
    domain: str
    user: str = "100"


@dataclass(frozen=True)
class Hostile:
    """One hostile message."""

    group: str
    name: str
    raw: bytes
    transports: tuple[str, ...] = UDP


def build(
    aim: Aim,
    label: str,
    method: bytes = b"OPTIONS",
    *,
    uri: bytes | None = None,
    extra: tuple[bytes, ...] = (),
    change: dict[bytes, bytes] | None = None,
    body: bytes = b"",
    length: bytes | None = None,
    transport: str = "udp",
) -> bytes:
    """Write a plain request; `change` replaces header lines by name (an empty value removes one)."""
    key = hashlib.sha1(label.encode()).hexdigest()[:16].encode()
    domain, user = aim.domain.encode(), aim.user.encode()
    lines = {
        b"Via": b"Via: SIP/2.0/" + transport.upper().encode() + b" 127.0.0.1:9;rport;branch=z9hG4bK" + key,
        b"From": b"From: <sip:" + user + b"@" + domain + b">;tag=" + key,
        b"To": b"To: <sip:" + user + b"@" + domain + b">",
        b"Call-ID": b"Call-ID: " + key + b"@hostile",
        b"CSeq": b"CSeq: 1 " + method,
        b"Max-Forwards": b"Max-Forwards: 70",
        b"Contact": b"Contact: <sip:" + user + b"@127.0.0.1:9>",
    } | (change or {})
    if body:
        lines[b"Content-Type"] = b"Content-Type: application/sdp"
    start = method + b" " + (uri or b"sip:" + user + b"@" + domain) + b" SIP/2.0"
    size = str(len(body)).encode() if length is None else length
    head = [start, *(line for line in lines.values() if line), *extra, b"Content-Length: " + size]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def hostile_messages(aim: Aim) -> Iterator[Hostile]:
    """Make all classes."""
    for maker in (
        oversized,
        odd_methods,
        loops,
        odd_bytes,
        odd_users,
        forged_internal_headers,
        digest_junk,
        cut_sdp,
        stream_lengths,
        broken_fields,
        not_sip,
    ):
        yield from maker(aim)


def oversized(aim: Aim) -> Iterator[Hostile]:
    """Messages and parts that are too long."""
    group = "oversized"
    for size in (1_000, 8_000, 60_000):
        long = b"a" * size
        yield Hostile(group, f"header {size}", build(aim, f"oh{size}", extra=(b"X-Long: " + long,)), BOTH)
        uri = b"sip:" + long + b"@" + aim.domain.encode()
        yield Hostile(group, f"uri {size}", build(aim, f"ou{size}", uri=uri), BOTH)
        tag = {b"From": b"From: <sip:a@" + aim.domain.encode() + b">;tag=" + long}
        # Kamailio CVE-2018-8828: REGISTER with a long From tag
        yield Hostile(group, f"tag {size}", build(aim, f"ot{size}", b"REGISTER", change=tag), BOTH)
        branch = {b"Via": b"Via: SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bK" + long}
        yield Hostile(group, f"branch {size}", build(aim, f"ob{size}", change=branch))
        call_id = {b"Call-ID": b"Call-ID: " + long}
        yield Hostile(group, f"call-id {size}", build(aim, f"oc{size}", b"INVITE", change=call_id, body=SDP))
    many = tuple(b"X-Many-%d: %d" % (number, number) for number in range(3_000))
    yield Hostile(group, "3000 headers", build(aim, "om", extra=many), BOTH)
    vias = tuple(b"Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK%d" % number for number in range(900))
    yield Hostile(group, "900 vias", build(aim, "ov", extra=vias), BOTH)
    routes = tuple(b"Route: <sip:10.0.%d.1;lr>" % (number % 250) for number in range(900))
    yield Hostile(group, "900 routes", build(aim, "or", extra=routes), BOTH)
    contacts = tuple(b"Contact: <sip:a%d@127.0.0.1:9>" % number for number in range(500))
    yield Hostile(group, "500 contacts", build(aim, "ox", b"REGISTER", extra=contacts), BOTH)
    yield Hostile(group, "body 60000", build(aim, "oB", b"MESSAGE", body=b"x" * 60_000), BOTH)
    yield Hostile(group, "1 MB on a stream", build(aim, "oS", b"MESSAGE", body=b"x" * 1_000_000), TCP)


def odd_methods(aim: Aim) -> Iterator[Hostile]:
    """Methods that nobody knows, or not in this place."""
    for method in _METHODS:
        yield Hostile("method", method[:20].decode(), build(aim, f"m{method!r}", method), BOTH)
    in_dialog = {b"To": b"To: <sip:" + aim.user.encode() + b"@" + aim.domain.encode() + b">;tag=nobody"}
    for method in (b"BYE", b"INVITE", b"UPDATE", b"REFER", b"PRACK", b"MESSAGE", b"ACK", b"FOO"):
        name = f"{method.decode()} in no dialog"
        yield Hostile("method", name, build(aim, name, method, change=in_dialog), BOTH)


def loops(aim: Aim) -> Iterator[Hostile]:
    """Requests that want to go round: through the proxy again and again, or back to where they are."""
    here = f"{aim.host}:{aim.port}".encode()
    route = b"Route: <sip:" + here + b";lr>"
    for count in (1, 5, 70):
        name = f"{count} routes to the proxy"
        yield Hostile("loop", name, build(aim, name, b"INVITE", extra=(route,) * count, body=SDP), BOTH)
    for uri in (b"sip:" + here, b"sip:x@" + here, b"sip:x@" + here + b";maddr=" + aim.host.encode()):
        yield Hostile("loop", uri.decode(), build(aim, f"lu{uri!r}", b"INVITE", uri=uri, body=SDP), BOTH)
    own = {b"Contact": b"Contact: <sip:x@" + here + b">"}
    yield Hostile("loop", "contact is the proxy", build(aim, "lc", b"REGISTER", change=own), BOTH)
    seen = tuple(b"Via: SIP/2.0/UDP " + here + b";branch=z9hG4bK%d" % number for number in range(5))
    yield Hostile("loop", "the proxy's own Vias", build(aim, "lv", b"INVITE", extra=seen, body=SDP), BOTH)
    hops = {b"Max-Forwards": b"Max-Forwards: 255"}
    yield Hostile("loop", "255 hops", build(aim, "lm", change=hops, extra=(route,)), BOTH)
    spoofed = (b"Record-Route: <sip:" + here + b";lr>", b"Record-Route: <sip:255.255.255.255;lr>")
    raw = build(aim, "lr", b"INVITE", extra=spoofed, body=SDP)
    yield Hostile("loop", "record-route of others", raw, BOTH)
    raw = build(aim, "ls", b"INVITE", extra=(b"Route: <sip:" + here + b">",), body=SDP)
    yield Hostile("loop", "strict route to the proxy", raw, BOTH)


def odd_bytes(aim: Aim) -> Iterator[Hostile]:
    """Octets that are no UTF-8, no text, or end a text early."""
    domain = aim.domain.encode()
    for name, octets in {
        "latin-1": b"\xe9t\xe9",
        "cp1251": "привет".encode("cp1251"),
        "cut utf-8": "ы".encode()[:1],
        "overlong": b"\xc0\xaf",
        "surrogate": b"\xed\xa0\x80",
        "nul": b"a\x00b",
        "bell": b"\x07\x7f",
        "all high": bytes(range(128, 256)),
    }.items():
        places = {
            "user": {"uri": b"sip:" + octets + b"@" + domain},
            "from": {"change": {b"From": b"From: <sip:" + octets + b"@" + domain + b">;tag=1"}},
            "display": {"change": {b"From": b'From: "' + octets + b'" <sip:a@' + domain + b">;tag=1"}},
            "to": {"change": {b"To": b"To: <sip:" + octets + b"@" + domain + b">"}},
            "call-id": {"change": {b"Call-ID": b"Call-ID: " + octets}},
            "contact": {"change": {b"Contact": b"Contact: <sip:" + octets + b"@127.0.0.1:9>"}},
            "agent": {"extra": (b"User-Agent: " + octets,)},
            "name": {"extra": (b"X-" + octets + b": 1",)},
        }
        for place, parts in places.items():
            for method in (b"INVITE", b"REGISTER"):
                label = f"{name} in {place} of {method.decode()}"
                yield Hostile("bytes", label, build(aim, label, method, **parts))  # type: ignore[arg-type]


def odd_users(aim: Aim) -> Iterator[Hostile]:
    """User parts that mean something to SQL, a file system, a shell, a format string, JSON or a log."""
    domain = aim.domain.encode()
    for user in _USERS:
        for method in (b"INVITE", b"REGISTER", b"MESSAGE"):
            address = b"<sip:" + user + b"@" + domain + b">"
            change = {b"From": b"From: " + address + b";tag=1", b"To": b"To: " + address}
            label = f"{user[:30].decode()} {method.decode()}"
            raw = build(aim, label, method, uri=b"sip:" + user + b"@" + domain, change=change)
            yield Hostile("user", label, raw, BOTH)


def forged_internal_headers(aim: Aim, value: bytes = b"forged") -> Iterator[Hostile]:
    """X-KS-* headers in the disguises that a strip by name may miss (Kamailio CVE-2020-28361)."""
    for name, line in forged_lines(value).items():
        yield Hostile("x-ks", name, build(aim, f"k{name}", b"INVITE", extra=(line,), body=SDP), BOTH)


def forged_lines(value: bytes) -> dict[str, bytes]:
    """Return header lines that try to be X-KS-Call with this value."""
    return {
        "plain": b"X-KS-Call: " + value,
        "space": b"X-KS-Call : " + value,
        "tab": b"X-KS-Call\t: " + value,
        "many spaces": b"X-KS-Call" + b" " * 50 + b": " + value,
        "lower": b"x-ks-call: " + value,
        "mixed": b"X-kS-cAlL: " + value,
        "no space": b"X-KS-Call:" + value,
        "folded value": b"X-KS-Call:\r\n " + value,
        "folded before the colon": b"X-KS-Call\r\n : " + value,
        "twice": b"X-KS-Call: " + value + b"\r\nX-KS-Call: " + value,
        "twice, one disguised": b"X-KS-Call: x\r\nX-KS-Call : " + value,
        "after a folded line": b"Subject: a\r\n b\r\nX-KS-Call: " + value,
        "after a bare line feed": b"Subject: a\nX-KS-Call: " + value,
        "after a bare carriage return": b"Subject: a\rX-KS-Call: " + value,
        "nul before the colon": b"X-KS-Call\x00: " + value,
        "no-break space": b"X-KS-Call\xc2\xa0: " + value,
        "vertical tab": b"X-KS-Call\x0b: " + value,
        "other names": b"X-KS-App: " + value + b"\r\nX-KS-Arg : " + value + b"\r\nX-KS-Leg\t: " + value,
        "unknown name": b"X-KS-Whatever: " + value,
        "offer": b"X-KS-Offer: " + value,
    }


def digest_junk(aim: Aim) -> Iterator[Hostile]:
    """Credentials that are no credentials."""
    user, domain = aim.user.encode(), aim.domain.encode()
    good = b'username="' + user + b'", realm="' + domain + b'", nonce="%s", uri="sip:x", response="%s"'
    junk = {
        "scheme only": b"Digest",
        "commas": b"Digest ,,,,,,",
        "equals": b"Digest =,=,=",
        "no values": b"Digest username, realm, nonce, uri, response",
        "empty values": b'Digest username="", realm="", nonce="", uri="", response=""',
        "open quote": b'Digest username="' + user,
        "other scheme": b"Basic MTAwOnNlY3JldA==",
        "bearer": b"Bearer " + b"a" * 2000,
        "bad nonce": b"Digest " + good % (b"AAAA", b"0" * 32),
        "long nonce": b"Digest " + good % (b"A" * 8000, b"0" * 32),
        "long response": b"Digest " + good % (b"A", b"f" * 8000),
        "response no hex": b"Digest " + good % (b"A", b"z" * 32),
        "bad nc": b"Digest " + good % (b"A", b"0" * 32) + b', qop=auth, nc=zzzzzzzz, cnonce="x"',
        "negative nc": b"Digest " + good % (b"A", b"0" * 32) + b', qop=auth, nc=-1, cnonce="x"',
        "qop unknown": b"Digest " + good % (b"A", b"0" * 32) + b', qop=auth-conf, nc=00000001, cnonce="x"',
        "algorithm unknown": b"Digest " + good % (b"A", b"0" * 32) + b", algorithm=ROT13",
        "two usernames": b'Digest username="a", ' + good % (b"A", b"0" * 32),
        "sql": b'Digest username="\' OR 1=1--", realm="x", nonce="x", uri="x", response="x"',
        "high bytes": b'Digest username="\xff\xfe", realm="\x80", nonce="x", uri="x", response="x"',
        "many params": b"Digest " + b", ".join(b"p%d=%d" % (n, n) for n in range(2_000)),
        "nul": b'Digest username="a\x00b", realm="x", nonce="x", uri="x", response="x"',
    }
    for name, value in junk.items():
        for method, field in ((b"REGISTER", b"Authorization: "), (b"INVITE", b"Proxy-Authorization: ")):
            label = f"{name} {method.decode()}"
            yield Hostile("digest", label, build(aim, label, method, extra=(field + value,)), BOTH)
    ten = (b"Authorization: Digest " + good % (b"A", b"0" * 32),) * 10
    yield Hostile("digest", "ten times", build(aim, "d10", b"REGISTER", extra=ten), BOTH)


def cut_sdp(aim: Aim) -> Iterator[Hostile]:
    """An INVITE whose SDP ends anywhere (the Content-Length is right)."""
    for size in range(1, len(SDP)):
        yield Hostile("sdp", f"cut at {size}", build(aim, f"s{size}", b"INVITE", body=SDP[:size]))
    for name, body in {
        "line feeds only": SDP.replace(b"\r\n", b"\n"),
        "no line end": SDP.replace(b"\r\n", b""),
        "port 0": SDP.replace(b"9000", b"0"),
        "port 65536": SDP.replace(b"9000", b"65536"),
        "port negative": SDP.replace(b"9000", b"-1"),
        "1000 streams": SDP + b"m=audio 9000 RTP/AVP 8\r\n" * 1000,
        "no media": SDP.partition(b"m=")[0],
        "host name": SDP.replace(b"127.0.0.1", b"a" * 300),
        "two connections": SDP.replace(b"t=0 0", b"c=IN IP4 255.255.255.255\r\nt=0 0"),
        "binary": bytes(range(256)),
        "address of ipv6": SDP.replace(b"IP4 127.0.0.1", b"IP6 ::::::::"),
    }.items():
        yield Hostile("sdp", name, build(aim, f"s{name}", b"INVITE", body=body), BOTH)


def stream_lengths(aim: Aim) -> Iterator[Hostile]:
    """Content-Length on a stream: negative, huge, none, not a number, several."""
    for length in _LENGTHS:
        raw = build(aim, f"cl{length!r}", b"MESSAGE", body=b"0123456789", length=length, transport="tcp")
        yield Hostile("length", f"{length.decode()[:20]!r}", raw, BOTH)
    double = build(aim, "cld", b"MESSAGE", body=b"0123456789", extra=(b"l: 3",), transport="tcp")
    yield Hostile("length", "two fields", double, BOTH)
    none = build(aim, "cln", b"MESSAGE", body=b"0123456789", transport="tcp")
    yield Hostile("length", "no field", none.replace(b"Content-Length: 10\r\n", b""), BOTH)
    yield Hostile("length", "half a header", none[:80], TCP)
    yield Hostile("length", "half a body", none[:-5], TCP)


def broken_fields(aim: Aim) -> Iterator[Hostile]:
    """Via, From, To, CSeq, Contact and Route that a parser trips over, also when it answers without state."""
    for field, values in _FIELDS.items():
        for number, value in enumerate(values):
            for method in (b"OPTIONS", b"INVITE", b"REGISTER"):
                label = f"{field.decode()} {number} {method.decode()}"
                change = {field: field + b": " + value}
                yield Hostile("field", label, build(aim, label, method, change=change), BOTH)
    for field in (b"Via", b"From", b"To", b"Call-ID", b"CSeq", b"Max-Forwards", b"Contact"):
        label = f"no {field.decode()}"
        yield Hostile("field", label, build(aim, label, b"INVITE", change={field: b""}, body=SDP), BOTH)


def not_sip(aim: Aim) -> Iterator[Hostile]:
    """What else arrives at an open port."""
    stun = bytes.fromhex("000100002112a442") + b"kalibritest!"
    for name, raw in {
        "http": b"GET / HTTP/1.1\r\nHost: " + aim.domain.encode() + b"\r\n\r\n",
        "tls hello": bytes.fromhex("16030100c8010000c40303") + b"\x00" * 180,
        "stun": stun,
        "line ends": b"\r\n" * 500,
        "zeros": b"\x00" * 1000,
        "one byte": b"S",
        "four zeros": b"\x00" * 4,
        "start line only": b"INVITE sip:a@b SIP/2.0\r\n",
        "no version": b"INVITE sip:a@b\r\n\r\n",
        "response of nobody": b"SIP/2.0 200 OK\r\n\r\n",
        "websocket": b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "json": b'{"jsonrpc":"2.0","method":"core.kill","id":1}',
        "rtp": b"\x80\x08" + b"\x00" * 170,
    }.items():
        yield Hostile("not sip", name, raw, BOTH)
