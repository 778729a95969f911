"""ks-rec: makes recordings out of what the RTP nodes have written, and keeps them as long as they are wanted.

Decides when to look, how many work at once, and when to raise an alarm. What is done with a recording is in
kalibri/services/recording_pipeline.py; its workers are processes of their own (tools/rec/worker.py). It may be
killed at any moment, and several may run. While the database is away the recordings wait on the disk.

    python -m tools.ks_rec [--home DIRECTORY] [--config FILE] [--once]
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable

import click
import psycopg

from callcore.errors import KalibriError
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.heartbeat import Heartbeat
from kalibri.journal import JournalWriter
from kalibri.program import Timer, daemon_options, stop_signals
from kalibri.recording_spool import Spool
from kalibri.services import recording_pipeline as pipeline
from tools.rec.controllers import Controllers
from tools.rec.intake import Intake
from tools.rec.prompts import PromptKeeper
from tools.rec.worker import Worker, fork, is_alive, open_connection, worker_name

log = logging.getLogger("ks-rec")

POLL_SECONDS = 0.5
#: A worker that ends is replaced, but not faster than this.
FORK_SECONDS = 1.0
BACKLOG_SECONDS = 5.0
DISK_SECONDS = 10.0
MEGABYTE = 1024 * 1024


class Alarms:
    """What is wrong now: told in the journal when it begins and when it ends."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._raised: dict[str, str] = {}

    def set(self, what: str, detail: str | None) -> None:
        """Say how something is; None: well."""
        if detail is not None and what not in self._raised:
            log.error("alarm: %s: %s", what, detail)
            self._journal.event("alarm.raised", what=what, detail=detail)
        if detail is None and what in self._raised:
            log.info("alarm is over: %s", what)
            self._journal.event("alarm.cleared", what=what)
        self._raised = {name: text for name, text in self._raised.items() if name != what}
        if detail is not None:
            self._raised[what] = detail

    def __str__(self) -> str:
        return "; ".join(self._raised.values())


