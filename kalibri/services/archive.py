"""Old calls: written to the archive as compressed CSV, then removed by the policy of each tenant.

Decides what is old: a tenant's own period, else the system's. With an archive, nothing is removed that the archive
does not hold row for row. A day whose tenants have all let it go is dropped as a whole; else rows are deleted.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import errors, sql

from callcore.errors import NotFound, Unavailable
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.files import replacing
from kalibri.services.maintenance import day_tables
from kalibri.services.tenant import SYSTEM_TENANT_ID

SQL = db.statements("worker")

#: How long the removal of a day may wait for readers, before it is left for the next time.
LOCK_TIMEOUT = "2s"
COMPRESSION = 6


class ArchiveDamaged(Unavailable):
    """A file of the archive is not as it was written."""

    error_id = "archive-damaged"


@dataclass(frozen=True, kw_only=True)
class ArchiveFile:
    """One file of the archive."""

    archive_id: int
    tenant_id: int | None
    tenant: str | None
    #: The table.
    noun: str
    day: date
    #: Below the directory of the archive.
    path: str
    row_count: int
    size_bytes: int
    sha256: str
    made_at: datetime


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long a tenant keeps calls."""

    tenant_id: int
    tenant: str
    #: None: as long as the system does (worker.keep_calls_days).
    keep_calls_days: int | None


@dataclass(frozen=True)
class _Part:
    part: str
    day: date


@dataclass(frozen=True)
class _Archived:
    tenant_id: int | None
    row_count: int


@dataclass(frozen=True)
class _Period:
    tenant_id: int
    keep_calls_days: int


# ----------------------------------------------------------------------------------------------- policy


def list_retention(conn: Conn, *, tenant_id: int | None) -> list[Retention]:
    """Return how long tenants keep calls; None: all tenants."""
    return db.fetch_all(conn, Retention, SQL["list_retention"], tenant_id=tenant_id)


def set_retention(conn: Conn, *, tenant_id: int, keep_calls_days: int | None) -> None:
    """Give a tenant a period of its own; None: that of the system counts. Raises BadInput, NotFound."""
    if keep_calls_days is None:
        db.execute(conn, SQL["unset_retention"], tenant_id=tenant_id)
    else:
        db.execute(conn, SQL["set_retention"], tenant_id=tenant_id, keep_calls_days=keep_calls_days)


def list_files(conn: Conn, *, tenant_id: int | None, limit: int = 1000) -> list[ArchiveFile]:
    """Return files of the archive, the newest days first; None: of all tenants."""
    return db.fetch_all(conn, ArchiveFile, SQL["list_archive"], tenant_id=tenant_id, limit=limit)


# ---------------------------------------------------------------------------------------------- archive


def is_wanted(config: Config) -> bool:
    """Tell whether there is an archive."""
    return config.worker.archive_directory is not None


def run(conn: Conn, config: Config) -> str:
    """Write days that are old enough and not in the archive yet."""
    root = _root(config)
    until = _today(conn) - timedelta(days=config.worker.archive_after_days)
    files = rows = 0
    for noun in day_tables(conn):
        for part in db.fetch_all(conn, _Part, SQL["day_partitions"], parent=noun, until=until):
            for tenant_id, count in _missing(conn, noun, part).items():
                _write(conn, root, noun, part, tenant_id)
                files += 1
                rows += count
    return f"{files} files with {rows} rows written"


def _root(config: Config) -> Path:
    root = config.worker.archive_directory
    # A disk that is not mounted must not look like an empty archive: the directory is not made.
    if root is None or not root.is_dir():
        raise Unavailable(f"the archive {root} is not there (make the directory once)")
    return root


def _today(conn: Conn) -> date:
    today: date = db.fetch_value(conn, SQL["today"])
    return today


def _missing(conn: Conn, noun: str, part: _Part) -> dict[int | None, int]:
    """Return the tenants of a day whose rows the archive does not hold as they are, and how many."""
    there = _archived(conn, noun, part.day)
    return {
        tenant_id: count for tenant_id, count in _counts(conn, part).items() if there.get(tenant_id) != count
    }


def _archived(conn: Conn, noun: str, day: date) -> Mapping[int | None, int]:
    return {
        row.tenant_id: row.row_count
        for row in db.fetch_all(conn, _Archived, SQL["archived"], noun=noun, day=day)
    }


def _counts(conn: Conn, part: _Part) -> dict[int | None, int]:
    counted = sql.SQL("SELECT tenant_id, count(*) FROM {} GROUP BY 1 ORDER BY 1").format(
        sql.Identifier(part.part)
    )
    with db.domain_errors():
        return dict(conn.execute(counted).fetchall())


def _write(conn: Conn, root: Path, noun: str, part: _Part, tenant_id: int | None) -> None:
    """Write the rows of a day and a tenant; a day that has grown since gets a further file, which counts."""
    owner = "nobody" if tenant_id is None else str(tenant_id)
    folder = root / noun / f"{part.day:%Y}" / f"{part.day:%m}"
    folder.mkdir(parents=True, exist_ok=True)
    path = _unused(folder, f"{noun}-{part.day:%Y%m%d}-{owner}")
    with (
        replacing(path) as file,
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=COMPRESSION, mtime=0) as packed,
    ):
        rows = _copy(conn, part, tenant_id, packed)
    _read_back(path)
    db.execute(
        conn,
        SQL["add_archive_file"],
        tenant_id=tenant_id,
        noun=noun,
        day=part.day,
        path=str(path.relative_to(root)),
        row_count=rows,
        size_bytes=path.stat().st_size,
        sha256=checksum(path),
    )


