"""Old calls: written to the archive as compressed CSV, then removed by the policy of each tenant.

Decides what is old: a tenant's own period, else the system's. With an archive, nothing is removed that the archive
does not hold row for row. A day whose tenants have all let it go is dropped as a whole; else rows are deleted.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import IO

import psycopg
from psycopg import errors, sql

from callcore.errors import NotFound, Unavailable
from kalibri import db
from kalibri.archive_store import ArchiveStore, open_archive
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.files import sha256_of
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
    #: Key in the archive.
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
    return config.worker.archive is not None


def run(conn: Conn, config: Config) -> str:
    """Write days that are old enough and not in the archive yet."""
    store = _store(config)
    until = _today(conn) - timedelta(days=config.worker.archive_after_days)
    files = rows = 0
    for noun in day_tables(conn):
        for part in db.fetch_all(conn, _Part, SQL["day_partitions"], parent=noun, until=until):
            for tenant_id, count in _missing(conn, noun, part).items():
                _write(conn, store, noun, part, tenant_id)
                files += 1
                rows += count
    return f"{files} files with {rows} rows written"


def _store(config: Config) -> ArchiveStore:
    if config.worker.archive is None:
        raise Unavailable("there is no archive (worker.archive)")
    store = open_archive(config, config.worker.archive)
    store.check()
    return store


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


def _write(conn: Conn, store: ArchiveStore, noun: str, part: _Part, tenant_id: int | None) -> None:
    """Write the rows of a day and a tenant; a day that has grown since gets a further file, which counts."""
    owner = "nobody" if tenant_id is None else str(tenant_id)
    key = _unused(store, f"{noun}/{part.day:%Y}/{part.day:%m}/{noun}-{part.day:%Y%m%d}-{owner}")
    with tempfile.TemporaryDirectory(prefix="ks-archive-") as folder:
        path = Path(folder) / "day.csv.gz"
        with path.open("wb") as file, _packing(file) as packed:
            rows = _copy(conn, part, tenant_id, packed)
        _read_back(path)
        digest, size = sha256_of(path), path.stat().st_size
        store.put(path, key)
    if store.sha256(key) != digest:
        raise ArchiveDamaged(f"{key} is not in the archive as it was sent", path=key)
    db.execute(
        conn,
        SQL["add_archive_file"],
        tenant_id=tenant_id,
        noun=noun,
        day=part.day,
        path=key,
        row_count=rows,
        size_bytes=size,
        sha256=digest,
    )


def _packing(file: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file, mode="wb", compresslevel=COMPRESSION, mtime=0)


def _unused(store: ArchiveStore, stem: str) -> str:
    """Return a key that the archive has not: what is there may be all that is left of rows removed since."""
    key, number = f"{stem}.csv.gz", 1
    while store.exists(key):
        number += 1
        key = f"{stem}.{number}.csv.gz"
    return key


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


def verify(conn: Conn, config: Config) -> int:
    """Compare every file of the archive with its checksum; return how many there are. Raises ArchiveDamaged."""
    store = _store(config)
    files = list_files(conn, tenant_id=None, limit=1_000_000)
    for file in files:
        try:
            found = store.sha256(file.path)
        except NotFound:
            raise ArchiveDamaged(f"{file.path} is missing in {store.url}", path=file.path) from None
        if found != file.sha256:
            raise ArchiveDamaged(f"{file.path} in {store.url} has another checksum", path=file.path)
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
    store = _store(config)
    steps = PurePosixPath(path).parts
    if not steps or steps[0] == "/" or ".." in steps:
        raise NotFound(f'the archive has no file "{path}"')
    with tempfile.TemporaryDirectory(prefix="ks-archive-") as folder:
        file = Path(folder) / "day.csv.gz"
        store.fetch(path, file)
        with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
            yield from text
