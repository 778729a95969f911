"""What matching costs: 5,000 agents, 1,000 waiting callers, in several layouts; and transactions of a call.

    python -m bench.acd_match [--rounds N]

Makes a private PostgreSQL cluster with the settings of an instance, fills it, and measures the match function
as one statement of its transaction: by the CPU time of the server process (match_p95_ms: the worst layout; it waits
for nothing) and, for comparison, by the clock of the client (match_p95_wall_ms); and whole transitions by the clock.
Prints a table and writes bench/out/acd.json.
"""

from __future__ import annotations

import itertools
import random
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import click
import psycopg

from bench.report import write_report
from kalibri import pg_cluster
from kalibri.config import Config
from kalibri.config_sections import DatabaseConfig
from kalibri.pg_cluster import PgCluster
from tests.support.fix_pg import apply_schema

AGENTS = 5000
WAITING = 1000
#: Holds the calls whose transactions are counted; the others belong to bench-media-1, which takes no command.
HOST = "bench-media-2"


@dataclass(frozen=True)
class Layout:
    """How agents and callers are spread."""

    name: str
    queues: int
    #: Queues that each agent serves.
    serves: int
    strategy: str = "longest_idle"
    #: Every agent lacks the skill that the callers of the first half of the wait need.
    skilled: bool = False


LAYOUTS = (
    Layout("100_queues", queues=100, serves=3),
    Layout("one_queue", queues=1, serves=1),
    Layout("one_queue_random", queues=1, serves=1, strategy="random"),
    Layout("one_queue_round_robin", queues=1, serves=1, strategy="round_robin"),
    Layout("20_queues_all_serve_10", queues=20, serves=10),
    Layout("skills_and_tiers", queues=20, serves=3, strategy="skill", skilled=True),
)


class Spent(NamedTuple):
    """What a match took, in milliseconds."""

    cpu: float
    wall: float


