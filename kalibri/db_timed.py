"""A connection that never waits longer than it may, for processes that must answer a telephone meanwhile.

PostgreSQL's statement_timeout is kept by the server, so it says nothing when the server is frozen or the network is
gone. Here the client keeps the time too; a statement that was given up leaves the connection closed, since nobody
knows whether it was done.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

from kalibri import db
from kalibri.config import Config

_Result = TypeVar("_Result")
#: The server's own limit ends a statement first, and tells why.
GRACE_SECONDS = 0.05


class TimedConnection(psycopg.Connection[Any]):
    """A connection whose every exchange with the server has a time limit."""

    #: Longest exchange, in seconds.
    limit_seconds = 0.2

    def wait(
        self, gen: Generator[Any, Any, _Result], interval: float = 0.1, timeout: float | None = None
    ) -> _Result:
        """Run an exchange; raises psycopg.OperationalError, and closes the connection, when it takes too long."""
        limit = self.limit_seconds if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except psycopg.errors._WaitTimeout as error:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {limit * 1000:.0f} ms") from error


def connect_timed(config: Config, *, application_name: str) -> TimedConnection:
    """Connect with the limits of the configuration (database.*_timeout_ms); raises Unavailable."""
    conn = db.connect(config, application_name=application_name, connection_type=TimedConnection)
    assert isinstance(conn, TimedConnection)
    conn.limit_seconds = config.database.statement_timeout_ms / 1000 + GRACE_SECONDS
    return conn
