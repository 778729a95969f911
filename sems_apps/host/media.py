"""The RTP session of one call: caller on one side, whoever he talks to (or nobody) on the other.

Ports stay for the life of the call, so joining and parting need no SIP. Commands of a session are sent one after the
other, each when the one before was answered: UDP may reorder, and a repetition must not overtake. Commands and
their traps: docs/mediahost.md. Nothing here knows of queues or SIP.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from rtpproxy_ctl.commands import parse_counters, parse_ports
from rtpproxy_ctl.errors import BadReply
from rtpproxy_ctl.protocol import is_error
from sems_apps.host.notify import NotifyServer
from sems_apps.host.opener import Opener
from sems_apps.host.rtp_client import Reply, RtpClient
from sems_apps.host.sdp import Codec, Description

log = logging.getLogger("media")

#: Tags of the two sides: the caller's, and the other's.
CALLER_SIDE, OTHER_SIDE = "A", "B"
_NOWHERE = ("0.0.0.0", 0)
#: How long a node may take to see the opener's packet, and how often it is asked.
OPENING_SECONDS = 0.2
_LOOK_SECONDS = 0.01
PACKET_MS = 20
FOR_EVER = -1


class Requests(Protocol):
    """What sends a command: RtpClient, or a fake."""

    def request(self, command: str, reply: Reply) -> None:
        """Send a command and tell the reply."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the two sides send to."""

    address: str
    #: The port that is told the caller, and the one that is told the other side.
    caller: int
    other: int


