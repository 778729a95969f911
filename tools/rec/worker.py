"""A worker of ks-rec: a process of its own that takes one recording after the other through the pipeline.

It runs at the lowest priority of processor and disk, dies with ks-rec, and may be killed at any moment. When
nothing is to be done it looks after retention and archive, unless another worker of the machine does.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from callcore.errors import KalibriError, Unavailable
from kalibri.config import Config
from kalibri.db import Conn, connect
from kalibri.journal import JournalWriter
from kalibri.services import recording as recordings
from kalibri.services import recording_archive as archives
from kalibri.services.recording_pipeline import ClaimLost, Job, Pipeline, claim, fail

log = logging.getLogger("ks-rec")

IDLE_SECONDS: Final = 0.3
MAINTENANCE_SECONDS: Final = 60.0
#: One recording never takes so long: a worker that does hangs, and the kernel ends it.
LONGEST_JOB_SECONDS: Final = 4 * 3600
LONGEST_BACK_OFF_SECONDS: Final = 5.0
CONNECT_TIMEOUT_MS: Final = 5000
STATEMENT_TIMEOUT_MS: Final = 60_000
#: Added to the niceness: calls come first.
NICENESS: Final = 15
_PR_SET_PDEATHSIG: Final = 1


def worker_name(host: str, pid: int) -> str:
    """Name a worker so that its name never comes again: a process id does."""
    return f"{host}/{pid}/{_start_ticks(pid)}"


def is_alive(worker: str) -> bool:
    """Tell whether a worker of this machine lives."""
    _, pid, started = worker.rsplit("/", 2)
    return pid.isdigit() and _start_ticks(int(pid)) == started


def _start_ticks(pid: int) -> str:
    """Return when a process began, in ticks since boot; empty if there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def open_connection(config: Config, role: str) -> Conn:
    """Connect with patience, but not without end; raises Unavailable."""
    return connect(
        config,
        application_name=f"ks-rec {config.node_name} {role}",
        connect_timeout_ms=CONNECT_TIMEOUT_MS,
        statement_timeout_ms=STATEMENT_TIMEOUT_MS,
    )


def fork(config: Config) -> int:
    """Start a worker; return its process id."""
    return fork_child(lambda: Worker(config).run())


def fork_child(work: Callable[[], None]) -> int:
    """Do something in a child of low priority that dies with its parent; return its process id.

    The caller must hold no connection to the database: the child would share it.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _be_a_good_child(parent)
        work()
        code = 0
    except BaseException:  # the child must not run on in its parent's code
        log.exception("a child of ks-rec ends")
    finally:
        os._exit(code)


def _be_a_good_child(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)


class Worker:
    """One worker: everything that matters is in the database and in files."""

    def __init__(self, config: Config, *, notice: Callable[[str], None] = lambda _: None) -> None:
        self._config = config
        self._notice = notice
        self.name = worker_name(config.node_name, os.getpid())
        self._journal = JournalWriter(config.journal_directory, config.node_name, "ks-rec")
        self._conn: Conn | None = None
        self._looks_after = False
        self._next_maintenance = 0.0

    def run(self) -> None:
        """Work until killed."""
        wait = 0.0
        back_off = IDLE_SECONDS
        while True:
            time.sleep(wait)
            try:
                wait = 0.0 if self.work() else IDLE_SECONDS
                back_off = IDLE_SECONDS
            except (Unavailable, psycopg.Error) as error:
                log.debug("the database is away: %s", error)
                self._disconnect()
                wait, back_off = back_off, min(back_off * 2, LONGEST_BACK_OFF_SECONDS)

    def work(self) -> bool:
        """Finish one recording if one is due, else look after the others; False when there was nothing to do.

        Raises Unavailable, psycopg.Error.
        """
        conn = self._connection()
        lease = float(self._config.recording.lease_seconds)
        job = claim(conn, host=self._config.node_name, worker=self.name, lease_seconds=lease)
        if job is not None:
            self._finish(conn, job)
            return True
        if time.monotonic() >= self._next_maintenance:
            self._next_maintenance = time.monotonic() + MAINTENANCE_SECONDS
            return self._maintain(conn)
        return False

    def _connection(self) -> Conn:
        if self._conn is None or self._conn.closed:
            self._conn = open_connection(self._config, "worker")
            self._looks_after = False
        return self._conn

    def close(self) -> None:
        """Give back the connection and the journal."""
        self._disconnect()
        self._journal.close()

    def _disconnect(self) -> None:
        if self._conn is not None:
            with contextlib.suppress(psycopg.Error):
                self._conn.close()
        self._conn = None

    def _finish(self, conn: Conn, job: Job) -> None:
        began = time.monotonic()
        signal.alarm(LONGEST_JOB_SECONDS)
        try:
            Pipeline(self._config, conn, self.name, notice=self._notice).finish(job)
        except ClaimLost:
            log.info("recording %s belongs to another worker now, or was removed", job.recording_id)
        except (Unavailable, psycopg.Error):
            raise
        # Whatever is wrong with one recording, the others go on; it is tried again.
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            wait = fail(conn, job, self.name, why)
            log.error("recording %s: %s; again in %.0f s", job.recording_id, why, wait)
        else:
            self._tell(conn, job, time.monotonic() - began)
        finally:
            signal.alarm(0)

    def _tell(self, conn: Conn, job: Job, took_seconds: float) -> None:
        done = recordings.find(conn, recording_id=job.recording_id)
        self._journal.event(
            "recording.stored",
            call=job.call_id,
            tenant=job.tenant_id,
            recording=str(job.recording_id),
            seconds=(done.duration_ms or 0) / 1000,
            bytes=done.bytes,
            marks=len(done.marks),
        )
        log.info("recording %s is stored after %.1f s", job.recording_id, took_seconds)

    # ----------------------------------------------------------------------------------------- maintenance

    def _maintain(self, conn: Conn) -> bool:
        host = self._config.node_name
        self._looks_after = self._looks_after or archives.lock_maintenance(conn, host=host)
        if not self._looks_after:
            return False
        done = self._each(archives.due_expired(conn, host=host), self._expire)
        done += self._each(archives.due_erase(conn, host=host), self._erase)
        if self._config.recording.archive is not None:
            done += self._each(archives.due_archive(conn, host=host), self._archive)
        done += self._each(archives.due_thin_out(conn, host=host), self._thin_out)
        return done > 0

    def _each(self, due: list[UUID], deed: Callable[[UUID], object]) -> int:
        """Do it with each; what cannot be done is told and met again at the next look."""
        done = 0
        for recording_id in due:
            try:
                deed(recording_id)
                done += 1
            except (KalibriError, OSError) as error:
                if isinstance(error.__cause__, psycopg.OperationalError):
                    raise
                log.error("recording %s: %s", recording_id, error)
                self._journal.event("recording.trouble", recording=str(recording_id), reason=str(error))
        return done

    def _expire(self, recording_id: UUID) -> None:
        recordings.remove(self._connection(), recording_id=recording_id, by=archives.RETENTION)

    def _erase(self, recording_id: UUID) -> None:
        recordings.erase(self._connection(), self._config, recording_id=recording_id)

    def _archive(self, recording_id: UUID) -> None:
        archives.archive(self._connection(), self._config, recording_id=recording_id, by=archives.POLICY)

    def _thin_out(self, recording_id: UUID) -> None:
        archives.thin_out(self._connection(), self._config, recording_id=recording_id, by=archives.POLICY)
