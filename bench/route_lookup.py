"""Route look-ups: build of the index, time a look-up, memory of a worker.

    python -m bench.route_lookup [--sizes 100000,1000000]

Each figure comes from a process of its own, as ks-index and a worker of the proxy are processes of their own.
Times are CPU time of the thread (other work on the machine disturbs them less than wall time), one call a
measurement, the clock's own cost taken off. A look-up is `next(table.candidates(call))`: first fitting row,
decoded. "Warm" is the second pass over the same 20 000 calls.
"""

from __future__ import annotations

import gc
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import click

from bench.report import write_report
from bench.route_tables import RouteMaker, calls
from callcore.gateway import Gateway, GatewayGroup, GroupMember
from kemi.ks_route.decide import decide
from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.index_file import IndexFile
from kemi.ks_route.index_write import build_index
from kemi.ks_route.matchers import Engines
from kemi.ks_route.model import RouteRequest, World
from kemi.ks_route.overlay import write_overlay
from kemi.ks_route.rows import row_to_json
from kemi.ks_route.table import RouteTable

CALLS = 20_000
PENDING = 2_000
_TABLE_SEED, _CALL_SEED = 1, 2


def build(routes: int, path: Path) -> dict[str, float]:
    """Build an index of so many routes; CPU seconds of the build alone, and the file's size."""
    rows = list(RouteMaker(_TABLE_SEED).rows(routes))
    gc.collect()
    started = time.process_time()
    report = build_index(rows, path)
    spent = time.process_time() - started
    if report.unusable:
        raise AssertionError(f"the generator made routes that cannot be used: {report.unusable[:3]}")
    return {"cpu_s": spent, "file_mb": report.size_bytes / 1e6, "hot_buckets": len(report.hot_buckets)}


def _calls(path: Path) -> list[tuple[str, RouteRequest]]:
    index = IndexFile(path, Engines())
    return calls(RouteMaker(_CALL_SEED), index.row, index.routes, CALLS, _CALL_SEED)


def _clock_ns() -> int:
    """Return what asking the clock costs."""
    reads = [time.thread_time_ns() for _number in range(2_000)]
    return sorted(later - earlier for earlier, later in pairwise(reads))[1_000]


def _microseconds(times: Sequence[int], share: float) -> float:
    return sorted(times)[int(len(times) * share)] / 1000


def look_up(path: Path) -> dict[str, float]:
    """Time look-ups in a table that is fresh in this process: cold, then warm, then inside decide."""
    made = _calls(path)
    table, clock = RouteTable.open(path, None), _clock_ns()
    figures: dict[str, float] = {}
    for name in ("cold", "warm"):
        times, by_kind = _time_candidates(table, made, clock)
        figures |= {f"{name}_p50_us": _microseconds(times, 0.5), f"{name}_p99_us": _microseconds(times, 0.99)}
    for kind, kind_times in by_kind.items():
        figures[f"{kind}_p50_us"] = _microseconds(kind_times, 0.5)
    figures |= _time_decide(table, made, clock)
    return figures


def _time_candidates(
    table: RouteTable, made: Sequence[tuple[str, RouteRequest]], clock: int
) -> tuple[list[int], Mapping[str, list[int]]]:
    times: list[int] = []
    by_kind: dict[str, list[int]] = {}
    for kind, call in made:
        started = time.thread_time_ns()
        next(table.candidates(call), None)
        spent = time.thread_time_ns() - started - clock
        times.append(spent)
        by_kind.setdefault(kind, []).append(spent)
    return times, by_kind


