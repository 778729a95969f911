"""SIP of the load of bench/acd.py: a carrier's callers and registered agents, lean enough for 40 calls a second.

One asyncio loop, one UDP socket for all callers and one for all agents. Only what the load needs is spoken: INVITE,
ACK, BYE, CANCEL, 100/180/200, retransmission of requests, digest for REGISTER. A caller is known by his number (user of
From), which is what an agent's INVITE carries too, whoever is between them.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.acd_media import AGENTS, CALLERS, MediaLoad

Address = tuple[str, int]
_T1, _T2 = 0.5, 4.0
_RTP_PORT = re.compile(r"^m=audio (\d+)", re.MULTILINE)
_USER = re.compile(r"sip:([^@;>]+)@")
_TAG = re.compile(r";tag=([^;>\s]+)")
_CHALLENGE = re.compile(r'(\w+)="?([^",]+)"?')


@dataclass(slots=True)
class Message:
    """A received message, read as far as is needed."""

    start: str
    headers: dict[str, list[str]]
    body: str

    def one(self, name: str) -> str:
        """Return the first value of a header, "" if there is none."""
        return self.headers.get(name, [""])[0]

    @property
    def code(self) -> int:
        """Status of a response, 0 for a request."""
        return int(self.start.split(" ", 2)[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def rtp_port(self) -> int:
        """Port of the audio in the SDP; 0: no SDP, or refused."""
        found = _RTP_PORT.search(self.body)
        return int(found[1]) if found else 0


def read(data: bytes) -> Message | None:
    """Read a datagram; None for keep-alives."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    lines = head.split("\r\n")
    if len(lines) < 2:
        return None
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    return Message(lines[0], headers, body)


def sdp(port: int) -> str:
    """Return a description of one G.711 stream."""
    return (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )


def user_of(header: str) -> str:
    """Return the user part of a name-addr."""
    found = _USER.search(header)
    return found[1] if found else ""


@dataclass(slots=True)
class Leg:
    """One side of a dialog."""

    call_id: str
    user: str
    flow: int
    local: str = ""
    remote: str = ""
    target: str = ""
    routes: list[str] = field(default_factory=list)
    cseq: int = 1
    invite: str = ""
    began: float = 0.0
    ringing: float = 0.0
    answered: float = 0.0
    ended: float = 0.0
    code: int = 0
    by_us: bool = False
    rtp_port: int = 0
    resend: asyncio.TimerHandle | None = None
    ok: bytes = b""
    offer: Message | None = None


