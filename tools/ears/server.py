"""The sockets of ks-ears: who asks comes by a UNIX socket, what is listened to by one UDP port a leg.

One thread. Whatever comes in does no harm to others: a bad line is answered, a bad packet counted, a client that does
not read is let go, and legs go with their client. Decides when ks-ears is full; what is heard decides callcore/ears.py.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from callcore.ears_tones import ToneSet, country_of
from callcore.ears_verdict import Verdict
from kalibri.config import Config
from tools.ears import protocol
from tools.ears.leg import Leg
from tools.ears.librarian import Librarian
from tools.ears.protocol import Answered, BadRequest, Listen, Ping, Request, Stop
from tools.ears.spool import UnknownSpool

log = logging.getLogger("ks-ears")

TICK_SECONDS: Final = 0.1
IDLE_SECONDS: Final = 0.5
MOST_CLIENTS: Final = 64
#: Datagrams of one leg that are read before others get their turn.
_AT_ONCE: Final = 32
#: A client that has not read so much is gone.
_MOST_UNREAD: Final = 262_144
#: Working more than this part of the time, over about so many seconds: no further leg is taken.
_BUSY: Final = 0.85
_BUSY_SECONDS: Final = 2.0
_LONGEST_DATAGRAM: Final = 4096


@dataclass
class Client:
    """Somebody who asks."""

    sock: socket.socket
    unread: bytearray = field(default_factory=bytearray)
    partial: bytes = b""
    legs: set[str] = field(default_factory=set)


@dataclass
class OpenLeg:
    """A leg with its port."""

    name: str
    client: Client
    sock: socket.socket
    tenant: int
    leg: Leg


class Server:
    """Listens for clients and for their legs."""

    def __init__(
        self,
        config: Config,
        tone_sets: Mapping[str, ToneSet],
        librarian: Librarian,
        spool: UnknownSpool,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises OSError if the socket cannot be made."""
        self._config, self._tone_sets = config, tone_sets
        self._librarian, self._spool, self._clock = librarian, spool, clock
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, Client] = {}
        self._legs: dict[str, OpenLeg] = {}
        self._next_tick = 0.0
        self._busy = 0.0
        self._verdicts = 0
        self._listener = _unix_listener(config.ears_socket)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def detail(self) -> str:
        """Say how it goes, for people."""
        trouble = f", {self._librarian.trouble}" if self._librarian.trouble else ""
        return (
            f"{len(self._legs)} legs, {self._librarian.known} recordings known, {self._verdicts} verdicts,"
            f" {self._busy:.0%} busy{trouble}"
        )

    def step(self) -> None:
        """Wait for something to do, at most half a second, and do it."""
        start = self._clock()
        ready = self._selector.select(max(self._next_tick - start, 0.0) if self._legs else IDLE_SECONDS)
        begin = self._clock()
        for key, mask in ready:
            if key.fileobj.fileno() >= 0:  # type: ignore[union-attr]
                key.data(mask)
        now = self._clock()
        if now >= self._next_tick:
            self._tick(now)
        done = self._clock()
        share = (done - begin) / max(done - start, 1e-6)
        self._busy += (share - self._busy) * min((done - start) / _BUSY_SECONDS, 1.0)

    def close(self) -> None:
        """Close everything."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.unregister(self._listener)
        self._listener.close()
        self._selector.close()
        self._config.ears_socket.unlink(missing_ok=True)

    # ---- clients

    def _accept(self, mask: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= MOST_CLIENTS:
            sock.close()
            return
        sock.setblocking(False)
        client = Client(sock)
        self._clients[sock.fileno()] = client
        self._selector.register(sock, selectors.EVENT_READ, partial(self._client_ready, client))

    def _client_ready(self, client: Client, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush(client)
        if not mask & selectors.EVENT_READ or client.sock.fileno() < 0:
            return
        try:
            data = client.sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, client.partial = (client.partial + data).split(b"\n")
        if not data or len(client.partial) > protocol.LONGEST_LINE:
            self._drop(client)
            return
        for line in lines:
            if client.sock.fileno() >= 0 and line.strip():
                self._take(client, line)

    def _take(self, client: Client, line: bytes) -> None:
        try:
            request = protocol.parse(line)
        except BadRequest as error:
            self._say(client, protocol.line("refused", error="bad-request", message=str(error)))
            return
        self._do(client, request)

    def _do(self, client: Client, request: Request) -> None:
        match request:
            case Ping():
                self._say(client, protocol.line("pong", detail=self.detail()))
            case Listen():
                self._listen(client, request)
            case Answered():
                found = self._legs.get(request.id)
                if found is None or found.client is not client:
                    self._refuse(client, request.id, "unknown", "nothing of this id is listened to")
                else:
                    found.leg.answered()
            case Stop():
                self._stop(client, request)

    def _say(self, client: Client, line: bytes) -> None:
        client.unread += line
        self._flush(client)

    def _refuse(self, client: Client, name: str, error: str, message: str) -> None:
        self._say(client, protocol.line("refused", id=name, error=error, message=message))

    def _flush(self, client: Client) -> None:
        try:
            while client.unread:
                del client.unread[: client.sock.send(client.unread)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)
            return
        if len(client.unread) > _MOST_UNREAD:
            log.warning("a client does not read: it is let go")
            self._drop(client)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unread else 0)
        self._selector.modify(client.sock, events, partial(self._client_ready, client))

    def _drop(self, client: Client) -> None:
        if client.sock.fileno() < 0:
            return
        for name in list(client.legs):
            self._close_leg(self._legs[name])
        self._clients.pop(client.sock.fileno(), None)
        self._selector.unregister(client.sock)
        client.sock.close()

    # ---- legs

    def _listen(self, client: Client, request: Listen) -> None:
        country = request.tones or country_of(request.number, self._tone_sets) or self._config.ears.tones
        problem = self._problem(request, country)
        if problem is not None:
            self._refuse(client, request.id, *problem)
            return
        try:
            sock = self._port()
        except OSError as error:
            self._refuse(client, request.id, "full", f"no port is free: {error}")
            return
        leg = Leg(
            self._librarian.of(request.tenant),
            [self._tone_sets[country]],
            answered=request.answered,
            now=self._clock(),
            seconds=request.seconds,
        )
        opened = OpenLeg(request.id, client, sock, request.tenant, leg)
        self._legs[request.id] = opened
        client.legs.add(request.id)
        self._selector.register(sock, selectors.EVENT_READ, partial(self._leg_ready, opened))
        address, port = sock.getsockname()[:2]
        self._say(client, protocol.line("listening", id=request.id, address=address, port=port))

    def _problem(self, request: Listen, country: str) -> tuple[str, str] | None:
        if request.id in self._legs:
            return "exists", "this id is listened to already"
        if len(self._legs) >= self._config.ears.max_calls:
            return "full", f"{len(self._legs)} legs are listened to"
        if self._busy > _BUSY:
            return "full", f"{self._busy:.0%} busy"
        if country not in self._tone_sets:
            return "bad-request", f"no tones of {country} are known"
        return None

    def _port(self) -> socket.socket:
        """Return a UDP socket at a free port; raises OSError."""
        ears = self._config.ears
        family = socket.AF_INET6 if ":" in ears.listen_address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        ports = range(ears.base_port, ears.base_port + ears.max_calls) if ears.base_port else (0,)
        last: OSError | None = None
        for port in ports:
            try:
                sock.bind((ears.listen_address, port))
                return sock
            except OSError as error:
                last = error
        sock.close()
        raise last or OSError("no port")

    def _leg_ready(self, opened: OpenLeg, mask: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = opened.sock.recv(_LONGEST_DATAGRAM)
            except OSError:  # nothing more, for the moment
                return
            self._tell(opened, opened.leg.packet(data, self._clock()))
            if opened.sock.fileno() < 0:
                return
        codec = opened.leg.track.other_codec
        if codec is not None:
            self._tell_deaf(opened, codec)

    def _tell(self, opened: OpenLeg, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            self._verdicts += 1
            self._say(opened.client, protocol.verdict_line(opened.name, verdict))

    def _tell_deaf(self, opened: OpenLeg, codec: int) -> None:
        if not opened.leg.told_deaf:
            opened.leg.told_deaf = True
            self._say(opened.client, protocol.line("deaf", id=opened.name, codec=codec))

    def _tick(self, now: float) -> None:
        self._next_tick = now + TICK_SECONDS
        for opened in list(self._legs.values()):
            if opened.sock.fileno() < 0:
                continue
            if now >= opened.leg.ends_at:
                self._close_leg(opened)
                self._say(opened.client, protocol.line("ended", id=opened.name, why="time"))
                continue
            self._tell(opened, opened.leg.tick(now))
            codec = opened.leg.track.other_codec
            if codec is not None and opened.sock.fileno() >= 0:
                self._tell_deaf(opened, codec)

    def _stop(self, client: Client, request: Stop) -> None:
        opened = self._legs.get(request.id)
        if opened is None or opened.client is not client:
            self._refuse(client, request.id, "unknown", "nothing of this id is listened to")
            return
        self._close_leg(opened)
        if request.failed is not None:
            unknown = opened.leg.unknown_early_media()
            if unknown is not None:
                with contextlib.suppress(OSError):  # a full disk: listening matters more
                    self._spool.put(opened.tenant, unknown, request.failed)
        track = opened.leg.track
        answer: dict[str, Any] = {"packets": track.packets, "lost": track.lost, "unusable": track.unusable}
        self._say(
            client, protocol.line("stopped", id=request.id, seconds=round(opened.leg.seconds, 2), **answer)
        )

    def _close_leg(self, opened: OpenLeg) -> None:
        self._selector.unregister(opened.sock)
        opened.sock.close()
        opened.client.legs.discard(opened.name)
        self._legs.pop(opened.name, None)


def _unix_listener(path: Path) -> socket.socket:
    """Return a listening socket, for this user only; one that an earlier life left is replaced. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.bind(str(path))
        path.chmod(0o600)
        sock.listen(16)
    except OSError:
        sock.close()
        raise
    return sock
