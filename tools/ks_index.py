"""ks-index, the daemon that keeps the index directory equal to the database, and its builder processes.

Follows change_log: a notification is the hint to look, a poll each second the net. Without a database it
keeps everything in force and comes back with growing patience. Only one ks-index writes a directory: a lock
on it makes a second one wait. Decides nothing about contents (kalibri/services/index_build.py) and nothing
about the order of things (tools/index/indexer.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config, load_config
from kalibri.db import Conn, connect
from kalibri.heartbeat import Heartbeat
from kalibri.index_dir import file_name
from kalibri.index_ledger import Part
from kalibri.services import index_build, route_index
from tools.index.builders import Builders, Built
from tools.index.indexer import Indexer
from tools.index.kamailio_reload import KamailioReload
from tools.index.store import Store

log = logging.getLogger("ks-index")

CHANNEL = "kalibri_change"
POLL_SECONDS = 1.0
#: First and longest wait before the database is tried again.
RECONNECT_SECONDS = (0.1, 5.0)
CONNECT_TIMEOUT_MS = 2000
#: For the statements of one turn; builders have no limit.
STATEMENT_TIMEOUT_MS = 30_000
LOCK_FILE = "ks_index.lock"


class Daemon:
    """The loop: connect, one turn, wait for a reason for the next."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._builders = Builders(partial(build_part, config))
        self._store = Store(config.index_directory)
        self._indexer = Indexer(config.index, self._store, self._builders)
        self._kamailio = KamailioReload(config.kamailio_rpc_socket, config.index_directory)
        config.run_directory.mkdir(parents=True, exist_ok=True)
        self._heartbeat = Heartbeat(config.run_directory, "ks-index")
        self._conn: Conn | None = None
        self._patience = RECONNECT_SECONDS[0]
        self._notified = False
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def stop(self) -> None:
        """End the loop after this turn; may be called by a signal handler."""
        self._stopping = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"s")

    def run(self) -> None:
        """Keep the index until `stop`."""
        try:
            while not self._stopping:
                wait = self._one_turn()
                with contextlib.suppress(OSError):  # a full disk; whoever watches misses the sign of life
                    self._heartbeat.beat(self._state())
                self._rest(wait)
        finally:
            self._builders.stop()
            if self._conn is not None:
                self._conn.close()

    def _one_turn(self) -> float:
        """Do what there is to do; return how long to wait, in seconds."""
        self._notified = False
        try:
            conn = self._connected()
            self._indexer.turn(conn)
        except (KalibriError, psycopg.Error, OSError) as error:
            return self._failed(error)
        self._patience = RECONNECT_SECONDS[0]
        if self._indexer.kamailio_tables is not None:
            self._kamailio.want(self._indexer.kamailio_tables)
        self._kamailio.try_now()
        return POLL_SECONDS

    def _connected(self) -> Conn:
        if self._conn is None or self._conn.closed:
            self._conn = connect(
                self._config,
                application_name="ks-index",
                connect_timeout_ms=CONNECT_TIMEOUT_MS,
                statement_timeout_ms=STATEMENT_TIMEOUT_MS,
            )
            self._conn.add_notify_handler(self._on_notify)
            self._conn.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(CHANNEL)))
            self._builders.forget_failures()
            log.info("connected to the database")
        return self._conn

    def _on_notify(self, _notification: psycopg.Notify) -> None:
        # Comes while a statement runs: what it announces may have missed that statement's snapshot.
        self._notified = True

    def _failed(self, error: Exception) -> float:
        """The database is away, or the disk is full: what is in force stays; return how long to wait."""
        log.warning("keeps what is in force, tries again in %.1f s: %s", self._patience, error)
        if self._conn is not None:
            self._conn.close()
            self._conn = None
        wait, self._patience = self._patience, min(self._patience * 2, RECONNECT_SECONDS[1])
        return wait

    def _rest(self, seconds: float) -> None:
        """Wait for a notification, the end of a builder, a signal, or until time is up."""
        if self._notified or self._stopping:
            return
        watched = [self._wake_read, *self._builders.pipes()]
        if self._conn is not None:
            watched.append(self._conn.fileno())
        readable, _, _ = select.select(watched, [], [], seconds)
        if self._wake_read in readable:
            os.read(self._wake_read, 100)

    def _state(self) -> str:
        current = self._store.current
        if current is None:
            return "builds the first index"
        state = f"generation {current.generation}, change {current.seq}"
        return state if self._conn is not None else f"{state}, no database"


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a file while the block runs; yields False if it is not to be had without waiting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def build_part(config: Config, part: Part, number: int) -> Built:
    """Build one part as file `number` from one snapshot of the database."""
    builders: dict[Part, Callable[[Conn, Path], int | None]] = {
        Part.ROUTES: route_index.build_base,
        Part.DIRECTORY: index_build.build_directory,
        Part.RANGES: index_build.build_ranges,
    }
    name = file_name(part, number)
    with (
        connect(config, application_name=f"ks-index build {part}", statement_timeout_ms=0) as conn,
        index_build.snapshot(conn) as state,
    ):
        entries = builders[part](conn, config.index_directory / name)
    return Built(
        part=part,
        file=None if entries is None else name,
        database=state.database,
        seq=state.last_seq,
        entries=entries or 0,
    )


def run_daemon(config: Config) -> int:
    """Be the daemon until SIGTERM or SIGINT; returns the exit code."""
    with locked(config.index_directory / LOCK_FILE, wait=False) as ours:
        if ours:
            return _run(config)
    log.info("another ks-index keeps %s, waits until it ends", config.index_directory)
    with locked(config.index_directory / LOCK_FILE, wait=True):
        return _run(config)


def _run(config: Config) -> int:
    daemon = Daemon(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    daemon.run()
    return 0


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Run directory of the instance.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def main(home: Path | None, config_file: Path | None) -> None:
    """Keep the index of routes, accounts and number ranges that the proxy reads."""
    config = load_config(path=config_file, overrides={"home": str(home)} if home else {})
    logging.basicConfig(
        level=config.log.level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    sys.exit(run_daemon(config))


if __name__ == "__main__":
    main()