class Endpoint(asyncio.DatagramProtocol):
    """What callers and agents share: the socket, dialogs by Call-ID, BYE in both directions."""

    def __init__(self, proxy: Address, media: MediaLoad, side: int) -> None:
        self.proxy, self.media, self.side = proxy, media, side
        self.legs: dict[str, Leg] = {}
        self.done: list[Leg] = []
        self.deaf: set[str] = set()
        self._free_flows = list(range(3999, -1, -1))
        self._pending: dict[str, asyncio.TimerHandle] = {}
        self.loop = asyncio.get_running_loop()

    async def open(self, bound: socket.socket | None = None) -> None:
        """Bind a socket, or use one that is bound; it is closed with the transport."""
        where: dict[str, Any] = {"sock": bound} if bound is not None else {"local_addr": ("127.0.0.1", 0)}
        transport, _ = await self.loop.create_datagram_endpoint(lambda: self, **where)
        self.transport: asyncio.DatagramTransport = transport
        self.address: Address = transport.get_extra_info("sockname")[:2]

    def send(self, text: str, to: Address | None = None) -> bytes:
        """Send a message."""
        data = text.encode()
        self.transport.sendto(data, to or self.proxy)
        return data

    def datagram_received(self, data: bytes, source: Address) -> None:
        """Take a message."""
        message = read(data)
        if message is None:
            return
        call_id = message.one("call-id")
        if call_id in self.deaf:
            return
        if message.code:
            self.on_response(message, self.legs.get(call_id))
        else:
            self.on_request(message, self.legs.get(call_id), source)

    def on_response(self, message: Message, leg: Leg | None) -> None:
        """Take a response."""

    def on_request(self, message: Message, leg: Leg | None, source: Address) -> None:
        """Take a request within a dialog."""
        method = message.start.split(" ", 1)[0]
        if method == "ACK":
            return
        self.reply(message, 200 if leg or method == "OPTIONS" else 481, source)
        if method == "BYE" and leg:
            self.end(leg)

    def reply(
        self, request: Message, code: int, to: Address, *, tag: str = "", body: str = "", contact: str = ""
    ) -> bytes:
        """Answer a request."""
        lines = [f"SIP/2.0 {code} x"]
        lines += [f"Via: {via}" for via in request.headers.get("via", [])]
        lines += [f"Record-Route: {route}" for route in request.headers.get("record-route", [])]
        to_header = request.one("to")
        lines.append(f"From: {request.one('from')}")
        lines.append(f"To: {to_header}" + (f";tag={tag}" if tag and ";tag=" not in to_header else ""))
        lines += [f"Call-ID: {request.one('call-id')}", f"CSeq: {request.one('cseq')}"]
        if contact:
            lines.append(f"Contact: <{contact}>")
        if body:
            lines.append("Content-Type: application/sdp")
        return self.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]), to)

    def request(self, leg: Leg, method: str) -> str:
        """Return a request within the dialog of a leg."""
        if method != "ACK":
            leg.cseq += 1
        lines = [
            f"{method} {leg.target} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.address[0]}:{self.address[1]};branch=z9hG4bK{secrets.token_hex(8)};rport",
            *(f"Route: {route}" for route in leg.routes),
            f"From: {leg.local}",
            f"To: {leg.remote}",
            f"Call-ID: {leg.call_id}",
            f"CSeq: {leg.cseq} {method}",
            "Max-Forwards: 70",
            "Content-Length: 0",
        ]
        return "\r\n".join([*lines, "", ""])

    def hang_up(self, leg: Leg) -> None:
        """Send BYE, repeated until it is answered."""
        if leg.ended:
            return
        leg.by_us = True
        text = self.request(leg, "BYE")
        self._repeat(leg.call_id, text, _T1, 0)
        self.end(leg, keep=True)

    def _repeat(self, key: str, text: str, interval: float, times: int) -> None:
        self.send(text)
        if times < 10:
            self._pending[key] = self.loop.call_later(
                interval, self._repeat, key, text, min(2 * interval, _T2), times + 1
            )

    def settle(self, key: str) -> None:
        """Stop repeating a request."""
        handle = self._pending.pop(key, None)
        if handle:
            handle.cancel()

    def new_leg(self, call_id: str, user: str) -> Leg:
        """Return a new leg with a flow of its own."""
        leg = Leg(call_id, user, self._free_flows.pop(), began=time.monotonic())
        self.legs[call_id] = leg
        return leg

    def talk(self, leg: Leg, port: int) -> None:
        """Send media to where the other side is now."""
        if port and port != leg.rtp_port:
            leg.rtp_port = port
            self.media.begin(self.side, leg.flow, port)

    def end(self, leg: Leg, *, keep: bool = False) -> None:
        """The leg is over. keep: its last request has not been answered yet."""
        if leg.ended:
            return
        leg.ended = time.monotonic()
        self.media.end(self.side, leg.flow)
        self._free_flows.insert(0, leg.flow)
        self.done.append(leg)
        if not keep:
            self.settle(leg.call_id)

    def vanish(self, leg: Leg) -> None:
        """The far end is gone: no BYE, no answer to anything, no media."""
        self.deaf.add(leg.call_id)
        self.settle(leg.call_id)
        self.end(leg)


