"""The API under load: requests, a thousand listeners, rows of calls stored while events are published, reports.

    python -m bench.api [--seconds N] [--listeners N] [--rate N] [--calls N] [--history N]

Makes a private PostgreSQL cluster with the settings of an instance (synchronous commits), starts one ks-api on it,
and uses it over HTTP as its clients do. Prints a table and writes bench/out/api.json.
"""

from __future__ import annotations

import http.client
import json
import re
import selectors
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import psycopg

from bench import report_history
from bench.journal import measure_storing
from bench.report import write_report
from kalibri import pg_cluster
from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.pg_cluster import PgCluster
from tests.support.fix_api import Api
from tests.support.fix_pg import apply_schema

CLIENTS = 4
#: What is read from a listener's socket at once.
CHUNK = 1 << 18
IDS = re.compile(rb"id: (\d+)\nevent: bench")


def main_figures(config: Config, seconds: float, listeners: int, rate: int) -> dict[str, float]:
    """Measure requests and listeners of one ks-api."""
    api = Api(
        config,
        config.home,
        {
            "api.requests_per_second_per_token": 100_000,
            "api.requests_per_second_per_address": 1_000_000,
        },
    )
    api.start()
    try:
        token = api.token("acme", "admin")
        api.result(token, "folder.add", path="a")
        assert api.process is not None
        pid = api.process.pid
        return {**requests(api, token, seconds), **listen(api, config, token, pid, seconds, listeners, rate)}
    finally:
        api.stop()


# ---------------------------------------------------------------------------------------------- requests


def requests(api: Api, token: str, seconds: float) -> dict[str, float]:
    """Ask for a small listing from several connections at once."""
    times: list[float] = []
    until = time.monotonic() + seconds
    workers = [threading.Thread(target=_ask, args=(api, token, until, times)) for _ in range(CLIENTS)]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.monotonic() - began
    times.sort()
    return {
        "requests_per_s": len(times) / took,
        "request_p50_ms": times[len(times) // 2] * 1000,
        "request_p99_ms": times[int(len(times) * 0.99)] * 1000,
    }


def _ask(api: Api, token: str, until: float, times: list[float]) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "folder.list", "params": {}})
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    while time.monotonic() < until:
        began = time.monotonic()
        connection.request("POST", "/v1/rpc", body, {"Authorization": f"Bearer {token}"})
        answer = json.loads(connection.getresponse().read())
        times.append(time.monotonic() - began)
        assert "result" in answer, answer
    connection.close()


# --------------------------------------------------------------------------------------------- listeners


