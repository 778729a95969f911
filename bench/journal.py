"""What the journal costs: CPU of one event written, and events a second that ks-cdr stores.

    python -m bench.journal [--calls N]

Makes a private PostgreSQL cluster with the settings of an instance (synchronous commits), writes a load of
calls as a proxy does, lets one ks-cdr store it, prints a table and writes bench/out/journal.json.
"""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
import time
from pathlib import Path

import click

from kalibri import pg_cluster
from kalibri.config import PROJECT_ROOT, Config
from kalibri.config_sections import DatabaseConfig
from kalibri.journal import JournalWriter, parse_line
from kalibri.pg_cluster import PgCluster
from tests.support.fix_pg import apply_schema
from tests.support.journal_load import steps_of
from tools.ks_cdr import CdrDaemon

CALL = "0193aabb-ccdd-7eee-8fff-001122334455"
#: A call.start as the proxy writes it.
START = {
    "a": "+74951234567",
    "a_host": "tenant.example",
    "b": "+78121234567",
    "b_host": "tenant.example",
    "direction": "account",
    "account": "alice",
    "gateway": None,
    "src": "127.0.0.1:5070",
    "transport": "udp",
    "sip_call_id": "1-12345@127.0.0.1",
    "from_tag": "12345SIPpTag001",
    "cseq": 1,
    "emergency": False,
}
REPEAT = 20_000
ROUNDS = 5


def cpu_us(work: object, repeat: int) -> float:
    """Return the CPU time of one `work` in µs: the best of several rounds, since others use the machine."""
    assert callable(work)
    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        for _ in range(repeat):
            work()
        best = min(best, (time.process_time() - before) / repeat * 1e6)
    return best


def measure_writing(directory: Path) -> dict[str, float]:
    """Measure one event written and one line read."""
    writer = JournalWriter(directory, "n1", "kamailio")
    start = cpu_us(lambda: writer.event("call.start", call=CALL, tenant=7, **START), REPEAT)
    ring = cpu_us(lambda: writer.event("call.ring", call=CALL, tenant=7, n=1, code=180), REPEAT)
    line = Path(writer.path or "").read_bytes().split(b"\n", 1)[0]
    writer.close()
    return {
        "event_write_long_us": start,
        "event_write_short_us": ring,
        "line_parse_us": cpu_us(lambda: parse_line(line), REPEAT),
    }


def measure_storing(config: Config, calls: int) -> dict[str, float]:
    """Measure one ks-cdr that has a backlog to store."""
    writers = [JournalWriter(config.journal_directory, "n1", "kamailio") for _ in range(8)]
    events = 0
    for kind, call, data in steps_of(1, calls):
        writers[events % len(writers)].event(kind, call=call, tenant=7, **data)
        events += 1
    for writer in writers:
        writer.close()
    daemon = CdrDaemon(config)
    began, cpu = time.monotonic(), time.process_time()
    assert daemon.settle()
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    daemon.close()
    return {
        "events": events,
        "calls": calls,
        "events_stored_per_s": events / seconds,
        "calls_stored_per_s": calls / seconds,
        "ks_cdr_cpu_us_per_event": cpu / events * 1e6,
        "ks_cdr_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


@click.command()
@click.option("--calls", default=10_000, show_default=True, help="Calls of the load.")
def main(calls: int) -> None:
    """Measure the journal and ks-cdr."""
    home = Path(tempfile.mkdtemp(prefix="ksbench-", dir="/var/tmp"))
    config = Config(home=home, database=DatabaseConfig(port=pg_cluster.free_port()))
    cluster = PgCluster.of(config)
    pg_cluster.prepare(cluster)
    server = pg_cluster.start(cluster, log_file=home / "postgres.log", die_with_parent=True)
    try:
        pg_cluster.set_up(cluster)
        apply_schema(cluster.dsn())
        figures = measure_writing(home / "writing") | measure_storing(config, calls)
    finally:
        pg_cluster.stop(server)
        shutil.rmtree(home, ignore_errors=True)
    for name, value in figures.items():
        click.echo(f"{name:28} {value:12.1f}")
    out = PROJECT_ROOT / "bench" / "out"
    out.mkdir(parents=True, exist_ok=True)
    (out / "journal.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