def cpu_seconds(pid: int) -> float:
    """Return how long another process has been on a CPU, to the nanosecond (its clock, as clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


class Bench:
    """One tenant of one layout."""

    def __init__(self, conn: psycopg.Connection[Any], layout: Layout) -> None:
        self.conn = conn
        self._server = conn.info.backend_pid
        self.layout = layout
        self.rng = random.Random(7)
        self.tenant = self._value(
            "INSERT INTO tenant (name, realm) VALUES (%s, %s) RETURNING tenant_id",
            layout.name.replace("_", "-"),
            layout.name,
        )
        self.queues = [self._queue(number) for number in range(layout.queues)]
        self._agents()
        for queue in self.queues:
            conn.execute("SELECT acd_queue_changed(%s, %s)", [self.tenant, queue])

    def _value(self, statement: str, *params: Any) -> Any:
        row = self.conn.execute(statement, params).fetchone()
        assert row is not None
        return row[0]

    def _queue(self, number: int) -> int:
        queue = int(
            self._value(
                "INSERT INTO queue (tenant_id, name, strategy, wrapup_seconds, tier_waits)"
                " VALUES (%s, %s, %s, 3600, '{0,30}') RETURNING queue_id",
                self.tenant,
                f"q{number}",
                self.layout.strategy,
            )
        )
        if self.layout.skilled:
            skill = self._value(
                "INSERT INTO skill (tenant_id, name) VALUES (%s, %s) RETURNING skill_id",
                self.tenant,
                f"s{number}",
            )
            self.conn.execute(
                "INSERT INTO queue_skill (tenant_id, queue_id, skill_id, after_seconds, level)"
                " VALUES (%(t)s, %(q)s, %(s)s, 0, 8), (%(t)s, %(q)s, %(s)s, 60, 2)",
                {"t": self.tenant, "q": queue, "s": skill},
            )
        return queue

    def _agents(self) -> None:
        """Everybody is logged in and in wrap-up."""
        self.conn.execute(
            "INSERT INTO agent (tenant_id, name, number) SELECT %s, 'a' || n, '100' FROM generate_series(1, %s) n",
            [self.tenant, AGENTS],
        )
        self.agents = [
            row[0]
            for row in self.conn.execute("SELECT agent_id FROM agent WHERE tenant_id = %s", [self.tenant])
        ]
        rows = [
            (self.tenant, queue, agent, 1 + (agent % 7 == 0))
            for agent in self.agents
            for queue in self.rng.sample(self.queues, self.layout.serves)
        ]
        with self.conn.cursor().copy(
            "COPY queue_member (tenant_id, queue_id, agent_id, tier) FROM STDIN"
        ) as copy:
            for row in rows:
                copy.write_row(row)
        if self.layout.skilled:
            self.conn.execute(
                "INSERT INTO agent_skill"
                " SELECT a.tenant_id, a.agent_id, s.skill_id, 1 + (a.agent_id + s.skill_id) %% 10"
                " FROM agent a JOIN skill s USING (tenant_id) WHERE a.tenant_id = %s",
                [self.tenant],
            )
        self.conn.execute(
            "UPDATE agent_live SET logged_in = true, wrapup_until = now() + interval '1 h', event = 'login'"
            " WHERE tenant_id = %s",
            [self.tenant],
        )
        self.conn.execute("ANALYZE")

    def fill(self) -> None:
        """Let callers wait; half of them for over a minute."""
        for number in range(WAITING):
            self.come(number)
        self.conn.execute(
            "UPDATE queue_entry SET since = since - interval '70 s', order_at = order_at - interval '70 s'"
            " WHERE tenant_id = %s AND entry_id %% 2 = 0",
            [self.tenant],
        )

    def come(self, number: int) -> Spent:
        """A caller comes; what matching took."""
        caller, queue = f"7{number % 100_000:05}", self.rng.choice(self.queues)
        with self.conn.transaction():
            now = self._value("SELECT acd_begin(%s)", self.tenant)
            entry = self._value(
                "SELECT acd_new_entry(%s, %s, gen_random_uuid(), 'bench-media-1', true, %s, '{}', %s)",
                *(self.tenant, queue, caller, now),
            )
            spent = self._timed("SELECT acd_match(%s, %s, p_entry => %s)", self.tenant, now, entry)
            self._value("SELECT acd_finish_transition(%s, false)", self.tenant)
        return spent

    def free(self, agent: int) -> Spent:
        """An agent's wrap-up is over; what matching took."""
        with self.conn.transaction():
            now = self._value("SELECT acd_begin(%s)", self.tenant)
            self.conn.execute(
                "UPDATE agent_live SET wrapup_until = NULL, event = 'time', event_at = %s"
                " WHERE tenant_id = %s AND agent_id = %s",
                [now, self.tenant, agent],
            )
            spent = self._timed("SELECT acd_match(%s, %s, p_agent => %s)", self.tenant, now, agent)
            self._value("SELECT acd_finish_transition(%s, false)", self.tenant)
        return spent

    def _timed(self, statement: str, *params: Any) -> Spent:
        """Run a statement; what it took the server process, and by the clock of the client."""
        cpu, wall = cpu_seconds(self._server), time.perf_counter()
        self._value(statement, *params)
        ended = time.perf_counter()
        return Spent((cpu_seconds(self._server) - cpu) * 1000, (ended - wall) * 1000)

    def settle(self, agent: int) -> None:
        """Whatever he got ends, and he is in wrap-up again."""
        row = self.conn.execute("SELECT offer_id FROM agent_live WHERE agent_id = %s", [agent]).fetchone()
        if row is not None and row[0] is not None:
            self.conn.execute("SELECT * FROM acd_answer(%s, %s)", [self.tenant, row[0]])
            self.conn.execute("SELECT * FROM acd_finish(%s, %s, 'agent')", [self.tenant, row[0]])
        else:
            self.conn.execute("SELECT acd_wrapup(%s, %s, 3600)", [self.tenant, agent])


def jammed(bench: Bench, rounds: int) -> list[Spent]:
    """1,000 wait; agents become free one after the other, and as many callers come."""
    bench.fill()
    times = []
    for number in range(rounds):
        agent = bench.rng.choice(bench.agents)
        times.append(bench.free(agent))
        bench.settle(agent)
        times.append(bench.come(WAITING + number))
    return times


def idle(bench: Bench, rounds: int) -> list[Spent]:
    """Nobody waits and 5,000 are free; callers come."""
    bench.conn.execute(
        "UPDATE queue_entry SET state = 'ended', ended_at = now(), end_reason = 'abandoned', due_at = NULL"
        " WHERE tenant_id = %s AND state <> 'ended'",
        [bench.tenant],
    )
    bench.conn.execute(
        "UPDATE agent_live SET wrapup_until = NULL, event = 'time', event_at = clock_timestamp() WHERE tenant_id = %s",
        [bench.tenant],
    )
    bench.conn.execute("ANALYZE ready_agent, queue_entry, agent_live")
    return [bench.come(number) for number in range(rounds)]


