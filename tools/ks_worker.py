"""ks-worker: what has to be done every minute, hour and day, so that nothing grows for ever.

Decides when to look; which jobs there are and when each is due is kalibri/services/worker.py. Several may run, on
one machine or many: a job's lock keeps it single. A job runs in a thread of its own, so that a long one hides
no hang: the heartbeat tells of the loop, and of the database.

    python -m tools.ks_worker [--home DIRECTORY] [--config FILE] [--once]
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time

import click
import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config
from kalibri.db import Conn, connect
from kalibri.heartbeat import Heartbeat
from kalibri.program import daemon_options, stop_signals
from kalibri.services import worker
from kalibri.services.worker import RunsAlready

log = logging.getLogger("ks-worker")

#: How often it is looked which jobs are due, in seconds.
LOOK_SECONDS = 5.0
TURN_SECONDS = 0.5
CONNECT_TIMEOUT_MS = 5000


class Worker:
    """One ks-worker."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._thread: threading.Thread | None = None
        self._look_at = 0.0
        self._done = 0
        self._failed = 0
        self._job = ""
        self._conn: Conn | None = None
        self._stopping = threading.Event()
        self._problem = ""

    def turn(self) -> None:
        """Start the jobs that are due, unless the last ones still run."""
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None
        if self._thread is None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._thread = threading.Thread(target=self.work, name="jobs", daemon=True)
            self._thread.start()

    def work(self) -> bool:
        """Run what is due, one after the other; tell whether all of it went well."""
        try:
            with self._connect() as conn:
                self._conn = conn
                well = all([self._run(conn, job.name) for job in worker.due(conn, self._config)])
                self._problem = ""
                return well
        except (KalibriError, psycopg.Error) as error:
            self._problem = " ".join(str(error).split())
            log.error("cannot look for jobs: %s", self._problem)
            return False
        finally:
            self._conn = None

    def _connect(self) -> Conn:
        return connect(
            self._config,
            application_name=f"ks-worker {self._config.node_name}",
            connect_timeout_ms=CONNECT_TIMEOUT_MS,
            statement_timeout_ms=0,
            settings={"kalibri.actor": "ks-worker", "kalibri.origin": "ks-worker"},
        )

    def _run(self, conn: Conn, name: str) -> bool:
        if self._stopping.is_set():
            return True
        began = time.monotonic()
        self._job = name
        try:
            detail = worker.run(conn, self._config, job=name)
        except RunsAlready:
            return True
        except Exception as error:
            self._failed += 1
            log.error("%s failed after %.3f s: %s", name, time.monotonic() - began, error)
            if conn.closed or conn.broken:
                raise
            return False
        finally:
            self._job = ""
        self._done += 1
        log.info("%s: %s (%.3f s)", name, detail, time.monotonic() - began)
        return True

    def detail(self) -> str:
        """Say how it goes, for people."""
        if self._problem:
            return f"waiting: {self._problem}"
        now = f", runs {self._job}" if self._job else ""
        return f"{self._done} jobs done, {self._failed} failed{now}"

    def stop(self) -> None:
        """Stop: what a job is doing in the database is cancelled, and done again later."""
        self._stopping.set()
        conn = self._conn
        if conn is not None:
            with contextlib.suppress(psycopg.Error):
                conn.cancel_safe(timeout=2.0)
        if self._thread is not None:
            self._thread.join(5.0)


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--once", is_flag=True, help="Run what is due, and end.")
@daemon_options
def main(config: Config, once: bool) -> None:
    """Run ks-worker."""
    work = Worker(config)
    if once:
        sys.exit(0 if work.work() else 1)
    config.run_directory.mkdir(parents=True, exist_ok=True)
    heartbeat = Heartbeat(config.run_directory, "ks-worker")
    with stop_signals() as wait:
        while True:
            work.turn()
            with contextlib.suppress(OSError):  # a full disk: jobs still free some of it
                heartbeat.beat(work.detail())
            if wait(TURN_SECONDS):
                break
        work.stop()


if __name__ == "__main__":
    main()
