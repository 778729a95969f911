"""The jobs of ks-worker: single, noted, safe to repeat; old days archived and dropped by policy."""

from __future__ import annotations

import csv
import gzip
import io
import os
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from callcore.errors import NotFound, Unavailable
from callcore.states import JobOutcome
from kalibri.config import Config
from kalibri.db import Conn, connect_tool
from kalibri.services import archive, backup, worker
from kalibri.services.archive import ArchiveDamaged
from kalibri.services.worker import JOBS, RunsAlready
from tests.support.builders import make_tenant
from tests.support.fix_ksctl import Ksctl
from tests.support.fix_s3 import Bucket


def add_calls(conn: Conn, tenant_id: int | None, days_ago: int, count: int) -> date:
    """Store calls and events of a day; return the day."""
    day = (datetime.now(UTC) - timedelta(days=days_ago)).replace(hour=12, minute=0, second=0, microsecond=0)
    conn.execute("SELECT ensure_day_partitions(%s)", [day.date()])
    for table, id_, time_ in (("call", "call_id", "started_at"), ("call_event", "event_id", "at")):
        more = ", kind, node, process" if table == "call_event" else ", a_number"
        values = ", 'call.start', 'n1', 'x'" if table == "call_event" else ", E'7495,\"\\n'"
        conn.execute(
            f"INSERT INTO {table} ({id_}, {time_}, tenant_id{more})"
            f" SELECT gen_random_uuid(), %s::timestamptz + n * interval '1 s', %s{values}"
            " FROM generate_series(1, %s) n",
            [day, tenant_id, count],
        )
    return day.date()


def days_of(conn: Conn, table: str = "call") -> list[date]:
    return [day for (day,) in conn.execute("SELECT day FROM day_partitions(%s)", [table]).fetchall()]


@pytest.fixture
def config(pg_config: Config, tmp_path: Path) -> Config:
    """A configuration with an archive."""
    folder = tmp_path / "archive"
    folder.mkdir(exist_ok=True)
    return replace(
        pg_config,
        worker=replace(pg_config.worker, archive=f"dir:{folder}", archive_after_days=10, keep_calls_days=100),
    )


def test_every_job_runs_and_runs_again(db: Conn, config: Config, tmp_path: Path) -> None:
    config = replace(config, worker=replace(config.worker, backup_directory=tmp_path / "backups"))
    for _ in range(2):
        for name in JOBS:
            assert worker.run(db, config, job=name)
    rows = {row.job: row for row in worker.status(db, config)}
    assert {row.outcome for row in rows.values()} == {JobOutcome.OK}
    assert all(row.seconds is not None and not row.running for row in rows.values())


def test_partitions_are_made_ahead(db: Conn, config: Config) -> None:
    worker.run(db, config, job="partitions")
    today = datetime.now(UTC).date()
    for table in ("call", "call_event"):
        assert days_of(db, table)[-1] >= today + timedelta(days=config.worker.partitions_ahead_days - 1)
    assert worker.run(db, config, job="partitions").startswith("0 partitions")


