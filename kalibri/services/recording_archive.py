"""Recordings and the second storage: archiving, fetching back, and what retention says of each.

A file is in the archive when it was read back there and its checksum is right; only then may the copy at hand
go. Each function does one recording and may be repeated after any failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from callcore.errors import NotFound, Refused, Unavailable
from callcore.recording import RecordingState
from kalibri import db
from kalibri.archive_store import ChecksumMismatch, open_archive
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.files import make_directory, sha256_of
from kalibri.services import recording as recordings

SQL = db.statements("recording")
#: Written as `by` into the audit.
RETENTION = "retention"
POLICY = "policy"
#: Recordings that one look of the maintenance takes up.
BATCH = 200


def archive(conn: Conn, config: Config, *, recording_id: UUID, by: str) -> int:
    """Copy a recording into the configured archive and check the copies; return how many files are new there.

    Raises NotFound, Refused (not finished), Unavailable, OSError.
    """
    recording = _finished(conn, config, recording_id)
    store = open_archive(config)
    new = 0
    for file in recordings.files(conn, recording_ids=[recording_id]):
        if file.archive is not None or not file.local:
            continue
        path = recordings.local_path(config, file)
        if sha256_of(path) != file.sha256:
            raise ChecksumMismatch(f"{path} is not what was stored: it is not archived")
        store.put(path, file.path)
        if store.sha256(file.path) != file.sha256:
            raise ChecksumMismatch(f"the copy of {file.path} in {store.url} is damaged")
        db.execute(conn, SQL["set_archived"], recording_id=recording_id, name=file.name, archive=store.url)
        new += 1
    if new:
        recordings.note(conn, recording.recording_id, "archive", by, files=new, archive=store.url)
    return new


def thin_out(conn: Conn, config: Config, *, recording_id: UUID, by: str) -> int:
    """Delete the copies at hand of what the archive has; return how many. Raises NotFound, Refused, OSError."""
    _finished(conn, config, recording_id)
    gone = 0
    for file in recordings.files(conn, recording_ids=[recording_id]):
        if file.archive is not None and file.local:
            # First the file: if this ends in between, the row still says that something is to be done.
            recordings.local_path(config, file).unlink(missing_ok=True)
            db.execute(conn, SQL["set_local"], recording_id=recording_id, name=file.name, local=False)
            gone += 1
    if gone:
        recordings.note(conn, recording_id, "thin_out", by, files=gone)
    return gone


def restore(conn: Conn, config: Config, *, recording_id: UUID, by: str) -> int:
    """Fetch from the archive what is not at hand, and check it; return how many files came.

    Raises NotFound, Refused, Unavailable, OSError.
    """
    _finished(conn, config, recording_id)
    came = 0
    for file in recordings.files(conn, recording_ids=[recording_id]):
        path = recordings.local_path(config, file)
        if file.archive is None or (file.local and path.is_file()):
            continue
        make_directory(path.parent)
        open_archive(config, file.archive).fetch(file.path, path)
        if sha256_of(path) != file.sha256:
            path.unlink()
            raise ChecksumMismatch(f"what {file.archive} has of {file.path} is damaged")
        db.execute(conn, SQL["set_local"], recording_id=recording_id, name=file.name, local=True)
        came += 1
    with conn.transaction():
        db.execute(conn, SQL["set_restored"], recording_id=recording_id)
        recordings.note(conn, recording_id, "restore", by, files=came)
    return came


def _finished(conn: Conn, config: Config, recording_id: UUID) -> recordings.Recording:
    recording = recordings.find(conn, recording_id=recording_id)
    if recording.state is RecordingState.REMOVED:
        raise NotFound(f"the recording {recording_id} has been removed")
    if recording.state is not RecordingState.INDEXED:
        raise Refused(f"the recording {recording_id} is not finished yet ({recording.state})")
    if recording.host != config.node_name:
        raise Unavailable(f"the recording {recording_id} lies on {recording.host}: run this there")
    return recording


# --------------------------------------------------------------------------------------------- maintenance


def lock_maintenance(conn: Conn, *, host: str) -> bool:
    """Become the one that looks after the recordings of a machine, as long as this connection lasts."""
    return bool(db.fetch_value(conn, SQL["maintenance_lock"], host=host))


def due_expired(conn: Conn, *, host: str) -> list[UUID]:
    """Return recordings whose retention is over."""
    return _ids(conn.execute(SQL["due_expired"], {"host": host, "limit": BATCH}).fetchall())


def due_erase(conn: Conn, *, host: str) -> list[UUID]:
    """Return removed recordings of which files are left."""
    return _ids(conn.execute(SQL["due_erase"], {"host": host, "limit": BATCH}).fetchall())


def due_archive(conn: Conn, *, host: str) -> list[UUID]:
    """Return recordings that belong into the archive and are not there."""
    return _ids(conn.execute(SQL["due_archive"], {"host": host, "limit": BATCH}).fetchall())


def due_thin_out(conn: Conn, *, host: str) -> list[UUID]:
    """Return recordings that are at hand although the archive has them."""
    return _ids(conn.execute(SQL["due_thin_out"], {"host": host, "limit": BATCH}).fetchall())


def _ids(rows: Sequence[tuple[UUID, ...]]) -> list[UUID]:
    return [row[0] for row in rows]
