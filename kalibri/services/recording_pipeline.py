"""From complete files of a node to a finished recording: the steps of ks-rec.

Each step first looks whether its result is there, makes it under a temporary name, renames it, and only then
tells the database; the names follow from the recording's id. So a worker may be killed between any two lines
here, and the next one goes on without losing, doubling or halving anything. Who holds the claim is checked by
the database at each step. Decides nothing about when to work: tools/ks_rec.py does.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from callcore.errors import KalibriError
from callcore.recording import (
    RecordingPolicy,
    RecordingState,
    RecordingStep,
    is_ready,
    retry_seconds,
    storage_path,
)
from callcore.recording_manifest import Manifest
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.files import copy_replacing, make_directory, sha256_of, sync_directory, write_replacing
from kalibri.recording_encode import encode_mp3
from kalibri.recording_mix import WIDE, mix
from kalibri.recording_spool import Spool, segment_file, written
from kalibri.services import recording as recordings

SQL = db.statements("recording")
#: Written as `by` into the audit when nobody in particular did it.
PIPELINE = "ks-rec"


class ClaimLost(KalibriError):
    """Another worker has this recording now, or somebody deleted it."""

    error_id = "claim-lost"


class ResultLost(KalibriError):
    """The file that the state promises is gone."""

    error_id = "result-lost"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A recording that a worker has claimed."""

    tenant_id: int
    recording_id: UUID
    call_id: UUID
    started_at: datetime
    state: RecordingState
    duration_ms: int | None
    attempts: int


# ------------------------------------------------------------------------------------------------ register


def is_complete(manifest: Manifest, *, known: Callable[[UUID], bool], now: datetime) -> bool:
    """Tell whether the files of a recording are complete.

    known: asks the controllers whether they still hold a call; called only when everything else says that the
    recording was given up.
    """
    segments = [segment_file(manifest, segment) for segment in manifest.segments]
    ready = is_ready(segments, stopped_at=manifest.stopped_at, known=False, now=now)
    return ready and (manifest.stopped_at is not None or not known(manifest.call_id))


def register(conn: Conn, manifest: Manifest, *, host: str) -> bool:
    """Make a complete recording known to the pipeline of this machine; False if it was known already."""
    with conn.transaction():
        new = db.fetch_value(
            conn,
            SQL["register"],
            tenant_id=manifest.tenant_id,
            recording_id=manifest.recording_id,
            call_id=manifest.call_id,
            started_at=manifest.started_at,
            stopped_at=manifest.stopped_at,
            stop_reason=manifest.stop_reason or "controller_restart",
            a_number=manifest.a_number,
            b_number=manifest.b_number,
            reason=manifest.reason,
            node=manifest.node,
            host=host,
        )
        if new:
            recordings.note(conn, manifest.recording_id, "spooled", PIPELINE, reason=manifest.reason.value)
    return bool(new)


def states(conn: Conn, recording_ids: Sequence[UUID]) -> dict[UUID, RecordingState]:
    """Return how far recordings are; those that the database does not know are missing."""
    with db.domain_errors():
        rows = conn.execute(SQL["states"], {"recording_ids": list(recording_ids)}).fetchall()
    return {recording_id: RecordingState(state) for recording_id, state in rows}


# --------------------------------------------------------------------------------------------------- claim


def claim(conn: Conn, *, host: str, worker: str, lease_seconds: float) -> Job | None:
    """Give a worker the oldest recording that is due; None: there is none."""
    claimed = db.fetch_value(conn, SQL["claim"], host=host, worker=worker, lease_seconds=lease_seconds)
    return None if claimed is None else db.fetch_one(conn, Job, SQL["job"], recording_id=claimed)


def renew(conn: Conn, workers: Sequence[str], *, lease_seconds: float) -> None:
    """Let workers that live keep their claims."""
    db.execute(conn, SQL["renew"], workers=list(workers), lease_seconds=lease_seconds)


