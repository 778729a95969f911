"""The database and what lies between it and calls: schema, partitions, index, journals, time zones."""

from __future__ import annotations

import time
import zoneinfo
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from kalibri.index_dir import CURRENT
from kalibri.mapped_file import FileCorrupt
from kalibri.services import health, schema
from kalibri.services.health import Backlog, IndexState, Server, UsedZone
from kalibri.services.journal import journal_sizes
from kalibri.services.schema import SchemaState
from tools.doctor.facts import Facts
from tools.doctor.finding import Finding, fail, graded, ok, size, warn

OLDEST_POSTGRESQL = 150_000
#: Difference of two clocks.
CLOCK_WARN_SECONDS, CLOCK_FAIL_SECONDS = 1.0, 10.0
CONNECTIONS_WARN = 0.8
QUARANTINE_DAYS = 7
#: A change is live within a second.
INDEX_WARN_SECONDS, INDEX_FAIL_SECONDS = 5.0, 60.0
#: ks-cdr looks five times a second: what was there is stored after this time.
JOURNAL_PATIENCE_SECONDS = 2.0
JOURNAL_WARN_BYTES, JOURNAL_FAIL_BYTES = 4 * 1024 * 1024, 256 * 1024 * 1024
JOURNAL_WARN_SECONDS, JOURNAL_FAIL_SECONDS = 15.0, 300.0
#: A zone with a history: where it is missing, the data are.
SAMPLE_ZONE = "Europe/Moscow"


def server(facts: Facts) -> Iterator[Finding]:
    """Ask the server for its version, its clock and its connections."""
    conn = facts.conn
    if conn is None:
        yield fail("database", facts.database_error, "ksinit status postgres; ksinit logs postgres")
        return
    began, before = time.monotonic(), datetime.now(UTC)
    state = health.server(conn)
    seconds = time.monotonic() - began
    yield from judge_server(
        state,
        answer_seconds=seconds,
        clock_ahead_seconds=(state.clock - before).total_seconds() - seconds / 2,
    )


def judge_server(state: Server, *, answer_seconds: float, clock_ahead_seconds: float) -> Iterator[Finding]:
    """Judge what the server says; clock_ahead_seconds: of this machine's clock."""
    yield graded(
        "database",
        f"PostgreSQL {state.version.split()[0]} answers in {answer_seconds * 1000:.0f} ms",
        failed=state.version_number < OLDEST_POSTGRESQL,
        warned=False,
        todo="install PostgreSQL 15 or newer",
    )
    off = abs(clock_ahead_seconds)
    if off > CLOCK_WARN_SECONDS:
        told = f"the database's clock is {off:.1f} s {'ahead' if clock_ahead_seconds > 0 else 'behind'}"
        yield graded(
            "clock",
            told,
            failed=off > CLOCK_FAIL_SECONDS,
            warned=True,
            todo="let NTP keep the clocks of both machines right",
        )
    yield graded(
        "database",
        f"{state.connections} of {state.max_connections} connections in use",
        failed=False,
        warned=state.connections > state.max_connections * CONNECTIONS_WARN,
        todo="raise max_connections, or see who holds them (pg_stat_activity)",
    )


def tables(facts: Facts) -> Iterator[Finding]:
    """Look at the schema, the partitions and the quarantine."""
    conn = facts.database()
    state = schema.state(conn)
    yield judge_schema(state)
    if state.empty:
        return
    yield judge_partitions(health.partitions(conn), today=f"{datetime.now(UTC):%Y%m%d}")
    bad = health.quarantined(conn, days=QUARANTINE_DAYS)
    yield graded(
        "journal",
        f"{bad.lines} unreadable lines in {QUARANTINE_DAYS} days"
        + (f", as {bad.example}" if bad.lines else ""),
        failed=False,
        warned=bad.lines > 0,
        todo="look at them: SELECT * FROM journal_quarantine ORDER BY at DESC",
    )


def judge_schema(state: SchemaState) -> Finding:
    """Judge which migrations a database has seen."""
    if state.empty:
        return fail("database", "there are no tables yet", "ksctl schema apply")
    if state.pending:
        return fail("database", f"migrations not applied: {', '.join(state.pending)}", "ksctl schema apply")
    if state.unknown:
        told = f"a newer version has changed the database: {', '.join(state.unknown)}"
        return warn("database", told, "install that version of the programs here too")
    return ok("database", f"schema {state.applied[-1] if state.applied else 'of this version'} is applied")