def _time_decide(table: RouteTable, made: Sequence[tuple[str, RouteRequest]], clock: int) -> dict[str, float]:
    gateways = [
        Gateway(gateway_id=number, tenant_id=0, name=f"gw{number}", host="192.0.2.1") for number in (1, 2, 3)
    ]
    members = tuple(GroupMember(gateway.gateway_id) for gateway in gateways)
    system = SystemFacts.make(gateways=gateways, groups=[GatewayGroup(1, 0, "carriers", members)])
    world = World(now=datetime(2026, 11, 22, tzinfo=UTC), system=system)
    times: list[int] = []
    for _kind, call in made[: CALLS // 4]:
        started = time.thread_time_ns()
        decide(call, table, world)
        times.append(time.thread_time_ns() - started - clock)
    return {"decide_p50_us": _microseconds(times, 0.5), "decide_p99_us": _microseconds(times, 0.99)}


def change(path: Path) -> dict[str, float]:
    """Time what a worker pays for changes: opening an overlay of 2000 routes, one more, and look-ups over it."""
    made = _calls(path)
    rows = list(RouteMaker(3).rows(PENDING))
    overlay = path.with_suffix(".overlay.json")
    pending = [row_to_json(row) for row in rows]
    overlay.write_bytes(write_overlay(pending, range(1, PENDING, 7)))
    bare = RouteTable.open(path, None)
    started = time.thread_time()
    table = RouteTable.open(path, overlay, bare)
    opened = time.thread_time()
    pending[-1] |= {"name": "changed"}
    overlay.write_bytes(write_overlay(pending, range(1, PENDING, 7)))
    changed = time.thread_time()
    table = RouteTable.open(path, overlay, table)
    again = time.thread_time()
    overlay.unlink()
    _time_candidates(table, made, 0)
    times, _by_kind = _time_candidates(table, made, _clock_ns())
    return {
        "first_ms": 1000 * (opened - started),
        "next_ms": 1000 * (again - changed),
        "p50_us": _microseconds(times, 0.5),
        "p99_us": _microseconds(times, 0.99),
    }


def memory(path: Path) -> dict[str, float]:
    """Return the private memory of a process that looked 20 000 different calls up, the interpreter included.

    The index's own pages are left out: with one process alone the kernel counts them as private.
    """
    table = RouteTable.open(path, None)
    maker = RouteMaker(_CALL_SEED)
    index = IndexFile(path, Engines())
    for _kind, call in calls(maker, index.row, index.routes, CALLS, _CALL_SEED):
        next(table.candidates(call), None)
    return {"private_mb": _private_kb(str(path)) / 1024}


def _private_kb(without: str) -> int:
    total, counted = 0, True
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if "-" in first and not first.endswith(":"):
            counted = not line.endswith(without)
        elif counted and first in ("Private_Clean:", "Private_Dirty:"):
            total += int(rest.split()[0])
    return total


def in_fresh_process(part: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Run one part in a process of its own and return its figures."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(part, arguments)


def measure(path: Path, routes: int) -> dict[str, float]:
    """Return the metrics of one size."""
    name = f"{routes // 1_000_000}m" if routes >= 1_000_000 else f"{routes // 1000}k"
    built = in_fresh_process(build, routes, path)
    timed = in_fresh_process(look_up, path)
    changed = in_fresh_process(change, path)
    return {
        f"build_{name}_cpu_s": built["cpu_s"],
        f"index_{name}_file_mb": built["file_mb"],
        f"lookup_{name}_p50_us": timed["warm_p50_us"],
        f"lookup_{name}_p99_us": timed["warm_p99_us"],
        f"lookup_{name}_cold_p99_us": timed["cold_p99_us"],
        f"lookup_{name}_late_hit_p50_us": timed["late_p50_us"],
        f"lookup_{name}_miss_p50_us": timed["miss_p50_us"],
        f"lookup_{name}_overlay_p50_us": changed["p50_us"],
        f"lookup_{name}_overlay_p99_us": changed["p99_us"],
        f"overlay_{name}_first_ms": changed["first_ms"],
        f"overlay_{name}_next_ms": changed["next_ms"],
        f"decide_{name}_p50_us": timed["decide_p50_us"],
        f"decide_{name}_p99_us": timed["decide_p99_us"],
        f"worker_private_{name}_mb": in_fresh_process(memory, path)["private_mb"],
    }


@click.command()
@click.option("--sizes", default="100000,1000000", show_default=True, help="Routes in the tables.")
def main(sizes: str) -> None:
    """Measure look-ups; writes bench/out/route.json."""
    with tempfile.TemporaryDirectory(prefix="kalibri-bench-") as directory:
        for size in sizes.split(","):
            write_report("route", measure(Path(directory) / f"{size}.ksr", int(size)))


if __name__ == "__main__":
    main()