def test_a_job_never_runs_twice_at_once_and_a_dead_run_is_told(
    db: Conn, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(_conn: Conn, _config: Config) -> str:
        started.set()
        go_on.wait(60)
        return "done"

    monkeypatch.setattr(worker, "JOBS", {**JOBS, "tokens": replace(JOBS["tokens"], do=slow)})

    def work() -> None:
        with connect_tool(config, application_name="other") as conn:
            worker.run(conn, config, job="tokens")

    other = threading.Thread(target=work)
    other.start()
    assert started.wait(60)
    assert [row.running for row in worker.status(db, config) if row.job == "tokens"] == [True]
    with pytest.raises(RunsAlready):
        worker.run(db, config, job="tokens")
    assert "tokens" not in {job.name for job in worker.due(db, config)}
    go_on.set()
    other.join(60)
    assert worker.run(db, config, job="tokens") == "done"
    db.execute("INSERT INTO worker_run (job, node) VALUES ('tokens', 'gone')")
    assert worker.run(db, config, job="tokens") == "done"
    assert db.execute("SELECT detail FROM worker_run WHERE node = 'gone'").fetchone() == ("the process died",)


def test_a_job_is_due_by_its_period_and_sooner_after_a_failure(
    db: Conn, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {job.name for job in worker.due(db, config)} == JOBS.keys() - {"backup", "mail", "voicemail"}
    for job in worker.due(db, config):
        worker.run(db, config, job=job.name)
    assert worker.due(db, config) == []
    db.execute("UPDATE worker_run SET started_at = started_at - interval '10 minutes'")
    assert {job.name for job in worker.due(db, config)} == {"events", "reports"}
    broken = replace(config, worker=replace(config.worker, archive="dir:/nonexistent"))
    with pytest.raises(Unavailable):
        worker.run(db, broken, job="archive")
    db.execute("UPDATE worker_run SET started_at = started_at - interval '10 minutes'")
    assert {job.name for job in worker.due(db, config)} == {"events", "reports", "archive"}
    with pytest.raises(NotFound):
        worker.run(db, config, job="nonsense")


def test_old_days_are_archived_row_for_row_with_a_checksum(db: Conn, config: Config, tmp_path: Path) -> None:
    acme, other = make_tenant(db, "acme"), make_tenant(db, "other")
    day = add_calls(db, acme, 20, 3)
    add_calls(db, other, 20, 2)
    add_calls(db, None, 20, 1)
    add_calls(db, acme, 5, 4)
    assert worker.run(db, config, job="archive") == "6 files with 12 rows written"
    assert worker.run(db, config, job="archive").startswith("0 files")
    root = tmp_path / "archive"
    [file] = [row for row in archive.list_files(db, tenant_id=acme) if row.noun == "call"]
    assert (file.day, file.row_count) == (day, 3)
    with gzip.open(root / file.path, "rt", newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["a_number"] for row in rows] == ['7495,"\n'] * 3
    stored = db.execute(
        "SELECT call_id FROM call WHERE tenant_id = %s AND started_at::date = %s", [acme, day]
    )
    assert {UUID(row["call_id"]) for row in rows} == {row[0] for row in stored}
    assert archive.verify(db, config) == 6
    # Whoever stores a late event makes the day whole again in the archive.
    add_calls(db, acme, 20, 1)
    assert worker.run(db, config, job="archive") == "2 files with 8 rows written"
    (root / file.path).write_bytes(b"x")
    with pytest.raises(ArchiveDamaged):
        archive.verify(db, config)


def test_the_archive_may_be_an_s3_store(db: Conn, config: Config, s3_bucket: Bucket) -> None:
    acme = make_tenant(db, "acme")
    day = add_calls(db, acme, 20, 3)
    recording = replace(
        config.recording, s3_endpoint=s3_bucket.endpoint, s3_credentials_file=s3_bucket.credentials_file
    )
    settings = replace(config.worker, archive=f"s3://{s3_bucket.name}/calls", keep_calls_days=15)
    remote = replace(config, worker=settings, recording=recording)
    assert worker.run(db, remote, job="archive") == "2 files with 6 rows written"
    assert worker.run(db, remote, job="archive").startswith("0 files")
    assert archive.verify(db, remote) == 2
    [file] = [row for row in archive.list_files(db, tenant_id=acme) if row.noun == "call"]
    assert file.path == f"call/{day:%Y}/{day:%m}/call-{day:%Y%m%d}-{acme}.csv.gz"
    rows = list(csv.DictReader(archive.read_file(remote, path=file.path)))
    assert len(rows) == 3
    add_calls(db, acme, 20, 1)
    assert worker.run(db, remote, job="archive") == "2 files with 8 rows written"
    assert archive.verify(db, remote) == 4, "a day that has grown gets a further file"
    worker.run(db, remote, job="retention")
    assert day not in days_of(db)
    with pytest.raises(NotFound):
        list(archive.read_file(remote, path="call/2020/01/none.csv.gz"))
    with pytest.raises(NotFound):
        list(archive.read_file(remote, path="../secret"))
    elsewhere = replace(remote, worker=replace(settings, archive="s3://nobody-has-made-it"))
    with pytest.raises(Unavailable):
        worker.run(db, elsewhere, job="archive")
    with pytest.raises(ArchiveDamaged):
        archive.verify(db, replace(remote, worker=replace(settings, archive=f"s3://{s3_bucket.name}/empty")))


def test_days_go_by_the_period_of_each_tenant(db: Conn, config: Config, ksctl: Ksctl) -> None:
    acme, other = make_tenant(db, "acme"), make_tenant(db, "other")
    ksctl.ok("retention set -t acme --calls-days 30")
    old = add_calls(db, acme, 150, 3)
    mixed = add_calls(db, acme, 60, 3)
    add_calls(db, other, 60, 2)
    young = add_calls(db, acme, 20, 3)
    waiting = worker.run(db, config, job="retention")
    assert waiting == "0 days dropped, 0 rows deleted, 4 days wait for the archive"
    worker.run(db, config, job="archive")
    assert worker.run(db, config, job="retention") == "2 days dropped, 6 rows deleted"
    assert {old, mixed, young} & set(days_of(db)) == {mixed, young}
    owners = "SELECT tenant_id, count(*) FROM call WHERE started_at::date = %s GROUP BY 1"
    assert db.execute(owners, [mixed]).fetchall() == [(other, 2)]
    ksctl.ok("retention set -t acme --calls-days none")
    assert ksctl.ok("retention list -t acme -o json").json[0]["keep_calls_days"] is None


def test_a_day_that_somebody_reads_is_left_for_the_next_time(
    db: Conn, pg_config: Config, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LOCK_TIMEOUT", "100ms")
    config = replace(pg_config, worker=replace(pg_config.worker, keep_calls_days=10))
    add_calls(db, make_tenant(db, "acme"), 60, 1)
    with psycopg.connect(pg_dsn) as reader:
        reader.execute("SELECT count(*) FROM call")
        assert "1 days were in use" in worker.run(db, config, job="retention")
    assert worker.run(db, config, job="retention").startswith("1 days dropped")


def test_what_ended_long_ago_is_swept(db: Conn, config: Config) -> None:
    tenant_id = make_tenant(db, "acme")
    db.execute(
        "INSERT INTO api_token (tenant_id, name, scopes, secret_hash, expires_at)"
        " VALUES (%s, 'old', '{read}', repeat('0', 64), now() - interval '1 year')",
        [tenant_id],
    )
    db.execute("INSERT INTO kamailio.location (ruid, expires) VALUES ('a', now() - interval '3 days')")
    db.execute("UPDATE event_log SET at = now() - interval '9 days'")
    db.execute("UPDATE change_log SET at = now() - interval '1 year'")
    db.execute("INSERT INTO change_log (noun, operation) SELECT 'x', 'insert' FROM generate_series(1, 1500)")
    assert worker.run(db, config, job="tokens") == "1 removed"
    assert worker.run(db, config, job="locations") == "1 removed"
    assert int(worker.run(db, config, job="changes").split()[0]) > 0
    worker.run(db, config, job="events")
    assert db.execute("SELECT count(*) FROM event_outbox").fetchone() == (0,)
    config.etc_directory.mkdir(parents=True)
    old, young = config.etc_directory / ".a.x.tmp", config.etc_directory / ".b.x.tmp"
    for path in (old, young):
        path.touch()
    os.utime(old, (time.time() - 100_000,) * 2)
    assert worker.run(db, config, job="files") == "1 removed"
    assert (old.exists(), young.exists()) == (False, True)


def test_a_backup_whose_maker_was_killed_is_swept(db: Conn, config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    config = replace(config, worker=replace(config.worker, backup_directory=folder))
    whole = backup.create(db, config, folder=folder, now=datetime.now(UTC)).path
    old, young = (folder / backup.HALF_MADE.replace("*", name) for name in ("old", "young"))
    for half in (old, young):
        half.mkdir()
        (half / backup.DUMP).write_bytes(b"half a dump")
    for path in (old, whole):
        os.utime(path, (time.time() - 100_000,) * 2)
    assert worker.run(db, config, job="files") == "1 removed"
    assert (old.exists(), young.exists(), whole.exists()) == (False, True, True)
    backup.verify(whole)


def test_what_autovacuum_cannot_keep_up_with_is_cleaned(db: Conn, config: Config) -> None:
    db.execute("ALTER TABLE change_log SET (autovacuum_enabled = off)")
    db.execute("INSERT INTO change_log (noun, operation) SELECT 'x', 'insert' FROM generate_series(1, 60000)")
    db.execute("DELETE FROM change_log")
    db.execute("SELECT pg_stat_force_next_flush()")
    assert "public.change_log" in worker.run(db, config, job="vacuum")
    assert db.execute(
        "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'change_log'"
    ).fetchone() == (0,)
    assert "public.change_log" not in worker.run(db, config, job="vacuum")


def test_the_command_line_shows_and_runs_jobs(db: Conn, ksctl: Ksctl) -> None:
    ksctl.ok("worker run partitions")
    rows = {row["job"]: row for row in ksctl.ok("worker status -o json").json}
    assert rows["partitions"]["outcome"] == "ok"
    assert not rows["archive"]["wanted"]
    assert "no job" in ksctl.fails(3, "worker", "run", "nonsense")
    assert csv.DictReader(io.StringIO(ksctl.ok("archive list -o csv").stdout)).fieldnames is not None
