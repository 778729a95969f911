"""What a large list costs: seconds and CPU of an import of leads, of its repetition, of taking leads from it.

    python -m bench.lead_import [--rows N]

Makes a private PostgreSQL cluster with the settings of an instance (synchronous commits), a registry of 11,000 number
ranges and a do-not-call list of 1 % of the numbers; imports one CSV with two numbers and three variables a row. Prints
a table and writes bench/out/lead_import.json. CPU: of this process; PostgreSQL's is in the seconds.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from bench.report import write_report
from callcore.dial import CampaignMode
from callcore.region import REGIONS
from kalibri import pg_cluster
from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.db import Conn, connect_tool
from kalibri.pg_cluster import PgCluster
from kalibri.services import campaign as campaigns
from kalibri.services import lead_import, tenant
from kalibri.services.campaign_hours import open_sets
from kalibri.services.lead_import import LeadImport
from tests.support.fix_dial import ready_prompt
from tests.support.fix_pg import apply_schema

#: 13:00 in Moscow: most of the country is open.
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
RANGES = 11_000
BATCH = 100
Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, float, float]:
    """Return what `work` returns, seconds, and CPU seconds of this process."""
    began, cpu = time.monotonic(), time.process_time()
    result = work()
    return result, time.monotonic() - began, time.process_time() - cpu


def write_list(file: Path, rows: int) -> None:
    """Write a list of persons with two numbers each."""
    with file.open("w", encoding="utf-8") as out:
        out.write("id;phone;phone2;name;consent;city;debt;manager\n")
        for row in range(rows):
            first, second = 79_000_000_000 + row * 2, 79_500_000_000 + row * 2
            out.write(
                f"C{row};8{first % 10**10};+{second};Имя {row};contract {row};Город;{row % 1000};m{row % 20}\n"
            )


def prepare(conn: Conn, rows: int, chance: random.Random) -> int:
    """Put registry, do-not-call list, tenant and campaign in place; return the tenant."""
    regions = list(REGIONS)
    size = 1_000_000_000 // RANGES
    with conn.transaction():
        row = conn.execute(
            "INSERT INTO number_range_set (source, range_count, current) VALUES ('bench', %s, true) RETURNING set_id",
            [RANGES],
        ).fetchone()
        assert row is not None
        with conn.cursor().copy(
            "COPY number_range (set_id, first, last, operator, region) FROM STDIN"
        ) as copy:
            for place in range(RANGES):
                first = 79_000_000_000 + place * size
                copy.write_row((row[0], first, first + size - 1, "op", chance.choice(regions)))
        with conn.cursor().copy("COPY do_not_call (tenant_id, number) FROM STDIN") as copy:
            for number in range(0, rows, 100):
                copy.write_row((0, str(79_000_000_000 + number * 2)))
    conn.execute("ANALYZE")
    ready_prompt(conn)
    tenant_id = tenant.add(conn, name="bench", time_zone="Europe/Moscow").tenant_id
    campaigns.add(
        conn, tenant_id=tenant_id, name="big", mode=CampaignMode.BROADCAST, prompt="hello", purpose="bench"
    )
    return tenant_id


def measure(conn: Conn, home: Path, rows: int) -> dict[str, float]:
    """Import the list, dry and wet and again, and take leads of it."""
    chance = random.Random(7)
    file = home / "people.csv"
    write_list(file, rows)
    tenant_id = prepare(conn, rows, chance)

    def take(*, dry_run: bool = False) -> LeadImport:
        return lead_import.import_leads(
            conn, tenant_id=tenant_id, campaign="big", file=file, now=NOW, country_code="7", dry_run=dry_run
        )

    dry, dry_seconds, _ = timed(lambda: take(dry_run=True))
    wet, seconds, cpu = timed(take)
    assert dry == wet
    assert wet.added == rows
    again, again_seconds, _ = timed(take)
    assert again.unchanged == rows
    campaign = campaigns.start(conn, tenant_id=tenant_id, name="big")
    sets = open_sets(conn, campaign, NOW)
    taken: list[float] = []
    for _ in range(BATCH):
        query = "SELECT lead_id FROM lead_take(%s, %s, %s, %s, %s)"
        params = [tenant_id, campaign.campaign_id, sets, BATCH, NOW]
        found, took, _ = timed(lambda: conn.execute(query, params).fetchall())  # noqa: B023
        assert len(found) == BATCH
        taken.append(took)
    return {
        "lead_import_rows": rows,
        "lead_import_s": seconds,
        "lead_import_rows_per_s": rows / seconds,
        "lead_import_python_cpu_us_per_row": cpu / rows * 1e6,
        "lead_import_dry_run_s": dry_seconds,
        "lead_import_again_s": again_seconds,
        "lead_take_100_ms_median": sorted(taken)[len(taken) // 2] * 1e3,
        "lead_take_100_ms_max": max(taken) * 1e3,
    }


@click.command(help=__doc__)
@click.option("--rows", default=100_000, show_default=True, help="Leads of the list.")
def main(rows: int) -> None:
    home = Path(tempfile.mkdtemp(prefix="ksbench-", dir="/var/tmp"))
    config = Config(home=home, database=DatabaseConfig(port=pg_cluster.free_port()))
    cluster = PgCluster.of(config)
    pg_cluster.prepare(cluster)
    server = pg_cluster.start(cluster, log_file=home / "postgres.log", die_with_parent=True)
    try:
        pg_cluster.set_up(cluster)
        apply_schema(cluster.dsn())
        with connect_tool(config, application_name="bench") as conn:
            figures = measure(conn, home, rows)
    finally:
        pg_cluster.stop(server)
        shutil.rmtree(home, ignore_errors=True)
    write_report("lead_import", figures)


if __name__ == "__main__":
    main()
