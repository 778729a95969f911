"""What RTP nodes report by themselves: key presses and sessions that fell silent. One TCP socket for all calls.

A line is `<tag> <key> <volume> <duration> <side>` for a key, and the bare tag for a time-out; the tags are ours. The
key is the character itself (found by running: "#", never the event number 11).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from functools import partial

from sems_apps.host.loop import Loop

log = logging.getLogger("media")

_MAX_LINE = 4096
#: RFC 4733 section 3.2, events 0 to 15.
_KEYS = "0123456789*#ABCD"


class NotifyServer:
    """Listens for nodes (or a controller in their place) and tells sessions by tag."""

    def __init__(self, loop: Loop, address: tuple[str, int]) -> None:
        self._loop = loop
        self._serial = 0
        self._keys: dict[str, Callable[[str, bool], None]] = {}
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(address)
            self._listener.listen(64)
        except OSError:
            self._listener.close()
            raise
        self._open: set[socket.socket] = set()
        loop.watch(self._listener, self._accept)

    @property
    def spec(self) -> str:
        """Return the socket as a U command names it."""
        host, port = self._listener.getsockname()[:2]
        return f"tcp:{host}:{port}"

    def register(self, on_key: Callable[[str, bool], None]) -> str:
        """Return a new tag; keys that are reported with it are told as (key, from the caller's side)."""
        self._serial += 1
        tag = f"k{self._serial}"
        self._keys[tag] = on_key
        return tag

    def forget(self, tag: str) -> None:
        """Tell nobody of this tag any more."""
        self._keys.pop(tag, None)

    def close(self) -> None:
        """Close every socket."""
        for sock in (self._listener, *self._open):
            self._loop.unwatch(sock)
            sock.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        self._open.add(sock)
        rest: list[bytes] = [b""]
        self._loop.watch(sock, partial(self._readable, sock, rest))

    def _readable(self, sock: socket.socket, rest: list[bytes]) -> None:
        try:
            data = sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or len(rest[0]) > _MAX_LINE:
            self._loop.unwatch(sock)
            self._open.discard(sock)
            sock.close()
            return
        *lines, rest[0] = (rest[0] + data).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace").split())

    def _take(self, words: list[str]) -> None:
        """Tell a key; a bare tag (time-out) needs no action: the probe of the legs finds out what is wrong."""
        on_key = self._keys.get(words[0]) if words else None
        if on_key is not None and len(words) >= 5 and len(words[1]) == 1 and words[1] in _KEYS:
            on_key(words[1], words[4] == "0")
