"""Small jobs of ks-worker: what has to be made ahead, shortened and swept, so that nothing grows for ever.

Decides for each kind of row how old is old, where the configuration does not. Old calls: archive.py.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from psycopg import sql

from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import audit, backup
from kalibri.services import caller as callers
from kalibri.services import card as cards
from kalibri.services import event as event_stream
from kalibri.services import form as forms
from kalibri.services import token as api_tokens
from kalibri.services import webhook as hooks

SQL = db.statements("worker")

#: ks-index that was away for longer builds everything anew, which it can.
KEEP_CHANGES_DAYS = 14
KEEP_CHANGES = 1000
KEEP_RUNS_DAYS = 90
KEEP_QUARANTINE_DAYS = 365
#: Why campaigns were idle, second by second, and the daily calls of caller ids.
KEEP_HOLDS_DAYS = 35
#: Half-written files that are older belong to nobody any more, in seconds.
ORPHAN_SECONDS = 86_400.0
#: Names that processes give to files that are not whole yet (kalibri/files.py, tools/ksctl/csv_files.py).
HALF_WRITTEN = (".*.tmp", "*.new", ".*.part")


def make_partitions(conn: Conn, config: Config) -> str:
    """Make the day partitions of today and the days to come."""
    today: date = db.fetch_value(conn, SQL["today"])
    made = 0
    parents = day_tables(conn)
    for ahead in range(config.worker.partitions_ahead_days + 1):
        for parent in parents:
            made += bool(
                db.fetch_value(conn, SQL["ensure_day"], parent=parent, day=today + timedelta(days=ahead))
            )
    return f"{made} partitions made for {', '.join(parents)}"


def day_tables(conn: Conn) -> list[str]:
    """Return the tables that are kept by day."""
    with db.domain_errors():
        return [name for (name,) in conn.execute(SQL["day_tables"]).fetchall()]


def events(conn: Conn, config: Config) -> str:
    """Number events that wait because no ks-api runs, and remove those that nobody may resume any more."""
    last = event_stream.sequence(conn)
    gone = event_stream.forget_old(conn, hours=config.worker.keep_events_hours)
    return f"numbered up to {last or 'nothing new'}, {gone} removed"


def tokens(conn: Conn, _config: Config) -> str:
    """Remove tokens that ended long ago, and tickets."""
    return f"{api_tokens.forget_ended(conn)} removed"


def locations(conn: Conn, _config: Config) -> str:
    """Remove registrations that expired long ago."""
    return f"{db.execute(conn, SQL['forget_locations'])} removed"


def changes(conn: Conn, _config: Config) -> str:
    """Shorten the change log, the notes of runs and the quarantine."""
    gone = db.execute(conn, SQL["forget_changes"], days=KEEP_CHANGES_DAYS, keep=KEEP_CHANGES)
    runs = db.execute(conn, SQL["forget_runs"], days=KEEP_RUNS_DAYS)
    lines = db.execute(conn, SQL["forget_quarantine"], days=KEEP_QUARANTINE_DAYS)
    return f"{gone} changes, {runs} runs, {lines} lines in quarantine removed"


def campaigns(conn: Conn, _config: Config) -> str:
    """Remove old seconds in which campaigns were idle, and old days of caller ids."""
    gone = db.execute(conn, SQL["forget_holds"], days=KEEP_HOLDS_DAYS)
    used = db.execute(conn, SQL["forget_caller_id_use"], days=KEEP_HOLDS_DAYS)
    return f"{gone} times of campaigns, {used} days of caller ids removed"


def audit_log(conn: Conn, config: Config) -> str:
    """Remove what is past its period from the audit log."""
    return f"{audit.forget_old(conn, days=config.worker.keep_audit_days)} removed"


def webhooks(conn: Conn, _config: Config) -> str:
    """Remove deliveries that were given up long ago."""
    return f"{hooks.forget_dead(conn)} removed"


def old_cards(conn: Conn, config: Config) -> str:
    """Remove cards of calls that nobody works on any more, sheets past their period, and remembered callers."""
    sheets = forms.forget_sheets(conn, default_days=config.worker.keep_calls_days)
    gone = cards.forget_old(conn)
    return f"{gone} cards, {sheets} sheets, {callers.forget_expired(conn)} looked-up callers removed"


def orphan_files(_conn: Conn, config: Config) -> str:
    """Remove files and backups that a killed process left half written."""
    gone = 0
    for path in _half_written(config):
        try:
            if time.time() - path.lstat().st_mtime > ORPHAN_SECONDS:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                gone += 1
        except FileNotFoundError:  # another one was quicker
            continue
    return f"{gone} removed"


def _half_written(config: Config) -> Iterator[Path]:
    folders = [config.etc_directory, config.index_directory, config.run_directory]
    if (config.worker.archive or "").startswith("dir:"):
        folders.append(Path((config.worker.archive or "").removeprefix("dir:")))
    for folder in folders:
        for pattern in HALF_WRITTEN:
            yield from folder.rglob(pattern)
    if config.worker.backup_directory is not None:
        yield from config.worker.backup_directory.glob(backup.HALF_MADE)


def vacuum(conn: Conn, _config: Config) -> str:
    """Vacuum and analyze the tables that need it."""
    with db.domain_errors():
        tables = conn.execute(SQL["dirty_tables"]).fetchall()
        for schema, table in tables:
            conn.execute(sql.SQL("VACUUM (ANALYZE, SKIP_LOCKED) {}").format(sql.Identifier(schema, table)))
    names = [f"{schema}.{table}" for schema, table in tables]
    return f"cleaned {', '.join(names)}" if names else "nothing to clean"
