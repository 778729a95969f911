"""Reports that go out by e-mail by themselves: each day, week or month, when the period is over.

Decides when one is due, in the zone of its tenant, and what happens when the mail server is away: it is tried again
with longer and longer waits. Each period is told once; of periods that were missed altogether only the last one is.
What a report says is kalibri/services/report.py and report_calls.py; what the server is told, kalibri/mail.py.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from psycopg.types.json import Jsonb

from callcore.errors import BadInput, KalibriError, NotFound
from callcore.kpi import LevelVariant
from callcore.report_period import Step, span_before
from callcore.schedule import time_zone
from callcore.states import ReportEvery
from kalibri import db, mail
from kalibri.config import Config
from kalibri.db import Conn
from kalibri.services import report, report_calls, report_facts, report_file
from kalibri.services.report_calls import CallGroup
from kalibri.services.report_frame import Clock, Report, When

log = logging.getLogger("ks-worker")

SQL = db.statements("report_schedule")

REPORTS: Mapping[str, Callable[..., Report]] = {
    "queue": report.queue,
    "interval": report.interval,
    "agent": report.agent,
    "pauses": report.pauses,
    "callbacks": report.callbacks,
    "calls": report_calls.calls,
    "gateway": report_calls.gateway,
    "attempts": report_calls.attempts,
    "states": report_calls.states,
    "missed": report_calls.missed,
}
#: Options that are words of a list.
_WORDS: Mapping[str, Callable[[str], Any]] = {"step": Step, "level": LevelVariant, "group": CallGroup}
_NAMES = ("queues", "agents", "gateways")
FORMATS = ("xlsx", "csv", "json")
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
_ADDRESS = re.compile(r"[^@\s<>,;\"()\x00-\x1f]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,253}")
_MEDIA_TYPES = {
    "xlsx": ("application", "vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "csv": ("text", "csv"),
    "json": ("application", "json"),
}


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """A scheduled report."""

    tenant_id: int
    tenant: str
    time_zone: str
    schedule_id: int
    name: str
    #: One of REPORTS.
    report: str
    #: Of the report: queues, agents, step, level …; plot: a picture, too.
    options: Mapping[str, Any]
    every: ReportEvery
    #: Local time from which on it is sent.
    at: time
    format: str
    recipients: Sequence[str]
    enabled: bool
    #: First day that was not told yet.
    sent_until: date | None
    sent_at: datetime | None
    #: Tries in a row that failed, when the next one is due, and what the last one said.
    attempts: int
    retry_at: datetime | None
    last_error: str


@dataclass(frozen=True, kw_only=True)
class ScheduleChanges:
    """What can be changed of a scheduled report."""

    options: Mapping[str, Any]
    every: ReportEvery
    at: time
    format: str
    recipients: Sequence[str]
    enabled: bool


# ------------------------------------------------------------------------------------------- configure


def list_scheduled(conn: Conn, *, tenant_id: int | None) -> list[Scheduled]:
    """Return scheduled reports of a tenant; None: of all."""
    return db.fetch_all(conn, Scheduled, SQL["list"], tenant_id=tenant_id, name=None)


def find(conn: Conn, *, tenant_id: int, name: str) -> Scheduled:
    """Return one; raises NotFound."""
    found = db.fetch_one(conn, Scheduled, SQL["list"], tenant_id=tenant_id, name=name)
    return db.require(found, "scheduled report", name)


def add(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    report: str,
    every: ReportEvery,
    recipients: Sequence[str],
    at: time = time(6),
    format: str = "xlsx",
    options: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
) -> Scheduled:
    """Schedule a report; the first one tells the day, week or month that runs now. Raises BadInput, NotFound."""
    _check(conn, tenant_id, report, options or {}, recipients, format)
    zone = db.fetch_value(conn, db.statements("report")["tenant_zone"], tenant_id=tenant_id)
    today = (clock() if clock else datetime.now(UTC)).astimezone(time_zone(zone)).date()
    db.execute(
        conn,
        SQL["add"],
        tenant_id=tenant_id,
        name=name,
        report=report,
        options=Jsonb(dict(options or {})),
        every=every,
        at=at,
        format=format,
        recipients=list(recipients),
        sent_until=span_before(today, every)[1] + timedelta(days=1),
    )
    return find(conn, tenant_id=tenant_id, name=name)


def change(conn: Conn, *, tenant_id: int, name: str, **changes: Any) -> Scheduled:
    """Change what is given of a scheduled report (ScheduleChanges); raises BadInput, NotFound."""
    before = find(conn, tenant_id=tenant_id, name=name)
    after = {
        item.name: changes.get(item.name, getattr(before, item.name)) for item in fields(ScheduleChanges)
    }
    _check(conn, tenant_id, before.report, after["options"], after["recipients"], after["format"])
    after["options"] = Jsonb(dict(after["options"]))
    after["recipients"] = list(after["recipients"])
    db.execute(conn, SQL["change"], tenant_id=tenant_id, schedule_id=before.schedule_id, **after)
    return find(conn, tenant_id=tenant_id, name=name)


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a scheduled report; raises NotFound."""
    if not db.execute(conn, SQL["remove"], tenant_id=tenant_id, name=name):
        raise NotFound(f'there is no scheduled report "{name}"', kind="scheduled report", name=name)


