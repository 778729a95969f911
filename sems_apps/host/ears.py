"""Asks ks-ears what the person's leg of a dial hears, and tells the call's machine (docs/ears.md).

One connection for all calls of a host; it is made when it is needed and made again when it breaks. Without ks-ears
calls go on unheard. Decides nothing: what a verdict means for the dial is the machine's matter.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from sems_apps.actions import CALLER
from sems_apps.events import Event, Recognised
from sems_apps.host.loop import Loop
from sems_apps.host.media import CALLER_SIDE
from sems_apps.host.ports import Entry

log = logging.getLogger("media")

#: How long a ks-ears that cannot be reached is left alone.
REST_SECONDS: Final = 2.0
#: ks-ears ends a leg by itself after this; nothing is decided so late.
LONGEST_SECONDS: Final = 120
_MOST_UNREAD: Final = 65_536

Line = dict[str, Any]
#: Told each line of a leg; None: ks-ears is gone.
Told = Callable[[Line | None], None]


class EarsClient:
    """The connection to ks-ears. Runs on the loop; never blocks."""

    def __init__(self, loop: Loop, path: Path) -> None:
        """path: ks-ears' socket (Config.ears_socket)."""
        self._loop, self._path = loop, path
        self._sock: socket.socket | None = None
        self._rest = b""
        self._legs: dict[str, Told] = {}
        self._rests_until = 0.0

    def listen(self, name: str, told: Told, *, tenant: int, number: str) -> bool:
        """Have the leg of a number listened to; False: ks-ears is not there."""
        if not self._connect():
            return False
        self._legs[name] = told
        return self.send("listen", name, tenant=tenant, number=number, seconds=LONGEST_SECONDS)

    def send(self, operation: str, name: str, **fields: object) -> bool:
        """Say something of a leg; False: ks-ears is gone."""
        if self._sock is None:
            return False
        line = json.dumps({"op": operation, "id": name, **fields}, default=str).encode() + b"\n"
        try:
            if self._sock.send(line) == len(line):
                return True
        except OSError:
            pass
        # It does not read, or is gone: half a line would spoil all that follow.
        self.close()
        return False

    def forget(self, name: str) -> None:
        """Tell nobody of this leg any more."""
        self._legs.pop(name, None)

    def close(self) -> None:
        """Hang up; legs that are listened to are told."""
        if self._sock is not None:
            self._loop.unwatch(self._sock)
            self._sock.close()
            self._sock, self._rest = None, b""
            self._rests_until = self._loop.now() + REST_SECONDS
        legs, self._legs = self._legs, {}
        for told in legs.values():
            told(None)

    def _connect(self) -> bool:
        if self._sock is not None:
            return True
        if self._loop.now() < self._rests_until:
            return False
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(str(self._path))
        except OSError:
            sock.close()
            self._rests_until = self._loop.now() + REST_SECONDS
            return False
        self._sock, self._rest = sock, b""
        self._loop.watch(sock, self._readable)
        return True

    def _readable(self) -> None:
        if self._sock is None:
            return
        try:
            data = self._sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or len(self._rest) > _MOST_UNREAD:
            log.warning("ks-ears is gone: calls go on unheard")
            self.close()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            with suppress(ValueError, AttributeError):
                table = json.loads(line)
                told = self._legs.get(str(table.get("id")))
                if told is not None:
                    told(table)


class Copied(Protocol):
    """What copies a side's RTP: MediaSession."""

    def fork(self, side: str, host: str, port: int, done: Callable[[bool], None] | None = None) -> None:
        """Begin; `done` tells whether it is copied."""

    def stop_fork(self, side: str, done: Callable[[bool], None] | None = None) -> None:
        """End."""


class Hearing:
    """What the person's leg of one dial hears, from the first early media to the last word on it."""

    def __init__(
        self,
        client: EarsClient,
        media: Copied,
        post: Callable[[Event], None],
        tell: Callable[..., None],
        entry: Entry,
    ) -> None:
        """post: takes Recognised. tell: writes into the call's story. entry: whose caller is the one who is dialled."""
        self._client, self._media, self._post, self._tell = client, media, post, tell
        self._call, self._tenant, self._number = entry.call, entry.tenant, entry.caller
        self._listened_to = self._copied = self._answered = False
        #: Asked to end while the copy was being made.
        self._ending = False
        self._copying = False
        self._then: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Ask ks-ears for a port; the RTP session must exist."""
        self._listened_to = self._client.listen(
            self._call, self._told, tenant=self._tenant, number=self._number
        )

    def answered(self) -> None:
        """The person has answered, or a machine."""
        self._answered = True
        if self._listened_to:
            self._client.send("answered", self._call)

    def end(
        self, *, code: int | None = None, failed: bool = False, then: Callable[[], None] | None = None
    ) -> None:
        """Listen no more. `then` runs once nothing is copied any more: a recording of the side may begin.

        failed: the dial came to nothing, with this final response; if it was not answered, early media that nobody knew
        is worth learning.
        """
        if self._listened_to:
            self._listened_to = False
            self._client.forget(self._call)
            unheard: dict[str, object] = {"call": self._call, "number": self._number}
            if code is not None and 300 <= code <= 699:
                unheard["code"] = code
            fields = {"failed": unheard} if failed and not self._answered else {}
            self._client.send("stop", self._call, **fields)
        if then is not None:
            self._then.append(then)
        self._ending = True
        if self._copied:
            self._copied = False
            self._copying = True
            self._media.stop_fork(CALLER_SIDE, lambda _: self._parted())
        elif not self._copying:
            self._parted()

    def _parted(self) -> None:
        self._copying = False
        waiting, self._then = self._then, []
        for callback in waiting:
            callback()

    def _told(self, line: Line | None) -> None:
        if line is None:
            self._listened_to = False
            return
        match line.get("op"):
            case "listening" if not self._ending:
                self._copying = True
                self._media.fork(CALLER_SIDE, str(line["address"]), int(line["port"]), self._forked)
                if self._answered:
                    self._client.send("answered", self._call)
            case "verdict":
                self._take(line)
            case "refused" | "ended":
                self._listened_to = False
                self.end()

    def _forked(self, copied: bool) -> None:
        self._copying, self._copied = False, copied
        if self._ending:
            self.end()
        elif not copied:
            self._tell("media.unheard")
            self.end()

    def _take(self, line: Line) -> None:
        self._tell(
            "media.heard",
            leg=CALLER,
            heard=line.get("heard"),
            name=line.get("name") or None,
            reason=line.get("reason"),
            final=line.get("final"),
            at=line.get("at"),
        )
        if line.get("final"):
            self.end()
        word = verdict_word(line)
        if word:
            self._post(Recognised(CALLER, word))


def verdict_word(line: Line) -> str:
    """Return a verdict as machines know it (callcore.attempt); empty: it says nothing yet."""
    heard, reason, final = line.get("heard"), line.get("reason"), line.get("final")
    if heard in ("human", "machine"):
        return str(heard) if final or heard == "human" else ""
    if final or reason == "wait":
        return str(reason or "")
    return ""
