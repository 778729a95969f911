"""Applying and checking the schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callcore.errors import KalibriError, Refused
from kalibri.db import Conn
from kalibri.services import schema
from kalibri.services.schema import BadMigration, Difference, ForeignDatabase
from tests.support.fix_ksctl import Ksctl
from tests.support.fix_pg import RunningCluster

INITIAL = "0001_pre_tables"


@pytest.fixture
def empty(empty_dsn: str) -> Iterator[Conn]:
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        yield conn


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of migrations of the test's own, beginning with the real first one."""
    (tmp_path / f"{INITIAL}.sql").write_text(schema.read())
    monkeypatch.setattr(schema, "MIGRATIONS", tmp_path)
    return tmp_path


def test_empty_database_gets_everything_once(empty: Conn) -> None:
    assert schema.state(empty).empty
    applied = schema.apply(empty)
    assert applied == tuple(schema.migration_files())
    assert schema.state(empty).pending == ()
    assert schema.apply(empty) == ()
    assert schema.differences(empty) == []


def test_older_database_gets_what_it_lacks(empty: Conn, migrations: Path) -> None:
    schema.apply(empty)
    (migrations / "0002_pre_colour.sql").write_text("CREATE TABLE colour (name text);")
    (migrations / "0003_post_shade.sql").write_text("ALTER TABLE colour ADD shade text;")
    assert schema.apply(empty) == ("0002_pre_colour", "0003_post_shade")
    assert [(d.problem, d.kind, d.name) for d in schema.differences(empty)] == [
        ("extra", "column", "colour.name"),
        ("extra", "column", "colour.shade"),
        ("extra", "table", "colour"),
    ]


def test_broken_migration_leaves_the_ones_before_it(empty: Conn, migrations: Path) -> None:
    schema.apply(empty)
    (migrations / "0002_pre_good.sql").write_text("CREATE TABLE good ();")
    (migrations / "0003_pre_bad.sql").write_text("CREATE TABLE half (); SELECT nonsense;")
    with pytest.raises(KalibriError, match=r"PostgreSQL refused: .*nonsense"):
        schema.apply(empty)
    assert schema.state(empty).pending == ("0003_pre_bad",)
    assert empty.execute("SELECT to_regclass('half')").fetchone() == (None,)


def test_database_of_a_newer_version_is_left_alone(db: Conn, migrations: Path) -> None:
    db.execute("INSERT INTO schema_migration (version) VALUES ('0001_pre_tables'), ('0099_pre_future')")
    with pytest.raises(Refused, match="a newer version has changed this database: 0099_pre_future"):
        schema.apply(db)


def test_foreign_database_is_left_alone(empty: Conn) -> None:
    empty.execute("CREATE TABLE somebody_elses ()")
    with pytest.raises(ForeignDatabase):
        schema.apply(empty)


@pytest.mark.parametrize("name", ["0003_pre_gap", "0002_before_x", "2_pre_x"])
def test_wrongly_named_migration_is_refused(migrations: Path, name: str) -> None:
    (migrations / f"{name}.sql").touch()
    with pytest.raises(BadMigration, match="expected 0002_pre_what"):
        schema.migration_files()


def test_every_kind_of_difference_is_found(db: Conn) -> None:
    db.execute("DROP INDEX call_id_idx")
    db.execute("ALTER TABLE gateway ALTER port SET DEFAULT 5080, DROP CONSTRAINT gateway_port_check")
    db.execute("CREATE FUNCTION extra() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    db.execute("GRANT SELECT ON account TO kamailio")
    db.execute("DROP TRIGGER route_log_insert ON route")
    db.execute("SELECT ensure_day_partitions('2026-11-22')")  # not a difference
    assert schema.differences(db) == [
        Difference("different", "column", "gateway.port"),
        Difference("missing", "constraint", "gateway.gateway_port_check"),
        Difference("extra", "function", "extra()"),
        Difference("missing", "index", "call_id_idx"),
        Difference("different", "table", "account"),
        Difference("missing", "trigger", "route.route_log_insert"),
    ]


def test_scratch_database_is_gone_afterwards(db: Conn, pg_server: RunningCluster) -> None:
    schema.differences(db)
    rows = db.execute("SELECT datname FROM pg_database WHERE datname LIKE 'kalibri_schema%'").fetchall()
    assert rows == []


def test_ksctl_applies_reads_and_checks(empty_dsn: str) -> None:
    ksctl = Ksctl({"KALIBRI_DATABASE_DSN": empty_dsn})
    assert "would apply 0001_pre_tables" in ksctl.ok("schema apply --dry-run").stderr
    assert "no tenant" not in ksctl.ok("schema apply").stderr
    assert ksctl.ok("schema apply").stderr == "the database is up to date\n"
    assert ksctl.ok("schema read").stdout == schema.read()
    assert ksctl.ok("schema check -o json").json == []
    with psycopg.connect(empty_dsn) as conn:
        conn.execute("DROP TABLE node")
    outcome = ksctl("schema check -o csv")
    assert outcome.exit_code == 4
    assert {"problem": "missing", "kind": "table", "name": "node"} in outcome.csv
