"""Many processes at once do random things to the call distribution of some tenants, and are killed at it.

Each worker plays one media host (and now and then a proxy, a supervisor, the leader) on a connection of its
own: what it must do it learns from replies and commands only, as the real ones do. A worker whose connection
is killed forgets what it knew, as a host that died; the deadlines and reports must then put things right.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg.types.json import Jsonb

OUTCOMES = ("no_answer", "rejected", "busy", "unreachable", "failed")


@dataclass
class Call:
    """What a host knows of one of its calls."""

    tenant: int
    entry: int
    offers: set[int] = field(default_factory=set)
    answered: int | None = None


class Worker(threading.Thread):
    """One media host that does random things until it has done enough operations."""

    def __init__(self, storm: Storm, number: int) -> None:
        super().__init__(name=f"host-{number}", daemon=True)
        self.storm = storm
        self.host = f"host-{number}"
        self.rng = random.Random(storm.seed * 1000 + number)
        self.calls: dict[int, Call] = {}
        self.operations = 0
        self.killed = 0
        self.errors: list[str] = []
        self.boot = uuid.UUID(int=self.rng.getrandbits(128))
        self.told: set[int] = set()

    # ---- talking to the database

    def run(self) -> None:
        """Work; a killed connection is a death of the host."""
        while self.operations < self.storm.operations and not self.errors:
            try:
                with psycopg.connect(self.storm.dsn, autocommit=True, application_name="storm") as conn:
                    self._work(conn)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self.killed += 1
                self.calls.clear()
                self.boot = uuid.UUID(int=self.rng.getrandbits(128))
            except Exception as error:  # a fault: the test shows it
                self.errors.append("".join(traceback.format_exception(error))[-1500:])

    def _work(self, conn: psycopg.Connection[Any]) -> None:
        self._report(conn)
        deeds = self._deeds()
        names, weights = zip(*((deed, weight) for deed, weight in deeds.items()), strict=True)
        while self.operations < self.storm.operations:
            self.operations += 1
            self.rng.choices(names, weights)[0](conn)
            if self.operations % 10 == 0:
                self._perform(self._rows(conn, "SELECT * FROM acd_take(%s)", self.host))
            if self.operations % 50 == 0:
                self._report(conn)

    def _deeds(self) -> dict[Callable[[psycopg.Connection[Any]], None], int]:
        return {
            self._enter: 20,
            self._offer: 45,
            self._finish: 20,
            self._hang_up: 5,
            self._agent: 8,
            self._supervise: 5,
            self._tick: 6,
            self._legs: 2,
        }

    def _rows(self, conn: psycopg.Connection[Any], statement: LiteralString, *params: Any) -> list[Any]:
        return conn.execute(statement, params).fetchall()

    def _act(self, conn: psycopg.Connection[Any], function: str, *params: Any) -> list[Any]:
        marks = ", ".join(["%s"] * len(params))
        return self._perform(self._rows(conn, f"SELECT * FROM {function}({marks})", *params))

    def _perform(self, rows: list[Any]) -> list[Any]:
        """Take in what the database says must be done."""
        for _, tenant, kind, entry, offer, _data in rows:
            call = self.calls.get(entry)
            if kind in ("offer_agent", "wait", "move") and call is None and entry is not None:
                call = self.calls[entry] = Call(tenant, entry)
            if kind == "offer_agent" and call and offer not in self.told:
                call.offers.add(offer)
            elif kind == "cancel_offer":
                self.told.add(offer)
                if call:
                    call.offers.discard(offer)
                    if call.answered == offer:
                        call.answered = None
            elif kind in ("leave", "ended", "end"):
                self.calls.pop(entry, None)
        return rows

    # ---- deeds

    def _enter(self, conn: psycopg.Connection[Any]) -> None:
        if len(self.calls) > 40:
            return self._hang_up(conn)
        tenant = self.rng.choice(self.storm.tenants)
        caller = f"7{self.rng.randrange(200):03}" if self.rng.random() < 0.8 else ""
        options = Jsonb({"priority": self.rng.choice((0, 0, 0, 3, -2))})
        queue = self.rng.choice(self.storm.queues[tenant])
        self._act(
            conn,
            "acd_enter",
            tenant,
            queue,
            uuid.UUID(int=self.rng.getrandbits(128)),
            self.host,
            True,
            caller,
            options,
        )
        return None

    def _call(self, fits: Callable[[Call], bool]) -> Call | None:
        found = [call for call in self.calls.values() if fits(call)]
        return self.rng.choice(found) if found else None

    def _offer(self, conn: psycopg.Connection[Any]) -> None:
        call = self._call(lambda c: bool(c.offers) and c.answered is None)
        if call is None:
            return
        offer = self.rng.choice(sorted(call.offers))
        call.offers.discard(offer)
        if self.rng.random() < 0.6:
            rows = self._act(conn, "acd_answer", call.tenant, offer, Jsonb([]), True)
            if any(row[2] == "join" for row in rows):
                call.answered = offer
                call.offers.clear()
        else:
            self._act(conn, "acd_outcome", call.tenant, offer, self.rng.choice(OUTCOMES), 480, "")

    def _finish(self, conn: psycopg.Connection[Any]) -> None:
        call = self._call(lambda c: c.answered is not None)
        if call is None:
            return
        offer, call.answered = call.answered, None
        following = "queue" if self.rng.random() < 0.05 else "end"
        self._act(conn, "acd_finish", call.tenant, offer, "agent", "", following)

    def _hang_up(self, conn: psycopg.Connection[Any]) -> None:
        call = self._call(lambda c: True)
        if call is not None:
            self.calls.pop(call.entry)
            self._act(conn, "acd_end", call.tenant, call.entry, "abandoned")

    def _agent(self, conn: psycopg.Connection[Any]) -> None:
        tenant = self.rng.choice(self.storm.tenants)
        agent = self.rng.choice(self.storm.agents[tenant])
        name, params = self.rng.choice(
            [
                ("acd_login", ()),
                ("acd_login", ()),
                ("acd_free", ()),
                ("acd_resume", ()),
                ("acd_logout", ()),
                ("acd_pause", ("lunch",)),
                ("acd_wrapup", (1,)),
                ("acd_release", ()),
            ]
        )
        self._rows(conn, f"SELECT {name}(%s, %s{', %s' * len(params)})", tenant, agent, *params)

    def _supervise(self, conn: psycopg.Connection[Any]) -> None:
        call = self._call(lambda c: True)
        if call is None:
            return
        deed = self.rng.choice(
            ("acd_priority", "acd_move", "acd_assign", "acd_requeue", "acd_eject", "acd_callback")
        )
        last: dict[str, tuple[Any, ...]] = {
            "acd_priority": (self.rng.randrange(-3, 4),),
            "acd_move": (self.rng.choice(self.storm.queues[call.tenant]),),
            "acd_assign": (self.rng.choice(self.storm.agents[call.tenant]),),
            "acd_callback": ("7916" + str(self.rng.randrange(100)), Jsonb({})),
        }
        params = (call.tenant, call.entry, *last.get(deed, ()))
        if deed in ("acd_requeue", "acd_callback"):  # of the host; the others are answered to a person
            self._act(conn, deed, *params)
        else:
            self._rows(conn, f"SELECT * FROM {deed}({', '.join(['%s'] * len(params))})", *params)

    def _tick(self, conn: psycopg.Connection[Any]) -> None:
        for (tenant,) in self._rows(conn, "SELECT * FROM acd_due()"):
            self._rows(conn, "SELECT acd_tick(%s)", tenant)
        for (host,) in self._rows(conn, "SELECT * FROM acd_silent_hosts()"):
            self._rows(conn, "SELECT acd_lose_host(%s, 'silent')", host)

    def _legs(self, conn: psycopg.Connection[Any]) -> None:
        tenant = self.rng.choice(self.storm.tenants)
        account = self.rng.choice(self.storm.accounts[tenant])
        name = f"leg-{self.rng.randrange(3)}"
        if self.rng.random() < 0.4:
            self._rows(conn, "SELECT acd_leg_start(%s, %s, 'proxy', %s, 'in')", tenant, account, name)
        else:
            self._rows(conn, "SELECT acd_leg_end(%s, %s, 'proxy', %s)", tenant, account, name)

    def _report(self, conn: psycopg.Connection[Any]) -> None:
        data = Jsonb({"load": self.rng.random()})
        rows = self._rows(
            conn, "SELECT * FROM acd_report(%s, %s, %s, %s)", self.host, self.boot, list(self.calls), data
        )
        self._perform(rows)


@dataclass
class Storm:
    """What the workers share."""

    dsn: str
    tenants: list[int]
    queues: dict[int, list[int]]
    agents: dict[int, list[int]]
    accounts: dict[int, list[int]]
    #: Of each worker.
    operations: int
    seed: int = 1

    @contextlib.contextmanager
    def killer(self, every_seconds: float) -> Iterator[list[int]]:
        """Terminate the connection of a random worker now and then; yields how often, as a list that grows."""
        rng = random.Random(self.seed)
        stop = threading.Event()
        kills: list[int] = []

        def run() -> None:
            with psycopg.connect(self.dsn, autocommit=True) as conn:
                while not stop.wait(every_seconds):
                    pids = conn.execute(
                        "SELECT pid FROM pg_stat_activity"
                        " WHERE application_name = 'storm' AND datname = current_database()"
                    ).fetchall()
                    if pids:
                        conn.execute("SELECT pg_terminate_backend(%s)", rng.choice(pids))
                        kills.append(1)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield kills
        finally:
            stop.set()
            thread.join()

    def run(self, workers: int, watch: Callable[[], None], *, kill_every_seconds: float) -> list[Worker]:
        """Run the workers to their end; `watch` looks again and again meanwhile."""
        crew = [Worker(self, number) for number in range(workers)]
        with self.killer(kill_every_seconds):
            for worker in crew:
                worker.start()
            while any(worker.is_alive() for worker in crew):
                watch()
                time.sleep(0.05)
        return crew
