"""The socket to the RTP controllers: requests out, answers to whoever asked. When: rtpproxy_ctl/client.py."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence

from rtpproxy_ctl.client import Address, Client, Failed, Send
from sems_apps.host.loop import Loop, Timer

#: Told the reply ("0", "E50", "41124 127.0.0.1"), or None: no controller answered.
Reply = Callable[[str | None], None]
_MOST_DATAGRAMS = 64


class RtpClient:
    """One UDP socket on the loop, for all calls of the process."""

    def __init__(self, loop: Loop, controllers: Sequence[Address]) -> None:
        self._loop = loop
        self._client = Client(controllers, random_bytes=os.urandom(6))
        family = socket.AF_INET6 if ":" in controllers[0][0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._timer: Timer | None = None
        self._due = 0.0
        loop.watch(self._socket, self._readable)

    def request(self, command: str, reply: Reply) -> None:
        """Send a command; the reply is told from the loop, never from within this call."""
        self._send(self._client.request(command, reply, self._loop.now()))
        self._arm()

    def close(self) -> None:
        """Close the socket; what is under way is told nothing any more."""
        self._loop.unwatch(self._socket)
        self._socket.close()
        self._client.cancel_all()
        if self._timer is not None:
            self._timer.cancel()

    def _send(self, effects: Sequence[Send | Failed]) -> None:
        for effect in effects:
            if isinstance(effect, Failed):
                effect.token(None)
                continue
            try:
                self._socket.sendto(effect.datagram, effect.peer)
            except BlockingIOError:
                continue  # it will be repeated
            except OSError:
                self._send(self._client.unreachable(effect.peer, self._loop.now()))

    def _readable(self) -> None:
        for _ in range(_MOST_DATAGRAMS):
            try:
                datagram, peer = self._socket.recvfrom(65_535)
            except BlockingIOError:
                break
            except OSError:  # ICMP: a controller is gone; the repetition finds out which
                continue
            answer = self._client.receive(datagram, peer[:2], self._loop.now())
            if answer is not None:
                answer.token(answer.text)

    def _arm(self) -> None:
        """Keep one timer for the earliest repetition; one that comes too early arms itself again."""
        at = self._client.next_tick
        if at is None or (self._timer is not None and self._due <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = at
        self._timer = self._loop.call_later(max(0.0, at - self._loop.now()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._send(self._client.tick(self._loop.now()))
        self._arm()
