"""What every report has: the time it covers, names for ids, the form of the result.

Decides nothing about figures: kalibri/services/report.py and report_calls.py do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import psycopg.rows

from callcore.errors import NotFound
from callcore.report_period import Period, Step, Window, periods, window
from callcore.schedule import time_zone
from kalibri import db
from kalibri.db import Conn
from kalibri.services.report_facts import built_until

SQL = db.statements("report")

#: Rows of a listing (attempts, states, missed).
MOST_ROWS = 1_000_000

Clock = Callable[[], datetime]
Value = str | int | float | bool | datetime | UUID | Mapping[str, float] | None
Row = dict[str, Value]


@dataclass(frozen=True, kw_only=True)
class When:
    """Which time a report covers, in the zone of the tenant."""

    from_day: date
    #: Included; null: the same day.
    to_day: date | None = None
    step: Step = Step.TOTAL
    #: Part of each day, as 09:00-18:00; empty: all.
    hours: str = ""
    #: As mon-fri; empty: all.
    weekdays: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report that is ready."""

    report: str
    zone: str
    from_day: date
    to_day: date
    step: Step
    hours: str
    weekdays: str
    #: What came in later is not in it yet; null: nothing was ever taken.
    built_until: datetime | None
    #: How figures are meant.
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Span:
    """The time of a report, as statements need it."""

    when: When
    zone: str
    periods: tuple[Period, ...]
    window: Window
    now: datetime

    @property
    def params(self) -> dict[str, object]:
        """Parameters of a statement that counts by period."""
        part = self.window
        every_day = len(part.weekdays) == 7
        return {
            "starts": [period.start.astimezone(UTC) for period in self.periods],
            "start": self.start,
            "until": self.until,
            "zone": self.zone,
            "opens": None if part == Window() else part.opens,
            "closes": part.closes,
            "weekdays": None if every_day else list(part.weekdays),
        }

    @property
    def start(self) -> datetime:
        """The first moment, in UTC."""
        return self.periods[0].start.astimezone(UTC)

    @property
    def until(self) -> datetime:
        """The first moment after it, in UTC."""
        return self.periods[-1].end.astimezone(UTC)

    def local(self, moment: datetime | None) -> datetime | None:
        """Return a moment in the zone of the tenant."""
        return None if moment is None else moment.astimezone(self.periods[0].start.tzinfo)

    def heads(self, number: int) -> Row:
        """Return what tells a period apart in a row; number: from 1 on."""
        if self.when.step is Step.TOTAL:
            return {}
        return {"period": self.periods[number - 1].start}


@dataclass(frozen=True)
class _Name:
    id: int
    name: str


def span_of(conn: Conn, tenant_id: int | None, given: Mapping[str, Any], clock: Clock | None) -> Span:
    """Return the time of a report: the fields of When, in the zone of a tenant (None: UTC); raises BadPeriod."""
    when = When(**given)
    name = "UTC"
    if tenant_id is not None:
        name = db.fetch_value(conn, SQL["tenant_zone"], tenant_id=tenant_id) or "UTC"
    # A zone that the database had and this machine does not know must not keep a manager from his figures.
    parts = periods(when.from_day, when.to_day or when.from_day, when.step, time_zone(name))
    now = clock() if clock is not None else datetime.now(UTC)
    return Span(when, name, parts, window(when.hours, when.weekdays), now)


def ids_of(conn: Conn, kind: str, tenant_id: int, names: Sequence[str]) -> list[int] | None:
    """Return ids of queues or agents by name, None for no names; raises NotFound."""
    if not names:
        return None
    known = {row.name: row.id for row in db.fetch_all(conn, _Name, SQL[f"{kind}s"], tenant_id=tenant_id)}
    for name in names:
        if name not in known:
            raise NotFound(f'there is no {kind} "{name}"', kind=kind, name=name)
    return [known[name] for name in names]


def names_of(conn: Conn, kind: str, tenant_id: int) -> Callable[[int], str]:
    """Return what names an id; one that is gone is called by its number."""
    known = {row.id: row.name for row in db.fetch_all(conn, _Name, SQL[f"{kind}s"], tenant_id=tenant_id)}
    return lambda known_id: known.get(known_id, f"{kind} {known_id}")


def finished(
    conn: Conn,
    name: str,
    span: Span,
    rows: list[Row],
    *,
    tenant_id: int | None,
    columns: Iterable[str],
    notes: Iterable[str] = (),
    source: str = "acd",
) -> Report:
    """Return a report of these rows; columns: those that a table for people shows."""
    until = built_until(conn, tenant_id=tenant_id, source=source)
    return Report(
        report=name,
        zone=span.zone,
        from_day=span.when.from_day,
        to_day=span.when.to_day or span.when.from_day,
        step=span.when.step,
        hours=span.when.hours,
        weekdays=span.when.weekdays,
        built_until=span.local(until),
        notes=tuple(notes),
        columns=tuple(columns),
        rows=rows,
    )


def rows_of(conn: Conn, statement: str, **params: object) -> list[dict[str, Any]]:
    """Run a statement of queries/report.sql and return its rows."""
    with db.domain_errors(), conn.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(SQL[statement], params).fetchall()
