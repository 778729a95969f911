"""How long a saved route takes to be live: from the commit until another process would take it.

    python -m bench.route_change [--routes N] [--changes N]

Makes a private PostgreSQL cluster with the settings of an instance, runs a real ks-index on a table of
routes, and a reader process that follows the index as a worker of the proxy does. Half of the changes are
made while the overlay is nearly full (the worst case). Writes its metrics into bench/out/route.json.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

import click

from bench.report import write_report
from bench.route_tables import TENANTS, RouteMaker
from kalibri import pg_cluster
from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.db import Conn, connect_tool
from kalibri.pg_cluster import PgCluster
from kalibri.services import route as routes
from kalibri.services.route_draft import RouteDraft
from kemi.directory import Directory
from kemi.ks_route.model import Direction, RouteRequest
from tests.support.fix_pg import apply_schema
from tests.support.index_daemon import IndexDaemon, running_index
from tests.support.rows import add_tenant

#: The reader looks as often as a busy worker gets requests.
LOOK_SECONDS = 0.001
GIVE_UP_SECONDS = 60.0
#: The called number that only the measured route takes.
PROBE = "*7373"
COLUMNS = (
    "route_id, tenant_id, priority, a_pattern, a_host_pattern, b_pattern, b_host_pattern, name,"
    " destination_kind, destination, options"
)


def follow(index_dir: str, tenant_id: int, pipe: Connection) -> None:
    """Be a reader: say that it runs, then tell when (monotonic seconds) each asked destination is served."""
    directory = Directory.open(index_dir)
    request = RouteRequest(
        tenant_id=tenant_id,
        direction=Direction.ACCOUNT,
        a_number="101",
        a_host="a.example",
        b_number=PROBE,
        b_host="a.example",
    )
    pipe.send(None)
    while (wanted := pipe.recv()) is not None:
        while True:
            directory.refresh()
            row = next(iter(directory.routes.candidates(request)), None)
            if row is not None and row.destination == wanted:
                break
            time.sleep(LOOK_SECONDS)
        pipe.send(time.monotonic())


@contextmanager
def reader(daemon: IndexDaemon, tenant_id: int) -> Iterator[Connection]:
    """Run a reader process; yields the pipe to it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=follow, args=(str(daemon.directory), tenant_id, theirs), daemon=True
    )
    process.start()
    ours.recv()
    try:
        yield ours
    finally:
        ours.send(None)
        process.join()


def fill(conn: Conn, count: int) -> None:
    """Put a table of synthetic routes into the database."""
    for number in range(1, TENANTS + 1):
        conn.execute(
            "INSERT INTO tenant (tenant_id, name, realm) VALUES (%s, %s, %s)",
            [number, f"t{number}", f"t{number}"],
        )
    conn.execute("SELECT setval('tenant_tenant_id_seq', %s)", [TENANTS])
    with conn.cursor() as cursor, cursor.copy(f"COPY route ({COLUMNS}) FROM STDIN") as copy:
        for row in RouteMaker(1).rows(count):
            patterns = (row.a_pattern, row.a_host_pattern, row.b_pattern, row.b_host_pattern)
            leads_to = (row.destination_kind.value, row.destination, json.dumps(dict(row.options)))
            copy.write_row((row.route_id, row.tenant_id, row.priority, *patterns, row.name, *leads_to))
    conn.execute("SELECT setval('route_route_id_seq', %s)", [count])


def pending_changes(conn: Conn, count: int) -> None:
    """Change so many routes, each a change of its own, that they wait in the overlay."""
    for route_id in range(1, count + 1):
        conn.execute("UPDATE route SET destination = 'others' WHERE route_id = %s", [route_id])


def one_change(conn: Conn, pipe: Connection, tenant_id: int, route_id: int, destination: str) -> float:
    """Save a change and return how long after the commit the reader serves it, in seconds."""
    pipe.send(destination)
    routes.edit(conn, tenant_id=tenant_id, route_id=route_id, changes={"destination": destination})
    committed = time.monotonic()
    if not pipe.poll(GIVE_UP_SECONDS):
        raise click.ClickException(f"the change was not live within {GIVE_UP_SECONDS:g} s")
    return max(float(pipe.recv()) - committed, 0.0)


def measure(config: Config, *, route_count: int, changes: int) -> dict[str, float]:
    """Return the metrics: worst and median time of single changes, in seconds."""
    fold = {"KALIBRI_INDEX_FOLD_AFTER_CHANGES": "1000000", "KALIBRI_INDEX_FOLD_AFTER_SECONDS": "86400"}
    with connect_tool(config, application_name="bench") as conn:
        fill(conn, route_count)
        tenant_id = add_tenant(conn, "bench")
        draft = RouteDraft(
            priority=Decimal("0.5"), b_pattern=r"^\*7373$", destination_kind="reject", destination="400"
        )
        route_id = routes.add(conn, tenant_id=tenant_id, draft=draft).route_id
        with running_index(config, **fold) as daemon:
            daemon.until_live(conn, patience_seconds=600)
            with reader(daemon, tenant_id) as pipe:
                times = []
                for number in range(changes):
                    if number == changes // 2:
                        pending_changes(conn, config.index.fold_after_changes - 1)
                        daemon.until_live(conn, patience_seconds=600)
                    times.append(one_change(conn, pipe, tenant_id, route_id, str(400 + number % 2 + 1)))
    return {
        "change_live_s": max(times),
        "change_live_median_s": statistics.median(times[: changes // 2]),
        "change_live_full_overlay_median_s": statistics.median(times[changes // 2 :]),
    }


@click.command()
@click.option("--routes", "route_count", default=100_000, show_default=True, help="Routes in the table.")
@click.option("--changes", default=40, show_default=True, help="Changes that are measured.")
def main(route_count: int, changes: int) -> None:
    """Measure how long a saved route takes to be live."""
    home = Path(tempfile.mkdtemp(prefix="ksbench-", dir="/tmp"))
    try:
        cluster_config = Config(home=home, database=DatabaseConfig(port=pg_cluster.free_port()))
        cluster = PgCluster.of(cluster_config)
        pg_cluster.prepare(cluster)
        server = pg_cluster.start(cluster, log_file=home / "postgres.log", die_with_parent=True)
        try:
            pg_cluster.set_up(cluster)
            apply_schema(cluster.dsn())
            write_report("route", measure(cluster_config, route_count=route_count, changes=changes))
        finally:
            pg_cluster.stop(server)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
