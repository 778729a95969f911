"""The sockets that Kamailio and media hosts talk to: UDP with cookies, UNIX and TCP with lines. Shell (Twisted).

A datagram that comes again is answered from memory, or passed over while its answer is still to come, so no command is
executed twice. On a stream answers come in the order of the lines. A line that begins with `{` is a JSON-RPC request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineOnlyReceiver

from rtpproxy_ctl.errors import ErrorCode
from rtpproxy_ctl.protocol import MAX_COMMAND_BYTES

#: Serves one line: (line, reply).
Serve = Callable[[str, Callable[[str], None]], None]

#: How long an answer is remembered; Kamailio repeats for two seconds.
MEMORY_SECONDS = 10.0
MOST_REMEMBERED = 100_000
MAX_COOKIE_BYTES = 128
MAX_LINE_BYTES = 65_536
#: What waits on one stream beyond this is not read any more until some is answered.
MOST_WAITING_LINES = 1000
MAX_STREAMS = 200
#: Largest reply that is sent as a datagram.
MAX_DATAGRAM_BYTES = 60_000
TOO_LONG = f"E{ErrorCode.REPLY_TOO_LONG}".encode()
EMPTY_COMMAND = f"E{ErrorCode.BAD_ARGUMENT}".encode()
LINE_TOO_LONG = f"E{ErrorCode.ARGUMENT_COUNT}".encode()


class _Entry:
    """A datagram that was served, and its answer once there is one."""

    __slots__ = ("at", "key", "line", "reply")

    def __init__(self, key: tuple[Any, bytes], line: bytes, at: float) -> None:
        self.key, self.line, self.at = key, line, at
        self.reply: bytes | None = None


class UdpFront:
    """Commands as datagrams: `cookie command` in, `cookie answer` out."""

    def __init__(self, serve: Serve, clock: Callable[[], float]) -> None:
        self._serve, self._clock = serve, clock
        #: Sends a datagram to an address; given when the socket is open.
        self.send: Callable[[bytes, Any], None] = lambda datagram, address: None
        self._remembered: dict[tuple[Any, bytes], _Entry] = {}
        self._order: deque[_Entry] = deque()
        self.received = self.repeated = self.refused = 0

    def received_datagram(self, datagram: bytes, addr: Any) -> None:
        """Serve a datagram of anybody: nothing in it may do harm, and nothing raises."""
        self.received += 1
        cookie, space, line = datagram.partition(b" ")
        if not cookie or len(cookie) > MAX_COOKIE_BYTES or b"\n" in cookie:
            self.refused += 1
            return
        key = (addr, cookie)
        known = self._remembered.get(key)
        if known is not None and known.line == line:
            self.repeated += 1
            if known.reply is not None:
                self.send(known.reply, addr)
            return
        entry = self._remember(key, line)
        if len(line) > MAX_COMMAND_BYTES:
            self._answer(entry, cookie, LINE_TOO_LONG, addr)
        elif not space or not line.strip():
            self._answer(entry, cookie, EMPTY_COMMAND, addr)
        else:
            self._serve(
                line.decode("utf-8", "surrogateescape"),
                lambda text: self._answer(entry, cookie, text.encode(errors="surrogateescape"), addr),
            )

    def _answer(self, entry: _Entry, cookie: bytes, text: bytes, addr: Any) -> None:
        if len(text) > MAX_DATAGRAM_BYTES:
            text = TOO_LONG
        entry.reply = cookie + b" " + text + b"\n"
        self.send(entry.reply, addr)

    def _remember(self, key: tuple[Any, bytes], line: bytes) -> _Entry:
        now = self._clock()
        order = self._order
        while order and (order[0].at < now - MEMORY_SECONDS or len(order) >= MOST_REMEMBERED):
            old = order.popleft()
            if self._remembered.get(old.key) is old:
                del self._remembered[old.key]
        entry = _Entry(key, line, now)
        self._remembered[key] = entry
        order.append(entry)
        return entry


class StreamFront(LineOnlyReceiver):
    """Commands as lines."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE_BYTES
    transport: Any

    def __init__(self, serve: Serve, streams: set[StreamFront]) -> None:
        self._serve, self._streams = serve, streams
        self._waiting: deque[str] = deque()
        #: A line waits for its answer; `_next` is at work; nothing is read from the socket.
        self._busy = self._serving = self._paused = False

    def connectionMade(self) -> None:
        """Take a connection, unless there are too many."""
        if len(self._streams) >= MAX_STREAMS:
            self._abort()
            return
        self._streams.add(self)

    def connectionLost(self, reason: Any = None) -> None:
        """Forget it; answers that are still to come go nowhere."""
        self._streams.discard(self)
        self._waiting.clear()

    def lineReceived(self, line: bytes) -> None:
        """Take a line; it is served when those before it are answered."""
        self._waiting.append(line.rstrip(b"\r").decode("utf-8", "surrogateescape"))
        if len(self._waiting) > MOST_WAITING_LINES and self.transport is not None:
            self._paused = True
            self.transport.pauseProducing()
        self._next()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Hang up: what follows cannot be told apart any more."""
        self._abort()

    def _next(self) -> None:
        """Serve lines as long as they are answered at once."""
        if self._serving:
            return
        self._serving = True
        while self._waiting and not self._busy:
            self._busy = True
            self._serve(self._waiting.popleft(), self._answer)
        self._serving = False
        if not self._waiting and self._paused and self.transport is not None:
            self._paused = False
            self.transport.resumeProducing()

    def _answer(self, text: str) -> None:
        self._busy = False
        if self in self._streams and self.transport is not None:
            self.transport.write(text.encode(errors="surrogateescape") + b"\n")
            self._next()

    def _abort(self) -> None:
        abort = getattr(self.transport, "abortConnection", None)
        if abort is not None:
            abort()


class StreamFactory(Factory):
    """Makes a StreamFront for each connection."""

    noisy = False

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.streams: set[StreamFront] = set()

    def buildProtocol(self, addr: Any) -> Protocol:
        """Return the protocol of a new connection."""
        return StreamFront(self._serve, self.streams)
