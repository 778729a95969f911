"""ks-dial: the campaign engine. Takes leads, orders dials from the media hosts, settles what has ended.

Decides when to look and who leads; what a look does is tools/dial/engine.py. Several may run: one leads (an advisory
lock of its session), the others stand by. It may be killed at any moment. While the database is away it waits; what
is being dialled goes on at the media hosts.

    python -m tools.ks_dial [--home DIRECTORY] [--config FILE]
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import click
import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config, load_config
from kalibri.db import Conn, connect
from kalibri.heartbeat import Heartbeat
from kalibri.services import dial
from tools.dial.engine import IDLE_SECONDS, Engine
from tools.ks_acd import Steadiness
from tools.ks_cdr import stop_signals

log = logging.getLogger("ks-dial")

FIRST_BACK_OFF_SECONDS = 0.2
LONGEST_BACK_OFF_SECONDS = 2.0
CONNECT_TIMEOUT_MS = 2000
STATEMENT_TIMEOUT_MS = 30_000


class DialDaemon:
    """One ks-dial."""

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config, self._clock = config, clock
        self._conn: Conn | None = None
        self._engine = Engine(clock=clock)
        self._steadiness = Steadiness()
        self._back_off = FIRST_BACK_OFF_SECONDS
        self._broken_since: float | None = None
        self.leads = False

    def step(self) -> float:
        """Look once; return how many seconds to wait before the next look."""
        try:
            wait = self._look(self._connection())
        except (KalibriError, psycopg.Error) as error:
            return self._failed(error)
        if self._broken_since is not None:
            log.info("at work again after %.1f s", self._clock() - self._broken_since)
            self._broken_since = None
            self._back_off = FIRST_BACK_OFF_SECONDS
        return wait

    def detail(self) -> str:
        """Say how it goes, for people."""
        if self._broken_since is not None:
            return f"waiting for the database for {self._clock() - self._broken_since:.0f} s"
        role = "leader" if self.leads else "stands by"
        return f"{role}, {self._engine.ordered} ordered, {self._engine.settled} settled"

    def close(self) -> None:
        """Give the connection back, and the leadership with it."""
        if self._conn is not None:
            self._conn.close()
        self._conn = None
        self.leads = False

    def _failed(self, error: Exception) -> float:
        if self._broken_since is None:
            log.error("cannot work, will try again: %s", error)
            self._broken_since = self._clock()
        self._steadiness.lost()
        self.close()
        wait, self._back_off = self._back_off, min(self._back_off * 2, LONGEST_BACK_OFF_SECONDS)
        return wait

    def _connection(self) -> Conn:
        if self._conn is None or self._conn.closed:
            self._conn = connect(
                self._config,
                application_name=f"ks-dial {self._config.node_name}",
                connect_timeout_ms=CONNECT_TIMEOUT_MS,
                statement_timeout_ms=STATEMENT_TIMEOUT_MS,
            )
            self.leads = False
        return self._conn

    def _look(self, conn: Conn) -> float:
        self._steadiness.looks(self._clock())
        if not self.leads:
            self.leads = dial.try_to_lead(conn)
            if not self.leads:
                return IDLE_SECONDS
            log.info("leading")
        return self._engine.look(conn, may_judge=self._steadiness.may_judge(self._clock()))


def run(config: Config, wait: Callable[[float], bool]) -> None:
    """Work until `wait` says that it is time to stop."""
    config.run_directory.mkdir(parents=True, exist_ok=True)
    heartbeat = Heartbeat(config.run_directory, "ks-dial")
    daemon = DialDaemon(config)
    beat_at = 0.0
    with contextlib.closing(daemon):
        seconds = 0.0
        while not wait(seconds):
            seconds = daemon.step()
            if time.monotonic() - beat_at >= 1.0:
                beat_at = time.monotonic()
                with contextlib.suppress(OSError):
                    heartbeat.beat(daemon.detail())


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--home", type=click.Path(path_type=Path), help="Run directory of the instance.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file.")
def main(home: Path | None, file: Path | None) -> None:
    """Run ks-dial."""
    try:
        config = load_config(path=file, overrides={"home": str(home)} if home else {})
    except KalibriError as error:
        raise click.ClickException(error.message) from error
    logging.basicConfig(
        level=config.log.level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s", force=True
    )
    with stop_signals() as wait:
        run(config, wait)
        log.info("stopped")


if __name__ == "__main__":
    main()
