"""Backups of the database: made whole, checked, and restored into an empty database only.

A backup is a directory: `database.dump` (pg_dump's own format), `secrets.tar` and `manifest.json` with the checksums
of both, written last, so a directory without it is no backup. A restore never touches a database that holds anything.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from callcore.errors import KalibriError, NotFound, Refused, Unavailable
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.files import sha256_of, write_replacing
from kalibri.pg_cluster import binary
from kalibri.services import schema

DUMP, SECRETS, MANIFEST = "database.dump", "secrets.tar", "manifest.json"
#: Name of a backup that is not whole yet; ks-worker removes what a killed process left.
HALF_MADE = ".*.part"
#: Roles that the rights of a dump name; they belong to the cluster, not to the database.
ROLES = ("kamailio", "kalibri_api")
#: Tables that say whether a restore brought everything.
COUNTED = ("tenant", "account", "gateway", "route", "number", "call", "call_event", "audit_log", "api_token")


class BackupDamaged(KalibriError):
    """The backup is not as it was made."""

    error_id = "backup-damaged"


class DatabaseNotEmpty(Refused):
    """The database holds something: a backup is restored into an empty one only."""

    error_id = "database-not-empty"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup says of itself."""

    made_at: str
    node: str
    server_version: str
    #: Migrations that the database has seen.
    migrations: Sequence[str]
    #: Rows of some tables when it was made; a few may have come while it was being made.
    rows: Mapping[str, int]
    #: Name of the file → SHA-256.
    files: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A backup on disk."""

    path: Path
    made_at: str
    size_bytes: int
    migrations: int
    tenants: int
    calls: int


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What a restore brought."""

    rows: Mapping[str, int]
    #: Migrations that were applied because the backup is older than the program.
    migrated: Sequence[str]
    differences: int


# --------------------------------------------------------------------------------------------------- make


def is_wanted(config: Config) -> bool:
    """Tell whether backups are made by themselves."""
    return config.worker.backup_directory is not None


def run(conn: Conn, config: Config) -> str:
    """Make a backup and remove those that are too many."""
    folder = config.worker.backup_directory
    assert folder is not None
    made = create(conn, config, folder=folder, now=datetime.now(UTC))
    old = list_backups(folder)[: -config.worker.keep_backups]
    for backup in old:
        shutil.rmtree(backup.path)
    return f"{made.path.name}: {made.size_bytes} bytes; {len(old)} old ones removed"


