"""The facts of reports: built from what is journalled, step by step or all again, and forgotten in time.

Decides how much one transaction takes. What the facts are, and how events become facts, is SQL
(schema/70_report.sql, 71_report_fold.sql): a step is a function there, and belongs together or not at all. May be
killed anywhere; two at once wait for each other. Never reads the tables of live queues, only their events.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn

SQL = db.statements("report_build")

#: Events, and calls, of one transaction.
EVENTS_AT_ONCE = 20_000
CALLS_AT_ONCE = 20_000


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What was built again."""

    #: Queue events and calls from which it was built.
    events: int
    calls: int


@dataclass(frozen=True)
class _Progress:
    source: str
    built_at: datetime
    at: datetime | None


def build(conn: Conn, _config: Config) -> str:
    """Take what is new: the job of ks-worker."""
    events, calls = catch_up(conn)
    return f"{events} queue events and {calls} calls taken"


def catch_up(conn: Conn) -> tuple[int, int]:
    """Take all events and calls that are new; return how many. The connection must be in autocommit mode."""
    with db.domain_errors():
        tenants = [row[0] for row in conn.execute(SQL["tenants"]).fetchall()]
    events = sum(_all(conn, "fold", tenant_id=tenant, most=EVENTS_AT_ONCE) for tenant in tenants)
    return events, _all(conn, "fold_calls", most=CALLS_AT_ONCE)


def _all(conn: Conn, name: str, **params: object) -> int:
    total = 0
    while taken := db.fetch_value(conn, SQL[name], **params):
        total += taken
    return total


def rebuild(conn: Conn, *, tenant_id: int | None = None) -> Rebuilt:
    """Build facts again from all that is kept; None: of all tenants, and of the calls.

    Each tenant is one transaction: until its end, reports show what was there. Days whose events are in the
    archive only stay as they are.
    """
    with db.domain_errors():
        tenants = (
            [row[0] for row in conn.execute(SQL["tenants"]).fetchall()] if tenant_id is None else [tenant_id]
        )
    events = sum(db.fetch_value(conn, SQL["rebuild"], tenant_id=tenant) for tenant in tenants)
    calls = db.fetch_value(conn, SQL["rebuild_calls"]) if tenant_id is None else 0
    return Rebuilt(events=events, calls=calls)


def built_until(conn: Conn, *, tenant_id: int | None, source: str) -> datetime | None:
    """Return up to when the facts are built ("acd" or "call"); None: they never were."""
    rows = db.fetch_all(conn, _Progress, SQL["progress"], tenant_id=tenant_id)
    return min((row.built_at for row in rows if row.source == source), default=None)


def forget(conn: Conn, config: Config) -> str:
    """Remove facts with the calls of their tenants, and sums after years: the job of ks-worker."""
    facts = db.fetch_value(conn, SQL["forget"], days=config.worker.keep_calls_days)
    sums = db.fetch_value(conn, SQL["forget_sums"], days=config.worker.keep_reports_days)
    return f"{facts} facts and {sums} sums removed"
