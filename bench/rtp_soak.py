"""Call set-up through one controller at a steady rate: what it adds to the delay, and what a call costs it.

As Kamailio's module does: U, L and later D from several sockets, each datagram repeated after a second. The same
commands go to a node directly in turn; a call's added delay is its time for U and L less the median of the direct ones.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import statistics
import time
import uuid
from dataclasses import dataclass, field

#: Sockets that share the calls, as Kamailio's processes do.
SOCKETS = 8
#: A call is deleted so long after its L.
HOLD_SECONDS = 3.0
#: One call in so many goes to the node directly, to compare.
DIRECT_EVERY = 10
HUNG_SECONDS = 2.0


@dataclass
class Asker:
    """One blocking conversation at a time, as in one process of the proxy."""

    sock: socket.socket
    address: tuple[str, int]
    serial: itertools.count[int] = field(default_factory=itertools.count)
    #: What waits to be sent: (command, call).
    queue: list[tuple[str, _Call]] = field(default_factory=list)
    current: _Call | None = None
    sent_at: float = 0.0
    cookie: bytes = b""


@dataclass
class _Call:
    """One call."""

    name: str
    direct: bool
    setup: float = 0.0
    step: int = 0


@dataclass
class Result:
    """What was measured."""

    calls: int = 0
    hung: int = 0
    errors: int = 0
    through: list[float] = field(default_factory=list)
    direct: list[float] = field(default_factory=list)
    each: dict[str, list[float]] = field(default_factory=lambda: {"U": [], "L": [], "D": []})

    def added_p99_ms(self) -> float:
        """Return what the controller adds to U and L together, 99 of 100 calls, in milliseconds."""
        return (quantile(self.through, 0.99) - statistics.median(self.direct)) * 1000


def quantile(values: list[float], share: float) -> float:
    """Return the value below which a share of all lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Soak:
    """Places calls by the clock and never waits for one of them."""

    def __init__(self, controller: tuple[str, int], node: tuple[str, int]) -> None:
        self.result = Result()
        self._selector = selectors.DefaultSelector()
        self._askers = [self._asker(controller) for _ in range(SOCKETS)]
        self._direct = self._asker(node)
        self._deletes: list[tuple[float, int, _Call]] = []
        self._serial = itertools.count()

    def run(self, rate: float, seconds: float) -> Result:
        """Place calls at a rate for a time, and see the last one ended."""
        began = time.perf_counter()
        for number in itertools.count():
            due = began + number / rate
            if due > began + seconds:
                break
            self._until(due)
            self._place(number)
        while self._deletes or any(asker.current or asker.queue for asker in (*self._askers, self._direct)):
            self._until(time.perf_counter() + 0.05)
        return self.result

    def _asker(self, address: tuple[str, int]) -> Asker:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(address)
        sock.setblocking(False)
        asker = Asker(sock, address)
        self._selector.register(sock, selectors.EVENT_READ, asker)
        return asker

    def _place(self, number: int) -> None:
        direct = number % DIRECT_EVERY == 0
        call = _Call(f"{number}-{uuid.uuid4().hex}@bench;{uuid.uuid4()}", direct)
        self.result.calls += 1
        self._send("U", call)

    def _of(self, call: _Call) -> Asker:
        return self._direct if call.direct else self._askers[hash(call.name) % SOCKETS]

    def _send(self, letter: str, call: _Call) -> None:
        tags = {"U": "127.0.0.1 4000 F;1", "L": "127.0.0.1 4002 F;1 T;1", "D": "F T"}[letter]
        codecs = "" if letter == "D" else "c8,0,101"
        asker = self._of(call)
        asker.queue.append((f"{letter}{codecs} {call.name} {tags}", call))
        if asker.current is None:
            self._next(asker)

    def _next(self, asker: Asker) -> None:
        if not asker.queue:
            asker.current = None
            return
        line, asker.current = asker.queue.pop(0)
        asker.cookie = f"{asker.sock.fileno()}_{next(asker.serial)}".encode()
        asker.sent_at = time.perf_counter()
        asker.sock.send(asker.cookie + b" " + line.encode())

    def _until(self, due: float) -> None:
        """Serve answers and deletes until a time."""
        while True:
            now = time.perf_counter()
            while self._deletes and self._deletes[0][0] <= now:
                self._send("D", heapq.heappop(self._deletes)[2])
            self._give_up(now)
            if now >= due:
                return
            for key, _ in self._selector.select(min(due - now, 0.02)):
                self._readable(key.data)

    def _give_up(self, now: float) -> None:
        for asker in (*self._askers, self._direct):
            if asker.current is not None and now - asker.sent_at > HUNG_SECONDS:
                self.result.hung += 1
                self._next(asker)

    def _readable(self, asker: Asker) -> None:
        try:
            datagram = asker.sock.recv(2048)
        except (BlockingIOError, ConnectionRefusedError):
            return
        cookie, _, text = datagram.partition(b" ")
        call = asker.current
        if cookie != asker.cookie or call is None:
            return
        took = time.perf_counter() - asker.sent_at
        self._next(asker)
        if text.startswith(b"E") or text.startswith(b"0 "):
            self.result.errors += 1
            return
        self._answered(call, took)

    def _answered(self, call: _Call, took: float) -> None:
        letter = "ULD"[call.step]
        call.step += 1
        if not call.direct:
            self.result.each[letter].append(took)
        if letter != "D":
            call.setup += took
        if letter == "U":
            self._send("L", call)
        elif letter == "L":
            (self.result.direct if call.direct else self.result.through).append(call.setup)
            due = time.perf_counter() + HOLD_SECONDS
            heapq.heappush(self._deletes, (due, next(self._serial), call))
