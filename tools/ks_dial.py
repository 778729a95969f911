"""ks-dial: the campaign engine. Takes leads, orders dials from the media hosts, settles what has ended.

Decides when to look and who leads; what a look does is tools/dial/engine.py. Several may run: one leads (an advisory
lock of its session), the others stand by. It may be killed at any moment. While the database is away it waits; what
is being dialled goes on at the media hosts.

    python -m tools.ks_dial [--home DIRECTORY] [--config FILE]
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import click

from callcore.steadiness import Steadiness
from kalibri.config import Config
from kalibri.daemon import DatabaseDaemon, run_daemon
from kalibri.db import Conn
from kalibri.program import daemon_options, stop_signals
from kalibri.services import dial
from tools.dial.engine import IDLE_SECONDS, Engine

log = logging.getLogger("ks-dial")


class DialDaemon(DatabaseDaemon):
    """One ks-dial."""

    name = "ks-dial"

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(config, clock=clock)
        self._engine = Engine(clock=clock)
        self._steadiness = Steadiness()
        self.leads = False

    def state(self) -> str:
        """Say how it goes while it works, for people."""
        role = "leader" if self.leads else "stands by"
        return f"{role}, {self._engine.ordered} ordered, {self._engine.settled} settled"

    def connected(self) -> None:
        """Begin as one of many: the lock of the leader is that of a session."""
        super().connected()
        self.leads = False

    def lost(self) -> None:
        """Give up the connection; nobody could report meanwhile."""
        super().lost()
        self._steadiness.lost()

    def close(self) -> None:
        """Give the connection back, and the leadership with it."""
        super().close()
        self.leads = False

    def look(self, conn: Conn) -> float:
        """Lead, or try to; return how many seconds to wait before the next look."""
        self._steadiness.looks(self._clock())
        if not self.leads:
            self.leads = dial.try_to_lead(conn)
            if not self.leads:
                return IDLE_SECONDS
            log.info("leading")
        return self._engine.look(conn, may_judge=self._steadiness.may_judge(self._clock()))


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@daemon_options
def main(config: Config) -> None:
    """Run ks-dial."""
    with stop_signals() as wait:
        run_daemon(config, DialDaemon(config), wait)
        log.info("stopped")


if __name__ == "__main__":
    main()
