"""Sends raw messages to a proxy, collects what comes of them, and asks by OPTIONS whether the proxy is
still there.

    with Sink() as sink:                                   # where the proxy relays to, if it relays
        sender = Sender(proxy.address, sink=sink, probe=KamailioProbe(proxy.address, pid=pid))
        verdict = sender.send(BY_NAME["wsinv"].raw)        # one message, looked at closely
        assert verdict.outcome is Outcome.RELAYED and verdict.alive
        tally = sender.send_all(m.raw for m in mutants(SEEDS, seed=1, count=20_000))    # many, in bulk
        assert tally.sent == 20_000

A message has come to rest when OPTIONS, sent after it, is answered and nothing more has come for `quiet`
seconds. The torture messages carry no rport: the proxy has to answer at their source port (force_rport),
or they count as silent.
"""

from __future__ import annotations

import re
import select
import socket
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from tests.scenarios.torture.table import Outcome
from tests.support.kamailio_probe import KamailioProbe, NotAlive, ask_options, options_request

_STATUS = re.compile(rb"SIP/2\.0 ([1-6]\d\d) ")
_COPIED = re.compile(rb"(?im)^(?:via|v|from|f|to|t|call-id|i|cseq)[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*")
_CALL_ID = re.compile(rb"(?im)^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]*)")
#: Streams kept open behind the one in work, so that a slow answer can still be read.
_OPEN_STREAMS = 20
_STREAM_SECONDS = 2.0


@dataclass(frozen=True)
class Verdict:
    """What became of one message."""

    name: str
    transport: str
    #: Responses at the sender, in their order.
    replies: tuple[bytes, ...]
    #: Requests and responses that the proxy sent on.
    relayed: tuple[bytes, ...]
    #: Whether the proxy answered OPTIONS afterwards.
    alive: bool
    #: Streams: whether the proxy closed the connection.
    closed: bool = False

    @property
    def codes(self) -> tuple[int, ...]:
        """Final codes that came back."""
        return tuple(code for code in map(status_of, self.replies) if code >= 200)

    @property
    def outcome(self) -> Outcome:
        """Relayed, answered or silent."""
        if self.relayed:
            return Outcome.RELAYED
        return Outcome.ANSWERED if self.codes else Outcome.SILENT


@dataclass
class Tally:
    """What became of many messages."""

    sent: int = 0
    #: Final codes and how often each came.
    codes: Counter[int] = field(default_factory=Counter)
    #: Replies that hold a Python traceback or the name of a source file: never to be seen outside.
    leaks: list[bytes] = field(default_factory=list)
    #: What the proxy sent on to the sink.
    relayed: list[bytes] = field(default_factory=list)

    def take(self, reply: bytes) -> None:
        """Count one reply."""
        if (code := status_of(reply)) >= 200:
            self.codes[code] += 1
        if b"Traceback" in reply or b".py" in reply:
            self.leaks.append(reply)


def status_of(reply: bytes) -> int:
    """Return the status code of a raw response, 0 for anything else."""
    match = _STATUS.match(reply)
    return int(match[1]) if match else 0


def call_id_of(raw: bytes) -> bytes:
    """Return the Call-ID of a raw message, or nothing."""
    match = _CALL_ID.search(raw)
    return match[1] if match else b""


def freshen(raw: bytes, salt: str) -> bytes:
    """Return a copy with `salt` behind its first branch and its Call-ID.

    A proxy remembers a transaction for seconds: the same octets sent again, on whatever transport, are a
    repetition that it answers at the first sender's address. A request that stands behind the first in the same
    octets (RFC 4475 section 3.1.1.8) is one more on a stream, so it is salted too.
    """
    head, separator, body = raw.partition(b"\r\n\r\n")
    head = re.sub(rb"(?i)(branch\s*=\s*[^;,\s]+)", rb"\1" + salt.encode(), head, count=1)
    head = re.sub(rb"(?im)^((?:call-id|i)[ \t]*:[^\r\n]*)", rb"\1" + salt.encode(), head, count=1)
    if re.match(rb"[A-Z]+ \S+ SIP/2\.0\r?\n", body):
        body = freshen(body, salt)
    return head + separator + body


