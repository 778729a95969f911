"""The drill: back up, lose everything, restore, and find it as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kalibri.config import Config
from kalibri.db import Conn, connect_tool
from kalibri.services import backup, schema
from kalibri.services.backup import BackupDamaged, DatabaseNotEmpty
from tests.integration.services.test_worker import add_calls
from tests.support.builders import make_account, make_tenant
from tests.support.fix_ksctl import Ksctl
from tests.support.fix_pg import temporary_cluster


def contents(conn: Conn) -> dict[str, list[object]]:
    """Every row of every table of ours, partitions within their parents."""
    tables = conn.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace IN ('public'::regnamespace, 'kamailio'::regnamespace) ORDER BY 1"
    ).fetchall()
    return {
        table: conn.execute(f"SELECT to_jsonb(t) FROM {table} t ORDER BY to_jsonb(t)::text").fetchall()
        for (table,) in tables
    }


def fill(conn: Conn) -> None:
    tenant_id = make_tenant(conn, "acme")
    make_account(conn, tenant_id, "101")
    add_calls(conn, tenant_id, 3, 50)
    for version in schema.migration_files():  # the template of the tests notes none
        conn.execute("INSERT INTO schema_migration (version) VALUES (%s)", [version])


def test_a_restored_database_is_as_it_was(db: Conn, pg_config: Config, tmp_path: Path) -> None:
    fill(db)
    pg_config.secrets_directory.mkdir(parents=True)
    (pg_config.secrets_directory / "call_token").write_text("secret")
    made = backup.create(db, pg_config, folder=tmp_path / "b", now=datetime.now(UTC))
    before = contents(db)
    with temporary_cluster() as other:
        with connect_tool(other.config, application_name="test") as conn:
            conn.execute("DROP SCHEMA public CASCADE; DROP SCHEMA kamailio CASCADE; CREATE SCHEMA public")
            conn.execute("DROP OWNED BY kalibri_api, kamailio; DROP ROLE kalibri_api, kamailio")
        home = replace(other.config, home=tmp_path / "new")
        done = backup.restore(home_with(home, other.dsn("kalibri")), path=made.path)
        with connect_tool(other.config, application_name="test") as conn:
            assert contents(conn) == before
            # The role that row-level security confines is there again, and confined.
            conn.execute("SET ROLE kalibri_api")
            assert conn.execute("SELECT count(*) FROM account").fetchone() == (0,)
    assert (done.migrated, done.differences) == ((), 0)
    assert done.rows["call"] == 50
    assert (tmp_path / "new/secrets/call_token").read_text() == "secret"
    assert backup.read_manifest(made.path).rows == done.rows


def home_with(config: Config, dsn: str) -> Config:
    return replace(config, database=replace(config.database, dsn=dsn))


def test_a_backup_is_restored_into_an_empty_database_only(
    db: Conn, pg_config: Config, empty_dsn: str, tmp_path: Path, ksctl: Ksctl
) -> None:
    fill(db)
    path = ksctl.ok("backup", "create", str(tmp_path / "b")).stdout.strip()
    ksctl.ok("backup", "verify", path)
    assert ksctl.ok("backup", "list", str(tmp_path / "b"), "-o", "json").json[0]["calls"] == 50
    with pytest.raises(DatabaseNotEmpty):
        backup.restore(pg_config, path=Path(path))
    assert "0 differences" in ksctl.ok("backup", "restore", path, "--dsn", empty_dsn).stderr
    ksctl.fails(4, "backup", "restore", path, "--dsn", empty_dsn)


def test_damage_is_noticed_before_anything_is_touched(
    db: Conn, pg_config: Config, empty_dsn: str, tmp_path: Path
) -> None:
    made = backup.create(db, pg_config, folder=tmp_path / "b", now=datetime.now(UTC))
    dump = made.path / backup.DUMP
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BackupDamaged):
        backup.restore(pg_config, path=made.path, dsn=empty_dsn)
    dump.write_bytes(whole)
    manifest = made.path / backup.MANIFEST
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "files": {**told["files"], "more": "0"}}))
    with pytest.raises(BackupDamaged):
        backup.verify(made.path)


def test_only_the_newest_backups_are_kept(db: Conn, pg_config: Config, tmp_path: Path) -> None:
    config = replace(
        pg_config, worker=replace(pg_config.worker, backup_directory=tmp_path / "b", keep_backups=2)
    )
    for day in (1, 2):
        backup.create(db, config, folder=tmp_path / "b", now=datetime(2026, 1, day, tzinfo=UTC))
    assert "1 old ones removed" in backup.run(db, config)
    assert len(backup.list_backups(tmp_path / "b")) == 2
