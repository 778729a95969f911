"""UDP, TCP and TLS for the test phones: datagrams and framed streams on a `NetLoop`, nothing of SIP's
meaning.

A received message comes with the `Flow` it came on; an answer goes back on that flow. Streams connect when
first used and, when the peer is away (a proxy that restarts), try again until it is back.
"""

from __future__ import annotations

import selectors
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from tests.support.net_loop import NetLoop
from tests.support.sip_message import StreamFramer
from tests.support.sip_syntax import SipSyntaxError

Address: TypeAlias = tuple[str, int]

#: Between two attempts to connect, and how many before the sender is told.
RECONNECT_SECONDS = 0.2
RECONNECT_TRIES = 150


class Flow(Protocol):
    """The way back to a peer."""

    remote: Address
    reliable: bool

    def send(self, data: bytes) -> None:
        """Send one message."""


Receiver: TypeAlias = Callable[[bytes, Flow], None]
SentHook: TypeAlias = Callable[[bytes, Address], None]


class Transport(Protocol):
    """One local address with one transport."""

    kind: str
    local: Address

    @property
    def keepalives(self) -> int:
        """Keep-alives that are no SIP messages (CRLF, zero bytes, empty datagrams) seen so far."""

    def flow(self, remote: Address) -> Flow:
        """Return the flow to `remote`."""

    def close(self) -> None:
        """Close all sockets."""


class UdpFlow:
    """Datagrams to one address."""

    reliable = False

    def __init__(self, transport: UdpTransport, remote: Address) -> None:
        self.remote = remote
        self._transport = transport

    def send(self, data: bytes) -> None:
        """Send one datagram; a peer that is not there is the retransmission's business."""
        self._transport.send(data, self.remote)


