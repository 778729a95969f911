"""Fixture `rtp_call`: two-way calls with media through a controller, as Kamailio sets them up."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack

from callcore.ids import uuid7
from tests.support.net_loop import NetLoop
from tests.support.rtp_peer import RtpPeer, compare, known_payload
from tests.support.rtp_system import RtpSystem

_seeds = itertools.count(1, 2)


class RelayedCall:
    """Side A and side B behind the relay; each call has a Call-ID, tags and an X-KS-Call of its own."""

    def __init__(self, system: RtpSystem, a: RtpPeer, b: RtpPeer, controller: int = 1) -> None:
        self.system, self.a, self.b = system, a, b
        self.call = str(uuid7(time.time_ns() // 1_000_000, os.urandom(10)))
        self.key = f"{self.call[-12:]}@phone;{self.call}"
        self.port_for_b = self.offer(controller)
        self.port_for_a = self.answer(controller)

    def offer(self, controller: int = 1, tags: str = "F;1") -> int:
        """Send U; return the port to which B sends."""
        return self.system.ports(f"Uc8,101 {self.key} 127.0.0.1 {self.a.port} {tags}", controller).port

    def answer(self, controller: int = 1) -> int:
        """Send L; return the port to which A sends."""
        return self.system.ports(f"Lc8,101 {self.key} 127.0.0.1 {self.b.port} F;1 T;1", controller).port

    def delete(self, controller: int = 1) -> str:
        """Send D."""
        return self.system.ask(f"D {self.key} F T", controller)

    def node(self, controller: int = 1) -> str:
        """Return the process that carries it (rtp-1), as a controller knows it."""
        (session,) = self.system.rpc("session.find", controller, call=self.call)
        return str(session["node"]).partition("-")[2]

    def talk(self, frames: int = 25) -> tuple[list[bytes], list[bytes]]:
        """Send both ways and see every frame arrive bit by bit; return what A and what B sent."""
        seed = next(_seeds)
        sent = known_payload(frames / 50, seed), known_payload(frames / 50, seed + 1)
        before = len(self.a.received), len(self.b.received)
        self.a.play(sent[0], to=("127.0.0.1", self.port_for_a))
        self.b.play(sent[1], to=("127.0.0.1", self.port_for_b))
        heard_b = self.b.wait_received(before[1] + frames)[before[1] :]
        heard_a = self.a.wait_received(before[0] + frames)[before[0] :]
        compare(sent[0], heard_b).assert_exact(frames)
        compare(sent[1], heard_a).assert_exact(frames)
        return sent


class Caller:
    """Makes calls, and closes their sockets in the end."""

    def __init__(self, loop: NetLoop, system: RtpSystem) -> None:
        self._loop, self._system = loop, system
        self._stack = ExitStack()

    def call(self, controller: int = 1) -> RelayedCall:
        """Set a call up."""
        a, b = (self._stack.enter_context(RtpPeer(self._loop, symmetric=False)) for _ in range(2))
        return RelayedCall(self._system, a, b, controller)

    def close(self) -> None:
        """Close all sockets."""
        self._stack.close()


def calling(loop: NetLoop, system: RtpSystem) -> Iterator[Caller]:
    """Yield a caller and clean up after it."""
    caller = Caller(loop, system)
    yield caller
    caller.close()
