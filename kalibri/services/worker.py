"""The jobs of ks-worker: which there are, when each is due, and that none runs twice at once.

A job is a function that takes a connection and the configuration and says in a few words what it did. It holds
an advisory lock while it runs, on whatever machine; each run is noted with its duration. Jobs are safe to
repeat and may be killed anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from callcore.errors import KalibriError, NotFound, Refused
from callcore.states import JobOutcome
from kalibri import db
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import archive, backup, maintenance, report_facts, report_schedule, voicemail_letter

log = logging.getLogger("ks-worker")

SQL = db.statements("worker")

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
#: A job that failed is tried again so soon, however rarely it runs.
RETRY_SECONDS = 300.0
KEEP_RUNS_DAYS = 90


class RunsAlready(Refused):
    """The job runs already."""

    error_id = "runs-already"


@dataclass(frozen=True)
class Job:
    """One job."""

    name: str
    #: For people.
    what: str
    every_seconds: float
    do: Callable[[Conn, Config], str]
    #: Whether there is anything to do with this configuration.
    wanted: Callable[[Config], bool] = lambda _config: True
    #: Whether this machine has something to do now, before every_seconds are over; None: it is not asked.
    waits: Callable[[Conn, Config], bool] | None = None


JOBS: Mapping[str, Job] = {
    job.name: job
    for job in (
        Job("partitions", "makes the days to come", HOUR, maintenance.make_partitions),
        Job("events", "numbers events while no ks-api does, removes old ones", MINUTE, maintenance.events),
        Job(
            "reports", "builds what reports are made of from new events and calls", MINUTE, report_facts.build
        ),
        Job(
            "facts", "removes facts and sums of reports that are past their period", DAY, report_facts.forget
        ),
        Job("mail", "sends reports that are due", MINUTE, report_schedule.send_due, report_schedule.wanted),
        Job(
            "voicemail",
            "sends voice messages by e-mail",
            HOUR,
            voicemail_letter.send_due,
            voicemail_letter.wanted,
            voicemail_letter.any_due,
        ),
        Job("tokens", "removes tokens and tickets that ended", HOUR, maintenance.tokens),
        Job("locations", "removes registrations of proxies that are gone", HOUR, maintenance.locations),
        Job("changes", "shortens the change log and notes of old runs", HOUR, maintenance.changes),
        Job("campaigns", "removes what campaigns noted long ago", DAY, maintenance.campaigns),
        Job("audit", "removes what is past its period from the audit log", DAY, maintenance.audit_log),
        Job("webhooks", "removes what was given up long ago", DAY, maintenance.webhooks),
        Job("cards", "removes old cards, sheets and remembered callers", HOUR, maintenance.old_cards),
        Job("files", "removes what killed processes left half written", HOUR, maintenance.orphan_files),
        Job("vacuum", "cleans tables that autovacuum cannot keep up with", HOUR, maintenance.vacuum),
        Job("archive", "writes old days to the archive", HOUR, archive.run, archive.is_wanted),
        Job("retention", "removes calls that are past their period", HOUR, archive.retain),
        Job("backup", "backs the database up", DAY, backup.run, backup.is_wanted),
    )
}


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """How a job stands."""

    job: str
    what: str
    every_seconds: float
    #: Whether the configuration asks for it.
    wanted: bool
    #: Whether somebody runs it now.
    running: bool
    #: The last run; None: there was none.
    started_at: datetime | None
    outcome: JobOutcome | None
    seconds: float | None
    node: str | None
    detail: str


@dataclass(frozen=True)
class _Run:
    job: str
    node: str
    started_at: datetime
    finished_at: datetime | None
    outcome: JobOutcome
    detail: str
    seconds: float
    age_seconds: float
    running: bool


def status(conn: Conn, config: Config) -> list[JobStatus]:
    """Return every job with its last run."""
    last = {run.job: run for run in db.fetch_all(conn, _Run, SQL["last_runs"])}
    return [_status(job, config, last.get(job.name)) for job in JOBS.values()]


def _status(job: Job, config: Config, last: _Run | None) -> JobStatus:
    return JobStatus(
        job=job.name,
        what=job.what,
        every_seconds=job.every_seconds,
        wanted=job.wanted(config),
        running=last.running if last else False,
        started_at=last.started_at if last else None,
        outcome=last.outcome if last else None,
        seconds=round(last.seconds, 3) if last else None,
        node=last.node if last else None,
        detail=last.detail if last else "",
    )


def due(conn: Conn, config: Config) -> list[Job]:
    """Return the jobs whose time has come."""
    last = {run.job: run for run in db.fetch_all(conn, _Run, SQL["last_runs"])}
    wanted = [job for job in JOBS.values() if job.wanted(config)]
    return [job for job in wanted if _is_due(conn, config, job, last.get(job.name))]


def _is_due(conn: Conn, config: Config, job: Job, last: _Run | None) -> bool:
    if last is None:
        return True
    if last.running:
        return False
    # A run that died is no run.
    well = last.outcome is JobOutcome.OK
    every = job.every_seconds if well else min(job.every_seconds, RETRY_SECONDS)
    return last.age_seconds >= every or (well and job.waits is not None and job.waits(conn, config))


def run(conn: Conn, config: Config, *, job: str) -> str:
    """Run a job now and return what it did; raises NotFound, RunsAlready, and what the job raises.

    The connection must be in autocommit mode, outside of a transaction.
    """
    if job not in JOBS:
        raise NotFound(f'there is no job "{job}": {", ".join(JOBS)}')
    with _held(conn, job):
        run_id = db.fetch_value(conn, SQL["begin_run"], job=job, node=config.node_name)
        try:
            detail = JOBS[job].do(conn, config)
        except Exception as error:
            _end(conn, run_id, JobOutcome.FAILED, str(error) or type(error).__name__)
            raise
        _end(conn, run_id, JobOutcome.OK, detail)
        return detail


def _end(conn: Conn, run_id: int, outcome: JobOutcome, detail: str) -> None:
    try:
        db.execute(conn, SQL["end_run"], run_id=run_id, outcome=outcome, detail=detail[:2000])
    except KalibriError as error:  # the job's own error says more
        log.warning("the end of run %d is not noted: %s", run_id, error)


@contextmanager
def _held(conn: Conn, job: str) -> Iterator[None]:
    if not db.fetch_value(conn, SQL["try_lock"], job=job):
        raise RunsAlready(f"{job} runs already")
    try:
        yield
    finally:
        if not conn.closed and not conn.broken:
            db.fetch_value(conn, SQL["unlock"], job=job)
