"""Building the parts of the index from the database, each from one snapshot.

Decides what goes into the directory, system and range files (routes: route_index.py). Never switches
CURRENT: ks-index does, when a file is complete.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from callcore.region import normalise_region
from kalibri import hashfile, rangefile
from kalibri.db import Conn, domain_errors, fetch_all, fetch_one, fetch_value, require, statements
from kalibri.index_ledger import Change

#: Rows that a streaming cursor fetches at once.
BATCH_ROWS = 5000


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """Which database a snapshot belongs to, and the newest change that it contains."""

    #: Cluster, database and timeline; another one has another past.
    database: str
    last_seq: int
    #: Oldest change that change_log still holds; 0: it is empty.
    first_seq: int


@dataclass(frozen=True, slots=True)
class KamailioTables:
    """Fingerprints of the tables that Kamailio itself loads."""

    dispatcher: str
    uacreg: str


@contextlib.contextmanager
def snapshot(conn: Conn) -> Iterator[DatabaseState]:
    """Read several things as they were at one moment; every change up to `last_seq` is in it."""
    conn.isolation_level, conn.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
    try:
        with domain_errors(), conn.transaction():
            state = fetch_one(conn, DatabaseState, _SQL["database"])
            yield require(state, "database", "current")
    finally:
        with contextlib.suppress(psycopg.Error):
            conn.isolation_level, conn.read_only = None, None


_SQL = statements("index")


def changes(conn: Conn, *, after: int) -> list[Change]:
    """Return the changes after a change_log.seq, in commit order."""
    rows = fetch_all(conn, Change, _SQL["changes"], after=after)
    return [Change(row.seq, row.noun, None if row.ids is None else tuple(row.ids)) for row in rows]


def kamailio_tables(conn: Conn) -> KamailioTables:
    """Return fingerprints of what Kamailio loads from the database."""
    return require(fetch_one(conn, KamailioTables, _SQL["kamailio_tables"]), "fingerprint", "kamailio")


def system_content(conn: Conn) -> bytes:
    """Return the system file: tenants, domains, gateways, groups, schedules, caller ids, nodes.

    Regions get their one name, so that they compare with those of the number ranges.
    """
    system: dict[str, Any] = fetch_value(conn, _SQL["system"])
    for gateway in system["gateways"].values():
        gateway["region"] = gateway["region"] and normalise_region(gateway["region"]).name
    for caller_id in system["caller_ids"]:
        caller_id["region"] = normalise_region(caller_id["region"]).name
    return json.dumps(system, ensure_ascii=False, sort_keys=True).encode()


def build_directory(conn: Conn, path: Path) -> int:
    """Write the directory file of this snapshot; return how many entries it has."""
    with domain_errors(), conn.cursor(name="index_directory") as cursor:
        cursor.itersize = BATCH_ROWS
        cursor.execute(_SQL["directory"])
        return hashfile.build(path, ((key.encode(), value.encode()) for key, value in cursor)).entries


def build_ranges(conn: Conn, path: Path) -> int | None:
    """Write the range file of this snapshot; return how many ranges it has, None if none were imported."""
    if fetch_value(conn, _SQL["range_set"]) is None:
        return None
    with domain_errors(), conn.cursor(name="index_ranges") as cursor:
        cursor.itersize = BATCH_ROWS
        cursor.execute(_SQL["ranges"])
        return rangefile.build(path, cursor)
