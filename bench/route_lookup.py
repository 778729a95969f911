"""What a look-up costs among many routes: percentiles of CPU time, memory of a worker, building, evil patterns.

    python -m bench.route_lookup [--sizes 100000,1000000]

Each size is built by one process and looked up in another, as ks-index and a worker of the proxy do. The calls are
those of bench/route_tables.py: early and late hits, random numbers, misses. Writes bench/out/route.json.
"""

from __future__ import annotations

import multiprocessing
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import click

from bench.report import write_report
from bench.route_tables import RouteMaker, calls
from kemi.ks_route.index_build import build_index
from kemi.ks_route.index_file import IndexFile
from kemi.ks_route.matchers import Engines
from kemi.ks_route.model import RouteRequest
from kemi.ks_route.patterns import classify, make_matcher
from kemi.ks_route.table import RouteTable

CALLS = 20_000
#: Patterns that kill a backtracking engine, with the text that does it; what is refused costs nothing.
EVIL = (
    (r"(a+)+$", "a" * 127 + "!"),
    (r"^(\d+)+x$", "1" * 128),
    (r"(.*)*=", "a" * 128),
    (r"^\d*\d*\d*\d*\d*\d*\d*\d*!$", "1" * 128),
    (r"^(a|a)*$", "a" * 127 + "!"),
    (r"(?=(\d+)+x)7", "7" * 128),
    (r"(x+x+)+y", "x" * 128),
    (r"^(\d{1,9}){1,9}!$", "1" * 128),
)


def private_mb() -> float:
    """Return the memory that is this process's alone, in MB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    # Clean pages are those of the index file, which all workers share.
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")]
    return sum(kilobytes) / 1024


def build(path: Path, count: int) -> float:
    """Build an index; return its CPU seconds, without those of inventing the rows."""
    rows = list(RouteMaker(1).rows(count))
    began = time.process_time()
    build_index(rows, path)
    return time.process_time() - began


def look_up(path: Path, count: int) -> tuple[float, float, float]:
    """Return p50 and p99 of a warm look-up in microseconds, and the private memory of the worker in MB."""
    maker = RouteMaker(2)
    index = IndexFile(path, Engines())
    made: list[RouteRequest] = [call for _kind, call in calls(maker, index.row, count, CALLS, seed=3)]
    index.close()
    before = private_mb()
    table = RouteTable.open(path, None)
    for call in made:  # warm: pages and matchers of routes that are called are there
        next(iter(table.candidates(call)), None)
    times = []
    for call in made:
        began = time.thread_time_ns()
        next(iter(table.candidates(call)), None)
        times.append((time.thread_time_ns() - began) / 1000)
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98], private_mb() - before


def evil_worst_ms() -> float:
    """Return the longest match of an evil pattern on its worst text, in milliseconds."""
    worst = 0.0
    for pattern, text in EVIL:
        verdict = classify(pattern)
        if verdict.pattern_class is None:
            continue
        matches = make_matcher(pattern, verdict.pattern_class)
        began = time.thread_time_ns()
        matches(text)
        worst = max(worst, (time.thread_time_ns() - began) / 1e6)
    return worst


def measure(path: Path, count: int) -> dict[str, float]:
    """Return the metrics of one size."""
    name = f"{count // 1_000_000}m" if count >= 1_000_000 else f"{count // 1000}k"
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        seconds = pool.apply(build, (path, count))
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        p50, p99, memory = pool.apply(look_up, (path, count))
    return {
        f"build_{name}_cpu_s": seconds,
        f"lookup_{name}_p50_us": p50,
        f"lookup_{name}_p99_us": p99,
        f"worker_private_{name}_mb": memory,
    }


@click.command()
@click.option("--sizes", default="100000,1000000", show_default=True, help="Routes in the tables.")
def main(sizes: str) -> None:
    """Measure look-ups."""
    folder = Path(tempfile.mkdtemp(prefix="ksbench-", dir="/tmp"))
    try:
        write_report("route", {"evil_regex_worst_ms": evil_worst_ms()})
        for size in sizes.split(","):
            write_report("route", measure(folder / f"{size}.ksr", int(size)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
