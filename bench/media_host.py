"""What a call costs in a media host: set up and held, and offered and joined; real sippy, RTPProxy, PostgreSQL.

    python -m bench.media_host [--rate 20] [--seconds 20]

One host, one node, a private PostgreSQL with call distribution and forty agents. The load (bench/switchboard.py) stands
for proxy, callers and agents and is not counted. No proxy and no controller is in it: those have benches of their own.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
import psycopg

from bench.report import write_report
from bench.switchboard import Call, Switchboard
from callcore.errors import Unavailable
from kalibri.config import load_config
from kalibri.prompt_index import ANY, INDEX, index_key
from rtpproxy_ctl.ask import ask_version
from tests.support.acd_field import Field
from tests.support.fix_pg import RunningCluster, temporary_cluster
from tests.support.net_ports import free_port
from tools.instance.probes import probe

AGENTS = 40
NODE = "n1-media-1"
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process and of the children that it waits for or that live."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(path.parent.name) == pid or int(fields[1]) == pid:
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


class Bench:
    """The processes and what they have used."""

    def __init__(self, home: Path, server: RunningCluster, stack: ExitStack) -> None:
        self.server = server
        control = free_port()
        environ = os.environ | {
            "KALIBRI_HOME": str(home),
            "KALIBRI_DATABASE_DSN": server.dsn("kalibri"),
            "KALIBRI_MEDIA_BASE_PORT": str(free_port()),
            "KALIBRI_RTP_CONTROLLERS": "1",
            "KALIBRI_RTP_CONTROLLER_BASE_PORT": str(control),
            "KALIBRI_LOG_LEVEL": "warning",
        }
        self.config = load_config(environ=environ)
        self._prompts(home / "prompts")
        first = free_port(even=True)
        node = [sys.executable, "-m", "rtpproxy_ctl.node", "--control", f"127.0.0.1:{control}"]
        node += [
            "--ports",
            f"{first}-{min(first + 4000, 65_000)}",
            "--spool",
            str(home / "s"),
            "--recordings",
            str(home / "r"),
        ]
        node += ["--notify", f"tcp:127.0.0.1:{self.config.media_port('media-1')}"]
        self.node = self._start(stack, node, environ)
        host = [sys.executable, "-m", "sems_apps.host.main", "--name", "media-1", "--home", str(home)]
        self.host = self._start(stack, host, environ)
        self._wait(control)

    def _start(self, stack: ExitStack, argv: list[str], environ: dict[str, str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL)
        stack.callback(lambda: (process.terminate(), process.wait(30)))
        return process

    def _prompts(self, folder: Path) -> None:
        folder.mkdir()
        for number in (0, 8):
            (folder / f"music.{number}").write_bytes(os.urandom(8000 * 10))
        index = {"prompts": {index_key(0, ANY, "music-default"): "music"}, "durations_ms": {}, "music": {}}
        (folder / INDEX).write_text(json.dumps(index))

    def _wait(self, control: int) -> None:
        for _ in range(300):
            try:
                ask_version(("127.0.0.1", control), 1)
                if probe(self.config, "media-1").ready:
                    return
            except Unavailable:
                pass
            select.select([], [], [], 0.1)
        raise SystemExit("not ready")

    def cpu(self) -> dict[str, float]:
        """Return CPU seconds by process."""
        return {
            "host": cpu_seconds(self.host.pid),
            "node": cpu_seconds(self.node.pid),
            "postgres": cpu_seconds(self.server.process.pid),
        }


def measure(
    bench: Bench, board: Switchboard, rate: float, seconds: float
) -> tuple[list[Call], dict[str, float]]:
    """Run a load; return its calls and the CPU ms of each process per call."""
    before = bench.cpu()
    calls = board.run(rate, seconds)
    after = bench.cpu()
    return calls, {name: (after[name] - before[name]) * 1000 / len(calls) for name in after}


def p95(values: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else float("nan")


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--rate", default=20.0, help="Calls a second.")
@click.option("--seconds", default=20.0, help="How long.")
def main(rate: float, seconds: float) -> None:
    """Measure."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(temporary_cluster())
        conn = stack.enter_context(psycopg.connect(server.dsn("kalibri"), autocommit=True))
        field = Field(conn)
        conn.execute(
            "INSERT INTO node (name, kind, host, address) VALUES (%s, 'media', 'n1', 'udp:127.0.0.1:5080')",
            [NODE],
        )
        empty = field.queue("empty", media={"answer_at_once": True})
        busy = field.queue("busy", media={})
        for number in range(AGENTS):
            field.agent(f"a{number}", busy, number=str(1000 + number))
        bench = Bench(home, server, stack)
        address = ("127.0.0.1", bench.config.media_port("media-1"))
        metrics: dict[str, float] = {}
        held, cpu = measure(bench, Switchboard(address, field.tenant, empty, talk_seconds=5.0), rate, seconds)
        metrics |= {f"held_{name}_cpu_ms_per_call": value for name, value in cpu.items()}
        metrics["held_failed"] = sum(call.code != 200 for call in held)
        metrics["held_answer_p95_ms"] = p95(
            [(call.answered - call.began) * 1000 for call in held if call.answered]
        )
        joined, cpu = measure(bench, Switchboard(address, field.tenant, busy), rate, seconds)
        metrics |= {f"joined_{name}_cpu_ms_per_call": value for name, value in cpu.items()}
        metrics["joined_failed"] = sum(call.code != 200 or not call.offered for call in joined)
        delays = [(call.offered - call.began) * 1000 for call in joined if call.offered]
        metrics["joined_offer_p50_ms"] = statistics.median(delays)
        metrics["joined_offer_p95_ms"] = p95(delays)
        idle = bench.cpu()["host"]
        begin = time.monotonic()
        select.select([], [], [], 5.0)
        metrics["idle_host_percent"] = (bench.cpu()["host"] - idle) / (time.monotonic() - begin) * 100
        write_report("media_host", metrics)


if __name__ == "__main__":
    main()
