"""ks-cdr: moves the journals of this instance into the database, exactly once.

Decides when to look and how long to wait; what is stored, and how, is kalibri/services/journal.py. It holds
no state that matters: it may be killed at any moment, and several may run. While the database is away it
waits; the journals wait with it.

    python -m tools.ks_cdr [--home DIRECTORY] [--config FILE] [--once]
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from datetime import date

import click
import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config
from kalibri.daemon import DatabaseDaemon, run_daemon
from kalibri.db import Conn
from kalibri.program import Timer, daemon_options, stop_signals
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


class CdrDaemon(DatabaseDaemon):
    """One ks-cdr: what it remembers between two looks is only there to save work."""

    name = "ks-cdr"
    connect_timeout_ms = 5000
    #: A batch takes some hundred ms; a statement that waits longer is stuck behind a lock.
    statement_timeout_ms = 60_000
    longest_back_off_seconds = 5.0
    passing = (KalibriError, psycopg.Error, OSError)

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(config, clock=clock)
        self._directory = config.journal_directory
        self._added: set[str] = set()
        self._offsets: dict[str, int] = {}
        #: Size of a file when it was found stored up to its last whole line.
        self._stored_size: dict[str, int] = {}
        self._days: set[date] = set()
        self._finish = Timer(FINISH_SECONDS, clock)
        self._repair = Timer(REPAIR_SECONDS, clock)
        self._forget = Timer(FORGET_SECONDS, clock)
        self._events = 0

    def settle(self) -> bool:
        """Store all that is there, finish files and repair calls; tell whether that worked."""
        while self.step() == 0.0:
            pass
        self._finish.make_due()
        self._repair.make_due()
        self.step()
        return not self.waiting

    def state(self) -> str:
        """Say how it goes while it works, for people."""
        return f"{self._events} events stored, {len(self._offsets)} files"

    def lost(self) -> None:
        """Give up the connection; the database that comes back may be a restored one."""
        super().lost()
        self._added.clear()

    def look(self, conn: Conn) -> float:
        """Store what is new; return how many seconds to wait before the next look."""
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


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--once", is_flag=True, help="Store what is there now, and end.")
@daemon_options
def main(config: Config, once: bool) -> None:
    """Run ks-cdr."""
    if once:
        with contextlib.closing(CdrDaemon(config)) as daemon:
            sys.exit(0 if daemon.settle() else 1)
    with stop_signals() as wait:
        log.info("following %s", config.journal_directory)
        run_daemon(config, CdrDaemon(config), wait)
        log.info("stopped")


if __name__ == "__main__":
    main()
