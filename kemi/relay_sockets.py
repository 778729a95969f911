"""Errors that wait in the sockets over which Kamailio's rtpproxy module commands the relays. Decides nothing.

A command to a dead relay on this host leaves ECONNREFUSED in the socket of the process that sent it, and the module
(5.6: it polls for POLLIN, and the error is POLLERR) does not fetch it. So the next command of that process fails though
the relay is back, and the module even takes the relay out for all processes. Reading the error away before each
command is all that is needed. The sockets are the module's: this only reads their error, through duplicates.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

_OWN_DESCRIPTORS = Path("/proc/self/fd")


class RelaySockets:
    """The relays' control sockets of this process; found at the first use, since Kamailio opens them after forking."""

    def __init__(self, controls: Sequence[tuple[str, int]]) -> None:
        self._controls = list(controls)
        self._found: dict[tuple[str, int], list[socket.socket]] | None = None

    def forget_error(self, relay: int) -> int:
        """Take a waiting error out of the socket to this relay (numbers from 1); return its errno, 0 if none waited."""
        if self._found is None:
            self._found = _connected_to(self._controls)
        sockets = self._found.get(self._controls[relay - 1], [])
        return max((sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for sock in sockets), default=0)

    def close(self) -> None:
        """Close the duplicates."""
        for sockets in (self._found or {}).values():
            for sock in sockets:
                sock.close()
        self._found = None


def _connected_to(controls: Sequence[tuple[str, int]]) -> dict[tuple[str, int], list[socket.socket]]:
    """Return duplicates of this process's UDP sockets that are connected to these addresses."""
    found: dict[tuple[str, int], list[socket.socket]] = {}
    for name in os.listdir(_OWN_DESCRIPTORS):
        sock = _duplicate(int(name))
        if sock is None:
            continue
        peer = _peer(sock)
        if sock.type == socket.SOCK_DGRAM and peer is not None and peer in controls:
            found.setdefault(peer, []).append(sock)
        else:
            sock.close()
    return found


def _duplicate(descriptor: int) -> socket.socket | None:
    try:
        copy = os.dup(descriptor)
    except OSError:
        return None  # the listing's own descriptor, closed by now
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None  # no socket


def _peer(sock: socket.socket) -> tuple[str, int] | None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return None  # not connected
    return str(host), int(port)
