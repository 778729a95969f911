"""How the database, the index and the journals are: facts for a doctor, no judgement."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kalibri import db
from kalibri.db import Conn
from kalibri.index_dir import Current, read_current
from kalibri.services import route_live

SQL = db.statements("health")


@dataclass(frozen=True, kw_only=True)
class Server:
    """The PostgreSQL server."""

    #: As 150008.
    version_number: int
    version: str
    #: Its clock, now.
    clock: datetime
    connections: int
    max_connections: int


@dataclass(frozen=True)
class Quarantined:
    """Journal lines that could not be read."""

    lines: int
    example: str | None


@dataclass(frozen=True, kw_only=True)
class IndexState:
    """The index in force against the change log."""

    #: None: there is none.
    current: Current | None
    #: Files that CURRENT names and that are not there.
    missing: tuple[str, ...]
    #: Changes that the index lacks, and how long the oldest of them waits.
    behind: int
    waits_seconds: float


@dataclass(frozen=True)
class Backlog:
    """What a journal file holds that is not stored yet."""

    file: str
    bytes: int
    #: Since something of the file was stored; None: nothing was yet.
    age_seconds: float | None


@dataclass(frozen=True)
class UsedZone:
    """A time zone that somebody uses."""

    time_zone: str
    used_by: tuple[str, ...]


@dataclass(frozen=True)
class _Partition:
    parent: str
    name: str | None


@dataclass(frozen=True)
class _StoredFile:
    file: str
    offset_bytes: int
    age_seconds: float


def server(conn: Conn) -> Server:
    """Return what the server says of itself."""
    return db.require(db.fetch_one(conn, Server, SQL["server"]), "server", "current")


def partitions(conn: Conn) -> dict[str, list[str]]:
    """Return the days that each partitioned table has a partition for, as YYYYMMDD, in order."""
    days: dict[str, list[str]] = {}
    for row in db.fetch_all(conn, _Partition, SQL["partitions"]):
        of_table = days.setdefault(row.parent, [])
        if row.name is not None:
            of_table.append(row.name.removeprefix(f"{row.parent}_"))
    return days


def quarantined(conn: Conn, *, days: int) -> Quarantined:
    """Return what could not be read in the last days."""
    return db.require(db.fetch_one(conn, Quarantined, SQL["quarantined"], days=days), "count", "quarantine")


def index_state(conn: Conn, *, directory: Path) -> IndexState:
    """Compare the index in force with the change log; raises FileCorrupt if CURRENT makes no sense."""
    current = read_current(directory)
    if current is None:
        return IndexState(current=None, missing=(), behind=0, waits_seconds=0.0)
    behind = max(route_live.last_change(conn) - current.seq, 0)
    waits = db.fetch_value(conn, SQL["unserved"], seq=current.seq) if behind else None
    return IndexState(
        current=current,
        missing=tuple(sorted(name for name in current.files() if not (directory / name).exists())),
        behind=behind,
        waits_seconds=waits or 0.0,
    )


def backlog(conn: Conn, *, sizes: Mapping[str, int]) -> list[Backlog]:
    """Return the files {name: bytes} of which something is not stored yet."""
    rows = db.fetch_all(conn, _StoredFile, SQL["journal_files"], files=list(sizes))
    stored = {row.file: row for row in rows}
    found = []
    for name, size in sorted(sizes.items()):
        row = stored.get(name)
        missing = size - (row.offset_bytes if row else 0)
        if missing > 0:
            found.append(Backlog(name, missing, row.age_seconds if row and row.offset_bytes else None))
    return found


def used_zones(conn: Conn) -> Collection[UsedZone]:
    """Return the time zones of tenants and schedules."""
    return db.fetch_all(conn, UsedZone, SQL["time_zones"])
