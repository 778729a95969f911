"""A carrier for bench/dial.py: one UDP socket that answers, is busy or does not answer, by the number's last digit.

Speaks just enough SIP, as ready-made text, to cost little beside what is measured. It sends no RTP.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from dataclasses import dataclass, field

_HEADER = re.compile(r"^(via|from|to|call-id|cseq|record-route)\s*:\s*(.*?)\s*$", re.I | re.M)
#: Last digit of the number → final response; everybody else answers.
REFUSALS = {"7": (486, "Busy Here"), "8": (404, "Not Found"), "9": (480, "Temporarily Unavailable")}
RTP_PORT = 40_000
RESEND_SECONDS = 0.5


def code_for(number: str) -> int:
    """Return what the carrier answers for a number."""
    return REFUSALS.get(number[-1], (200, ""))[0]


@dataclass
class Carrier:
    """Runs in a thread of its own until `stop`."""

    port: int
    #: Number → unix times at which calls for it came.
    invited: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind(("127.0.0.1", self.port))
        self._socket.settimeout(0.1)
        self._seen: set[str] = set()
        #: Call-ID → final response that is repeated until the ACK comes, where to, when next.
        self._open: dict[str, tuple[str, tuple[str, int], float]] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._thread.join(5)
        self._socket.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                data, source = self._socket.recvfrom(65_535)
            except TimeoutError:
                pass
            else:
                self._take(data.decode("utf-8", "replace"), source)
            self._repeat(time.monotonic())

    def _repeat(self, now: float) -> None:
        for call_id, (text, to, when) in list(self._open.items()):
            if when <= now:
                self._open[call_id] = (text, to, now + RESEND_SECONDS)
                self._socket.sendto(text.encode(), to)

    def _take(self, text: str, source: tuple[str, int]) -> None:
        method, _, rest = text.partition(" ")
        call_id = next((value for name, value in _HEADER.findall(text) if name.lower() == "call-id"), "")
        if method == "INVITE":
            self._invite(text, rest, call_id, source)
        elif method == "ACK":
            self._open.pop(call_id, None)
        elif method in ("BYE", "CANCEL", "OPTIONS"):
            self._send(200, "OK", text, source)

    def _invite(self, text: str, rest: str, call_id: str, source: tuple[str, int]) -> None:
        number = rest.partition(":")[2].partition("@")[0].lstrip("+")
        if call_id not in self._seen:
            self._seen.add(call_id)
            self.invited.setdefault(number, []).append(time.time())
        code, reason = REFUSALS.get(number[-1:], (200, "OK"))
        self._send(180, "Ringing", text, source)
        final = self._send(code, reason, text, source)
        self._open[call_id] = (final, source, time.monotonic() + RESEND_SECONDS)

    def _send(self, code: int, reason: str, request: str, source: tuple[str, int]) -> str:
        lines = [f"SIP/2.0 {code} {reason}"]
        for name, value in _HEADER.findall(request.partition("\r\n\r\n")[0]):
            tagged = name.lower() == "to" and ";tag=" not in value
            lines.append(f"{name}: {value}{';tag=carrier' if tagged else ''}")
        lines.append(f"Contact: <sip:carrier@127.0.0.1:{self.port}>")
        body = _sdp() if code == 200 and request.startswith("INVITE") else ""
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        text = "\r\n".join([*lines, "", body])
        self._socket.sendto(text.encode(), source)
        return text


def _sdp() -> str:
    return (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {RTP_PORT} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    )