class Callers(Endpoint):
    """A carrier's callers: INVITE at a rate, wait for whoever answers, BYE when told."""

    def __init__(self, proxy: Address, media: MediaLoad) -> None:
        super().__init__(proxy, media, CALLERS)

    def call(self, number: str, called: str) -> Leg:
        """Place a call; `number` must be unique."""
        leg = self.new_leg(f"{number}-{secrets.token_hex(6)}@bench", number)
        ip, port = self.address
        leg.local = f"<sip:{number}@bench.test>;tag={secrets.token_hex(5)}"
        leg.remote = f"<sip:{called}@bench.test>"
        body = sdp(self.media.port(CALLERS))
        leg.invite = "\r\n".join(
            [
                f"INVITE sip:{called}@{self.proxy[0]}:{self.proxy[1]} SIP/2.0",
                f"Via: SIP/2.0/UDP {ip}:{port};branch=z9hG4bK{secrets.token_hex(8)};rport",
                f"From: {leg.local}",
                f"To: {leg.remote}",
                f"Call-ID: {leg.call_id}",
                "CSeq: 1 INVITE",
                f"Contact: <sip:{number}@{ip}:{port}>",
                "Max-Forwards: 70",
                "Content-Type: application/sdp",
                f"Content-Length: {len(body)}",
                "",
                body,
            ]
        )
        self._repeat(leg.call_id, leg.invite, _T1, 0)
        return leg

    def on_response(self, message: Message, leg: Leg | None) -> None:
        """Take a response to INVITE or BYE."""
        if leg is None:
            return
        self.settle(leg.call_id)
        if not message.one("cseq").endswith("INVITE"):
            return
        code = message.code
        if code < 200:
            if code > 100 and not leg.ringing:
                leg.ringing = time.monotonic()
            self.talk(leg, message.rtp_port)
        elif code < 300:
            self._answered(leg, message)
        else:
            self._refused(leg, message)

    def _answered(self, leg: Leg, message: Message) -> None:
        leg.remote = message.one("to")
        leg.target = message.one("contact").partition("<")[2].partition(">")[0] or leg.target
        leg.routes = message.headers.get("record-route", [])[::-1]
        leg.cseq = 1
        self.send(self.request(leg, "ACK"))
        if not leg.answered:
            leg.answered, leg.code = time.monotonic(), message.code
            self.talk(leg, message.rtp_port)

    def _refused(self, leg: Leg, message: Message) -> None:
        leg.code = message.code
        first = leg.invite.split("\r\n")
        ack = [first[0].replace("INVITE", "ACK", 1), first[1], first[2], f"To: {message.one('to')}", first[4]]
        self.send("\r\n".join([*ack, "CSeq: 1 ACK", "Max-Forwards: 70", "Content-Length: 0", "", ""]))
        self.end(leg)