class Crowd:
    """Many listeners in one thread: each counts what it gets, the first one looks at the clock, too."""

    def __init__(self, port: int, token: str, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.heard = [0] * count
        self.doubled = 0
        self._rests = [b""] * count
        self._last = [0] * count
        self.delays: list[float] = []
        for number in range(count):
            wire = socket.create_connection(("127.0.0.1", port), 60)
            request = (
                f"GET /v1/events?kind=bench HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
            )
            wire.sendall(request.encode())
            wire.setblocking(False)
            self._selector.register(wire, selectors.EVENT_READ, number)

    def listen(self, going: Callable[[], bool]) -> None:
        """Read until not going."""
        while going():
            for key, _ in self._selector.select(0.2):
                data = key.fileobj.recv(CHUNK)  # type: ignore[union-attr]
                self._take(key.data, self._rests[key.data] + data)

    def _take(self, number: int, data: bytes) -> None:
        end = data.rfind(b"\n\n") + 2
        self._rests[number] = data[end:] if end > 1 else data
        whole = data[:end] if end > 1 else b""
        for match in IDS.finditer(whole):
            seq = int(match[1])
            if seq <= self._last[number]:
                self.doubled += 1
            self._last[number] = seq
            self.heard[number] += 1
        if number == 0:
            now = time.time()
            self.delays += [now - float(sent) for sent in re.findall(rb'"sent" ?: ?([0-9.]+)', whole)]

    def close(self) -> None:
        """Hang up."""
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


def listen(
    api: Api, config: Config, token: str, pid: int, seconds: float, listeners: int, rate: int
) -> dict[str, float]:
    """Publish events while many listen; count what is missing, and look at memory and CPU of ks-api."""
    crowd = Crowd(api.port, token, listeners)
    stop = threading.Event()
    reader = threading.Thread(target=crowd.listen, args=(lambda: not stop.is_set(),))
    reader.start()
    _wait(lambda: health(api)["listeners"] == listeners)
    assert health(api)["listeners"] == listeners, "not everybody is listening"
    before, cpu = memory_mb(pid), cpu_seconds(pid)
    sent, took = _publish(config, seconds, rate)
    cpu = (cpu_seconds(pid) - cpu) / took
    _wait(lambda: min(crowd.heard) >= sent, seconds=60)
    after = memory_mb(pid)
    stop.set()
    reader.join()
    crowd.close()
    crowd.delays.sort()
    return {
        "listeners": listeners,
        "events_per_s": sent / took,
        "events_sent": sent,
        "events_lost": sum(max(sent - heard, 0) for heard in crowd.heard),
        "events_doubled": crowd.doubled,
        "event_delay_p50_ms": crowd.delays[len(crowd.delays) // 2] * 1000,
        "event_delay_p99_ms": crowd.delays[int(len(crowd.delays) * 0.99)] * 1000,
        "api_cpu_share": cpu,
        "api_memory_mb": after,
        "api_memory_growth_mb": after - before,
    }


def _publish(config: Config, seconds: float, rate: int) -> tuple[int, float]:
    """Publish events at a rate, each in a transaction of its own."""
    began = time.monotonic()
    sent = 0
    with psycopg.connect(config.database_dsn, autocommit=True) as conn:
        conn.execute("SET synchronous_commit = off")
        tenant_id = conn.execute("SELECT tenant_id FROM tenant WHERE name = 'acme'").fetchone()
        assert tenant_id is not None
        while (elapsed := time.monotonic() - began) < seconds:
            while sent < elapsed * rate:
                data = json.dumps({"sent": time.time(), "caller": "+74951234567", "state": "ringing"})
                conn.execute(
                    "INSERT INTO event_outbox (at, tenant_id, kind, data) VALUES (now(), %s, 'bench', %s)",
                    [tenant_id[0], data],
                )
                sent += 1
            time.sleep(0.002)
    return sent, time.monotonic() - began


def health(api: Api) -> dict[str, float]:
    """Return what ks-api says of itself."""
    told: dict[str, float] = api.http("GET", "/health").json
    return told


def _wait(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is true, at most so long: what is missing then is counted."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1024 / 1024


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def storing(config: Config, calls: int) -> dict[str, float]:
    """Measure how many rows of calls and events ks-cdr stores, each event published, too."""
    found = measure_storing(config, calls)
    return {
        "cdr_rows_per_s": found["events_stored_per_s"] + found["calls_stored_per_s"],
        "cdr_calls_per_s": found["calls_stored_per_s"],
    }


@click.command()
@click.option("--seconds", default=15.0, show_default=True, help="Of each part.")
@click.option("--listeners", default=1000, show_default=True)
@click.option("--rate", default=200, show_default=True, help="Events a second.")
@click.option("--calls", default=5000, show_default=True, help="Calls that ks-cdr stores.")
@click.option(
    "--history", default=1_000_000, show_default=True, help="Calls of the month that reports are about."
)
def main(seconds: float, listeners: int, rate: int, calls: int, history: int) -> None:
    """Measure the API."""
    _allow_many_files()
    home = Path(tempfile.mkdtemp(prefix="ksbench-", dir="/var/tmp"))
    config = Config(home=home, database=DatabaseConfig(port=pg_cluster.free_port()))
    cluster = PgCluster.of(config)
    pg_cluster.prepare(cluster)
    server = pg_cluster.start(cluster, log_file=home / "postgres.log", die_with_parent=True)
    try:
        pg_cluster.set_up(cluster)
        apply_schema(cluster.dsn())
        figures = storing(config, calls)
        patient = replace(config, database=replace(config.database, dsn=cluster.dsn()))
        figures |= main_figures(patient, seconds, listeners, rate)
        figures |= report_history.measure(cluster.dsn(), history, entries=10_000)
    finally:
        pg_cluster.stop(server)
        shutil.rmtree(home, ignore_errors=True)
    write_report("api", figures)


def _allow_many_files() -> None:
    import resource

    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
