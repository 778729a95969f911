"""Connections of the API: a bounded pool of each of two kinds, lent to threads for one call.

The kind `tenant` is the role kalibri_api: row-level security shows it the tenant of the transaction and nobody
else. The kind `system` is the owner of the tables, for system tokens only. Never used on the reactor's thread.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg
from psycopg import pq

from kalibri.config import Config
from kalibri.db import Conn, connect, domain_errors

API_ROLE = "kalibri_api"
CONNECT_TIMEOUT_MS = 2000

#: SET (LOCAL) with parameters.
_SET: LiteralString = (
    "SELECT set_config('kalibri.tenant_id', %(tenant_id)s, %(local)s),"
    " set_config('kalibri.actor', %(actor)s, %(local)s), set_config('kalibri.origin', 'api', %(local)s)"
)


class Pool:
    """Lends connections, one to each borrower; keeps those that are whole."""

    def __init__(self, make: Callable[[], Conn]) -> None:
        self._make = make
        self._idle: queue.LifoQueue[Conn] = queue.LifoQueue()

    @contextmanager
    def lend(self) -> Iterator[Conn]:
        """Lend a connection; as many are made as there are borrowers. Raises Unavailable."""
        conn = self._whole() or self._make()
        try:
            yield conn
        finally:
            if conn.closed or conn.info.transaction_status != pq.TransactionStatus.IDLE:
                conn.close()
            else:
                self._idle.put(conn)

    def _whole(self) -> Conn | None:
        """Return an idle connection that is still there: a restart of PostgreSQL breaks all of them."""
        while True:
            try:
                conn = self._idle.get_nowait()
            except queue.Empty:
                return None
            if not _is_broken(conn):
                return conn
            conn.close()

    def close(self) -> None:
        """Close what is idle."""
        while not self._idle.empty():
            self._idle.get_nowait().close()


def _is_broken(conn: Conn) -> bool:
    """Look, without asking the server: a server that went away has closed the socket."""
    try:
        conn.pgconn.consume_input()
    except psycopg.Error:
        return True
    return bool(conn.closed) or conn.pgconn.status != pq.ConnStatus.OK


class Connections:
    """The two pools."""

    def __init__(self, config: Config) -> None:
        def maker(role: str | None) -> Callable[[], Conn]:
            return lambda: connect(
                config,
                application_name=f"ks-api {config.node_name}",
                connect_timeout_ms=CONNECT_TIMEOUT_MS,
                statement_timeout_ms=config.api.statement_timeout_ms,
                settings={"role": role} if role else None,
            )

        self.tenant = Pool(maker(API_ROLE))
        self.system = Pool(maker(None))

    @contextmanager
    def acting(self, *, tenant_id: int | None, actor: str, one_transaction: bool = True) -> Iterator[Conn]:
        """Lend a connection in a transaction that acts for a tenant; None: for the system.

        Raises Unavailable; what the transaction did is undone when an error goes through. one_transaction: False
        leaves transactions to the borrower.
        """
        pool = self.system if tenant_id is None else self.tenant
        told = {"tenant_id": "" if tenant_id is None else str(tenant_id), "actor": actor}
        with pool.lend() as conn, domain_errors():
            if one_transaction:
                with conn.transaction():
                    conn.execute(_SET, {**told, "local": True})
                    yield conn
                return
            try:
                conn.execute(_SET, {**told, "local": False})
                yield conn
            finally:
                # The next borrower acts for somebody else: a connection that cannot forget is closed.
                if conn.info.transaction_status == pq.TransactionStatus.IDLE:
                    conn.execute(_SET, {"tenant_id": "", "actor": "", "local": False})

    def close(self) -> None:
        """Close what is idle."""
        self.tenant.close()
        self.system.close()