class Agents(Endpoint):
    """Registered agents: answer after a while, talk for a while, then hang up."""

    def __init__(self, proxy: Address, media: MediaLoad, *, answer_after: float, talk: float) -> None:
        super().__init__(proxy, media, AGENTS)
        self.answer_after, self.talk_seconds = answer_after, talk
        #: Called with each INVITE that comes: (caller's number, agent, leg).
        self.on_offer: Callable[[str, str, Leg], None] = lambda caller, agent, leg: None
        self._registering: dict[str, asyncio.Future[Message]] = {}

    async def register(self, user: str, domain: str, password: str) -> None:
        """Register an agent's phone; all share our socket and differ by user."""
        first = await self._register(user, domain, "", 1)
        asked = dict(_CHALLENGE.findall(first.one("www-authenticate").partition(" ")[2]))
        uri, cnonce = f"sip:{domain}", secrets.token_hex(4)
        ha1 = hashlib.md5(f"{user}:{asked['realm']}:{password}".encode()).hexdigest()
        ha2 = hashlib.md5(f"REGISTER:{uri}".encode()).hexdigest()
        response = hashlib.md5(f"{ha1}:{asked['nonce']}:00000001:{cnonce}:auth:{ha2}".encode()).hexdigest()
        credentials = (
            f'Digest username="{user}", realm="{asked["realm"]}", nonce="{asked["nonce"]}", uri="{uri}", '
            f'response="{response}", algorithm=MD5, cnonce="{cnonce}", qop=auth, nc=00000001'
        )
        final = await self._register(user, domain, credentials, 2)
        if final.code != 200:
            raise RuntimeError(f"REGISTER of {user}: {final.start}")

    async def _register(self, user: str, domain: str, credentials: str, cseq: int) -> Message:
        ip, port = self.address
        call_id = f"reg-{user}-{cseq}-{secrets.token_hex(4)}"
        lines = [
            f"REGISTER sip:{domain} SIP/2.0",
            f"Via: SIP/2.0/UDP {ip}:{port};branch=z9hG4bK{secrets.token_hex(8)};rport",
            f"From: <sip:{user}@{domain}>;tag={secrets.token_hex(4)}",
            f"To: <sip:{user}@{domain}>",
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} REGISTER",
            f"Contact: <sip:{user}@{ip}:{port}>",
            "Expires: 3600",
            "Max-Forwards: 70",
            *([f"Authorization: {credentials}"] if credentials else []),
            "Content-Length: 0",
        ]
        answer: asyncio.Future[Message] = self.loop.create_future()
        self._registering[call_id] = answer
        self._repeat(call_id, "\r\n".join([*lines, "", ""]), _T1, 0)
        return await asyncio.wait_for(answer, 20)

    def on_response(self, message: Message, leg: Leg | None) -> None:
        """Take a response to REGISTER or BYE."""
        self.settle(message.one("call-id"))
        waiting = self._registering.get(message.one("call-id"))
        if waiting and not waiting.done() and message.code >= 200:
            waiting.set_result(message)

    def on_request(self, message: Message, leg: Leg | None, source: Address) -> None:
        """Take a call, its CANCEL and its BYE."""
        method = message.start.split(" ", 1)[0]
        if method == "INVITE" and leg is None:
            self._offered(message, source)
        elif method == "INVITE" and leg:
            if leg.ok and not leg.ended:
                self.transport.sendto(leg.ok, source)
        elif method == "CANCEL" and leg and not leg.answered and not leg.ended:
            self.reply(message, 200, source)
            self._withdrawn(leg, source)
        elif method == "ACK" and leg:
            self._acked(leg)
        else:
            super().on_request(message, leg, source)

    def _offered(self, message: Message, source: Address) -> None:
        agent = user_of(message.start)
        leg = self.new_leg(message.one("call-id"), agent)
        tag = secrets.token_hex(5)
        leg.local, leg.remote = f"{message.one('to')};tag={tag}", message.one("from")
        leg.target = message.one("contact").partition("<")[2].partition(">")[0]
        leg.routes = message.headers.get("record-route", [])
        leg.cseq, leg.offer = 100, message
        self.on_offer(user_of(leg.remote), agent, leg)
        self.reply(message, 180, source, tag=tag)
        leg.resend = self.loop.call_later(self.answer_after, self._answer, leg, message, source, tag)

    def _answer(self, leg: Leg, message: Message, source: Address, tag: str) -> None:
        if leg.ended:
            return
        leg.answered = time.monotonic()
        contact = f"sip:{leg.user}@{self.address[0]}:{self.address[1]}"
        body = sdp(self.media.port(AGENTS))
        leg.ok = self.reply(message, 200, source, tag=tag, body=body, contact=contact)
        self.talk(leg, message.rtp_port)
        leg.resend = self.loop.call_later(_T1, self._again, leg, source, _T1)

    def _again(self, leg: Leg, source: Address, interval: float) -> None:
        if not leg.ended and leg.resend and interval < 16:
            self.transport.sendto(leg.ok, source)
            leg.resend = self.loop.call_later(2 * interval, self._again, leg, source, 2 * interval)

    def _acked(self, leg: Leg) -> None:
        if leg.resend and leg.answered:
            leg.resend.cancel()
            leg.resend = None
            self.loop.call_later(
                max(0.0, leg.answered + self.talk_seconds - time.monotonic()), self._talked, leg
            )

    def _talked(self, leg: Leg) -> None:
        if leg.call_id not in self.deaf:
            self.hang_up(leg)

    def _withdrawn(self, leg: Leg, source: Address) -> None:
        if leg.resend:
            leg.resend.cancel()
        leg.code = 487
        if leg.offer:
            self.reply(leg.offer, 487, source, tag=_TAG.findall(leg.local)[-1])
        self.end(leg)
