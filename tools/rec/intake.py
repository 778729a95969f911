"""What comes in: looks through the manifests and hands complete recordings to the pipeline.

It remembers what it has read only to save work; everything it needs is in the manifests and the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from callcore.recording import RecordingState
from callcore.recording_manifest import BadManifest, Manifest
from kalibri.db import Conn
from kalibri.recording_spool import Spool
from kalibri.services import recording_pipeline as pipeline

log = logging.getLogger("ks-rec")

#: A recording that nobody has ended is looked at every so often.
OPEN_SECONDS = 10.0
#: Recordings that are known are compared with the database every so often.
KNOWN_SECONDS = 15.0


@dataclass
class _Seen:
    """What is remembered of a manifest."""

    signature: tuple[int, int]
    manifest: Manifest
    next_look: float = 0.0


@dataclass
class Intake:
    """Looks through the manifests of one machine."""

    spool: Spool
    host: str
    #: Whether a controller still holds a call.
    known: Callable[[UUID], bool]
    #: Monotonic seconds.
    clock: Callable[[], float]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _seen: dict[UUID, _Seen] = field(default_factory=dict)
    _registered: set[UUID] = field(default_factory=set)
    _next_compare: float = 0.0
    #: Manifests that could not be read.
    bad: int = 0

    def look(self, conn: Conn) -> int:
        """Register what is complete; return how many recordings are new. Raises KalibriError, OSError."""
        present = set(self.spool.manifest_ids())
        self._registered &= present
        for gone in self._seen.keys() - present:
            del self._seen[gone]
        new = sum(self._look_at(conn, recording_id) for recording_id in sorted(present - self._registered))
        if self.clock() >= self._next_compare:
            self._next_compare = self.clock() + KNOWN_SECONDS
            self._compare(conn)
        return new

    @property
    def open(self) -> int:
        """How many recordings go on, or are not complete yet."""
        return len(self._seen.keys() - self._registered)

    def forget(self) -> None:
        """Look at everything anew: the database that comes back may be a restored one."""
        self._registered.clear()

    def _look_at(self, conn: Conn, recording_id: UUID) -> bool:
        seen = self._read(recording_id)
        if seen is None or self.clock() < seen.next_look:
            return False
        if not pipeline.is_complete(seen.manifest, known=self.known, now=self.now()):
            if seen.manifest.stopped_at is None:
                seen.next_look = self.clock() + OPEN_SECONDS
            return False
        new = pipeline.register(conn, seen.manifest, host=self.host)
        self._registered.add(recording_id)
        return new

    def _read(self, recording_id: UUID) -> _Seen | None:
        """Return what a manifest says now; one that cannot be read is put aside."""
        try:
            stat = self.spool.manifest_path(recording_id).stat()
            signature = (stat.st_size, stat.st_mtime_ns)
            seen = self._seen.get(recording_id)
            if seen is None or seen.signature != signature:
                seen = self._seen[recording_id] = _Seen(signature, self.spool.read(recording_id))
        except FileNotFoundError:
            return None
        except BadManifest as error:
            self._bad(recording_id, stat.st_mtime, error)
            return None
        return seen

    def _bad(self, recording_id: UUID, changed: float, error: BadManifest) -> None:
        # The controller writes a line at once, but a full disk may have cut it.
        if self.now().timestamp() - changed > OPEN_SECONDS:
            self.bad += 1
            log.error("%s: %s", self.spool.set_aside(recording_id), error.message)

    def _compare(self, conn: Conn) -> None:
        """Delete what is left of recordings that are finished or removed; look anew at unknown ones."""
        if not self._registered:
            return
        states = pipeline.states(conn, list(self._registered))
        for recording_id in list(self._registered):
            state = states.get(recording_id)
            if state in (RecordingState.INDEXED, RecordingState.REMOVED):
                self.spool.clear(recording_id)
            elif state is None:
                self._registered.discard(recording_id)
