"""A whole instance with configuration, phones and carriers: what the scenarios stand on.

    def test_something(switch, net_loop):
        switch.add_route("^7495", "gateway:near", priority=10)
        switch.save()
        with switch.phone(net_loop, "100") as alice: ...

Configuration is written straight into the tables, classified as the services do, and `save` waits until ks-index has
put it into CURRENT. Names given by scenarios are made unique by the scenario itself; one instance serves many.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from kalibri.config import PROJECT_ROOT
from kalibri.index_dir import read_current
from kemi.ks_route import patterns
from tests.support.fix_instance import Instance
from tests.support.net_loop import NetLoop
from tests.support.sip_phone import Phone
from tests.support.waiting import wait_until

T = TypeVar("T")
PATTERNS = ("a_pattern", "a_host_pattern", "b_pattern", "b_host_pattern")


def _trusting() -> ssl.SSLContext:
    """Return a client's TLS context that believes the certificate which the instance made for itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Switch:
    """An instance that is up, with one tenant "demo" and its domain "demo.test"."""

    TENANT, DOMAIN = "demo", "demo.test"

    def __init__(self, instance: Instance, *, tenant_id: int | None = None) -> None:
        """Make the tenant, unless another machine of the same database has made it."""
        self.instance, self.config = instance, instance.config
        self._routes: list[dict[str, Any]] = []
        if tenant_id is not None:
            self.tenant_id = tenant_id
            return
        with self.connect() as conn:
            row = conn.execute(
                "INSERT INTO tenant (name, realm) VALUES (%s, %s) RETURNING tenant_id",
                [self.TENANT, self.DOMAIN],
            ).fetchone()
            assert row is not None
            self.tenant_id = int(row["tenant_id"])
            self.insert("domain", tenant_id=self.tenant_id, name=self.DOMAIN)

    @property
    def address(self) -> tuple[str, int]:
        """Where phones and carriers send to."""
        return self.config.proxy.listen_address, self.config.proxy.sip_port

    @property
    def tls_address(self) -> tuple[str, int]:
        """Where TLS phones connect to."""
        return self.config.proxy.listen_address, self.config.proxy.tls_port

    # ---- database

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        """Open a connection (autocommit)."""
        return psycopg.connect(self.config.database_dsn, autocommit=True, row_factory=dict_row)

    def rows(self, statement: str, parameters: Any = ()) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        with self.connect() as conn:
            return conn.execute(statement.encode(), parameters).fetchall()

    def insert(self, table: str, **values: Any) -> dict[str, Any]:
        """Insert one row and return it as stored."""
        columns = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, values))
        marks = psycopg.sql.SQL(", ").join(psycopg.sql.Placeholder() * len(values))
        statement = psycopg.sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING *").format(
            psycopg.sql.Identifier(table), columns, marks
        )
        with self.connect() as conn:
            row = conn.execute(statement, list(values.values())).fetchone()
        assert row is not None
        return row

    # ---- configuration

    def add_account(
        self, username: str, *, tenant_id: int | None = None, realm: str = "", **columns: Any
    ) -> None:
        """Add an account whose password is "pw" and its name, allowed in the domain of the realm."""
        realm, tenant = realm or self.DOMAIN, tenant_id or self.tenant_id
        text = f"{username}:{realm}:pw{username}".encode()
        account = self.insert(
            "account",
            tenant_id=tenant,
            username=username,
            ha1_md5=hashlib.md5(text).hexdigest(),
            ha1_sha256=hashlib.sha256(text).hexdigest(),
            **columns,
        )
        domain = self.rows("SELECT domain_id FROM domain WHERE name = %s", [realm])[0]
        self.insert(
            "account_domain",
            tenant_id=tenant,
            account_id=account["account_id"],
            domain_id=domain["domain_id"],
        )

    def add_gateway(self, name: str, *, port: int, source_port: int | None = None, **columns: Any) -> int:
        """Add a gateway of the system on loopback; with source_port its calls are believed by address."""
        networks = ["127.0.0.0/8"] if source_port is not None else []
        row = self.insert(
            "gateway",
            name=name,
            host="127.0.0.1",
            port=port,
            source_networks=networks,
            source_port=source_port,
            **columns,
        )
        return int(row["gateway_id"])

    def add_group(self, name: str, weights: Mapping[int, int]) -> None:
        """Add a gateway group with the weights of its members."""
        group = self.insert("gateway_group", name=name)
        for gateway_id, weight in weights.items():
            self.insert(
                "gateway_group_member", group_id=group["group_id"], gateway_id=gateway_id, weight=weight
            )

    def queue_route(
        self, b_pattern: str | None, destination: str, *, priority: float, **columns: Any
    ) -> None:
        """Remember a route for save_routes; destination is "kind:value"."""
        kind, _, value = destination.partition(":")
        row = {
            "b_pattern": b_pattern,
            "priority": priority,
            "destination_kind": kind,
            "destination": value,
            **columns,
        }
        row.setdefault("tenant_id", self.tenant_id)
        row["options"] = Jsonb(row.get("options", {}))
        row["pattern_classes"] = [patterns.check(row.get(name)).value for name in PATTERNS]
        self._routes.append(row)

    def add_route(self, b_pattern: str | None, destination: str, *, priority: float, **columns: Any) -> int:
        """Add one route and return its id."""
        self.queue_route(b_pattern, destination, priority=priority, **columns)
        return self.save_routes()[-1]

    def save_routes(self) -> list[int]:
        """Write the queued routes; return their ids. `save` makes them live."""
        ids = []
        with self.connect() as conn, conn.transaction():
            for row in self._routes:
                names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, row))
                casts = [
                    psycopg.sql.SQL("%s::pattern_class[]" if name == "pattern_classes" else "%s")
                    for name in row
                ]
                statement = psycopg.sql.SQL("INSERT INTO route ({}) VALUES ({}) RETURNING route_id").format(
                    names, psycopg.sql.SQL(", ").join(casts)
                )
                stored = conn.execute(statement, list(row.values())).fetchone()
                assert stored is not None
                ids.append(int(stored["route_id"]))
        self._routes.clear()
        return ids

    def save(self) -> None:
        """Wait until everything that was configured is in the index that the proxy reads."""
        seq = self.rows("SELECT coalesce(max(seq), 0) AS seq FROM change_log")[0]["seq"]

        def served() -> bool:
            current = read_current(self.config.index_directory)
            return current is not None and current.seq >= seq

        self.wait(served, 30, f"index with change {seq}")

    # ---- what came of it

    @staticmethod
    def wait(condition: Callable[[], T], seconds: float, what: str) -> T:
        """Wait for a condition to be true and return its value."""
        return wait_until(condition, what, seconds)

    def call_rows(self, sip_call_id: str) -> list[dict[str, Any]]:
        """Return the CDRs of a SIP Call-ID that are stored so far."""
        return self.rows("SELECT * FROM call WHERE sip_call_id = %s", [sip_call_id])

    def cdr(self, sip_call_id: str, seconds: float = 20) -> dict[str, Any]:
        """Wait for the end of a call in the database and return its row."""

        def ended() -> dict[str, Any] | None:
            rows = [row for row in self.call_rows(sip_call_id) if row["ended_at"] is not None]
            assert len(rows) <= 1, rows
            return rows[0] if rows else None

        self.wait(ended, seconds, f"CDR of {sip_call_id}")
        # Each process has a journal of its own: the end may be stored before the ringing that another one told.
        self.wait_stored(seconds)
        (row,) = self.call_rows(sip_call_id)
        return row

    def media(self, sip_call_id: str, seconds: float = 20) -> dict[str, Any]:
        """Wait for what the relay has counted of a call; the controller tells it just after the end."""
        found: dict[str, Any] = self.wait(
            lambda: self.cdr(sip_call_id, seconds)["media"], seconds, f"media of {sip_call_id}"
        )
        return found

    def wait_stored(self, seconds: float = 20) -> None:
        """Wait until everything that stands in journals now is in the database."""
        written = {path.name: path.stat().st_size for path in self.config.journal_directory.glob("*.jsonl")}

        def stored() -> bool:
            rows = self.rows("SELECT file, offset_bytes FROM journal_file")
            read = {row["file"]: row["offset_bytes"] for row in rows}
            left = {path.name for path in self.config.journal_directory.glob("*.jsonl")}
            return all(read.get(name, 0) >= size for name, size in written.items() if name in left)

        self.wait(stored, seconds, f"journals read to {written}")

    def events(self, call_id: Any) -> list[dict[str, Any]]:
        """Return the stored events of a call in time order."""
        return self.rows("SELECT * FROM call_event WHERE call_id = %s ORDER BY at, event_id", [call_id])

    def ksctl(self, *arguments: str, code: int = 0) -> str:
        """Run ksctl and return what it printed; its exit code must be `code`."""
        done = subprocess.run(
            [sys.executable, "-m", "tools.ksctl.main", "--home", str(self.instance.home), *arguments],
            cwd=PROJECT_ROOT,
            env=self.instance.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def ksctl_json(self, *arguments: str) -> Any:
        """Run a listing of ksctl as JSON."""
        return json.loads(self.ksctl(*arguments, "-o", "json"))

    # ---- phones

    def phone(self, loop: NetLoop, username: str, **more: Any) -> Phone:
        """Make a phone of an account of the demo tenant."""
        more.setdefault("proxy", self.tls_address if more.get("transport") == "tls" else self.address)
        more.setdefault("password", f"pw{username}")
        if more.get("transport") == "tls":
            more.setdefault("client_tls", _trusting())
        return Phone(loop, username, self.DOMAIN, **more)