class RecDaemon:
    """One ks-rec."""

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._spool = Spool.of(config)
        self._spool.prepare()
        config.recording_directory.mkdir(parents=True, exist_ok=True)
        self._prompts = PromptKeeper(config, clock)
        self._intake = Intake(self._spool, config.node_name, Controllers(config.run_directory).know, clock)
        self._alarms = Alarms(JournalWriter(config.journal_directory, config.node_name, "ks-rec"))
        self._conn: Conn | None = None
        #: Process id of each worker, and when it was started.
        self._workers: dict[int, float] = {}
        self._next_fork = 0.0
        self._renew = Timer(max(config.recording.lease_seconds / 4, 0.2), clock)
        self._count = Timer(BACKLOG_SECONDS, clock)
        self._disk = Timer(DISK_SECONDS, clock)
        self._away_since: float | None = None
        self._backlog = pipeline.Backlog(waiting=0, failing=0, error=None)

    def step(self) -> None:
        """Look once: replace workers, take in what is complete, keep claims, raise alarms."""
        self._care_for_workers()
        self._care_for_prompts()
        if self._disk.due():
            self._alarms.set("recording disk", self._disk_trouble())
        try:
            self._look()
            self._away_since = None
        except (KalibriError, psycopg.Error, OSError) as error:
            if self._away_since is None:
                log.error("will try again: %s", error)
                self._away_since = self._clock()
            self._intake.forget()
            self._disconnect()

    def detail(self) -> str:
        """Say how it goes, for people."""
        if self._away_since is not None:
            return f"waiting for {self._clock() - self._away_since:.0f} s; nothing is lost"
        told = f"{self._backlog.waiting} to do, {self._intake.open} going on"
        return f"{told}; ALARM: {self._alarms}" if str(self._alarms) else told

    def close(self) -> None:
        """End the workers (whatever they do, others go on with it) and give the connection back."""
        children = [pid for pid in (*self._workers, self._prompts.stop()) if pid]
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._workers.clear()
        self._disconnect()

    def _look(self) -> None:
        if self._conn is None or self._conn.closed:
            self._conn = open_connection(self._config, "intake")
        self._intake.look(self._conn)
        if self._renew.due():
            host = self._config.node_name
            mine = [worker_name(host, pid) for pid in self._workers]
            pipeline.renew(self._conn, mine, lease_seconds=float(self._config.recording.lease_seconds))
            for recording_id in pipeline.forsake(self._conn, host=host, is_alive=is_alive):
                log.error("recording %s: its worker died", recording_id)
        if self._count.due():
            self._backlog = pipeline.backlog(self._conn, host=self._config.node_name)
            error = self._backlog.error if self._backlog.failing else None
            self._alarms.set("recordings fail", error and f"{self._backlog.failing} recordings fail: {error}")
            bad = self._intake.bad
            self._alarms.set("manifests", f"{bad} manifests cannot be read" if bad else None)

    def _disconnect(self) -> None:
        if self._conn is not None:
            with contextlib.suppress(psycopg.Error):
                self._conn.close()
        self._conn = None

    def _care_for_workers(self) -> None:
        """Replace workers that have ended."""
        for pid in list(self._workers):
            if os.waitpid(pid, os.WNOHANG)[0]:
                log.warning("worker %d has ended", pid)
                del self._workers[pid]
        missing = self._config.recording.workers - len(self._workers)
        if missing > 0 and self._clock() >= self._next_fork:
            self._next_fork = self._clock() + FORK_SECONDS
            # A child must not hold the connection of its parent.
            self._disconnect()
            for _ in range(missing):
                self._workers[fork(self._config)] = self._clock()

    def _care_for_prompts(self) -> None:
        """Compile what is new, in a child; the database may be away."""
        try:
            wanted = self._prompts.step(self._conn)
        except (KalibriError, psycopg.Error):  # the look-up that follows tells it
            return
        if wanted:
            self._disconnect()
            self._prompts.start()
        self._alarms.set("prompts", self._prompts.trouble)

    def _disk_trouble(self) -> str | None:
        wanted = self._config.recording.alarm_free_mb
        for folder in {self._config.recording_directory, self._spool.work}:
            free = shutil.disk_usage(folder).free // MEGABYTE
            if free < wanted:
                return f"only {free} MB are free for {folder}"
        return None


def run(config: Config, wait: Callable[[float], bool]) -> None:
    """Work until `wait` says that it is time to stop."""
    config.run_directory.mkdir(parents=True, exist_ok=True)
    heartbeat = Heartbeat(config.run_directory, "ks-rec")
    with contextlib.closing(RecDaemon(config)) as daemon:
        while not wait(POLL_SECONDS):
            daemon.step()
            with contextlib.suppress(OSError):  # a full disk: working on still frees some of it
                heartbeat.beat(daemon.detail())


def settle(config: Config) -> bool:
    """Finish what is complete now, in this process; tell whether nothing is left to do."""
    spool = Spool.of(config)
    spool.prepare()
    with (
        contextlib.closing(open_connection(config, "once")) as conn,
        contextlib.closing(Worker(config)) as worker,
    ):
        Intake(spool, config.node_name, Controllers(config.run_directory).know, time.monotonic).look(conn)
        pipeline.forsake(conn, host=config.node_name, is_alive=is_alive)
        while worker.work():
            pass
        return pipeline.backlog(conn, host=config.node_name).waiting == 0


@click.command(help=(__doc__ or "").partition("\n\n")[0])
@click.option("--once", is_flag=True, help="Finish what is complete now, and end.")
@daemon_options
def main(config: Config, once: bool) -> None:
    """Run ks-rec."""
    if once:
        sys.exit(0 if settle(config) else 1)
    with stop_signals() as wait:
        log.info("following %s", config.rtp_manifest_directory)
        run(config, wait)
        log.info("stopped")


if __name__ == "__main__":
    main()
