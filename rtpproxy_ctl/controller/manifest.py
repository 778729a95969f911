"""Manifests of recordings: one file of JSON lines a recording, read by ks-rec (docs/contracts.md 7). Shell.

Appends only, one write a line. What cannot be written (a full disk) is kept in memory and tried again before the next
line, so the order stays.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

log = logging.getLogger("rtpc")


class Manifest:
    """The manifest of one recording."""

    def __init__(self, path: Path, wall: Callable[[], datetime]) -> None:
        """wall: aware UTC time."""
        self.path = path
        self._wall = wall
        self._unwritten: list[bytes] = []

    def write(self, kind: str, **fields: object) -> bool:
        """Append a line; False: it could not be written yet."""
        at = self._wall().isoformat(timespec="microseconds")
        line = json.dumps({"at": at, "kind": kind, **fields}, separators=(",", ":"))
        self._unwritten.append(f"{line}\n".encode())
        return self.flush()

    def flush(self) -> bool:
        """Write what could not be written before; False: it still cannot."""
        while self._unwritten:
            try:
                _append(self.path, self._unwritten[0])
            except OSError as error:
                log.error("%s: %s", self.path, error)
                return False
            del self._unwritten[0]
        return True

    def discard(self) -> None:
        """Remove the manifest of a recording that never began."""
        self._unwritten.clear()
        self.path.unlink(missing_ok=True)


def _append(path: Path, line: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        written = os.write(fd, line)
        if written != len(line):
            os.ftruncate(fd, os.fstat(fd).st_size - written)  # all of a line or nothing
            raise OSError(f"short write of {written} of {len(line)} bytes")
    finally:
        os.close(fd)
