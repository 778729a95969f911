"""Legal hold, retention, deletion with a tombstone, archive, restore and verification, with real PostgreSQL and S3."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from callcore.errors import NotFound, Unavailable
from callcore.recording import RecordingState
from kalibri.archive_store import open_archive
from kalibri.config import Config
from kalibri.services import recording as recordings
from kalibri.services import recording_archive as archives
from kalibri.services.recording import LegalHold
from tests.support.fix_ksctl import Ksctl
from tests.support.fix_s3 import Bucket
from tests.support.recordings import recorded_call
from tools.ks_rec import settle
from tools.rec.worker import Worker

DAY = 24 * 3600


@pytest.fixture(params=["dir", "s3"])
def archiving(request: pytest.FixtureRequest, pg_config: Config, tmp_path: Path) -> Config:
    """An instance with an archive of each kind."""
    if request.param == "dir":
        (tmp_path / "archive").mkdir()
        settings = replace(pg_config.recording, archive=f"dir:{tmp_path / 'archive'}")
        return replace(pg_config, recording=settings)
    bucket: Bucket = request.getfixturevalue("s3_bucket")
    settings = replace(
        pg_config.recording,
        archive=f"s3://{bucket.name}/kalibri",
        s3_endpoint=bucket.endpoint,
        s3_credentials_file=bucket.credentials_file,
    )
    return replace(pg_config, recording=settings)


def one_recording(config: Config, *, age_days: float = 0, tenant: int = 0, seed: int = 1) -> UUID:
    call = recorded_call(config, seconds=0.5, age_seconds=60 + age_days * DAY, tenant=tenant, seed=seed)
    assert settle(config)
    return call.recording_id


def look_after(config: Config) -> None:
    """Let a worker do what retention and archive want."""
    with contextlib.closing(Worker(config)) as worker:
        worker.work()


def local_files(config: Config) -> list[Path]:
    return [path for path in config.recording_directory.rglob("*") if path.is_file()]


def kinds(conn: psycopg.Connection, recording_id: UUID) -> list[tuple[str, str]]:
    return [(event.kind, event.by) for event in recordings.events(conn, recording_id=recording_id)]


def test_deletion_leaves_a_tombstone_that_says_who_and_why(
    pg_config: Config, ksctl: Ksctl, db: psycopg.Connection
) -> None:
    recording_id = one_recording(pg_config)
    ksctl.ok("recording", "rm", str(recording_id), "--why", "wish of the caller")
    assert local_files(pg_config) == []
    tomb = recordings.find(db, recording_id=recording_id)
    assert tomb.state is RecordingState.REMOVED
    assert (tomb.a_number, tomb.b_number, tomb.local) == ("", "", False)
    assert tomb.removed_by.startswith("ksctl ")
    event = recordings.events(db, recording_id=recording_id)[-1]
    assert (event.kind, event.data["why"]) == ("remove", "wish of the caller")
    assert recordings.files(db, recording_ids=[recording_id])[0].sha256
    assert "has been removed by ksctl" in ksctl.fails(3, f"recording play {recording_id}")
    assert ksctl.ok("recording list -o json").json == []
    assert len(ksctl.ok("recording list --state removed -o json").json) == 1
    with pytest.raises(NotFound):
        recordings.remove(db, recording_id=recording_id, by="again")


def test_a_legal_hold_outlasts_people_and_retention(
    pg_config: Config, ksctl: Ksctl, db: psycopg.Connection
) -> None:
    recordings.set_policy(db, tenant_id=0, retention_days=30)
    recording_id = one_recording(pg_config, age_days=20)
    db.execute("UPDATE recording SET started_at = started_at - interval '20 days'")
    ksctl.ok("recording", "hold", str(recording_id), "--why", "court")
    with pytest.raises(LegalHold):
        recordings.remove(db, recording_id=recording_id, by="x")
    assert "under a legal hold" in ksctl.fails(4, f"recording rm {recording_id}")
    look_after(pg_config)
    assert recordings.find(db, recording_id=recording_id).state is RecordingState.INDEXED
    ksctl.ok(f"recording release {recording_id}")
    look_after(pg_config)
    assert recordings.find(db, recording_id=recording_id).removed_by == "retention"
    assert local_files(pg_config) == []
    assert [kind for kind, _ in kinds(db, recording_id)] == ["spooled", "stored", "hold", "release", "remove"]


def test_retention_is_that_of_the_tenant(pg_config: Config, ksctl: Ksctl, db: psycopg.Connection) -> None:
    ksctl.ok("tenant add short")
    ksctl.ok("tenant add usual")
    held = ksctl.ok("recording policy -t short --retention 30d --keep-wav -o json").json
    assert (held["own"], held["retention_days"], held["keep_wav"]) == (True, 30, True)
    assert ksctl.ok("recording policy -t usual -o json").json["retention_days"] == 5 * 365
    ids = {
        name: one_recording(
            pg_config, age_days=31, tenant=ksctl.ok(f"tenant show {name} -o json").json["tenant_id"]
        )
        for name in ("short", "usual")
    }
    look_after(pg_config)
    states = {
        name: recordings.find(db, recording_id=recording_id).state for name, recording_id in ids.items()
    }
    assert states == {"short": RecordingState.REMOVED, "usual": RecordingState.INDEXED}
    assert ksctl.ok("recording policy -t short --default -o json").json["own"] is False
    assert ksctl.ok("recording policy --retention none -o json").json["retention_days"] is None


def test_what_the_archive_has_leaves_the_disk_and_comes_back(
    archiving: Config, db: psycopg.Connection
) -> None:
    recordings.set_policy(db, tenant_id=0, keep_wav=True, restored_days=7)
    young, old = one_recording(archiving, seed=1), one_recording(archiving, age_days=11, seed=5)
    before = {path: path.read_bytes() for path in local_files(archiving) if str(old) in path.name}
    assert len(before) == 2
    recordings.set_policy(db, tenant_id=0, archive_after_days=10)
    look_after(archiving)
    assert all(str(young) in path.name for path in local_files(archiving))
    moved = recordings.find(db, recording_id=old)
    assert (moved.archived, moved.local) == (True, False)
    with pytest.raises(Unavailable, match="in the archive only"):
        recordings.audio(db, archiving, recording_id=old, name="mp3", by="me", use="play")
    assert archives.restore(db, archiving, recording_id=old, by="me") == 2
    assert {path: path.read_bytes() for path in before} == before
    verdicts = recordings.verify(db, archiving, recording_id=old, by="me", archive=True)
    assert [(verdict.name, verdict.ok) for verdict in verdicts] == [
        (n, True) for n in ("mp3", "mp3", "wav", "wav")
    ]
    look_after(archiving)
    assert all(path.exists() for path in before)  # restored: it stays for a week
    db.execute("UPDATE recording SET restored_at = restored_at - interval '8 days'")
    look_after(archiving)
    assert not any(path.exists() for path in before)
    told = ["spooled", "stored", "archive", "thin_out", "restore", "verify", "thin_out"]
    assert [kind for kind, _ in kinds(db, old)] == told


def test_deletion_reaches_the_archive(archiving: Config, db: psycopg.Connection) -> None:
    recording_id = one_recording(archiving)
    archives.archive(db, archiving, recording_id=recording_id, by="me")
    (file,) = recordings.files(db, recording_ids=[recording_id])
    assert open_archive(archiving).sha256(file.path) == file.sha256
    recordings.remove(db, recording_id=recording_id, by="me")
    look_after(archiving)  # the one who removed it was killed before he could erase
    with pytest.raises(NotFound):
        open_archive(archiving).sha256(file.path)
    assert local_files(archiving) == []
    (file,) = recordings.files(db, recording_ids=[recording_id])
    assert (file.local, file.archive) == (False, None)


def test_a_damaged_file_is_found_and_never_archived(
    archiving: Config, ksctl: Ksctl, db: psycopg.Connection
) -> None:
    recording_id = one_recording(archiving)
    (path,) = local_files(archiving)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    outcome = ksctl(f"recording verify {recording_id} -o json")
    assert (outcome.exit_code, outcome.json[0]["detail"]) == (1, "checksum differs")
    with pytest.raises(Unavailable, match="not what was stored"):
        archives.archive(db, archiving, recording_id=recording_id, by="me")
    assert recordings.find(db, recording_id=recording_id).archived is False


def test_a_damaged_copy_in_the_archive_does_not_replace_anything(
    pg_config: Config, db: psycopg.Connection, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    config = replace(pg_config, recording=replace(pg_config.recording, archive=f"dir:{folder}"))
    recording_id = one_recording(config)
    archives.archive(db, config, recording_id=recording_id, by="me")
    archives.thin_out(db, config, recording_id=recording_id, by="me")
    (copy,) = (path for path in folder.rglob("*") if path.is_file())
    copy.write_bytes(b"nonsense")
    with pytest.raises(Unavailable, match="damaged"):
        archives.restore(db, config, recording_id=recording_id, by="me")
    assert local_files(config) == []
    (verdict,) = recordings.verify(db, config, recording_id=recording_id, by="me", archive=True)
    assert not verdict.ok


def test_an_archive_that_is_away_loses_nothing(
    pg_config: Config, db: psycopg.Connection, tmp_path: Path
) -> None:
    settings = replace(pg_config.recording, archive=f"dir:{tmp_path / 'not mounted'}")
    config = replace(pg_config, recording=settings)
    recordings.set_policy(db, tenant_id=0, archive_after_days=0)
    recording_id = one_recording(config)
    look_after(config)
    found = recordings.find(db, recording_id=recording_id)
    assert (found.local, found.archived) == (True, False)
    (tmp_path / "not mounted").mkdir()
    look_after(config)
    assert recordings.find(db, recording_id=recording_id).archived


def test_bulk_deeds_say_what_they_would_do(pg_config: Config, ksctl: Ksctl, db: psycopg.Connection) -> None:
    ids = {str(one_recording(pg_config, seed=n)) for n in range(3)}
    outcome = ksctl.ok("recording rm -t system --since 1d --dry-run")
    assert {line.split()[0] for line in outcome.stdout.splitlines()} == ids
    assert "3 recordings would be removed" in outcome.stderr
    assert len(local_files(pg_config)) == 3
    assert "3 of 3 recordings removed" in ksctl.ok("recording rm -t system --since 1d").stderr
    assert local_files(pg_config) == []
    assert "which recordings?" in ksctl.fails(2, "recording rm")
    assert "either ids or filters" in ksctl.fails(2, "recording rm abcd --since 1d")
    assert "there is no recording" in ksctl.fails(3, "recording show 00000000")
    assert "the RTP controller does not answer" in ksctl.fails(1, f"recording start {ids.pop()}")