def judge_partitions(days: Mapping[str, Sequence[str]], *, today: str) -> Finding:
    """Judge the day partitions; ks-cdr makes that of a day with the first event of the day."""
    every = sorted({day for of_table in days.values() for day in of_table})
    lacking = [f"{table}_{day}" for table, of_table in days.items() for day in every if day not in of_table]
    if lacking:
        return fail(
            "database",
            f"partitions missing: {', '.join(lacking[:5])}",
            f"SELECT ensure_day_partitions('{lacking[0][-8:]}')",
        )
    if not every:
        return ok("database", "no day partitions yet: the first call makes them")
    note = "" if today in every else ", that of today comes with the first event"
    return ok("database", f"partitions of {len(every)} days, {every[0]} to {every[-1]}{note}")


# ----------------------------------------------------------------------------------------------- index


def index(facts: Facts) -> Iterator[Finding]:
    """Compare the index in force with the change log."""
    directory = facts.config.index_directory
    conn = facts.database()
    try:
        state = health.index_state(conn, directory=directory)
        age = time.time() - (directory / CURRENT).stat().st_mtime if state.current else 0.0
    except FileCorrupt as error:
        yield fail("index", error.message, "ksinit restart ks-index; ksinit logs ks-index")
        return
    yield judge_index(state, directory, age_seconds=age)


def judge_index(state: IndexState, directory: Path, *, age_seconds: float) -> Finding:
    """Judge how far the index is; age_seconds: since CURRENT was written."""
    todo = "ksinit restart ks-index; ksinit logs ks-index"
    if state.current is None:
        return fail("index", f"there is no index in {directory}", todo)
    if state.missing:
        return fail("index", f"CURRENT names files that are not there: {', '.join(state.missing)}", todo)
    told = f"generation {state.current.generation}, {age_seconds:.0f} s old"
    if not state.behind:
        return ok("index", f"{told}, every change is live")
    return graded(
        "index",
        f"{told}, {state.behind} changes behind for {state.waits_seconds:.0f} s",
        failed=state.waits_seconds > INDEX_FAIL_SECONDS,
        warned=state.waits_seconds > INDEX_WARN_SECONDS,
        todo=todo,
    )


# --------------------------------------------------------------------------------------------- journals


def journals(facts: Facts) -> Iterator[Finding]:
    """Count what journals hold that is not stored, and is not stored a moment later either."""
    sizes = journal_sizes(facts.config.journal_directory)
    deadline = time.monotonic() + JOURNAL_PATIENCE_SECONDS
    while (waiting := health.backlog(facts.database(), sizes=sizes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    yield judge_backlog(waiting, files=len(sizes))


def judge_backlog(waiting: Collection[Backlog], *, files: int) -> Finding:
    """Judge what is not stored yet; files: how many there are."""
    total = sum(entry.bytes for entry in waiting)
    # Nothing tells how long a file waits of which nothing was ever stored: its bytes count.
    age = max((entry.age_seconds or 0.0 for entry in waiting), default=0.0)
    return graded(
        "journal",
        f"{size(total)} not stored yet, in {len(waiting)} of {files} files"
        + (f", for {age:.0f} s" if age >= 1 else ""),
        failed=total > JOURNAL_FAIL_BYTES or age > JOURNAL_FAIL_SECONDS,
        warned=total > JOURNAL_WARN_BYTES or age > JOURNAL_WARN_SECONDS,
        todo="ksinit status ks-cdr; ksinit logs ks-cdr",
    )


# ------------------------------------------------------------------------------------------------ zones


def time_zones(facts: Facts) -> Iterator[Finding]:
    """Look for the time zone data, and for zones that tenants and schedules use."""
    used = list(health.used_zones(facts.database())) if facts.conn is not None else []
    yield judge_zones(used)


def judge_zones(used: Collection[UsedZone]) -> Finding:
    """Judge whether every zone in use is known."""
    todo = "apt install tzdata, or install the Python package tzdata again (make install)"
    if not _known(SAMPLE_ZONE):
        return fail("time zones", f"{SAMPLE_ZONE} is unknown: there are no time zone data", todo)
    unknown = [
        f"{zone.time_zone} ({', '.join(zone.used_by[:3])})" for zone in used if not _known(zone.time_zone)
    ]
    if unknown:
        return fail(
            "time zones", f"unknown zones: {'; '.join(unknown)}", "give them a zone that exists, as UTC"
        )
    return ok("time zones", f"{len(used)} zones in use, all known; data {metadata.version('tzdata')}")


def _known(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
