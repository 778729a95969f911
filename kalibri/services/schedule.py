"""Schedules of tenants: hours, holidays, time zone.

Decides what may be stored (hours that callcore.schedule understands, a zone that exists) and when a schedule
may go: not while a route uses it. Whether a moment lies inside is decided in callcore/schedule.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from callcore.errors import BadInput, StillInUse
from callcore.schedule import Schedule as Hours
from callcore.schedule_change import next_change
from kalibri import db
from kalibri.db import Conn

SQL = db.statements("schedule")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule of a tenant; those of the system (tenant 0) serve everybody who has none of the name."""

    tenant_id: int
    tenant: str
    schedule_id: int
    name: str
    time_zone: str
    #: As in "mon-fri 09:00-18:00; sat 10:00-14:00".
    hours: str
    #: In order.
    holidays: tuple[date, ...]
    #: closed: never on a holiday; open: all day; ignore: holidays are ordinary days.
    on_holidays: str
    #: How many routes use it.
    routes: int

    def to_hours(self) -> Hours:
        """Return what decides; raises BadSchedule."""
        return Hours.make(
            schedule_id=self.schedule_id,
            tenant_id=self.tenant_id,
            name=self.name,
            zone_name=self.time_zone,
            hours=self.hours,
            holidays=self.holidays,
            on_holidays=self.on_holidays,
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a schedule is open at a moment, and for how long that stays so."""

    name: str
    tenant: str
    #: In the zone of the schedule.
    at: datetime
    open: bool
    #: When it changes; None: never.
    until: datetime | None
    #: Why it is closed, in plain words; empty when it is open.
    why: str


def list_schedules(conn: Conn, *, tenant_id: int | None) -> list[Schedule]:
    """Return schedules, the system's first. tenant_id None: of all tenants."""
    return db.fetch_all(conn, Schedule, SQL["list_schedules"], tenant_id=tenant_id, name=None)


def find(conn: Conn, *, tenant_id: int, name: str) -> Schedule:
    """Return one schedule; raises NotFound."""
    found = db.fetch_one(conn, Schedule, SQL["list_schedules"], tenant_id=tenant_id, name=name)
    return db.require(found, "schedule", name)


def add(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    hours: str,
    time_zone: str | None = None,
    holidays: Collection[date] = (),
    on_holidays: str = "closed",
) -> Schedule:
    """Make a schedule; time_zone None: the tenant's. Raises AlreadyExists, BadSchedule, BadInput."""
    schedule = Schedule(
        tenant_id=tenant_id,
        tenant="",
        schedule_id=0,
        name=name,
        time_zone=time_zone or db.fetch_value(conn, SQL["tenant_time_zone"], tenant_id=tenant_id) or "UTC",
        hours=_tidy(hours),
        holidays=tuple(sorted(set(holidays))),
        on_holidays=on_holidays,
        routes=0,
    )
    schedule.to_hours()
    with conn.transaction():
        db.execute(conn, SQL["add_schedule"], **_stored(schedule))
        return find(conn, tenant_id=tenant_id, name=name)


def change(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    add_holidays: Collection[date] = (),
    remove_holidays: Collection[date] = (),
    **changes: Any,
) -> Schedule:
    """Change hours, time_zone or on_holidays of a schedule, add and remove holidays.

    Raises NotFound, BadSchedule, BadInput (a day to be removed that is no holiday).
    """
    with conn.transaction():
        db.execute(conn, SQL["lock_schedule"], tenant_id=tenant_id, name=name)
        before = find(conn, tenant_id=tenant_id, name=name)
        for day in remove_holidays:
            if day not in before.holidays:
                raise BadInput(f'{day} is no holiday of schedule "{name}"')
        holidays = (set(before.holidays) - set(remove_holidays)) | set(add_holidays)
        after = replace(before, holidays=tuple(sorted(holidays)), **changes)
        after = replace(after, hours=_tidy(after.hours))
        after.to_hours()
        db.execute(conn, SQL["set_schedule"], **_stored(after))
        return after


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a schedule that no route uses; raises NotFound, StillInUse."""
    with conn.transaction():
        schedule = find(conn, tenant_id=tenant_id, name=name)
        key = {"tenant_id": tenant_id, "schedule_id": schedule.schedule_id}
        if schedule.routes:
            ids: list[int] = db.fetch_value(conn, SQL["routes_of_schedule"], **key)
            some = ", ".join(map(str, ids)) + (" ..." if schedule.routes > len(ids) else "")
            raise StillInUse(f'{schedule.routes} routes use schedule "{name}": {some}', route_ids=ids)
        db.execute(conn, SQL["remove_schedule"], **key)


def judge(conn: Conn, *, tenant_id: int, name: str, at: datetime) -> Verdict:
    """Tell whether a schedule is open; `at` without a zone is meant in the schedule's. Raises NotFound."""
    schedule = find(conn, tenant_id=tenant_id, name=name)
    hours = schedule.to_hours()
    aware = at if at.tzinfo else at.replace(tzinfo=hours.zone)
    # Through UTC: a wall-clock time that daylight saving skips becomes one that exists.
    moment = aware.astimezone(UTC).astimezone(hours.zone)
    is_open = hours.is_open(moment)
    return Verdict(
        name=schedule.name,
        tenant=schedule.tenant,
        at=moment,
        open=is_open,
        until=next_change(hours, moment),
        why="" if is_open else hours.why_closed(moment),
    )


def _tidy(hours: str) -> str:
    return " ".join(hours.split())


def _stored(schedule: Schedule) -> dict[str, object]:
    return {**vars(schedule), "holidays": list(schedule.holidays)}
