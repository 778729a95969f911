"""What a controller remembers over a restart: sessions, recordings, requests to record, as lines of JSON. Shell.

Appended in batches some ten milliseconds apart (what kill -9 takes with it, the nodes still know), written anew at each
start and when it has grown. A line that cannot be read is passed over.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger("rtpc")

FLUSH_SECONDS = 0.05
#: It is written anew when it has so many lines more than it holds entries.
MOST_SPARE_LINES = 20_000


class StateLog:
    """(kind, key) → value, kept in a file."""

    def __init__(self, path: Path, timers: Any) -> None:
        self._path, self._timers = path, timers
        self._entries: dict[tuple[str, str], Any] = {}
        self._changed: dict[tuple[str, str], Any] = {}
        self._lines = 0
        self._fd = -1
        self._planned = False
        self._load()
        self._rewrite()

    def entries(self, kind: str) -> list[Any]:
        """Return the values of a kind."""
        return [value for (known, _), value in self._entries.items() if known == kind]

    def save(self, kind: str, key: str, value: Any | None) -> None:
        """Keep a value; None forgets it. Written a moment later."""
        if value is None:
            if self._entries.pop((kind, key), None) is None:
                return
        else:
            self._entries[kind, key] = value
        self._changed[kind, key] = value
        if not self._planned:
            self._planned = True
            self._timers.callLater(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what was changed."""
        self._planned = False
        if not self._changed:
            return
        if self._lines - len(self._entries) > MOST_SPARE_LINES:
            self._rewrite()
            return
        changed, self._changed = self._changed, {}
        try:
            if self._fd < 0:
                self._open()
            os.write(self._fd, b"".join(map(_line, changed.items())))
            self._lines += len(changed)
        except OSError as error:  # a full disk: the nodes know the sessions too
            log.error("%s: %s", self._path, error)

    def close(self) -> None:
        """Write what is left and let go of the file."""
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def _load(self) -> None:
        for kind, key, value in _read(self._path):
            self._lines += 1
            if value is None:
                self._entries.pop((kind, key), None)
            else:
                self._entries[kind, key] = value

    def _rewrite(self) -> None:
        self._changed = {}
        part = self._path.with_name(self._path.name + ".new")
        try:
            part.write_bytes(b"".join(map(_line, self._entries.items())))
            part.rename(self._path)
            if self._fd >= 0:
                os.close(self._fd)
            self._open()
            self._lines = len(self._entries)
        except OSError as error:
            log.error("%s: %s", self._path, error)


def _line(item: tuple[tuple[str, str], Any]) -> bytes:
    (kind, key), value = item
    return json.dumps([kind, key, value], separators=(",", ":")).encode() + b"\n"


def _read(path: Path) -> Iterator[tuple[str, str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            kind, key, value = json.loads(line)
            yield str(kind), str(key), value
        except (ValueError, TypeError):
            log.warning("%s: a line that cannot be read: %r", path, line[:200])