def forsake(conn: Conn, *, host: str, is_alive: Callable[[str], bool]) -> list[UUID]:
    """Take their recordings from workers of this machine that died in the middle; return which.

    Each counts as a failure: what kills its worker must not be taken up again at once, and again.
    """
    with db.domain_errors():
        rows = conn.execute(SQL["claimed"], {"host": host}).fetchall()
    dead = [(claimed, worker, attempts) for claimed, worker, attempts in rows if not is_alive(worker)]
    for claimed, worker, attempts in dead:
        _fail(conn, claimed, worker, attempts, "its worker died")
    return [claimed for claimed, _, _ in dead]


def fail(conn: Conn, job: Job, worker: str, why: str) -> float:
    """Note that a recording could not be finished; return after how many seconds it is tried again."""
    return _fail(conn, job.recording_id, worker, job.attempts, why)


def _fail(conn: Conn, recording_id: UUID, worker: str, attempts: int, why: str) -> float:
    wait = retry_seconds(attempts + 1)
    db.execute(conn, SQL["fail"], recording_id=recording_id, worker=worker, why=why[:500], wait_seconds=wait)
    return wait


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What a machine has still to do."""

    #: Recordings that are not finished.
    waiting: int
    #: Those of them that failed since their last progress.
    failing: int
    #: Why the last one did.
    error: str | None


def backlog(conn: Conn, *, host: str) -> Backlog:
    """Return what a machine has still to do."""
    return db.fetch_one(conn, Backlog, SQL["backlog"], host=host) or Backlog(waiting=0, failing=0, error=None)


# --------------------------------------------------------------------------------------------------- steps


class Pipeline:
    """The steps of one worker. `notice` is called between any two effects: tests kill there."""

    def __init__(
        self, config: Config, conn: Conn, worker: str, *, notice: Callable[[str], None] = lambda _: None
    ) -> None:
        self._config = config
        self._conn = conn
        self._worker = worker
        self._notice = notice
        self._spool = Spool.of(config)

    def finish(self, job: Job) -> Job:
        """Take a recording through all steps that are left; raises ClaimLost, KalibriError, OSError."""
        steps: dict[RecordingState, Callable[[Job], Job]] = {
            RecordingState.CLAIMED: self._mix,
            RecordingState.MIXED: self._encode,
            RecordingState.ENCODED: self._store,
            RecordingState.STORED: self._index,
        }
        while job.state in steps:
            try:
                job = steps[job.state](job)
            except ResultLost:
                job = self._advance(job, RecordingStep.LOSE)
            self._notice(f"told {job.state}")
        return job

    def _advance(self, job: Job, step: RecordingStep) -> Job:
        after = db.fetch_value(
            self._conn, SQL["advance"], recording_id=job.recording_id, worker=self._worker, step=step.value
        )
        if after is None:
            raise ClaimLost
        return replace(job, state=RecordingState(after))

    def _mix(self, job: Job) -> Job:
        """Place both sides on one time line."""
        wav, facts = self._spool.wav(job.recording_id), self._spool.facts(job.recording_id)
        if not (wav.exists() and facts.exists()):
            facts.unlink(missing_ok=True)  # of another life: what it tells must be of this WAV
            manifest = self._spool.read(job.recording_id)
            mixed = mix(manifest, written(manifest), wav)
            self._notice("mixed")
            write_replacing(facts, json.dumps(mixed.to_json()).encode())
        self._notice("facts")
        told = json.loads(facts.read_bytes())
        with self._conn.transaction():
            db.execute(
                self._conn,
                SQL["set_mixed"],
                recording_id=job.recording_id,
                worker=self._worker,
                duration_ms=told["duration_ms"],
                marks=json.dumps(told["marks"]),
                quality=json.dumps(told["quality"]),
            )
            return replace(self._advance(job, RecordingStep.MIX), duration_ms=told["duration_ms"])

    def _encode(self, job: Job) -> Job:
        """Make the MP3; a recording without any audio has none."""
        wav, mp3 = self._spool.wav(job.recording_id), self._spool.mp3(job.recording_id)
        if job.duration_ms and not mp3.exists():
            if not wav.exists():
                raise ResultLost
            rate = json.loads(self._spool.facts(job.recording_id).read_bytes())["rate"]
            settings = self._config.recording
            encode_mp3(wav, mp3, settings.wide_kbps if rate == WIDE else settings.narrow_kbps)
        self._notice("encoded")
        return self._advance(job, RecordingStep.ENCODE)

    def _store(self, job: Job) -> Job:
        """Put what is kept into its place."""
        policy = recordings.policy(self._conn, tenant_id=job.tenant_id).policy
        stored = [self._put(job, name, source, move) for name, source, move in self._kept(job, policy)]
        try:
            with self._conn.transaction():
                for name, path in stored:
                    self._add_file(job, name, path)
                recordings.note(
                    self._conn, job.recording_id, "stored", PIPELINE, files=[name for name, _ in stored]
                )
                return self._advance(job, RecordingStep.STORE)
        except ClaimLost:
            self._take_back(job)
            raise

    def _kept(self, job: Job, policy: RecordingPolicy) -> list[tuple[str, Path, bool]]:
        """Return what is kept: its name, where it is now, and whether it moves (or is only linked)."""
        kept: list[tuple[str, Path, bool]] = []
        if job.duration_ms:
            kept.append(("mp3", self._spool.mp3(job.recording_id), True))
            if policy.keep_wav:
                kept.append(("wav", self._spool.wav(job.recording_id), True))
        if policy.keep_original:
            files = written(self._spool.read(job.recording_id))
            kept += [(f"pcap-{n}", path, False) for n, path in enumerate(files, 1)]
        return kept

    def _put(self, job: Job, name: str, source: Path, move: bool) -> tuple[str, Path]:
        """Put one file into its place; whoever was here before may have done it."""
        suffix = ".".join(reversed(name.split("-")))  # pcap-1 → 1.pcap
        stem = storage_path(job.tenant_id, job.started_at.astimezone(UTC), str(job.recording_id))
        target = self._config.recording_directory / f"{stem}.{suffix}"
        if source.exists():
            make_directory(target.parent)
            if move:
                _move(source, target)
            elif not target.exists():
                _link(source, target)
        elif not target.exists():
            raise ResultLost
        self._notice(f"put {name}")
        return name, target

    def _add_file(self, job: Job, name: str, path: Path) -> None:
        db.execute(
            self._conn,
            SQL["add_file"],
            tenant_id=job.tenant_id,
            recording_id=job.recording_id,
            name=name,
            path=str(path.relative_to(self._config.recording_directory)),
            bytes=path.stat().st_size,
            sha256=sha256_of(path),
        )

    def _take_back(self, job: Job) -> None:
        """Delete what was put into its place for a recording that somebody deleted meanwhile."""
        if states(self._conn, [job.recording_id]).get(job.recording_id) is RecordingState.REMOVED:
            recordings.erase_strays(self._config, job.tenant_id, job.started_at, job.recording_id)

    def _index(self, job: Job) -> Job:
        """Delete what the node wrote and what was only half-way."""
        self._spool.clear(job.recording_id)
        self._notice("cleared")
        return self._advance(job, RecordingStep.INDEX)


def _move(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_replacing(source, target)
        source.unlink()
    else:
        sync_directory(target.parent)


def _link(source: Path, target: Path) -> None:
    """Keep a file of the node under a second name: its own is deleted later."""
    try:
        with source.open("rb") as file:
            os.fsync(file.fileno())  # RTPProxy does not
        os.link(source, target)
    except OSError:  # another file system, or one without links
        copy_replacing(source, target)
    else:
        sync_directory(target.parent)
