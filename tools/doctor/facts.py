"""What all examinations of one run share: configuration, state of the processes, database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from callcore.errors import KalibriError, Unavailable
from kalibri.config import Config
from kalibri.db import Conn, connect
from tools.instance import lifecycle
from tools.instance.lifecycle import Status

#: A doctor must not hang on what it examines.
DATABASE_TIMEOUT_MS = 5000


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts of one run."""

    config: Config
    #: By name, as ksinit status shows them.
    processes: Mapping[str, Status]
    #: None: it does not answer.
    conn: Conn | None
    #: Why not.
    database_error: str = ""
    #: How long the database took to answer.
    database_seconds: float = 0.0
    #: Pids of the instance's first processes.
    pids: Mapping[str, int] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        """Whether any process of the instance runs."""
        return bool(self.pids)

    def database(self) -> Conn:
        """Return the connection; raises Unavailable."""
        if self.conn is None:
            raise Unavailable("the database does not answer")
        return self.conn


def gather(config: Config) -> Facts:
    """Ask the processes and connect to the database; the caller closes `conn`."""
    statuses = {row.process: row for row in lifecycle.statuses(config)}
    conn, error = None, ""
    try:
        conn = connect(
            config,
            application_name="doctor",
            connect_timeout_ms=DATABASE_TIMEOUT_MS,
            statement_timeout_ms=DATABASE_TIMEOUT_MS,
        )
    except KalibriError as refused:
        error = refused.message
    return Facts(
        config=config,
        processes=statuses,
        conn=conn,
        database_error=error,
        pids={name: row.pid for name, row in statuses.items() if row.pid is not None},
    )
