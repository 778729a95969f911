"""A client of RTPProxy's protocol over UDP without the UDP: cookies, repetition, matching, fail-over. Pure.

Time is an argument (monotonic seconds). Whoever holds the socket sends what it is told and hands in what came:

    client = Client([("127.0.0.1", 22200), ("127.0.0.1", 22201)], random_bytes=os.urandom(6))
    for send in client.request("V", token, now): sock.sendto(send.datagram, send.peer)
    answer = client.receive(datagram, peer, now)        # Answer(token, text), or None: not (any more) ours
    for effect in client.tick(now): ...                 # Send again, or Failed(token); not before client.next_tick

With several peers a request goes to the one that answered last; when that one is silent for the whole schedule, or
is known to be gone (`unreachable`), it goes to the next, and fails only when none is left. A request is repeated with
the same cookie, so a peer runs it once; sent to another peer it may be run by both, and the controllers of
one host find each other's sessions by asking the nodes.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rtpproxy_ctl.protocol import split_datagram

Address = tuple[str, int]

#: Seconds after the first sending of a datagram at which it is repeated; the last one: given up.
SCHEDULE = (0.1, 0.25, 0.5, 0.9)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this datagram there."""

    peer: Address
    datagram: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A request was answered."""

    token: Any
    text: str
    peer: Address
    #: From the first sending to this peer.
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """No peer answered a request, however often it was repeated."""

    token: Any


Effect = Send | Failed


@dataclass(slots=True)
class _Pending:
    cookie: str
    datagram: bytes
    token: Any
    peer: Address
    schedule: Sequence[float]
    sent_at: float
    #: How many times it was sent to this peer.
    sent: int = 1
    #: Peers that were not tried yet.
    others: list[Address] = field(default_factory=list)


class Client:
    """Requests under way to one or several peers that can stand in for each other."""

    def __init__(
        self, peers: Sequence[Address], *, random_bytes: bytes, schedule: Sequence[float] = SCHEDULE
    ) -> None:
        """random_bytes: at least 4, different for each client that talks to the same peer from one address."""
        if not peers or len(random_bytes) < 4:
            raise ValueError("a client needs a peer and 4 random bytes")
        self._peers = list(peers)
        self._prefix = random_bytes.hex()
        self._serial = 0
        self._schedule = schedule
        self._pending: dict[str, _Pending] = {}
        #: (when, cookie); entries of what was answered meanwhile are passed over.
        self._due: list[tuple[float, str]] = []
        #: Datagrams repeated, and replies that matched nothing.
        self.repeated = 0
        self.strange = 0

    @property
    def next_tick(self) -> float | None:
        """When `tick` has something to do; None: nothing is under way."""
        while self._due and self._due[0][1] not in self._pending:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    @property
    def under_way(self) -> int:
        """How many requests wait for their answer."""
        return len(self._pending)

    def request(
        self, text: str, token: Any, now: float, *, schedule: Sequence[float] | None = None
    ) -> list[Send]:
        """Begin a request; `token` comes back with its end. The list is what to send now (one datagram)."""
        self._serial += 1
        cookie = f"{self._prefix}{self._serial:x}"
        datagram = f"{cookie} {text}".encode(errors="surrogateescape")
        peer, *others = self._peers
        pending = _Pending(cookie, datagram, token, peer, schedule or self._schedule, now, 1, others)
        self._pending[cookie] = pending
        heapq.heappush(self._due, (now + pending.schedule[0], cookie))
        return [Send(peer, datagram)]

    def receive(self, datagram: bytes, peer: Address, now: float) -> Answer | None:
        """Match a reply; None for one that nobody waits for, a second one, or one from somewhere else."""
        cookie, text = split_datagram(datagram)
        pending = self._pending.get(cookie)
        if pending is None or peer != pending.peer:
            self.strange += 1
            return None
        del self._pending[cookie]
        if peer != self._peers[0]:
            self._prefer(peer)
        return Answer(pending.token, text.strip(), peer, now - pending.sent_at)

    def tick(self, now: float) -> list[Effect]:
        """Return what is to be repeated or is given up by now."""
        effects: list[Effect] = []
        while self._due and self._due[0][0] <= now:
            pending = self._pending.get(heapq.heappop(self._due)[1])
            if pending is not None:
                effects.append(self._again(pending, now))
        return effects

    def unreachable(self, peer: Address, now: float) -> list[Effect]:
        """A peer is gone (ECONNREFUSED): hand what waits for it to the next one, or fail it."""
        waiting = [pending for pending in self._pending.values() if pending.peer == peer]
        return [self._elsewhere(pending, now) for pending in waiting]

    def cancel_all(self) -> list[Any]:
        """Forget everything under way; return the tokens."""
        tokens = [pending.token for pending in self._pending.values()]
        self._pending.clear()
        self._due.clear()
        return tokens

    def _again(self, pending: _Pending, now: float) -> Effect:
        if pending.sent >= len(pending.schedule):
            return self._elsewhere(pending, now)
        self._plan(pending)
        pending.sent += 1
        self.repeated += 1
        return Send(pending.peer, pending.datagram)

    def _elsewhere(self, pending: _Pending, now: float) -> Effect:
        if not pending.others:
            del self._pending[pending.cookie]
            return Failed(pending.token)
        if self._peers[0] == pending.peer:  # the next request need not find out again
            self._prefer(pending.others[0])
        pending.peer = pending.others.pop(0)
        pending.sent, pending.sent_at = 0, now
        self._plan(pending)
        pending.sent = 1
        return Send(pending.peer, pending.datagram)

    def _plan(self, pending: _Pending) -> None:
        heapq.heappush(self._due, (pending.sent_at + pending.schedule[pending.sent], pending.cookie))

    def _prefer(self, peer: Address) -> None:
        self._peers.remove(peer)
        self._peers.insert(0, peer)