def create(conn: Conn, config: Config, *, folder: Path, now: datetime) -> Backup:
    """Make a backup in a directory of its own below `folder`; raises Unavailable, OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"kalibri-{now:%Y%m%dT%H%M%S.%fZ}"
    half = folder / HALF_MADE.replace("*", path.name)
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    try:
        _tool("pg_dump", config.database_dsn, "--format=custom", f"--file={half / DUMP}")
        _pack_secrets(config, half / SECRETS)
        manifest = Manifest(
            made_at=now.isoformat(),
            node=config.node_name,
            server_version=conn.info.parameter_status("server_version") or "",
            migrations=schema.state(conn).applied,
            rows=_rows(conn),
            files={name: sha256_of(half / name) for name in (DUMP, SECRETS)},
        )
        write_replacing(half / MANIFEST, json.dumps(asdict(manifest), indent=2).encode(), mode=0o600)
        half.rename(path)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    return _described(path, manifest)


def _tool(name: str, dsn: str, *arguments: str) -> str:
    """Run a program of PostgreSQL; raises Unavailable with what it said."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("PG") or key == "PGPASSFILE"
    }
    command = [str(binary(name)), *([f"--dbname={dsn}"] if dsn else []), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise Unavailable(f"{name} failed: {' '.join(done.stderr.split())[:1000]}")
    return done.stdout


def _pack_secrets(config: Config, path: Path) -> None:
    """Keep what only this instance knows: without the key of call tokens, say, running calls would be strangers."""
    with (
        open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
        tarfile.open(fileobj=file, mode="w") as tar,
    ):
        if config.secrets_directory.is_dir():
            tar.add(config.secrets_directory, arcname="secrets")


def _rows(conn: Conn) -> dict[str, int]:
    found = {}
    with db.domain_errors():
        for name in COUNTED:
            row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
            found[name] = int(row[0]) if row else 0
    return found


# ------------------------------------------------------------------------------------------ list and check


def list_backups(folder: Path) -> list[Backup]:
    """Return the backups of a folder, the oldest first."""
    found = sorted(path.parent for path in folder.glob(f"kalibri-*/{MANIFEST}"))
    return [_described(path, read_manifest(path)) for path in found]


def read_manifest(path: Path) -> Manifest:
    """Read what a backup says of itself; raises NotFound, BackupDamaged."""
    try:
        told: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return Manifest(**told)
    except FileNotFoundError:
        raise NotFound(f"{path} is no backup: it has no {MANIFEST}") from None
    except (ValueError, TypeError) as error:
        raise BackupDamaged(f"{path / MANIFEST}: {error}") from error


def _described(path: Path, manifest: Manifest) -> Backup:
    return Backup(
        path=path,
        made_at=manifest.made_at,
        size_bytes=sum((path / name).stat().st_size for name in manifest.files if (path / name).exists()),
        migrations=len(manifest.migrations),
        tenants=manifest.rows.get("tenant", 0),
        calls=manifest.rows.get("call", 0),
    )


def verify(path: Path) -> Manifest:
    """Check that a backup is whole and readable; raises NotFound, BackupDamaged."""
    manifest = read_manifest(path)
    for name, expected in manifest.files.items():
        if not (path / name).is_file():
            raise BackupDamaged(f"{path / name} is missing")
        if sha256_of(path / name) != expected:
            raise BackupDamaged(f"{path / name} has another checksum")
    contents = _tool("pg_restore", "", "--list", str(path / DUMP))
    if "TABLE DATA public tenant" not in contents:
        raise BackupDamaged(f"{path / DUMP} holds no tenants")
    return manifest


# ------------------------------------------------------------------------------------------------ restore


def restore(config: Config, *, path: Path, dsn: str | None = None) -> Restored:
    """Restore a backup into an empty database (dsn None: that of the configuration), and bring it to this version.

    The secrets of the instance are restored only where there are none. Raises NotFound, BackupDamaged,
    DatabaseNotEmpty, Unavailable.
    """
    verify(path)
    target = dsn or config.database_dsn
    with _connected(target) as conn:
        _require_empty(conn)
        _make_roles(conn)
    _tool("pg_restore", target, "--no-owner", "--exit-on-error", "--single-transaction", str(path / DUMP))
    if dsn is None:
        _unpack_secrets(config, path / SECRETS)
    with _connected(target) as conn:
        migrated = schema.apply(conn)
        with db.domain_errors():
            conn.execute("ANALYZE")
        return Restored(rows=_rows(conn), migrated=migrated, differences=len(schema.differences(conn)))


def _connected(dsn: str) -> Conn:
    with db.domain_errors():
        return psycopg.connect(dsn, autocommit=True)


def _require_empty(conn: Conn) -> None:
    with db.domain_errors():
        row = conn.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace IN"
            " (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'kamailio'))"
        ).fetchone()
    if row and row[0]:
        raise DatabaseNotEmpty()


def _make_roles(conn: Conn) -> None:
    for role in ROLES:
        with db.domain_errors():
            if conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
                login = sql.SQL("LOGIN") if role == "kamailio" else sql.SQL("NOLOGIN")
                conn.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role), login))
    with db.domain_errors():
        conn.execute("ALTER ROLE kamailio SET search_path = kamailio")


def _unpack_secrets(config: Config, path: Path) -> None:
    config.secrets_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tarfile.open(path) as tar:
        for member in tar.getmembers():
            # Only the name counts, wherever the archive says that the file lies.
            target = config.secrets_directory / Path(member.name).name
            packed = tar.extractfile(member) if member.isfile() else None
            if packed is not None and not target.exists():
                write_replacing(target, packed.read(), mode=0o600)
