"""Recordings: listing, audit, legal hold, deletion, verification, and what a tenant wants of them.

A deleted recording becomes its tombstone first, in one transaction with the audit; then nobody can play it, and
its files are erased, now or by ks-rec of the machine on which they lie. Each use that reaches the audio is
noted with who it was. Never records and never encodes: that is the controller's and the pipeline's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from callcore.errors import BadInput, KalibriError, NotFound, Refused, Unavailable
from callcore.recording import RecordingPolicy, RecordingReason, RecordingState, storage_path
from kalibri import db
from kalibri.archive_store import open_archive
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.files import sha256_of

SQL = db.statements("recording")
NO_LIMIT = 1_000_000_000


class LegalHold(Refused):
    """The recording is under a legal hold."""

    error_id = "legal-hold"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording as it is listed."""

    tenant_id: int
    tenant: str
    recording_id: UUID
    call_id: UUID
    started_at: datetime
    stopped_at: datetime | None
    stop_reason: str
    a_number: str
    b_number: str
    reason: RecordingReason
    node: str
    host: str
    state: RecordingState
    state_at: datetime
    duration_ms: int | None
    #: Pauses, holds and music on the time line of the audio.
    marks: Sequence[Mapping[str, Any]]
    #: Per side: packets, lost, codecs, ….
    quality: Mapping[str, Any]
    attempts: int
    retry_at: datetime | None
    error: str
    legal_hold: bool
    indexed_at: datetime | None
    restored_at: datetime | None
    removed_at: datetime | None
    removed_by: str
    bytes: int
    #: All its files are at hand on its host; all are in the archive.
    local: bool
    archived: bool


@dataclass(frozen=True, kw_only=True)
class RecordingFile:
    """A file of a recording."""

    tenant_id: int
    recording_id: UUID
    #: mp3, wav, or pcap-1, pcap-2, … (what the node wrote).
    name: str
    #: Below the folder of recordings; the key in the archive.
    path: str
    bytes: int
    sha256: str
    local: bool
    archive: str | None
    archived_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """Who did what with a recording."""

    at: datetime
    kind: str
    by: str
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TenantPolicy:
    """The policy that holds for a tenant."""

    tenant_id: int
    #: The tenant's own; else it is the system's.
    own: bool
    policy: RecordingPolicy


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What checking one copy of a file found."""

    recording_id: UUID
    name: str
    #: "local", or the archive's URL.
    where: str
    ok: bool
    detail: str


def list_recordings(
    conn: Conn,
    *,
    tenant_id: int | None = None,
    recording_ids: Sequence[UUID] | None = None,
    call_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    number: str | None = None,
    states: Sequence[RecordingState] | None = None,
    legal_hold: bool | None = None,
    limit: int | None = None,
) -> list[Recording]:
    """Return recordings, the latest first; None: whatever it is. number: a number begins so."""
    return db.fetch_all(
        conn,
        Recording,
        SQL["list_recordings"],
        tenant_id=tenant_id,
        recording_ids=None if recording_ids is None else list(recording_ids),
        call_id=call_id,
        since=since,
        until=until,
        number=number,
        states=None if states is None else [state.value for state in states],
        legal_hold=legal_hold,
        limit=NO_LIMIT if limit is None else limit,
    )


def find(conn: Conn, *, recording_id: UUID) -> Recording:
    """Return one recording, or its tombstone; raises NotFound."""
    found = list_recordings(conn, recording_ids=[recording_id])
    return db.require(found[0] if found else None, "recording", recording_id)


def find_id(conn: Conn, *, text: str) -> UUID:
    """Return the recording whose id, or whose call's id, begins with this text; raises NotFound, BadInput."""
    digits = text.strip().lower().replace("-", "")
    if not re.fullmatch(r"[0-9a-f]{4,32}", digits):
        raise BadInput(f'"{text}" is no id of a recording or call: four hexadecimal digits, or more of them')
    span = {"first": UUID(digits.ljust(32, "0")), "last": UUID(digits.ljust(32, "f"))}
    with db.domain_errors():
        rows = conn.execute(SQL["ids_like"], span).fetchall()
    if not rows:
        raise NotFound(f'there is no recording "{text}"')
    if len(rows) > 1:
        raise BadInput(f'more than one recording is "{text}": see ksctl recording list, give more of its id')
    return UUID(str(rows[0][0]))


