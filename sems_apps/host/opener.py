"""The first RTP packet to a side of a session: ours, so that the node believes later where others are.

RTPProxy (rtp.io 1.1.1) takes RTP from another address than the one it was told only within ten seconds of being told
one, and only once it has seen a first packet from where it was told. Where a stranger's packet came first (a phone
sends RTP right after its 200, which is still under way to us) it believes nobody else for the rest of the call: who
comes after that partner is deaf and dumb. So each side is said to be here before anybody is told its port, and a
packet of comfort noise (RFC 3389, silence) goes there. What a partner sends before we tell the node of him is heard.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from sems_apps.host.loop import Loop, Timer

#: RTP payload type of comfort noise, and the level that is silence (-127 dBov).
COMFORT_NOISE = 13
#: RTPProxy keeps an address open for others when the SSRC of its first packet was 0, and has seen an SSRC all the same.
NO_SSRC = 0
_SILENCE = b"\x7f"


class Opener:
    """One UDP socket for all sessions of a host. What comes to it is thrown away."""

    def __init__(self, loop: Loop, host: str) -> None:
        """host: the address on which this machine exchanges RTP with the nodes."""
        self._loop = loop
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind((host, 0))
        #: What a node is told as the address of a side that nobody is at yet.
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        loop.watch(self._socket, self._throw_away)

    def send(self, address: str, port: int) -> None:
        """Send the first packet to a port of a node."""
        packet = struct.pack(
            "!BBHII",
            0x80,
            COMFORT_NOISE,
            secrets.randbits(15),
            secrets.randbits(31),
            secrets.randbits(31) | 1,
        )
        with suppress(OSError):  # the session works without, for the first partner
            self._socket.sendto(packet + _SILENCE, (address, port))

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Run a callback after this time."""
        return self._loop.call_later(seconds, callback)

    def close(self) -> None:
        """Close the socket."""
        self._loop.unwatch(self._socket)
        self._socket.close()

    def _throw_away(self) -> None:
        """What callers say while somebody is called is sent here: read it, or the kernel's buffer stays full."""
        for _ in range(64):
            try:
                self._socket.recv_into(_TRASH)
            except OSError:
                return


_TRASH = bytearray(2048)