def _check(
    conn: Conn, tenant_id: int, name: str, options: Mapping[str, Any], recipients: Sequence[str], form: str
) -> None:
    """Refuse what could not be sent: a report is made once to see that its options fit."""
    if form not in FORMATS:
        raise BadInput(f"{form!r} is no form of a report: {', '.join(FORMATS)}")
    for recipient in recipients:
        if not _ADDRESS.fullmatch(recipient):
            raise BadInput(f"{recipient!r} is no e-mail address")
    day = date(2026, 1, 1)
    made = make(conn, tenant_id=tenant_id, name=name, options=options, first=day, last=day)
    if options.get("plot"):
        report_file.drawn(made, ".png")


def make(
    conn: Conn, *, tenant_id: int, name: str, options: Mapping[str, Any], first: date, last: date
) -> Report:
    """Make a report by its name, with options as text; raises BadInput, NotFound."""
    if name not in REPORTS:
        raise BadInput(f"there is no report {name!r}: {', '.join(REPORTS)}")
    do = REPORTS[name]
    known = {*inspect.signature(do).parameters, *(item.name for item in fields(When))}
    known -= {"conn", "tenant_id", "clock", "when", "from_day", "to_day"}
    given = {key: value for key, value in options.items() if key != "plot"}
    for key, value in given.items():
        if key not in known:
            raise BadInput(f"the report {name} has no option {key!r}: {', '.join(sorted(known))}")
        given[key] = _option(key, value)
    try:
        return do(conn, tenant_id=tenant_id, from_day=first, to_day=last, **given)
    except TypeError as error:
        raise BadInput(f"options of the report {name}: {error}") from error


def _option(key: str, value: Any) -> Any:
    if key in _WORDS:
        try:
            return _WORDS[key](value)
        except ValueError as error:
            raise BadInput(f"{key}: {error}") from error
    if key in _NAMES:
        if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
            raise BadInput(f"{key}: a list of names")
    elif key in ("hours", "weekdays"):
        if not isinstance(value, str):
            raise BadInput(f"{key}: a text")
    elif key == "by_queue":
        if not isinstance(value, bool):
            raise BadInput(f"{key}: true or false")
    elif value is not None and type(value) is not int:
        raise BadInput(f"{key}: a whole number")
    return value


# ------------------------------------------------------------------------------------------------ send


def due_span(
    every: ReportEvery, at: time, sent_until: date | None, now: datetime
) -> tuple[date, date] | None:
    """Return the period that is to be told now, if there is one; now: in the zone of the tenant."""
    first, last = span_before(now.date(), every)
    begins = last + timedelta(days=1)
    if sent_until is not None and sent_until > last:
        return None
    if now.date() == begins and now.time() < at:
        return None
    return first, last


def wanted(config: Config) -> bool:
    """Tell whether there is a mail server."""
    return config.mail.host is not None