class Sink:
    """The other side of the proxy: keeps what arrives, refuses requests with 480 so that transactions end."""

    def __init__(self, ip: str = "127.0.0.1", port: int = 0, *, code: int | None = 480) -> None:
        self.code = code
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((ip, port))
        self.sock.setblocking(False)
        self.address: tuple[str, int] = self.sock.getsockname()

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def take(self) -> list[bytes]:
        """Return what arrived, after answering it."""
        arrived = []
        with suppress(BlockingIOError):
            while True:
                data, source = self.sock.recvfrom(65536)
                arrived.append(data)
                if self.code and not status_of(data) and not data.startswith(b"ACK "):
                    self.sock.sendto(refusal(data, self.code), source)
        return arrived


def refusal(request: bytes, code: int) -> bytes:
    """Answer any request, however odd its header, by copying the lines that a response needs."""
    lines = _COPIED.findall(request.partition(b"\r\n\r\n")[0])
    start = b"SIP/2.0 %d Refused by the sink" % code
    return b"\r\n".join([start, *lines, b"Content-Length: 0", b"", b""])


class Sender:
    """One attacker's address."""

    def __init__(
        self,
        target: tuple[str, int],
        *,
        sink: Sink | None = None,
        probe: KamailioProbe | None = None,
        ip: str = "127.0.0.1",
        quiet: float = 0.1,
        patience: float = 5.0,
    ) -> None:
        self.target, self.sink, self.ip, self.quiet, self.patience = target, sink, ip, quiet, patience
        self.probe = probe or KamailioProbe(target)
        #: The proxy's processes at the beginning (empty when its pid is not known).
        self.workers = self.probe.workers() if self.probe.pid else frozenset()

    def send(self, raw: bytes, transport: str = "udp", name: str = "") -> Verdict:
        """Send one message and wait until it has come to rest."""
        if self.sink:
            self.sink.take()  # what earlier messages left
        with self._socket(transport) as sock:
            reader = _Reader(sock, transport)
            if transport == "udp":
                sock.sendto(raw, self.target)
            else:
                reader.closed = not _push(sock, raw)
            sock.setblocking(False)
            alive = ask_options(self.target, self.patience) is not None
            relayed = self._rest(reader)
        mine = tuple(item for item in relayed if call_id_of(item) == call_id_of(raw) or not call_id_of(raw))
        return Verdict(name, transport, tuple(reader.replies()), mine, alive, reader.closed)

    def send_all(
        self, raws: Iterable[bytes], transport: str = "udp", *, check_every: int = 50, start: int = 0
    ) -> Tally:
        """Send many messages; after each `check_every` the proxy must answer OPTIONS (that is the pacing,
        too).

        Raises `NotAlive` naming the numbers of the messages since the last good answer.
        """
        tally = Tally()
        bulk = _Datagrams(self, tally) if transport == "udp" else _Streams(self, tally)
        try:
            for number, raw in enumerate(raws, start):
                bulk.send(raw)
                tally.sent += 1
                if tally.sent % check_every == 0:
                    self._check(f"messages {number - check_every + 1} to {number}")
                    bulk.drain()
            self._check("the last messages")
            bulk.drain()
        finally:
            bulk.close()
        return tally

    def assert_alive(self) -> None:
        """Fail unless the proxy answers and, where its pid is known, none of its processes was lost."""
        self.probe.assert_alive(self.workers, self.patience)

    def _check(self, what: str) -> None:
        try:
            self.assert_alive()
        except NotAlive as error:
            raise NotAlive(f"after {what}: {error}") from None

    def _socket(self, transport: str) -> socket.socket:
        if transport == "udp":
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((self.ip, 0))
            return sock
        sock = socket.create_connection(self.target, self.patience, (self.ip, 0))
        sock.settimeout(_STREAM_SECONDS)
        return sock

    def _rest(self, reader: _Reader) -> list[bytes]:
        """Read, and let the sink answer, until `quiet` seconds have been quiet; return what was relayed."""
        relayed: list[bytes] = []
        while True:
            watched = [] if reader.closed else [reader.sock]
            watched += [self.sink.sock] if self.sink else []
            ready, _, _ = select.select(watched, [], [], self.quiet)
            if not ready:
                return relayed
            if reader.sock in ready:
                reader.read()
            if self.sink:
                relayed += self.sink.take()


