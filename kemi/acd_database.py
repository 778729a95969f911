"""The ACD as one Kamailio process reaches it: one connection, short time limits, one breaker. Shell around psycopg.

The connection is made when it is first needed, so after the fork, and in the processes that need one (failure routes
run in timer processes too). While the breaker is open nobody waits: queue calls go to a media host unasked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from callcore.errors import KalibriError, Unavailable
from kalibri import db
from kalibri.config import Config
from kalibri.db_timed import connect_timed
from kemi.ks_acd.breaker import Breaker
from kemi.ks_acd.model import AcdAction, MediaHost

_SQL = db.statements("acd_proxy")


class AcdDatabase:
    """Calls the functions of docs/acd.md; one a process, never shared by a fork."""

    def __init__(
        self, connect: Callable[[], db.Conn], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is opened here. clock: monotonic seconds."""
        self._connect, self._clock = connect, clock
        self._conn: db.Conn | None = None
        self._breaker = Breaker()

    @classmethod
    def of(cls, config: Config) -> AcdDatabase:
        """Return the way to the database of an instance."""
        return cls(lambda: connect_timed(config, application_name="kamailio"))

    def ask(self, name: str, **params: object) -> list[AcdAction]:
        """Call a function that answers with actions. Raises Unavailable, also while the breaker is open."""
        statement = _SQL[name]
        return list(self._run(lambda conn: db.fetch_all(conn, AcdAction, statement, **_encoded(params))))

    def tell(self, name: str, **params: object) -> None:
        """Call a function whose answer does not matter. Raises Unavailable."""
        self._run(lambda conn: db.fetch_value(conn, _SQL[name], **_encoded(params)))

    def hosts(self) -> tuple[MediaHost, ...]:
        """Return the living media hosts, least loaded first. Raises Unavailable."""
        return tuple(self._run(lambda conn: db.fetch_all(conn, MediaHost, _SQL["hosts"])))

    def run(self, work: Callable[[db.Conn], Any]) -> Any:
        """Do a use case of kalibri.services on the connection. Raises Unavailable, and what the use case raises."""
        return self._run(work)

    def _run(self, work: Callable[[db.Conn], Any]) -> Any:
        if not self._breaker.allows(self._clock()):
            raise Unavailable("the database did not answer a moment ago")
        try:
            result = self._with_fresh_connection(work)
        except Unavailable:
            self._breaker.failed(self._clock())
            raise
        self._breaker.succeeded()
        return result

    def _with_fresh_connection(self, work: Callable[[db.Conn], Any]) -> Any:
        """Work on the connection; one that the server closed since its last use is replaced once."""
        had_one = self._conn is not None and not self._conn.closed
        began = self._clock()
        conn = self._conn if had_one and self._conn else self._open()
        try:
            return work(conn)
        except KalibriError as error:
            # What came back at once was a connection of the time before a restart; what took long is not repeated.
            stale = had_one and conn.closed and self._clock() - began < _AT_ONCE_SECONDS
            if not (isinstance(error, Unavailable) and stale):
                raise
        return work(self._open())

    def _open(self) -> db.Conn:
        self._conn = self._connect()
        return self._conn


_AT_ONCE_SECONDS = 0.05


def _encoded(params: Mapping[str, object]) -> dict[str, object]:
    """Write lists and objects as JSON text, which PostgreSQL reads as jsonb."""
    return {
        name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in params.items()
    }
