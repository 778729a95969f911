"""Heartbeats of this host's nodes in the node table, written by the watch for what it found answering.

A heartbeat is worth nothing when it costs something: while the database is away they are left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from callcore.errors import KalibriError
from kalibri.config import Config
from kalibri.db import Conn, connect
from kalibri.services import node as nodes

EVERY_SECONDS = 10.0


class NodeBeats:
    """Writes heartbeats now and then; keeps its connection in between."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._conn: Conn | None = None
        self._next = 0.0

    def beat(self, ready: Iterable[str], now: float) -> None:
        """Note which processes (names of ksinit status) answered; now: monotonic seconds."""
        if now < self._next:
            return
        self._next = now + EVERY_SECONDS
        names = [name for process in ready if (name := nodes.node_of_process(self._config, process))]
        try:
            self._conn = self._conn or connect(self._config, application_name="watch")
            nodes.beat(self._conn, names=names)
        except KalibriError:
            self.close()

    def close(self) -> None:
        """Give the connection back."""
        if self._conn is not None:
            self._conn.close()
        self._conn = None