class _Reader:
    """Collects what comes back on a socket of either kind."""

    def __init__(self, sock: socket.socket, transport: str) -> None:
        self.sock, self.closed = sock, False
        self._stream = transport == "tcp"
        self._parts: list[bytes] = []

    def read(self) -> None:
        """Take what is there."""
        try:
            part = self.sock.recv(65536)
        except (BlockingIOError, ConnectionRefusedError):
            return
        except OSError:
            self.closed = True
            return
        self._parts.append(part)
        self.closed = self._stream and not part

    def replies(self) -> list[bytes]:
        """Return the messages."""
        return _cut_replies(b"".join(self._parts)) if self._stream else self._parts


def _push(sock: socket.socket, raw: bytes) -> bool:
    """Send as much as the other side takes; False when it closed the connection."""
    try:
        sock.sendall(raw)
    except TimeoutError:
        return True
    except OSError:
        return False
    return True


def _cut_replies(data: bytes) -> list[bytes]:
    starts = [match.start() for match in _STATUS.finditer(data)]
    return (
        [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
        if starts
        else []
    )


class _Datagrams:
    """Bulk over one UDP socket."""

    def __init__(self, sender: Sender, tally: Tally) -> None:
        self._sender, self._tally = sender, tally
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._sock.bind((sender.ip, 0))
        self._sock.setblocking(False)

    def send(self, raw: bytes) -> None:
        with suppress(ConnectionRefusedError, BlockingIOError):
            self._sock.sendto(raw, self._sender.target)

    def drain(self) -> None:
        if self._sender.sink:
            self._tally.relayed += self._sender.sink.take()
        with suppress(BlockingIOError):
            while True:
                with suppress(ConnectionRefusedError):
                    self._tally.take(self._sock.recv(65536))

    def close(self) -> None:
        self._sock.close()


class _Streams:
    """Bulk over TCP: a connection for each message."""

    def __init__(self, sender: Sender, tally: Tally) -> None:
        self._sender, self._tally = sender, tally
        self._open: deque[socket.socket] = deque()

    def send(self, raw: bytes) -> None:
        sock = socket.create_connection(self._sender.target, self._sender.patience, (self._sender.ip, 0))
        sock.settimeout(_STREAM_SECONDS)
        _push(sock, raw)
        self._open.append(sock)
        while len(self._open) > _OPEN_STREAMS:
            self._finish(self._open.popleft())

    def drain(self) -> None:
        """Wait until the stream workers have come through what was sent: UDP's answers do not tell."""
        self._ask()
        if self._sender.sink:
            self._tally.relayed += self._sender.sink.take()
        while self._open:
            self._finish(self._open.popleft())

    def close(self) -> None:
        while self._open:
            self._finish(self._open.popleft())

    def _ask(self) -> None:
        sender = self._sender
        try:
            with socket.create_connection(sender.target, sender.patience, (sender.ip, 0)) as sock:
                sock.settimeout(sender.patience)
                sock.sendall(options_request(sock.getsockname(), sender.target, "TCP"))
                answer = sock.recv(65536)
        except OSError as error:
            raise NotAlive(f"no answer to OPTIONS on a stream: {error}") from None
        if not status_of(answer):
            raise NotAlive(f"OPTIONS on a stream was answered by {answer!r}")

    def _finish(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        data = b""
        with suppress(OSError):
            while part := sock.recv(65536):
                data += part
        for reply in _cut_replies(data):
            self._tally.take(reply)
        sock.close()
