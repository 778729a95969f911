"""Notifications: nodes tell us (key presses, silence), we tell the media host whose session it is. Shell (Twisted).

A line of a node is `<name> <rest>`: the name is one that we gave it, a session's handle (silence: the node has given
the session up) or that of a key-press subscription. The host gets the line with its own tag on the socket it named.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from typing import Any
from urllib.parse import unquote

from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.protocols.basic import LineOnlyReceiver

from rtpproxy_ctl.controller.engine import Engine
from rtpproxy_ctl.controller.sessions import Session

log = logging.getLogger("rtpc")

#: Lines that wait for a host which does not take them.
MOST_WAITING = 1000
CONNECT_SECONDS = 2.0
_SOCKET = re.compile(r"tcp:(?P<host>[0-9A-Fa-f.:\[\]]{2,45}):(?P<port>[0-9]{1,5})", re.ASCII)
_UNIX = re.compile(r"unix:(?P<path>/[^\s]{1,107})", re.ASCII)


class Relay:
    """Sends lines to the sockets of media hosts, over one connection each."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._targets: dict[str, _Target] = {}
        self.sent = self.dropped = 0

    def send(self, socket: str, line: str) -> None:
        """Send a line, or drop it when the host does not take it."""
        target = self._targets.get(socket)
        if target is None:
            target = self._targets[socket] = _Target(self._reactor, socket, self)
        target.send(line.encode(errors="surrogateescape") + b"\n")


class _Target(ClientFactory):
    """One host's socket."""

    noisy = False

    def __init__(self, reactor: Any, socket: str, relay: Relay) -> None:
        self._reactor, self._socket, self._relay = reactor, socket, relay
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        self._connection: Any = None
        self._connecting = False

    def send(self, line: bytes) -> None:
        """Send now, or when the connection is there."""
        if self._connection is not None:
            self._connection.transport.write(line)
            self._relay.sent += 1
            return
        if len(self._waiting) == MOST_WAITING:
            self._relay.dropped += 1
        self._waiting.append(line)
        if not self._connecting:
            self._connect()

    def buildProtocol(self, addr: Any) -> Protocol:
        """Connected."""
        return _Sender(self)

    def made(self, connection: Protocol) -> None:
        """Send what has waited."""
        self._connection, self._connecting = connection, False
        waiting, self._waiting = self._waiting, deque(maxlen=MOST_WAITING)
        for line in waiting:
            self.send(line)

    def lost(self) -> None:
        """The host has closed the connection; the next line opens another."""
        self._connection = None

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        """Nobody takes the lines: drop them."""
        self._connecting = False
        self._relay.dropped += len(self._waiting)
        self._waiting.clear()
        log.warning("%s does not take notifications: %s", self._socket, reason.getErrorMessage())

    def _connect(self) -> None:
        tcp, unix = _SOCKET.fullmatch(self._socket), _UNIX.fullmatch(self._socket)
        self._connecting = True
        if tcp is not None and int(tcp["port"]) < 65536:
            self._reactor.connectTCP(tcp["host"].strip("[]"), int(tcp["port"]), self, timeout=CONNECT_SECONDS)
        elif unix is not None:
            self._reactor.connectUNIX(unix["path"], self, timeout=CONNECT_SECONDS)
        else:
            self._connecting = False
            self._relay.dropped += len(self._waiting)
            self._waiting.clear()
            log.warning("no socket for notifications: %r", self._socket[:100])


class _Sender(Protocol):
    def __init__(self, target: _Target) -> None:
        self._target = target

    def connectionMade(self) -> None:
        self._target.made(self)

    def connectionLost(self, reason: Any = None) -> None:
        self._target.lost()


class NotifyReceiver(LineOnlyReceiver):
    """A node's connection to our notification socket."""

    delimiter = b"\n"
    MAX_LENGTH = 4096

    def __init__(self, engine: Engine, relay: Relay) -> None:
        self._engine, self._relay = engine, relay

    def lineReceived(self, line: bytes) -> None:
        """Pass a line on; one that means nothing to us is passed over."""
        name, _, rest = line.strip().decode("utf-8", "surrogateescape").partition(" ")
        session = self._engine.sessions.by_handle(name.partition(".")[0])
        if session is None:
            return
        if name in session.dtmf_tags:
            self._tell(session, session.dtmf_tags[name], rest)
        elif name == session.handle:
            if session.notify is not None:
                self._tell(session, unquote(session.notify.tag, errors="surrogateescape"), rest)
            self._engine.timed_out(session)

    def _tell(self, session: Session, tag: str, rest: str) -> None:
        if session.notify is not None:
            self._relay.send(session.notify.socket, f"{tag} {rest}" if rest else tag)


class NotifyFactory(Factory):
    """Makes a NotifyReceiver for each node that connects."""

    noisy = False

    def __init__(self, engine: Engine, relay: Relay) -> None:
        self._engine, self._relay = engine, relay

    def buildProtocol(self, addr: Any) -> Protocol:
        """Return the protocol of a new connection."""
        return NotifyReceiver(self._engine, self._relay)


def tell_lost(relay: Relay, session: Session) -> None:
    """Tell the host that owns a session that it is lost, as a node tells silence: its tag alone."""
    if session.notify is not None:
        relay.send(session.notify.socket, unquote(session.notify.tag, errors="surrogateescape"))