class UdpTransport:
    """One UDP socket."""

    kind = "udp"

    def __init__(
        self, loop: NetLoop, receiver: Receiver, on_sent: SentHook, ip: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.keepalives = 0
        self._loop, self._receiver, self._on_sent = loop, receiver, on_sent
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._sock.setblocking(False)
        self._sock.bind((ip, port))
        self.local: Address = self._sock.getsockname()
        loop.run(lambda: loop.watch(self._sock, selectors.EVENT_READ, self._readable))

    def flow(self, remote: Address) -> UdpFlow:
        """Return the flow to `remote`."""
        return UdpFlow(self, remote)

    def send(self, data: bytes, remote: Address) -> None:
        """Send one datagram."""
        self._on_sent(data, remote)
        with suppress(ConnectionRefusedError, BlockingIOError):
            self._sock.sendto(data, remote)

    def close(self) -> None:
        """Close the socket."""
        self._loop.run(lambda: self._loop.unwatch(self._sock))
        self._sock.close()

    def _readable(self, _events: int) -> None:
        while self._sock.fileno() >= 0:
            try:
                data, source = self._sock.recvfrom(65536)
            except BlockingIOError:
                return
            except ConnectionRefusedError:  # the error of an earlier send, reported late
                continue
            if data.strip(b"\r\n\0"):
                self._receiver(data, UdpFlow(self, source))
            else:
                self.keepalives += 1


class StreamFlow:
    """One TCP or TLS connection, in either direction."""

    reliable = True

    def __init__(self, owner: StreamTransport, remote: Address, sock: socket.socket | None = None) -> None:
        self.remote = remote
        self._owner = owner
        self._framer = StreamFramer()
        self._out: deque[bytes] = deque()
        self._sock: socket.socket | None = None
        self._open = False
        self._tries = 0
        if sock:
            self._adopt(sock, server_side=True)

    @property
    def keepalives(self) -> int:
        """CRLFs between messages."""
        return self._framer.keepalives

    @property
    def local_port(self) -> int:
        """Our port of this connection (0 while there is none)."""
        return int(self._sock.getsockname()[1]) if self._sock and self._sock.fileno() >= 0 else 0

    def send(self, data: bytes) -> None:
        """Send one message, connecting first when needed."""
        self._owner.on_sent(data, self.remote)
        self._out.append(data)
        if self._sock is None:
            self._connect()
        elif self._open:
            self._ready(selectors.EVENT_WRITE)

    def close(self) -> None:
        """Close the connection (what was not sent is lost)."""
        self._out.clear()
        self._drop()

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.bind((self._owner.local[0], 0))
        sock.connect_ex(self.remote)
        self._adopt(sock, server_side=False)

    def _adopt(self, sock: socket.socket, *, server_side: bool) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server_side = server_side
        self._sock = sock
        self._watch(selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _watch(self, events: int) -> None:
        if self._sock:
            self._owner.loop.watch(self._sock, events, self._ready)

    def _ready(self, events: int) -> None:
        try:
            if self._open or self._establish():
                self._write()
                if events & selectors.EVENT_READ:
                    self._read()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return
        except SipSyntaxError as error:
            self._owner.loop.errors.append(error)
            self.close()
        except OSError as error:
            self._owner.last_error = error
            self._lost()

    def _establish(self) -> bool:
        """Finish connecting and shaking hands; False while it goes on."""
        assert self._sock
        if error := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "connect")
        if self._owner.tls and not isinstance(self._sock, ssl.SSLSocket):
            self._owner.loop.unwatch(self._sock)
            self._sock = self._owner.wrap(self._sock, self._server_side)
            self._watch(selectors.EVENT_READ | selectors.EVENT_WRITE)
        if isinstance(self._sock, ssl.SSLSocket):
            self._sock.do_handshake()
        elif not self._server_side:
            self._sock.getpeername()
        self._open, self._tries = True, 0
        return True

    def _write(self) -> None:
        assert self._sock
        while self._out:
            sent = self._sock.send(self._out[0])
            if sent < len(self._out[0]):
                self._out[0] = self._out[0][sent:]
            else:
                self._out.popleft()
        self._watch(selectors.EVENT_READ)

    def _read(self) -> None:
        while self._sock:
            data = self._sock.recv(65536)
            if not data:
                self._lost()
                return
            for message in self._framer.feed(data):
                self._owner.receiver(message, self)

    def _lost(self) -> None:
        was_open = self._open
        self._drop()
        self._framer = StreamFramer()
        if self._out and self._tries < RECONNECT_TRIES and not self._owner.closed:
            self._tries += 1
            self._owner.loop.after(RECONNECT_SECONDS, self._again)
        self._owner.lost += 1
        if was_open and self._owner.on_lost and not self._owner.closed:
            self._owner.on_lost(self)

    def _again(self) -> None:
        if self._out and self._sock is None and not self._owner.closed:
            self._connect()

    def _drop(self) -> None:
        sock, self._sock, self._open = self._sock, None, False
        if sock:
            self._owner.loop.unwatch(sock)
            sock.close()


@dataclass(frozen=True)
class TlsSide:
    """TLS of a stream transport: `client` for connections that we open, `server` for those that we accept.

    A TLS phone that only registers needs no server context: the proxy calls it on its own connection.
    """

    client: ssl.SSLContext | None = None
    server: ssl.SSLContext | None = None
    server_name: str = ""


class StreamTransport:
    """TCP, or TLS when told so: a listener and the connections made from here."""

    def __init__(
        self,
        loop: NetLoop,
        receiver: Receiver,
        on_sent: SentHook,
        ip: str = "127.0.0.1",
        port: int = 0,
        tls: TlsSide | None = None,
    ) -> None:
        self.loop, self.receiver, self.on_sent, self.tls = loop, receiver, on_sent, tls
        self.kind = "tls" if tls else "tcp"
        self.closed = False
        #: Connections that the other side closed or refused.
        self.lost = 0
        self.last_error: OSError | None = None
        #: Told of a connection that was up and is gone.
        self.on_lost: Callable[[Flow], None] | None = None
        self._flows: dict[Address, StreamFlow] = {}
        self._accepted: list[StreamFlow] = []
        self._listener = socket.create_server((ip, port))
        self._listener.setblocking(False)
        self.local: Address = self._listener.getsockname()
        loop.run(lambda: loop.watch(self._listener, selectors.EVENT_READ, self._accept))

    @property
    def keepalives(self) -> int:
        """CRLF keep-alives on all connections."""
        return sum(flow.keepalives for flow in (*self._flows.values(), *self._accepted))

    def flow(self, remote: Address) -> StreamFlow:
        """Return the connection to `remote` (made when first sent on)."""
        return self._flows.setdefault(remote, StreamFlow(self, remote))

    def wrap(self, sock: socket.socket, server_side: bool) -> ssl.SSLSocket:
        """Put TLS on a connected socket."""
        assert self.tls
        context = self.tls.server if server_side else self.tls.client
        if context is None:
            raise OSError("no TLS context for this direction")
        name = None if server_side else self.tls.server_name or None
        return context.wrap_socket(
            sock, server_side=server_side, do_handshake_on_connect=False, server_hostname=name
        )

    def cut(self) -> None:
        """Close all connections, as a network that goes away does; the listener stays."""
        self.loop.run(self._close_flows)

    def close(self) -> None:
        """Close everything."""
        self.closed = True
        self.loop.run(self._close_flows)
        self.loop.run(lambda: self.loop.unwatch(self._listener))
        self._listener.close()

    def _close_flows(self) -> None:
        for flow in (*self._flows.values(), *self._accepted):
            flow.close()

    def _accept(self, _events: int) -> None:
        with suppress(BlockingIOError):
            sock, remote = self._listener.accept()
            self._accepted.append(StreamFlow(self, remote, sock))
