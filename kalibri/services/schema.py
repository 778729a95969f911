"""The schema of the database: applying it, and telling whether a database has it.

An empty database gets schema.sql and counts as having seen every migration; another one gets the files of
migrations/ that it lacks, in order. tests/migration proves that both ways end in the same place. Never
touches a database that holds something else, and never goes back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from callcore.errors import KalibriError, Refused
from kalibri import db
from kalibri.config import PROJECT_ROOT
from kalibri.db import Conn

SQL = db.statements("schema")
SCHEMA_FILE = PROJECT_ROOT / "schema.sql"
INCLUDE = re.compile(r"^\\ir (?P<file>\S+)$", re.MULTILINE)
MIGRATIONS = PROJECT_ROOT / "migrations"
#: pre: before the new code is started (old code must survive it); post: after the last old process is gone.
MIGRATION_NAME = re.compile(r"(?P<number>\d{4})_(?P<phase>pre|post)_[a-z0-9_]+")


class ForeignDatabase(Refused):
    """The database holds tables, but not Kalibri's: nothing was changed."""

    error_id = "foreign-database"


class BadMigration(KalibriError):
    """The files of migrations/ are not well formed."""

    error_id = "bad-migration"


@dataclass(frozen=True)
class Difference:
    """One object that is not as schema.sql has it."""

    #: missing, extra or different.
    problem: str
    #: table, column, constraint, index, function, trigger, view, enum or sequence.
    kind: str
    name: str


@dataclass(frozen=True)
class SchemaState:
    """How a database stands to this version of the program."""

    #: Whether the database has no tables at all.
    empty: bool
    applied: tuple[str, ...]
    #: Migrations that the database has not seen.
    pending: tuple[str, ...]
    #: Migrations that only a newer version of the program knows.
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class _Relations:
    relations: int
    ours: bool


@dataclass(frozen=True)
class _Version:
    version: str


@dataclass(frozen=True)
class _Object:
    kind: str
    name: str
    definition: str


def migration_files() -> dict[str, Path]:
    """Return version → file, in order; raises BadMigration for a wrong name or a gap."""
    files = {path.stem: path for path in sorted(MIGRATIONS.glob("*.sql"))}
    for expected, version in enumerate(files, 1):
        match = MIGRATION_NAME.fullmatch(version)
        if match is None or int(match["number"]) != expected:
            raise BadMigration(f"migrations/{version}.sql: expected {expected:04}_pre_what (or _post_)")
    return files


def read() -> str:
    """Return schema.sql with the files that it includes (psql's `\\ir`) in their places."""
    return INCLUDE.sub(
        lambda line: (SCHEMA_FILE.parent / line["file"]).read_text(encoding="utf-8"),
        SCHEMA_FILE.read_text(encoding="utf-8"),
    )


def state(conn: Conn) -> SchemaState:
    """Tell what the database has seen; raises ForeignDatabase."""
    relations = db.fetch_one(conn, _Relations, SQL["count_relations"])
    assert relations is not None
    if not relations.ours and relations.relations:
        raise ForeignDatabase()
    known = tuple(migration_files())
    applied: tuple[str, ...] = ()
    if relations.ours:
        applied = tuple(row.version for row in db.fetch_all(conn, _Version, SQL["applied_migrations"]))
    return SchemaState(
        empty=not relations.ours,
        applied=applied,
        pending=tuple(version for version in known if version not in applied),
        unknown=tuple(version for version in applied if version not in known),
    )


def apply(conn: Conn) -> tuple[str, ...]:
    """Bring the database to this version and return the migrations that it had not seen. Safe to repeat.

    Each migration is one transaction; an empty database gets schema.sql in one. Raises ForeignDatabase, and
    Refused for a database that a newer version has changed.
    """
    with conn.transaction():
        db.execute(conn, SQL["lock_schema"])
        before = state(conn)
        if before.unknown:
            raise Refused(f"a newer version has changed this database: {', '.join(before.unknown)}")
        if before.empty:
            _run(conn, read())
            for version in before.pending:
                db.execute(conn, SQL["record_migration"], version=version)
            return before.pending
    for version in before.pending:
        _migrate(conn, version)
    return before.pending


def _migrate(conn: Conn, version: str) -> None:
    with conn.transaction():
        db.execute(conn, SQL["lock_schema"])
        if version in state(conn).pending:  # somebody else may have been quicker
            _run(conn, migration_files()[version].read_text(encoding="utf-8"))
            db.execute(conn, SQL["record_migration"], version=version)


def _run(conn: Conn, script: str) -> None:
    with db.domain_errors():
        conn.execute(script.encode())


def differences(conn: Conn) -> list[Difference]:
    """Compare the database with schema.sql, object by object.

    Builds schema.sql in a scratch database of the same server, which it removes; the role therefore needs the
    right to create databases (raises KalibriError where it has not).
    """
    with _scratch_database(conn) as scratch:
        _run(scratch, read())
        expected = _catalogue(scratch)
    found = _catalogue(conn)
    problems = [Difference("missing", *item) for item in expected.keys() - found.keys()]
    problems += [Difference("extra", *item) for item in found.keys() - expected.keys()]
    problems += [
        Difference("different", *item)
        for item in expected.keys() & found.keys()
        if expected[item] != found[item]
    ]
    return sorted(problems, key=lambda problem: (problem.kind, problem.name))


def _catalogue(conn: Conn) -> dict[tuple[str, str], str]:
    rows = db.fetch_all(conn, _Object, SQL["catalogue"])
    return {(row.kind, row.name): row.definition for row in rows}


@contextmanager
def _scratch_database(conn: Conn) -> Iterator[Conn]:
    name = sql.Identifier(f"kalibri_schema_check_{os.getpid()}")
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
    with db.domain_errors():
        conn.execute(drop)
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    try:
        info = conn.info
        with psycopg.connect(info.dsn, dbname=name.as_string().strip('"'), password=info.password) as scratch:
            yield scratch
    finally:
        conn.execute(drop)
