"""Our routing against Kamailio's dialplan module: the same regexes, inside one Kamailio worker, in the same minute.

    python -m bench.route_dialplan [--routes N]

Both hold N rules on the B number only, in the same order (dialplan knows no other field, no tenant, no schedule).
The calls are late hits: their first matching rule is in the last tenth. dialplan is asked by KEMI, as routing in
Python would ask it, and both must name the same rule. Writes `dialplan_ratio_100k` into bench/out/route.json.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bench.inside_kamailio import ask
from bench.report import write_report
from bench.route_tables import RouteMaker
from kalibri.config import PROJECT_ROOT
from kemi.ks_route.index_write import build_index
from kemi.ks_route.model import RouteRow
from kemi.ks_route.table import RouteTable
from tests.support.kamailio_probe import ask_options
from tests.support.net_ports import free_port
from tests.support.waiting import wait_until

CALLS = 200
START_SECONDS, MEASURE_SECONDS = 180, 180
SCRIPT = Path(__file__).parent / "inside_kamailio.py"

CONFIG = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:{port}
loadmodule "db_text.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "dialplan.so"
loadmodule "app_python3.so"
modparam("dialplan", "db_url", "text://{folder}/tables")
modparam("app_python3", "load", "{script}")
cfgengine "python"
"""
VERSIONS = "table_name(string) table_version(int)\ndialplan:2\n"
COLUMNS = (
    "id(int,auto) dpid(int) pr(int) match_op(int) match_exp(string) match_len(int)"
    " subst_exp(string) repl_exp(string) attrs(string)"
)
REGEX = 1


def rules(count: int) -> Iterator[RouteRow]:
    """Yield rules on the B number only, all of the system."""
    made = 0
    for row in RouteMaker(3).rows(count + count // 20):
        if row.b_pattern is not None and made < count:
            made += 1
            yield replace(
                row, route_id=made, tenant_id=0, a_pattern=None, a_host_pattern=None, b_host_pattern=None
            )


def write_dialplan(folder: Path, rows: list[RouteRow]) -> None:
    """Write the rules as db_text tables; a rule answers its own number."""
    folder.mkdir()
    (folder / "version").write_text(VERSIONS)
    lines = [COLUMNS]
    for row in rows:
        pattern = str(row.b_pattern).replace("\\", "\\\\").replace(":", "\\:")
        lines.append(f"{row.route_id}:1:{row.route_id}:{REGEX}:{pattern}:0:^.*$:{row.route_id}:-")
    (folder / "dialplan").write_text("\n".join(lines) + "\n")


def late_calls(table: RouteTable, rows: list[RouteRow], ask: Any) -> list[tuple[str, int]]:
    """Return (B number, rule) of calls whose first matching rule is in the last tenth."""
    maker, found = RouteMaker(4), []
    first_late = len(rows) * 9 // 10
    for row in rows[first_late:] * 5:
        number = maker.call(row).b_number
        hit = next(iter(table.candidates(ask(number))), None)
        if hit is not None and hit.route_id > first_late and number.isascii() and "\n" not in number:
            found.append((number, hit.route_id))
        if len(found) == CALLS:
            break
    return found


@contextmanager
def kamailio(folder: Path, port: int) -> Iterator[None]:
    """Run a Kamailio that holds both."""
    (folder / "kamailio.cfg").write_text(CONFIG.format(port=port, folder=folder, script=SCRIPT))
    command = [
        "/usr/sbin/kamailio",
        "-DD",
        "-E",
        "-f",
        str(folder / "kamailio.cfg"),
        "-P",
        str(folder / "pid"),
    ]
    command += ["-Y", str(folder), "-w", str(folder), "-m", "1024", "-M", "512"]
    python_path = os.pathsep.join([str(PROJECT_ROOT), *_site_packages()])
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": python_path}
    environment["KALIBRI_BENCH_FOLDER"] = str(folder)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(
            lambda: process.poll() is not None or ask_options(("127.0.0.1", port), 1),
            "Kamailio",
            START_SECONDS,
            0.5,
        )
        if process.poll() is not None:
            raise click.ClickException(f"Kamailio ended: {(folder / 'log').read_text()[-2000:]}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _site_packages() -> list[str]:
    return [entry for entry in sys.path if entry.endswith("-packages")]


def compare(folder: Path, count: int) -> dict[str, float]:
    """Return the metrics."""
    rows = list(rules(count))
    report = build_index(rows, folder / "routes.ksr")
    refused = {entry.route_id for entry in report.unusable}
    write_dialplan(folder / "tables", [row for row in rows if row.route_id not in refused])
    table = RouteTable.open(folder / "routes.ksr", None)
    calls = late_calls(table, rows, ask)
    port = free_port()
    with kamailio(folder, port):
        (folder / "calls.json").write_text(json.dumps(calls))
        ask_options(("127.0.0.1", port), MEASURE_SECONDS)
        answer = json.loads((folder / "result.json").read_text())
    wrong = sum(given != str(rule) for given, (_number, rule) in zip(answer["rules"], calls, strict=True))
    dialplan, ours = statistics.median(answer["dialplan_us"]), statistics.median(answer["ks_route_us"])
    print(f"{len(calls)} late calls, {wrong} answered differently by dialplan")
    size = f"{count // 1000}k"
    return {
        f"dialplan_ratio_{size}": dialplan / ours,
        f"dialplan_late_{size}_p50_us": dialplan,
        f"dialplan_ks_route_late_{size}_p50_us": ours,
        f"dialplan_different_{size}": wrong,
    }


@click.command()
@click.option("--routes", "count", default=100_000, show_default=True, help="Rules in the table.")
def main(count: int) -> None:
    """Measure our routing against the dialplan module."""
    folder = Path(tempfile.mkdtemp(prefix="ksbench-", dir="/tmp"))
    try:
        write_report("route", compare(folder, count))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