def files(conn: Conn, *, recording_ids: Sequence[UUID]) -> list[RecordingFile]:
    """Return the files of recordings."""
    return db.fetch_all(conn, RecordingFile, SQL["files"], recording_ids=list(recording_ids))


def events(conn: Conn, *, recording_id: UUID) -> list[AuditEvent]:
    """Return who did what with a recording, in time order."""
    return db.fetch_all(conn, AuditEvent, SQL["events"], recording_id=recording_id)


def note(conn: Conn, recording_id: UUID, kind: str, by: str, /, **data: object) -> None:
    """Write into the audit of a recording."""
    db.execute(
        conn,
        SQL["add_event"],
        recording_id=recording_id,
        kind=kind,
        by=by,
        data=json.dumps(data, default=str),
    )


# -------------------------------------------------------------------------------------------------- policy


def policy(conn: Conn, *, tenant_id: int) -> TenantPolicy:
    """Return the policy that holds for a tenant; raises NotFound."""
    with db.domain_errors(), conn.cursor() as cursor:
        row = cursor.execute(SQL["policy"], {"tenant_id": tenant_id}).fetchone()
        names = [column.name for column in cursor.description or ()]
    values = dict(zip(names, db.require(row, "tenant", tenant_id), strict=True))
    chosen = {item.name: values[item.name] for item in fields(RecordingPolicy)}
    return TenantPolicy(tenant_id=tenant_id, own=values["own"], policy=RecordingPolicy(**chosen))


def set_policy(conn: Conn, *, tenant_id: int, **changes: Any) -> TenantPolicy:
    """Change fields of RecordingPolicy for a tenant, which then has one of its own; raises BadInput, NotFound."""
    with conn.transaction():
        now = policy(conn, tenant_id=tenant_id).policy
        values = {item.name: getattr(now, item.name) for item in fields(now)} | changes
        db.execute(conn, SQL["set_policy"], tenant_id=tenant_id, **values)
        return policy(conn, tenant_id=tenant_id)


def drop_policy(conn: Conn, *, tenant_id: int) -> TenantPolicy:
    """Let a tenant have the system's policy again; raises NotFound."""
    with conn.transaction():
        db.execute(conn, SQL["drop_policy"], tenant_id=tenant_id)
        return policy(conn, tenant_id=tenant_id)


# ---------------------------------------------------------------------------------------- hold and removal


def set_hold(conn: Conn, *, recording_id: UUID, legal_hold: bool, by: str, why: str = "") -> bool:
    """Begin or end a legal hold; False if it was so already. Raises NotFound, also for a removed recording."""
    with conn.transaction():
        if find(conn, recording_id=recording_id).state is RecordingState.REMOVED:
            raise NotFound(f"the recording {recording_id} has been removed")
        changed = db.execute(conn, SQL["set_hold"], recording_id=recording_id, legal_hold=legal_hold)
        if changed:
            note(conn, recording_id, "hold" if legal_hold else "release", by, why=why)
        return bool(changed)


def remove(conn: Conn, *, recording_id: UUID, by: str, why: str = "") -> None:
    """Turn a recording into its tombstone; its files are erased afterwards (`erase`).

    Raises NotFound, also if it was removed before, and LegalHold.
    """
    with conn.transaction():
        before = find(conn, recording_id=recording_id)
        if before.state is RecordingState.REMOVED:
            raise NotFound(f"the recording {recording_id} has been removed already")
        if not db.execute(conn, SQL["remove"], recording_id=recording_id, by=by):
            raise LegalHold(f"the recording {recording_id} is under a legal hold")
        note(
            conn, recording_id, "remove", by, why=why, state=before.state.value, started_at=before.started_at
        )