def send_due(conn: Conn, config: Config, *, clock: Clock = lambda: datetime.now(UTC)) -> str:
    """Send what is due: the job of ks-worker."""
    now = clock()
    jobs = [(one, span) for one in list_scheduled(conn, tenant_id=None) if (span := _due(one, now))]
    if jobs:
        report_facts.catch_up(conn)
    well = sum(_try(conn, config, one, *span, now) for one, span in jobs)
    return f"{well} reports sent" + (f", {len(jobs) - well} failed" if well < len(jobs) else "")


def _due(one: Scheduled, now: datetime) -> tuple[date, date] | None:
    if not one.enabled or (one.retry_at is not None and one.retry_at > now):
        return None
    return due_span(one.every, one.at, one.sent_until, now.astimezone(time_zone(one.time_zone)))


def _try(conn: Conn, config: Config, one: Scheduled, first: date, last: date, now: datetime) -> bool:
    try:
        deliver(conn, config, one, first=first, last=last, now=now)
    except KalibriError as error:
        wait = min(FIRST_RETRY * 2 ** min(one.attempts, 10), LONGEST_RETRY)
        log.warning("report %s of %s is not sent: %s", one.name, one.tenant, error.message)
        owner = {"tenant_id": one.tenant_id, "schedule_id": one.schedule_id}
        db.execute(conn, SQL["failed"], **owner, retry_at=now + wait, error=error.message[:1000])
        return False
    return True


def deliver(conn: Conn, config: Config, one: Scheduled, *, first: date, last: date, now: datetime) -> None:
    """Send a report of these days and note it; raises BadInput, NotFound, NoMail, Unavailable.

    Killed between the server's answer and the note, it is sent again, with the same Message-ID.
    """
    made = make(conn, tenant_id=one.tenant_id, name=one.report, options=one.options, first=first, last=last)
    refused = mail.send(config.mail, message(config, one, made, now))
    told = "; ".join(f"{name} refused: {answer}" for name, answer in refused.items())
    db.execute(
        conn,
        SQL["sent"],
        tenant_id=one.tenant_id,
        schedule_id=one.schedule_id,
        until=last + timedelta(days=1),
        error=told[:1000],
    )


def send_now(conn: Conn, config: Config, *, tenant_id: int, name: str, now: datetime) -> Scheduled:
    """Send the last whole period of a scheduled report at once, whether it was sent or not; as deliver."""
    one = find(conn, tenant_id=tenant_id, name=name)
    first, last = span_before(now.astimezone(time_zone(one.time_zone)).date(), one.every)
    deliver(conn, config, one, first=first, last=last, now=now)
    return find(conn, tenant_id=tenant_id, name=name)


def message(config: Config, one: Scheduled, made: Report, now: datetime) -> EmailMessage:
    """Write the e-mail: what it is in words, the report as a file, a picture if that is wanted."""
    letter = EmailMessage()
    title = report_file.title_of(made)
    letter["Subject"] = f"{one.tenant}: {title}"
    letter["From"] = config.mail.sender
    letter["To"] = ", ".join(one.recipients)
    letter["Date"] = format_datetime(now)
    domain = config.mail.sender.rpartition("@")[2]
    key = f"{one.tenant_id}.{one.schedule_id}.{made.from_day}.{made.to_day}"
    letter["Message-ID"] = f"<report.{key}@{domain}>"
    letter["Auto-Submitted"] = "auto-generated"
    rows = "1 row" if len(made.rows) == 1 else f"{len(made.rows)} rows"
    letter.set_content("\n".join([f"{one.name}: {title}, {rows}.", "", *made.notes, ""]))
    stem = f"{one.name}-{made.from_day}" + ("" if made.from_day == made.to_day else f"-{made.to_day}")
    main, sub = _MEDIA_TYPES[one.format]
    letter.add_attachment(
        report_file.written(made, one.format), maintype=main, subtype=sub, filename=f"{stem}.{one.format}"
    )
    if one.options.get("plot"):
        letter.add_attachment(
            report_file.drawn(made, ".png"), maintype="image", subtype="png", filename=f"{stem}.png"
        )
    return letter
