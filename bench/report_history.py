"""Reports over a month with a million calls of one tenant, and how fast events become facts.

    python -m bench.report_history [--calls N] [--entries N]

Makes a private PostgreSQL cluster with the settings of an instance, generates thirty days of facts (calls, stays in
20 queues, attempts, states of 200 agents, as many dials of campaigns), lets the schema's own functions sum them, and
makes every report of one day (by the hour) and of the whole month (by the day) as ksctl and the API do. The slowest
one counts. Prints a table and writes into bench/out/api.json.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import psycopg
from psycopg import sql

from bench.report import write_report
from callcore.report_period import Step
from kalibri import pg_cluster
from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.db import Conn, parse_statements
from kalibri.pg_cluster import PgCluster
from kalibri.services import report, report_calls, report_facts
from kalibri.services.report_calls import CallGroup
from kalibri.services.report_frame import Report
from tests.support.builders import make_tenant
from tests.support.fix_pg import apply_schema

FIRST = date(2026, 10, 1)
DAYS = 30
AGENTS, QUEUES, GATEWAYS, CAMPAIGNS = 200, 20, 8, 5
#: Of these times the middle one counts.
ROUNDS = 3

Make = Callable[..., Report]

REPORTS: dict[str, tuple[Make, dict[str, Any]]] = {
    "queue": (report.queue, {}),
    "interval": (report.interval, {}),
    "agent": (report.agent, {}),
    "agent_by_queue": (report.agent, {"by_queue": True}),
    "pauses": (report.pauses, {}),
    "callbacks": (report.callbacks, {}),
    "calls": (report_calls.calls, {}),
    "calls_by_account": (report_calls.calls, {"group": CallGroup.ACCOUNT}),
    "gateway": (report_calls.gateway, {}),
    "campaign": (report_calls.campaign, {}),
    "attempts": (report_calls.attempts, {}),
    "states": (report_calls.states, {}),
    "missed": (report_calls.missed, {}),
    "queue_other_level": (report.queue, {"level_seconds": 30}),
}

SQL = parse_statements(Path(__file__).with_suffix(".sql").read_text(), "report_history")
#: The others, in this order, make a month.
EVENTS = "events"
#: Here facts are complete.
FIRST_SUMS = "queue_slots"


def measure(dsn: str, calls: int, entries: int) -> dict[str, float]:
    """Generate a history and return how long its reports take."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        tenant_id = make_tenant(conn, "history")
        params: dict[str, Any] = {
            "tenant": tenant_id,
            "calls": calls,
            "entries": entries,
            "first": FIRST,
            "days": DAYS,
        }
        params |= {"agents": AGENTS, "queues": QUEUES, "gateways": GATEWAYS, "campaigns": CAMPAIGNS}
        began = time.monotonic()
        indexes = drop_indexes(conn)
        for name, statement in SQL.items():
            if name == FIRST_SUMS:
                for index in indexes:
                    conn.execute(index)
                conn.execute("ANALYZE")
            if name != EVENTS:
                conn.execute(statement, params)
        conn.execute("VACUUM ANALYZE")
        figures = {"history_calls": float(calls), "history_made_s": time.monotonic() - began}
        day, month = times(conn, tenant_id, Step.HOUR, 1), times(conn, tenant_id, Step.DAY, DAYS)
        for name in REPORTS:
            print(f"  {name:<20} day {day[name]:6.3f} s   month {month[name]:6.3f} s")
        figures |= {"day_report_s": max(day.values()), "month_report_s": max(month.values())}
        return figures | folding(conn, params)


def drop_indexes(conn: Conn) -> list[bytes]:
    """Drop what is quicker made at the end than kept up; return the statements that make it again."""
    found = conn.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid::regclass::text LIKE 'report%' AND NOT indisunique"
    ).fetchall()
    for name, _ in found:
        conn.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [definition.encode() for _, definition in found]


def times(conn: Conn, tenant_id: int, step: Step, days: int) -> dict[str, float]:
    """Return seconds of each report over the last days of the history, by name."""
    last = FIRST + timedelta(days=DAYS - 1)
    when = {"from_day": last - timedelta(days=days - 1), "to_day": last, "step": step}
    found = {}
    for name, (make, options) in REPORTS.items():
        took = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            made = make(conn, tenant_id=tenant_id, **when, **options)
            took.append(time.monotonic() - began)
            assert made.rows, name
        found[name] = sorted(took)[ROUNDS // 2]
    return found


def folding(conn: Conn, params: dict[str, Any]) -> dict[str, float]:
    """Return how many events a second become facts."""
    conn.execute(SQL[EVENTS], {**params, "tenant": make_tenant(conn, "events")})
    conn.execute("ANALYZE acd_event")
    began = time.monotonic()
    events, _ = report_facts.catch_up(conn)
    return {"fact_events_per_s": events / (time.monotonic() - began)}


@click.command()
@click.option("--calls", default=1_000_000, show_default=True, help="Of the month.")
@click.option("--entries", default=10_000, show_default=True, help="Queue calls whose events become facts.")
def main(calls: int, entries: int) -> None:
    """Measure reports."""
    home = Path(tempfile.mkdtemp(prefix="ksbench-", dir="/var/tmp"))
    config = Config(home=home, database=DatabaseConfig(port=pg_cluster.free_port()))
    cluster = PgCluster.of(config)
    pg_cluster.prepare(cluster)
    server = pg_cluster.start(cluster, log_file=home / "postgres.log", die_with_parent=True)
    try:
        pg_cluster.set_up(cluster)
        apply_schema(cluster.dsn())
        figures = measure(cluster.dsn(), calls, entries)
    finally:
        pg_cluster.stop(server)
        shutil.rmtree(home, ignore_errors=True)
    write_report("api", figures)


if __name__ == "__main__":
    main()