class MediaSession:
    """One session on a node."""

    def __init__(
        self,
        client: RtpClient | Requests,
        notify: NotifyServer | None,
        opener: Opener,
        key: str,
        *,
        on_key: Callable[[str, bool], None],
        on_lost: Callable[[], None],
    ) -> None:
        """key: unique for the life of the call. on_key: (key, from the caller). on_lost: the session is gone."""
        self._client, self._key, self._on_lost = client, key, on_lost
        self._notify, self._opener = notify, opener
        self._tag = notify.register(on_key) if notify is not None else ""
        self._queue: deque[tuple[str, Reply | None]] = deque()
        self._busy = self._closed = False
        self._media = ""
        self._playing: set[str] = set()
        self._opened = False
        self.ports: Ports | None = None
        self.codec: Codec | None = None
        self.dtmf: int | None = None
        self._caller = _NOWHERE
        #: The present other-side port was told somebody already.
        self._port_used = False
        #: Sides that the node believes to be at the opener's address, until its packet has come.
        self._opening: set[str] = set()
        #: Packets of ours by side, for `query`.
        self._ours = {CALLER_SIDE: 0, OTHER_SIDE: 0}
        #: Nothing is sent: the node is being asked whether that packet has come.
        self._waiting = False
        #: What told the node where a side is.
        self._told_where: dict[str, str] = {}

    @property
    def is_open(self) -> bool:
        """Whether the session exists, with ports."""
        return self.ports is not None and not self._closed

    # ---- life

    def open(
        self, caller: Description | None, codec: Codec, dtmf: int | None, done: Callable[[bool], None]
    ) -> None:
        """Make the session; `caller` None: it will be called later. `done` tells whether there are ports."""
        self.codec, self.dtmf, self._opened = codec, dtmf, True
        numbers = f"{codec.number},{dtmf}" if dtmf is not None else str(codec.number)
        self._media = f"c{numbers}z{PACKET_MS}"
        if caller is not None:
            self._caller = _where(caller)
        is_known = self._caller != _NOWHERE
        address, port = self._caller if is_known else self._opener.address
        notify, module = "", ""
        if self._notify is not None:
            notify = f" {self._notify.spec} {self._tag}"
            if dtmf is not None:
                module = f" && M3:1 {self._tag} {dtmf}"
        command = (
            f"U{self._media} {self._key} {address} {port} {CALLER_SIDE} {OTHER_SIDE}{notify}{module}"
            f" && L{self._media} 0.0.0.0 0"
        )

        def opened(text: str | None) -> None:
            if self._take_ports(text) and not is_known and self.ports is not None:
                self._open_side(CALLER_SIDE, self.ports.caller)
            done(self.ports is not None)

        self._send(command, opened)

    def _take_ports(self, text: str | None) -> bool:
        parts = text.split(" && ") if text is not None and is_error(text) is None else []
        try:
            other, caller = parse_ports(parts[0]), parse_ports(parts[-1])
        except (IndexError, BadReply):
            log.error("%s: no RTP session: %s", self._key, text)
            return False
        self.ports = Ports(other.address, caller.port, other.port)
        return True

    def close(self) -> None:
        """Delete the session."""
        if self._closed:
            return
        self._closed = True
        if self._notify is not None:
            self._notify.forget(self._tag)
        if self._opened:
            self._waiting = False
            self._queue.clear()
            self._queue.append((f"D {self._key} {CALLER_SIDE} {OTHER_SIDE}", None))
            self._next()

    # ---- sides

    def set_caller(self, remote: Description) -> None:
        """The caller's media is there (now)."""
        target = _where(remote)
        if target != self._caller and target != _NOWHERE:
            self._caller = target
            self._set_where(CALLER_SIDE, target)

    def set_other(self, remote: Description) -> None:
        """The other side's media is there (now): the two hear each other unless we play."""
        target = _where(remote)
        if target[1]:
            self._set_where(OTHER_SIDE, target)

    def remind(self, side: str) -> None:
        """Say again where a side is that sends nothing: from then on its first packet may come from elsewhere (NAT)."""
        command = self._told_where.get(side)
        if command is not None and not self._opening:
            self._send(command)

    def _set_where(self, side: str, target: tuple[str, int]) -> None:
        command = f"U{self._media} {self._key} {target[0]} {target[1]} {self._order(side)}"
        self._told_where[side] = command
        if side in self._opening:
            self._opening.discard(side)
            self._look_for_first(side, command, OPENING_SECONDS)
        else:
            self._send(command)

    def _open_side(self, side: str, port: int) -> None:
        """The node was told that a side is at the opener: let a packet come from there."""
        self._opening.add(side)
        self._ours[side] += 1
        if self.ports is not None:
            self._opener.send(self.ports.address, port)

    def _look_for_first(self, side: str, command: str, seconds: float) -> None:
        """Send a command when the opener's packet has come, after so many seconds at most; what follows waits for it.

        Told another address before, the node would take the packets of everybody else for lies (see opener.py).
        """

        def counted(text: str | None) -> None:
            counters = parse_counters(text) if text is not None and is_error(text) is None else {}
            if text is not None and not counters.get(counter, 0) and seconds > 0:
                self._waiting = True
                self._opener.later(
                    _LOOK_SECONDS, partial(self._look_again, side, command, seconds - _LOOK_SECONDS)
                )
                return
            if seconds <= 0:
                log.warning("%s: the node got no packet of ours from %s", self._key, self._opener.address)
            self._queue.appendleft((command, None))

        counter = "npkts_ina" if side == CALLER_SIDE else "npkts_ino"
        query = f"Qv {self._key} {CALLER_SIDE} {OTHER_SIDE} npkts_ina npkts_ino"
        if self._waiting:
            self._waiting = False
            self._queue.appendleft((query, counted))
            self._next()
        else:
            self._send(query, counted)

    def _look_again(self, side: str, command: str, seconds: float) -> None:
        if not self._closed:
            self._look_for_first(side, command, seconds)

    def other_port(self, done: Callable[[int | None], None], *, shared: bool) -> None:
        """Find the port to tell the next one who is called.

        A fresh one, so that late packets of who was called before are not heard; `shared`: others are being called
        at this moment, or talk, on the present port.
        """
        ports = self.ports
        if ports is None:
            done(None)
        elif not self._port_used:
            self._port_used = True
            address, port = self._opener.address
            self._send(
                f"U{self._media} {self._key} {address} {port} {OTHER_SIDE} {CALLER_SIDE}",
                lambda text: done(self._other_opened(ports.other, text)),
            )
        elif shared:
            done(ports.other)
        else:
            address, port = self._caller
            command = f"Un{self._media} {self._key} {address} {port} {CALLER_SIDE} {OTHER_SIDE}"
            self._send(command, lambda text: done(self._take_port(text)))

    def _other_opened(self, port: int, text: str | None) -> int | None:
        if text is None or is_error(text) is not None:
            return None
        self._open_side(OTHER_SIDE, port)
        return port

    def _take_port(self, text: str | None) -> int | None:
        if text is None or is_error(text) is not None or self.ports is None:
            return None
        self.ports = Ports(self.ports.address, self.ports.caller, parse_ports(text).port)
        return self.ports.other

    # ---- playing

    def play(self, side: str, path: str, *, times: int) -> None:
        """Play a compiled prompt (path without the payload type); replaces what plays. times: FOR_EVER or 1."""
        self._playing.add(side)
        self._send(f"P{times} {self._key} {path} session {self._order(side)}")

    def stop(self, side: str) -> None:
        """Stop playing; nothing is sent when nothing plays."""
        if side in self._playing:
            self._playing.discard(side)
            self._send(f"S {self._key} {self._order(side)}")

    def played(self, side: str) -> None:
        """Note that a clip came to its end: there is nothing left to stop."""
        self._playing.discard(side)

    def fork(self, side: str, host: str, port: int, done: Callable[[bool], None] | None = None) -> None:
        """Send a copy of what this side says to a UDP socket; `done` tells whether that works."""
        self._send(f"C {self._key} udp:{host}:{port} {self._order(side)}", self._told(done))

    def stop_fork(self, side: str, done: Callable[[bool], None] | None = None) -> None:
        """End the copy (and a recording of this side)."""
        self._send(f"N {self._key} {self._order(side)}", self._told(done))

    @staticmethod
    def _told(done: Callable[[bool], None] | None) -> Reply | None:
        return None if done is None else lambda text: done(text is not None and is_error(text) is None)

    def query(self, done: Callable[[tuple[int, int] | None], None]) -> None:
        """Tell how many packets came from the caller and from the other side so far; None: unknown."""

        def read(text: str | None) -> None:
            if text is None or is_error(text) is not None:
                if text is not None:
                    self._refused("Q", text)
                done(None)
                return
            counters = parse_counters(text)
            came = {CALLER_SIDE: counters.get("npkts_ina", 0), OTHER_SIDE: counters.get("npkts_ino", 0)}
            caller, other = (max(0, int(came[side]) - self._ours[side]) for side in (CALLER_SIDE, OTHER_SIDE))
            done((caller, other))

        self._send(f"Qv {self._key} {CALLER_SIDE} {OTHER_SIDE} npkts_ina npkts_ino", read)

    # ---- sending

    @staticmethod
    def _order(side: str) -> str:
        """The tag of the side that is meant comes first."""
        return f"{CALLER_SIDE} {OTHER_SIDE}" if side == CALLER_SIDE else f"{OTHER_SIDE} {CALLER_SIDE}"

    def _send(self, command: str, reply: Reply | None = None) -> None:
        if self._closed:
            return
        self._queue.append((command, reply))
        self._next()

    def _next(self) -> None:
        if self._busy or self._waiting or not self._queue:
            return
        self._busy = True
        command, reply = self._queue.popleft()
        self._client.request(command, lambda text: self._answered(command, reply, text))

    def _answered(self, command: str, reply: Reply | None, text: str | None) -> None:
        self._busy = False
        if reply is not None and not self._closed:
            reply(text)
        elif not self._closed and (text is None or is_error(text) is not None):
            self._refused(command, text)
        self._next()

    def _refused(self, command: str, text: str | None) -> None:
        """A player that ended by itself, or a missing file, is no loss; an unknown session is."""
        if command[0] in "SPCN" and text is not None and text != "E50":
            log.warning("%s: %s: %s", self._key, command.split()[0], text)
            return
        log.error("%s: the RTP session is lost: %s: %s", self._key, command.split()[0], text)
        self._on_lost()


def _where(remote: Description) -> tuple[str, int]:
    return _NOWHERE if remote.address == "0.0.0.0" else (remote.address, remote.port)