def erase(conn: Conn, config: Config, *, recording_id: UUID) -> int:
    """Erase what is left of a removed recording on this machine and in the archive; return how many copies.

    Raises Refused for one that is not removed, Unavailable, OSError; what was erased until then stays noted.
    """
    recording = find(conn, recording_id=recording_id)
    if recording.state is not RecordingState.REMOVED:
        raise Refused(f"the recording {recording_id} is not removed")
    erased = 0
    for file in files(conn, recording_ids=[recording_id]):
        if file.archive is not None:
            open_archive(config, file.archive).delete(file.path)
            db.execute(conn, SQL["set_unarchived"], recording_id=recording_id, name=file.name)
            erased += 1
        if file.local and recording.host == config.node_name:
            local_path(config, file).unlink(missing_ok=True)
            db.execute(conn, SQL["set_local"], recording_id=recording_id, name=file.name, local=False)
            erased += 1
    if recording.host == config.node_name:
        erase_strays(config, recording.tenant_id, recording.started_at, recording_id)
    return erased


def erase_strays(config: Config, tenant_id: int, started_at: datetime, recording_id: UUID) -> None:
    """Delete files of a removed recording that no row names: its worker was killed before it could tell."""
    stem = config.recording_directory / storage_path(tenant_id, started_at.astimezone(UTC), str(recording_id))
    for path in stem.parent.glob(f"{stem.name}.*"):
        path.unlink(missing_ok=True)


# --------------------------------------------------------------------------------------------------- audio


def local_path(config: Config, file: RecordingFile) -> Path:
    """Return where a file lies on the host of its recording."""
    return config.recording_directory / file.path


def audio(conn: Conn, config: Config, *, recording_id: UUID, name: str, by: str, use: str) -> Path:
    """Return the file to play or export, and note who got it.

    Raises NotFound (no such file, removed), Unavailable (in the archive only, or on another machine).
    """
    recording = find(conn, recording_id=recording_id)
    if recording.state is RecordingState.REMOVED:
        raise NotFound(f"the recording {recording_id} has been removed by {recording.removed_by}")
    found = {file.name: file for file in files(conn, recording_ids=[recording_id])}
    if name not in found:
        raise NotFound(_no_file(recording, name))
    path = local_path(config, found[name])
    if not path.is_file():
        raise Unavailable(_elsewhere(config, recording, found[name]))
    note(conn, recording_id, use, by, file=name)
    return path


def _no_file(recording: Recording, name: str) -> str:
    if recording.state is not RecordingState.INDEXED:
        why = ": ".join(filter(None, [recording.state.value, recording.error]))
        return f"the recording is not finished yet ({why})"
    return "nothing was to be heard" if not recording.duration_ms else f"no {name} is kept of this recording"


def _elsewhere(config: Config, recording: Recording, file: RecordingFile) -> str:
    if file.archive is not None:
        return f"the file is in the archive only: ksctl recording restore {recording.recording_id}"
    if recording.host != config.node_name:
        return f"the file lies on {recording.host}"
    return f"{local_path(config, file)} is gone"


def verify(
    conn: Conn, config: Config, *, recording_id: UUID, by: str, archive: bool = False
) -> list[Verdict]:
    """Compare the files of a recording with their checksums, and note the result.

    archive: also read the copies in the archive. Raises NotFound.
    """
    recording = find(conn, recording_id=recording_id)
    verdicts = []
    for file in files(conn, recording_ids=[recording_id]):
        if file.local and recording.host == config.node_name:
            verdicts.append(_verdict(file, "local", partial(sha256_of, local_path(config, file))))
        if archive and file.archive is not None:
            store = open_archive(config, file.archive)
            verdicts.append(_verdict(file, store.url, partial(store.sha256, file.path)))
    bad = [f"{verdict.name} {verdict.where}: {verdict.detail}" for verdict in verdicts if not verdict.ok]
    note(conn, recording_id, "verify", by, checked=len(verdicts), bad=bad)
    return verdicts


def _verdict(file: RecordingFile, where: str, read: Callable[[], str]) -> Verdict:
    try:
        detail = "" if read() == file.sha256 else "checksum differs"
    except (OSError, KalibriError) as error:
        detail = str(error)
    return Verdict(
        recording_id=file.recording_id, name=file.name, where=where, ok=not detail, detail=detail or "ok"
    )
