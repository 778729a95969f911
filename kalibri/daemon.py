"""The loop of a daemon that works with the database, and its patience while that is away.

Decides when the database is tried again. What a daemon does when it looks is its own affair.
"""

from __future__ import annotations

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config
from kalibri.db import Conn, connect
from kalibri.heartbeat import Heartbeat
from kalibri.program import Wait

FIRST_BACK_OFF_SECONDS = 0.2


class DatabaseDaemon(ABC):
    """A daemon that looks again and again into the database, and waits while that is away.

    It holds no state that matters: it may be killed at any moment, and several may run.
    """

    #: As in `ksinit status`.
    name: str
    connect_timeout_ms = 2000
    statement_timeout_ms = 30_000
    longest_back_off_seconds = 2.0
    #: What ends a look, and is over when a later one succeeds.
    passing: tuple[type[Exception], ...] = (KalibriError, psycopg.Error)

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: monotonic seconds."""
        self._config, self._clock = config, clock
        self._log = logging.getLogger(self.name)
        self._conn: Conn | None = None
        self._back_off = FIRST_BACK_OFF_SECONDS
        self._broken_since: float | None = None

    @abstractmethod
    def look(self, conn: Conn) -> float:
        """Look once; return how many seconds to wait before the next look."""

    @abstractmethod
    def state(self) -> str:
        """Say how it goes while it works, for people."""

    def connected(self) -> None:
        """Take notice of a new connection."""
        self._log.debug("connected to the database")

    def lost(self) -> None:
        """Give up the connection with which a look failed."""
        self.close()

    def step(self) -> float:
        """Look once, if the database lets us; return how many seconds to wait before the next look."""
        try:
            wait = self.look(self._connection())
        except self.passing as error:
            return self._failed(error)
        if self._broken_since is not None:
            self._log.info("at work again after %.1f s", self._clock() - self._broken_since)
            self._broken_since = None
            self._back_off = FIRST_BACK_OFF_SECONDS
        return wait

    @property
    def waiting(self) -> bool:
        """Whether the last look failed."""
        return self._broken_since is not None

    def detail(self) -> str:
        """Say how it goes, for people."""
        if self._broken_since is not None:
            return f"waiting for the database for {self._clock() - self._broken_since:.0f} s"
        return self.state()

    def close(self) -> None:
        """Give the connection back."""
        if self._conn is not None:
            self._conn.close()
        self._conn = None

    def _failed(self, error: Exception) -> float:
        if self._broken_since is None:
            self._log.error("cannot work, will try again: %s", error)
            self._broken_since = self._clock()
        self.lost()
        wait, self._back_off = self._back_off, min(self._back_off * 2, self.longest_back_off_seconds)
        return wait

    def _connection(self) -> Conn:
        if self._conn is None or self._conn.closed:
            self._conn = connect(
                self._config,
                application_name=f"{self.name} {self._config.node_name}",
                connect_timeout_ms=self.connect_timeout_ms,
                statement_timeout_ms=self.statement_timeout_ms,
            )
            self.connected()
        return self._conn


def run_daemon(config: Config, daemon: DatabaseDaemon, wait: Wait) -> None:
    """Let a daemon work, and tell that it lives, until `wait` says that it is time to stop."""
    config.run_directory.mkdir(parents=True, exist_ok=True)
    heartbeat = Heartbeat(config.run_directory, daemon.name)
    with contextlib.closing(daemon):
        seconds = 0.0
        while not wait(seconds):
            seconds = daemon.step()
            with contextlib.suppress(OSError):  # a full disk: the work may still free some of it
                heartbeat.beat(daemon.detail())
