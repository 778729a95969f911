"""The doctor on real things: a whole instance, one with troubles, and one that does not run at all."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kalibri.config import PROJECT_ROOT, Config
from kalibri.index_dir import Current, write_current
from kalibri.journal import JournalWriter
from kalibri.services import health, schema
from kalibri.services import tenant as tenants
from tests.support.fix_instance import Instance, MakeInstance
from tests.support.fix_ksctl import Ksctl
from tools.doctor import database, ports
from tools.doctor.examination import examine
from tools.doctor.facts import Facts
from tools.doctor.finding import Level
from tools.instance.supervisord import Supervisor
from tools.ks_cdr import CdrDaemon


def facts_for(config: Config, conn: psycopg.Connection) -> Facts:
    return Facts(config=config, processes={}, conn=conn)


def doctor(instance: Instance, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "tools.ksctl.main", "doctor", "-o", "json", *arguments]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=instance.environ, capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout)


def failed(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["check"]: row["found"] for row in rows if row["level"] == "fail"}


def test_instance_that_is_up_has_no_failure_and_each_trouble_is_found(make_instance: MakeInstance) -> None:
    instance = make_instance()
    code, rows = doctor(instance)
    assert (code, failed(rows)) == (0, {}), rows
    told = {(row["check"], row["found"].split()[0]) for row in rows}
    assert {("kamailio", "OPTIONS"), ("kamailio", "RPC"), ("rtp-1", "protocol")} <= told
    assert all(row["todo"] for row in rows if row["level"] != "ok")
    (all_ports,) = (row["found"] for row in rows if row["check"] == "ports" and "media" not in row["found"])
    assert all_ports.endswith("ports: all ours")
    with psycopg.connect(instance.config.database_dsn, autocommit=True) as conn:
        names = conn.execute("SELECT name FROM node ORDER BY name").fetchall()
        assert [name for (name,) in names] == [
            f"n1-{kind}" for kind in ("media-1", "proxy", "rtp-1", "rtp-2", "rtpc-1", "rtpc-2")
        ]
    supervisor = Supervisor(instance.config)
    for name in ("watch", "rtp-2", "postgres"):
        supervisor.stop(name)
    code, rows = doctor(instance, "--problems")
    assert code == 1
    assert set(failed(rows)) == {"database", "postgres", "rtp-2", "watch"}
    assert failed(rows)["rtp-2"] == "does not run (STOPPED)"
    assert "index" in {row["check"] for row in rows if row["found"].startswith("could not be looked at")}


def test_instance_that_does_not_run(ksctl: Ksctl) -> None:
    outcome = ksctl("doctor -o csv")
    assert outcome.exit_code == 1
    found = {(row["check"], row["level"]): row for row in outcome.csv}
    assert found["processes", "fail"]["todo"] == "ksinit up"
    assert ("database", "ok") in found
    assert ("index", "fail") in found
    assert outcome.stderr.split()[1:2] == ["ok,"]


def test_without_a_database_everything_else_is_still_looked_at(pg_config: Config) -> None:
    away = replace(pg_config, database=replace(pg_config.database, dsn="host=/nowhere"))
    findings = examine(away)
    assert {finding.check for finding in findings} >= {
        "ports",
        "disk",
        "limits",
        "time zones",
        "certificates",
    }
    (refused,) = (one for one in findings if one.check == "database" and one.level is Level.FAIL)
    assert "PostgreSQL cannot be reached" in refused.found


def test_port_that_somebody_else_holds_is_named(pg_config: Config, db: psycopg.Connection) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        config = replace(pg_config, proxy=replace(pg_config.proxy, sip_port=number))
        findings = [one for one in ports.examine(facts_for(config, db)) if f"{number}/udp" in one.found]
    (finding,) = findings
    assert finding.level is Level.FAIL
    assert f"(pid {os.getpid()})" in finding.found
    assert finding.todo == "stop it, or set another proxy.sip_port"


def test_index_that_lags_is_measured_by_the_oldest_change(pg_config: Config, db: psycopg.Connection) -> None:
    directory = pg_config.index_directory
    directory.mkdir()
    for name in ("r", "d", "s"):
        (directory / name).touch()
    tenants.add(db, name="acme")
    (seq,) = db.execute("SELECT max(seq) FROM change_log").fetchone() or (0,)
    write_current(directory, Current(generation=1, seq=seq, routes="r", directory="d", system="s"))
    assert health.index_state(db, directory=directory).behind == 0
    tenants.add(db, name="rival")
    db.execute("UPDATE change_log SET at = at - interval '90 seconds' WHERE seq > %s", [seq])
    (finding,) = database.index(facts_for(pg_config, db))
    assert (finding.level, "1 changes behind for 90 s" in finding.found) == (Level.FAIL, True)
    (directory / "r").unlink()
    (finding,) = database.index(facts_for(pg_config, db))
    assert "not there: r" in finding.found
    (directory / "CURRENT").write_text("{")
    (finding,) = database.index(facts_for(pg_config, db))
    assert finding.level is Level.FAIL


def test_journal_backlog_is_what_is_not_stored(
    pg_config: Config, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "JOURNAL_PATIENCE_SECONDS", 0.0)
    pg_config.journal_directory.mkdir()
    writer = JournalWriter(pg_config.journal_directory, "n1", "test")
    writer.event("proxy.start", version="1")
    (file,) = pg_config.journal_directory.iterdir()
    (finding,) = database.journals(facts_for(pg_config, db))
    assert finding.found == f"{file.stat().st_size} B not stored yet, in 1 of 1 files"
    daemon = CdrDaemon(pg_config)
    assert daemon.settle()
    daemon.close()
    (finding,) = database.journals(facts_for(pg_config, db))
    assert finding.found == "0 B not stored yet, in 0 of 1 files"
    before = file.stat().st_size
    writer.event("proxy.stop")
    db.execute("UPDATE journal_file SET last_stored_at = now() - interval '1 hour'")
    (finding,) = database.journals(facts_for(pg_config, db))
    assert finding.level is Level.FAIL
    assert finding.found.startswith(
        f"{file.stat().st_size - before} B not stored yet, in 1 of 1 files, for 3"
    )
    writer.close()


def test_partitions_and_quarantine_are_looked_at(pg_config: Config, db: psycopg.Connection) -> None:
    for version in schema.migration_files():
        db.execute("INSERT INTO schema_migration (version) VALUES (%s)", [version])
    today = datetime.now(UTC).date()
    db.execute("SELECT ensure_day_partitions(%s)", [today])
    assert health.partitions(db) == {"call": [f"{today:%Y%m%d}"], "call_event": [f"{today:%Y%m%d}"]}
    db.execute(
        "INSERT INTO journal_quarantine (file, offset_bytes, line, reason) VALUES ('f', 7, '', 'torn')"
    )
    findings = list(database.tables(facts_for(pg_config, db)))
    assert [finding.level for finding in findings] == [Level.OK, Level.OK, Level.WARN], findings
    assert findings[2].found == "1 unreadable lines in 7 days, as f at 7: torn"
    db.execute(f"DROP TABLE call_{today:%Y%m%d}")
    assert list(database.tables(facts_for(pg_config, db)))[1].level is Level.FAIL


def test_zone_that_is_gone_is_named_with_its_users(pg_config: Config, db: psycopg.Connection) -> None:
    tenants.add(db, name="acme")
    db.execute("UPDATE tenant SET time_zone = 'Mars/Base' WHERE name = 'acme'")
    (finding,) = database.time_zones(facts_for(pg_config, db))
    assert "Mars/Base (tenant acme)" in finding.found


def test_home_need_not_exist_yet(pg_config: Config) -> None:
    config = replace(pg_config, home=Path("/tmp/kalibri-that-is-not-there"))
    assert "disk" in {finding.check for finding in examine(config)}
