"""A load of queue calls without a proxy: one process that is the proxy's internal socket, all callers and all agents.

Speaks just enough SIP, as ready-made text, to cost little beside what is measured: INVITE, ACK, BYE as callers, 180,
200 as agents. It sends no RTP; what a node plays is received by nobody.
"""

from __future__ import annotations

import heapq
import re
import select
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

_HEADER = re.compile(r"^(via|from|to|call-id|cseq|contact|x-ks-call|x-ks-offer)\s*:\s*(.*?)\s*$", re.I | re.M)


@dataclass
class Call:
    """One caller."""

    call: str
    began: float
    answered: float = 0.0
    ended: float = 0.0
    offered: float = 0.0
    code: int = 0
    to: str = ""
    contact: str = ""


@dataclass
class Switchboard:
    """The load tool; `run` makes the calls of a plan and returns them."""

    host: tuple[str, int]
    tenant: int
    queue: int
    ring_seconds: float = 0.05
    #: The caller hangs up so long after his answer; None: agents hang up.
    talk_seconds: float | None = 2.0
    agent_talk_seconds: float | None = None
    calls: dict[str, Call] = field(default_factory=dict)
    by_dialog: dict[str, Call] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.address = self._socket.getsockname()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def run(self, rate: float, seconds: float, drain_seconds: float = 30.0) -> list[Call]:
        """Make `rate` calls a second for so long; wait until all have ended, at most so long."""
        begin = time.monotonic()
        count = round(rate * seconds)
        for number in range(count):
            self._at(begin + number / rate, self._invite)
        deadline = begin + seconds + drain_seconds
        while time.monotonic() < deadline:
            if len(self.calls) == count and all(call.ended for call in self.calls.values()):
                break
            self._turn()
        return list(self.calls.values())

    # ---- loop

    def _at(self, when: float, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, action))

    def _turn(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        pause = max(0.0, min(0.1, self._timers[0][0] - now)) if self._timers else 0.1
        if select.select([self._socket], [], [], pause)[0]:
            for _ in range(200):
                try:
                    data = self._socket.recv(65535)
                except BlockingIOError:
                    return
                self._take(data.decode())

    def _send(self, text: str) -> None:
        self._socket.sendto(text.encode(), self.host)

    # ---- callers

    def _invite(self) -> None:
        call = Call(str(uuid.uuid4()), time.monotonic())
        self.calls[call.call] = self.by_dialog[call.call] = call
        body = _sdp(self.address, 30000)
        self._send(
            f"INVITE sip:queue@kalibri SIP/2.0\r\n{self._via(call.call)}From: <sip:caller@kalibri>;tag=c\r\n"
            f"To: <sip:queue@kalibri>\r\nCall-ID: {call.call}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:caller@{self.address[0]}:{self.address[1]}>\r\nX-KS-Call: {call.call}\r\n"
            f"X-KS-App: hold_queue\r\nX-KS-Arg: tenant={self.tenant};queue={self.queue}"
            f";caller=%2B7495{len(self.calls):07d}\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )

    def _via(self, branch: str) -> str:
        return f"Via: SIP/2.0/UDP {self.address[0]}:{self.address[1]};branch=z9hG4bK{branch}{self._order}\r\n"

    def _in_dialog(self, call: Call, method: str, cseq: int) -> None:
        self._order += 1
        self._send(
            f"{method} sip:media@{self.host[0]}:{self.host[1]} SIP/2.0\r\n{self._via('d')}"
            f"From: <sip:caller@kalibri>;tag=c\r\nTo: {call.to}\r\nCall-ID: {call.call}\r\n"
            f"CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )

    def _hang_up(self, call: Call) -> None:
        if not call.ended:
            call.ended = time.monotonic()
            self._in_dialog(call, "BYE", 2)

    def _response(self, code: int, headers: dict[str, str]) -> None:
        call = self.by_dialog.get(headers["call-id"])
        if call is None or "INVITE" not in headers["cseq"] or code < 200 or call.code:
            return
        call.code, call.to = code, headers["to"]
        self._in_dialog(call, "ACK", 1)
        if code >= 300:
            call.ended = time.monotonic()
            return
        call.answered = time.monotonic()
        if self.talk_seconds is not None:
            self._at(call.answered + self.talk_seconds, lambda: self._hang_up(call))

    # ---- agents

    def _request(self, method: str, text: str, headers: dict[str, str]) -> None:
        if method == "INVITE":
            self._ring(text, headers)
        elif method in ("BYE", "CANCEL", "OPTIONS"):
            self._reply(200, "OK", text, headers)
            if method == "BYE" and (call := self.by_dialog.get(headers["call-id"])) is not None:
                call.ended = call.ended or time.monotonic()

    def _ring(self, text: str, headers: dict[str, str]) -> None:
        call = self.calls.get(headers.get("x-ks-call", ""))
        if call is not None and not call.offered:
            call.offered = time.monotonic()
        self._reply(180, "Ringing", text, headers)
        self._at(time.monotonic() + self.ring_seconds, lambda: self._pick_up(text, headers))

    def _pick_up(self, text: str, headers: dict[str, str]) -> None:
        self._reply(200, "OK", text, headers, _sdp(self.address, 32000))

    def _reply(self, code: int, reason: str, text: str, headers: dict[str, str], body: str = "") -> None:
        vias = "".join(f"Via: {value}\r\n" for name, value in _HEADER.findall(text) if name.lower() == "via")
        to = headers["to"] if ";tag=" in headers["to"] else f"{headers['to']};tag=a"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self._send(
            f"SIP/2.0 {code} {reason}\r\n{vias}From: {headers['from']}\r\nTo: {to}\r\nCall-ID: {headers['call-id']}\r\n"
            f"CSeq: {headers['cseq']}\r\nContact: <sip:agent@{self.address[0]}:{self.address[1]}>\r\n{kind}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def _take(self, text: str) -> None:
        headers = {
            name.lower(): value for name, value in reversed(_HEADER.findall(text.partition("\r\n\r\n")[0]))
        }
        if text.startswith("SIP/2.0 "):
            self._response(int(text[8:11]), headers)
        else:
            self._request(text.partition(" ")[0], text.partition("\r\n\r\n")[0], headers)


def _sdp(address: tuple[str, int], port: int) -> str:
    return (
        f"v=0\r\no=- 1 1 IN IP4 {address[0]}\r\ns=-\r\nc=IN IP4 {address[0]}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 8 101\r\n"
        "a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
    )