def transitions(conn: psycopg.Connection[Any], calls: int) -> tuple[float, dict[str, list[float]]]:
    """Held calls from beginning to end; return transactions a call, and ms of each function at the client."""
    conn.execute(
        "INSERT INTO node (name, kind, host, address) VALUES (%s, 'media', 'b', 'udp:127.0.0.1:5090')", [HOST]
    )
    bench = Bench(conn, Layout("transitions", queues=20, serves=1))
    spent: dict[str, list[float]] = {}
    count = 0

    def timed(name: str, statement: str, *params: Any) -> list[Any]:
        nonlocal count
        count += 1
        start = time.perf_counter()
        rows = conn.execute(statement, params).fetchall()
        spent.setdefault(name, []).append((time.perf_counter() - start) * 1000)
        return rows

    for number in range(calls):
        queue = bench.rng.choice(bench.queues)
        enter = "SELECT * FROM acd_enter(%s, %s, %s, %s, true, %s)"
        timed("enter", enter, bench.tenant, queue, uuid.uuid4(), HOST, f"7{number:05}")
        agent = conn.execute(
            "SELECT agent_id FROM queue_member WHERE queue_id = %s AND tier = 1 LIMIT 1", [queue]
        ).fetchone()
        assert agent is not None
        conn.execute(
            "UPDATE agent_live SET wrapup_until = now() - interval '1 ms', event = 'wrapup' WHERE agent_id = %s",
            agent,
        )
        timed("tick", "SELECT acd_tick(%s)", bench.tenant)
        for *_, offer, _data in timed("take", "SELECT * FROM acd_take(%s)", HOST):
            timed("answer", "SELECT * FROM acd_answer(%s, %s)", bench.tenant, offer)
            timed("finish", "SELECT * FROM acd_finish(%s, %s, 'agent')", bench.tenant, offer)
    served = len(spent["finish"])
    assert served == calls
    return count / served, spent


@contextmanager
def database() -> Iterator[psycopg.Connection[Any]]:
    """A private cluster as an instance has it, gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="ksbench-", dir="/tmp"))
    config = Config(home=home, database=DatabaseConfig(port=pg_cluster.free_port()))
    cluster = PgCluster.of(config)
    pg_cluster.prepare(cluster)
    process = pg_cluster.start(cluster, log_file=home / "postgres.log", die_with_parent=True)
    try:
        pg_cluster.set_up(cluster)
        apply_schema(cluster.dsn(pg_cluster.DATABASE))
        with psycopg.connect(cluster.dsn(pg_cluster.DATABASE), autocommit=True) as conn:
            yield conn
    finally:
        pg_cluster.stop(process, at_once=True)
        shutil.rmtree(home, ignore_errors=True)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    return statistics.quantiles(values, n=1000)[int(share * 1000) - 1]


def match_figures(rounds: int) -> dict[str, float]:
    """Measure the match in every layout, and whole calls; rounds: matches of each kind and layout."""
    metrics: dict[str, float] = {}
    worst_wall = 0.0
    kinds: tuple[Callable[[Bench, int], list[Spent]], ...] = (jammed, idle)
    with database() as conn:
        for layout, kind in itertools.product(LAYOUTS, kinds):
            if kind is jammed:
                bench = Bench(conn, layout)
            times = kind(bench, rounds)
            for share in (0.5, 0.95):
                name = f"match_{layout.name}_{kind.__name__}_p{share * 100:.0f}_ms"
                metrics[name] = percentile([time.cpu for time in times], share)
            wall = percentile([time.wall for time in times], 0.95)
            worst_wall = max(worst_wall, wall)
            click.echo(
                f"{layout.name} {kind.__name__}: p95 {metrics[name]:.2f} ms CPU, {wall:.2f} ms", err=True
            )
        metrics["match_p95_ms"] = max(value for name, value in metrics.items() if name.endswith("_p95_ms"))
        metrics["match_p95_wall_ms"] = worst_wall
        metrics["transactions_per_call"], spent = transitions(conn, rounds)
    for name, walls in spent.items():
        for share in (0.5, 0.95):
            metrics[f"acd_{name}_p{share * 100:.0f}_ms"] = percentile(walls, share)
    return metrics


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--rounds", default=500, show_default=True, help="Measured matches of each kind and layout.")
def main(rounds: int) -> None:
    """Run the benchmark."""
    write_report("acd", match_figures(rounds))


if __name__ == "__main__":
    main()