def _unused(folder: Path, stem: str) -> Path:
    path, number = folder / f"{stem}.csv.gz", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}.{number}.csv.gz"
    return path


def _copy(conn: Conn, part: _Part, tenant_id: int | None, target: gzip.GzipFile) -> int:
    """Write the rows of a day and a tenant as CSV; return how many."""
    query = sql.SQL(
        "COPY (SELECT * FROM {} WHERE tenant_id IS NOT DISTINCT FROM {} ORDER BY 1, 2)"
        " TO STDOUT (FORMAT csv, HEADER)"
    ).format(sql.Identifier(part.part), sql.Literal(tenant_id))
    with db.domain_errors(), conn.cursor() as cursor:
        with cursor.copy(query) as copy:
            for piece in copy:
                target.write(bytes(piece))
        return cursor.rowcount


def _read_back(path: Path) -> None:
    """Read a file to its end; raises OSError: what cannot be read is no archive."""
    with gzip.open(path, "rb") as packed:
        while packed.read(1 << 20):
            pass


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def verify(conn: Conn, config: Config) -> int:
    """Compare every file of the archive with its checksum; return how many there are. Raises ArchiveDamaged."""
    root = _root(config)
    files = list_files(conn, tenant_id=None, limit=1_000_000)
    for file in files:
        path = root / file.path
        if not path.is_file():
            raise ArchiveDamaged(f"{path} is missing", path=file.path)
        if checksum(path) != file.sha256:
            raise ArchiveDamaged(f"{path} has another checksum", path=file.path)
    return len(files)


# -------------------------------------------------------------------------------------------- retention


def retain(conn: Conn, config: Config) -> str:
    """Remove rows that are past the period of their tenant, days that are past everybody's as a whole."""
    today = _today(conn)
    periods = {row.tenant_id: row.keep_calls_days for row in db.fetch_all(conn, _Period, SQL["keep_days"])}
    longest = config.worker.keep_calls_days
    shortest = min([longest, *periods.values()])
    work = _Retention(conn, config, today, periods)
    for noun in day_tables(conn):
        until = today - timedelta(days=shortest)
        for part in db.fetch_all(conn, _Part, SQL["day_partitions"], parent=noun, until=until):
            work.look(noun, part)
    return work.told()


class _Retention:
    """One run over all days."""

    def __init__(self, conn: Conn, config: Config, today: date, periods: Mapping[int, int]) -> None:
        self._conn = conn
        self._config = config
        self._today = today
        self._periods = periods
        self._dropped = self._deleted = self._kept_back = self._busy = 0

    def told(self) -> str:
        """Say what was done."""
        text = f"{self._dropped} days dropped, {self._deleted} rows deleted"
        if self._kept_back:
            text += f", {self._kept_back} days wait for the archive"
        return text + (f", {self._busy} days were in use" if self._busy else "")

    def look(self, noun: str, part: _Part) -> None:
        """Remove what may go of one day."""
        counts = _counts(self._conn, part)
        past = {tenant_id for tenant_id in counts if self._is_past(tenant_id, part.day)}
        if is_wanted(self._config):
            there = _archived(self._conn, noun, part.day)
            lacking = {tenant_id for tenant_id in past if there.get(tenant_id) != counts[tenant_id]}
            self._kept_back += bool(lacking)
            past -= lacking
        if past == set(counts) and self._is_past(None, part.day):
            self._drop(part)
        elif past:
            self._delete(part, past)

    def _is_past(self, tenant_id: int | None, day: date) -> bool:
        default = self._periods.get(SYSTEM_TENANT_ID, self._config.worker.keep_calls_days)
        keep = default if tenant_id is None else self._periods.get(tenant_id, default)
        # The last moment of the day must be past the period.
        return day + timedelta(days=keep) < self._today

    def _drop(self, part: _Part) -> None:
        try:
            with self._conn.transaction():
                self._conn.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
                self._conn.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(part.part)))
        except errors.LockNotAvailable:
            self._busy += 1
        except psycopg.Error as error:
            raise db.domain_error(error) from error
        else:
            self._dropped += 1

    def _delete(self, part: _Part, past: set[int | None]) -> None:
        statement = sql.SQL("DELETE FROM {} WHERE tenant_id = ANY (%s) OR (%s AND tenant_id IS NULL)").format(
            sql.Identifier(part.part)
        )
        owners = [tenant_id for tenant_id in past if tenant_id is not None]
        with db.domain_errors():
            self._deleted += self._conn.execute(statement, [owners, None in past]).rowcount


def read_file(config: Config, *, path: str) -> Iterator[str]:
    """Yield the lines of a file of the archive; raises NotFound."""
    root = _root(config)
    file = (root / path).resolve()
    if not file.is_relative_to(root.resolve()) or not file.is_file():
        raise NotFound(f'the archive has no file "{path}"')
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        yield from text
