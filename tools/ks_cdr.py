"""ks-cdr: moves the journals of this instance into the database, exactly once.

Decides when to look and how long to wait; what is stored, and how, is kalibri/services/journal.py. It holds
no state that matters: it may be killed at any moment, and several may run. While the database is away it
waits; the journals wait with it.

    python -m tools.ks_cdr [--home DIRECTORY] [--config FILE] [--once]
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import click
import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config, load_config
from kalibri.db import Conn, connect
from kalibri.heartbeat import Heartbeat
from kalibri.services.journal import (
    add_files,
    close_lost_calls,
    finish_files,
    forget_files,
    journal_sizes,
    store_new,
)

log = logging.getLogger("ks-cdr")

POLL_SECONDS = 0.2
#: How often files are looked through for those whose writer is gone.
FINISH_SECONDS = 2.0
#: How often lost calls are looked for; besides after each restart of the proxy.
REPAIR_SECONDS = 60.0
#: How long the file of a proxy is left after its last line: kemi/recovery.py reads what is younger than 180 s.
PROXY_FILE_SECONDS = 240.0
FORGET_SECONDS = 3600.0
FIRST_BACK_OFF_SECONDS = 0.2
LONGEST_BACK_OFF_SECONDS = 5.0
CONNECT_TIMEOUT_MS = 5000
#: A batch takes some hundred ms; a statement that waits longer is stuck behind a lock.
STATEMENT_TIMEOUT_MS = 60_000


class Timer:
    """Says every so often that it is time."""

    def __init__(self, every_seconds: float, clock: Callable[[], float]) -> None:
        self._every_seconds = every_seconds
        self._clock = clock
        self._next = clock()

    def due(self) -> bool:
        """Tell whether it is time; if so, the next time begins to run."""
        if self._clock() < self._next:
            return False
        self._next = self._clock() + self._every_seconds
        return True

    def make_due(self) -> None:
        """Make it time now."""
        self._next = self._clock()


class CdrDaemon:
    """One ks-cdr: what it remembers between two looks is only there to save work."""

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._directory = config.journal_directory
        self._clock = clock
        self._conn: Conn | None = None
        self._added: set[str] = set()
        self._offsets: dict[str, int] = {}
        #: Size of a file when it was found stored up to its last whole line.
        self._stored_size: dict[str, int] = {}
        self._days: set[date] = set()
        self._finish = Timer(FINISH_SECONDS, clock)
        self._repair = Timer(REPAIR_SECONDS, clock)
        self._forget = Timer(FORGET_SECONDS, clock)
        self._broken_since: float | None = None
        self._back_off = FIRST_BACK_OFF_SECONDS
        self._events = 0

    def step(self) -> float:
        """Look once and store what is new; return how many seconds to wait before the next look."""
        try:
            wait = self._look()
        except (KalibriError, psycopg.Error, OSError) as error:
            return self._failed(error)
        if self._broken_since is not None:
            log.info("storing again after %.1f s", self._clock() - self._broken_since)
            self._broken_since = None
            self._back_off = FIRST_BACK_OFF_SECONDS
        return wait

    def settle(self) -> bool:
        """Store all that is there, finish files and repair calls; tell whether that worked."""
        while self.step() == 0.0:
            pass
        self._finish.make_due()
        self._repair.make_due()
        self.step()
        return not self.waiting

    @property
    def waiting(self) -> bool:
        """Whether the last look failed."""
        return self._broken_since is not None

    def detail(self) -> str:
        """Say how it goes, for people."""
        if self._broken_since is not None:
            return f"waiting for the database for {self._clock() - self._broken_since:.0f} s"
        return f"{self._events} events stored, {len(self._offsets)} files"

    def close(self) -> None:
        """Give the connection back."""
        if self._conn is not None:
            self._conn.close()
        self._conn = None

    def _failed(self, error: Exception) -> float:
        if self._broken_since is None:
            log.error("cannot store, will try again: %s", error)
            self._broken_since = self._clock()
        self.close()
        self._added.clear()  # the database that comes back may be a restored one
        wait, self._back_off = self._back_off, min(self._back_off * 2, LONGEST_BACK_OFF_SECONDS)
        return wait

    def _connection(self) -> Conn:
        if self._conn is None or self._conn.closed:
            self._conn = connect(
                self._config,
                application_name=f"ks-cdr {self._config.node_name}",
                connect_timeout_ms=CONNECT_TIMEOUT_MS,
                statement_timeout_ms=STATEMENT_TIMEOUT_MS,
            )
        return self._conn

    def _look(self) -> float:
        conn = self._connection()
        sizes = journal_sizes(self._directory)
        self._notice(conn, sizes)
        new = [name for name, size in sizes.items() if self._stored_size.get(name) != size]
        more = self._store(conn, sizes, new) if new else False
        if self._finish.due():
            self._finish_files(conn)
        if not more:
            self._housekeeping(conn, sizes)
        return 0.0 if more else POLL_SECONDS

    def _notice(self, conn: Conn, sizes: dict[str, int]) -> None:
        unknown = sizes.keys() - self._added
        if unknown:
            add_files(conn, unknown)
        self._added = set(sizes)
        for name in self._offsets.keys() - sizes.keys():
            self._offsets.pop(name)
            self._stored_size.pop(name, None)

    def _store(self, conn: Conn, sizes: dict[str, int], new: list[str]) -> bool:
        """Store new lines; tell whether there are more at once."""
        stored = store_new(conn, self._directory, new, known_days=self._days)
        more = False
        for name, offset in stored.offsets.items():
            # What is left when the offset does not move any more is a line that is not whole yet.
            if offset >= sizes[name] or offset == self._offsets.get(name):
                self._stored_size[name] = sizes[name]
            else:
                more = True
            self._offsets[name] = offset
        self._events += stored.events
        if stored.restarted:
            self._repair.make_due()
        return more

    def _finish_files(self, conn: Conn) -> None:
        spare = [name for name in self._stored_size if not self._is_wanted(name)]
        for name in finish_files(conn, self._directory, spare):
            log.debug("%s is stored and deleted", name)

    def _is_wanted(self, name: str) -> bool:
        """Tell whether a proxy that starts now will look here for the calls that the one before was setting up."""
        if not name.startswith(f"{self._config.node_name}-kamailio-"):
            return False
        try:
            return time.time() - (self._directory / name).stat().st_mtime < PROXY_FILE_SECONDS
        except FileNotFoundError:
            return False

    def _housekeeping(self, conn: Conn, sizes: dict[str, int]) -> None:
        """What may only be done when nothing is left to store: every end that was told counts first."""
        if self._stored_size.keys() >= sizes.keys() and self._repair.due():
            closed = close_lost_calls(conn, self._config.node_name)
            if closed:
                log.warning("%d calls were lost in a restart of the proxy and are closed", closed)
        if self._forget.due():
            forget_files(conn, sizes)


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[float], bool]]:
    """Block SIGTERM and SIGINT, and yield a wait that ends early, with True, when one of them came."""
    stopping = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    try:
        yield lambda seconds: signal.sigtimedwait(stopping, seconds) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(config: Config, wait: Callable[[float], bool]) -> None:
    """Store until `wait` says that it is time to stop."""
    config.run_directory.mkdir(parents=True, exist_ok=True)
    heartbeat = Heartbeat(config.run_directory, "ks-cdr")
    daemon = CdrDaemon(config)
    with contextlib.closing(daemon):
        seconds = 0.0
        while not wait(seconds):
            seconds = daemon.step()
            with contextlib.suppress(OSError):  # a full disk: storing still frees some of it
                heartbeat.beat(daemon.detail())


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--home", type=click.Path(path_type=Path), help="Run directory of the instance.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--once", is_flag=True, help="Store what is there now, and end.")
def main(home: Path | None, file: Path | None, once: bool) -> None:
    """Run ks-cdr."""
    try:
        config = load_config(path=file, overrides={"home": str(home)} if home else {})
    except KalibriError as error:
        raise click.ClickException(error.message) from error
    logging.basicConfig(
        level=config.log.level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s", force=True
    )
    if once:
        with contextlib.closing(CdrDaemon(config)) as daemon:
            sys.exit(0 if daemon.settle() else 1)
    with stop_signals() as wait:
        log.info("following %s", config.journal_directory)
        run(config, wait)
        log.info("stopped")


if __name__ == "__main__":
    main()
