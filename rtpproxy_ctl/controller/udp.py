"""A UDP socket in Twisted's reactor. Shell.

Twisted's own port does not survive an ICMP error on a connected socket under epoll: the error without data counts as a
lost connection, and the port is closed. Here it is what it is, the news that nobody listens.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

log = logging.getLogger("rtpc")

#: Datagrams that are read in one go before others get their turn.
BATCH = 64
BUFFER_BYTES = 4 * 1024 * 1024
MAX_DATAGRAM_BYTES = 65_536

Address = tuple[str, int]


@implementer(IReadDescriptor)
class UdpSocket:
    """One socket: bound, or connected to one peer."""

    def __init__(
        self,
        reactor: Any,
        sock: socket.socket,
        received: Callable[[bytes, Any], None],
        refused: Callable[[], None],
    ) -> None:
        """received: gets each datagram and where it came from. refused: nobody listens at the peer."""
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._reactor, self._sock, self._received, self._refused = reactor, sock, received, refused
        reactor.addReader(self)

    def send(self, datagram: bytes, address: Any = None) -> None:
        """Send, or lose it as the network may: the protocol repeats."""
        try:
            if address is None:
                self._sock.send(datagram)
            else:
                self._sock.sendto(datagram, address)
        except ConnectionRefusedError:  # of an earlier datagram
            self._refused()
        except OSError as error:
            log.debug("datagram not sent: %s", error)

    def close(self) -> None:
        """Close it."""
        self._reactor.removeReader(self)
        self._sock.close()

    # ---- IReadDescriptor

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._sock.fileno()

    def doRead(self) -> None:
        """Read what has come."""
        for _ in range(BATCH):
            try:
                datagram, address = self._sock.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                self._refused()
                return
            except OSError as error:
                log.debug("datagram not read: %s", error)
                return
            self._received(datagram, address)
            if self._sock.fileno() < 0:
                return

    def connectionLost(self, reason: Any) -> None:
        """The reactor saw an error without data, and has let go of the socket: take it back."""
        if self._sock.fileno() < 0:
            return
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._reactor.addReader(self)
        if error == errno.ECONNREFUSED:
            self._refused()

    def logPrefix(self) -> str:
        """Name it in Twisted's log."""
        return "udp"


def connected(address: Address) -> socket.socket:
    """Return a socket that talks to one peer; raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(address)
    return sock


def bound(address: Address) -> socket.socket:
    """Return a socket that listens; raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(address)
    return sock
