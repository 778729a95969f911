"""The call centre that bench/acd.py loads: an instance with carrier, agents and queues, and what its processes cost."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from psycopg.types.json import Jsonb

from tests.support.fix_instance import Instance
from tests.support.switch import Switch

SETTINGS = {
    "proxy.flood_requests_per_2s": 0,
    "proxy.workers": 4,
    "proxy.far_end_seconds": 3,
    "rtp.nodes": 2,
}
#: Agents of the issue's loads: the next call comes as soon as they have hung up.
QUEUE = {"wrapup_seconds": 0, "ring_seconds": 20, "strategy": "longest_idle"}
#: What proxies, media hosts and ks-acd call; the rest is called from within these.
TRANSITIONS = [
    *("acd_enter", "acd_answer", "acd_outcome", "acd_joined", "acd_finish", "acd_end", "acd_requeue"),
    *("acd_callback", "acd_dialled", "acd_transfer", "acd_hold", "acd_take", "acd_tick"),
    *("acd_leg_start", "acd_leg_end"),
]


@dataclass(frozen=True)
class Line:
    """A queue with the number that leads to it."""

    queue_id: int
    number: str
    agents: tuple[str, ...]


class Centre:
    """An instance, up; agents and queues are added before `save`."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.instance = Instance({**SETTINGS, **settings})
        self.agents: dict[str, int] = {}
        self.registered: set[str] = set()
        #: One address for all loads: nobody else gets the carrier's port between two of them, and the phones do not
        #: register from one contact more each time.
        self._sockets = {
            name: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for name in ("carrier", "phones")
        }
        for bound in self._sockets.values():
            bound.bind(("127.0.0.1", 0))

    def __enter__(self) -> Centre:
        try:
            self.instance.up()
            self.switch = Switch(self.instance)
            self._count_functions()
            port = int(self._sockets["carrier"].getsockname()[1])
            self.switch.add_gateway(
                "carrier",
                port=port,
                source_port=port,
                tenant_id=self.switch.tenant_id,
            )
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        for bound in self._sockets.values():
            bound.close()
        self.instance.remove()

    def socket_of(self, side: str) -> socket.socket:
        """Return the socket of the "carrier" or of the "phones", without what still came after the last load."""
        bound = self._sockets[side]
        bound.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                bound.recv(65_535)
        return bound.dup()

    # ---- configuration

    def add_agents(self, number: int) -> tuple[str, ...]:
        """Add agents with accounts; their phones register when a load begins."""
        names = tuple(f"b{len(self.agents) + n + 1:05}" for n in range(number))
        for name in names:
            self.switch.add_account(name)
            account = self.switch.rows("SELECT account_id FROM account WHERE username = %s", [name])[0]
            row = self.switch.insert(
                "agent", tenant_id=self.switch.tenant_id, name=name, account_id=account["account_id"]
            )
            self.agents[name] = int(row["agent_id"])
        return names

    def add_queue(self, name: str, agents: tuple[str, ...], **columns: object) -> Line:
        """Add a queue with its members and its number."""
        values = {
            key: Jsonb(value) if isinstance(value, dict) else value
            for key, value in (QUEUE | columns).items()
        }
        row = self.switch.insert("queue", tenant_id=self.switch.tenant_id, name=name, **values)
        for agent in agents:
            self.switch.insert(
                "queue_member",
                tenant_id=self.switch.tenant_id,
                queue_id=row["queue_id"],
                agent_id=self.agents[agent],
            )
        line = Line(int(row["queue_id"]), f"55{int(row['queue_id']):04}", agents)
        self.switch.add_route(f"^{line.number}$", f"queue:{name}", priority=float(line.queue_id))
        return line

    def save(self) -> None:
        """Make what was added live."""
        self.switch.save()

    def log_in(self, agents: tuple[str, ...]) -> None:
        """Log agents in and wait until all are free."""
        with self.switch.connect() as conn:
            for agent in agents:
                conn.execute("SELECT acd_login(%s, %s, 'bench')", [self.switch.tenant_id, self.agents[agent]])
        ids = [self.agents[agent] for agent in agents]
        statement = "SELECT count(*) AS n FROM agent_live WHERE agent_id = ANY(%s) AND state <> 'free'"

        def all_free() -> bool:
            return not self.switch.rows(statement, [ids])[0]["n"]

        self.switch.wait(all_free, 60, "all agents are free")

    # ---- what it costs

    def _count_functions(self) -> None:
        with self.switch.connect() as conn:
            conn.execute("ALTER SYSTEM SET track_functions = 'pl'")
            conn.execute("SELECT pg_reload_conf()")

    def pids(self) -> dict[str, list[int]]:
        """Return the processes of the instance with their descendants, by name."""
        found = {}
        for name, row in self.instance.statuses().items():
            if row.pid is not None:
                found[name] = _descendants(row.pid)
        return found

    def cpu_seconds(self) -> dict[str, float]:
        """Return the time that each process has been on a CPU."""
        return {name: sum(_on_cpu(pid) for pid in pids) for name, pids in self.pids().items()}

    def transactions(self) -> int:
        """Return how many transactions of call distribution there were: each of these functions is one."""
        rows = self.switch.rows(
            "SELECT coalesce(sum(calls), 0) AS n FROM pg_stat_user_functions WHERE funcname = ANY(%s)",
            [TRANSITIONS],
        )
        return int(rows[0]["n"])

    def idle_transactions_per_s(self, seconds: float) -> float:
        """Return how many transactions a second are committed while nobody calls."""
        before, began = self.transactions(), time.monotonic()
        time.sleep(seconds)
        return (self.transactions() - before) / (time.monotonic() - began)

    def wrong_agents(self) -> int:
        """Return how many agents are in no state that fits: busy or ringing without a call, reserved, offline."""
        rows = self.switch.rows(
            "SELECT count(*) AS n FROM agent_live WHERE logged_in AND state NOT IN ('free', 'wrapup', 'paused')"
        )
        return int(rows[0]["n"])

    def wait_over(self, callers: list[str], seconds: float) -> float:
        """Wait until nobody is held by a call of these callers, at most so long; return after how many seconds."""
        began = time.monotonic()
        statement = "SELECT count(*) AS n FROM offer WHERE caller = ANY(%s) AND state <> 'ended'"
        while self.switch.rows(statement, [callers])[0]["n"] and time.monotonic() - began < seconds:
            time.sleep(0.05)
        return time.monotonic() - began

    def wait_right(self, agents: tuple[str, ...], seconds: float) -> float:
        """Wait until these agents are free, at most so long; return after how many seconds they were."""
        ids, began = [self.agents[agent] for agent in agents], time.monotonic()
        statement = "SELECT count(*) AS n FROM agent_live WHERE agent_id = ANY(%s) AND state <> 'free'"
        while self.switch.rows(statement, [ids])[0]["n"] and time.monotonic() - began < seconds:
            time.sleep(0.05)
        return time.monotonic() - began


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        with suppress(OSError):
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
            found.extend(int(child) for child in text.split())
    return found


def _on_cpu(pid: int) -> float:
    total = 0
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9
