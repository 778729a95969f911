"""Methods schedule.* and callerid.*: when a route applies, and which number is shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from api.method import Context, Fields, Method, Scope, Tenancy
from callcore.errors import BadInput
from kalibri.db import Conn
from kalibri.services import caller_id as caller_ids
from kalibri.services import schedule as schedules
from kalibri.services.schedule import Schedule, Verdict

CHANGES = Fields(Schedule, without=("tenant_id", "tenant", "schedule_id", "name", "routes", "holidays"))
#: Beyond lies the end of the calendar: a zone's offset would lead out of it.
YEARS = range(1970, 9000)


def change(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    add_holidays: Sequence[date] = (),
    remove_holidays: Sequence[date] = (),
    **changes: str,
) -> Schedule:
    """Change a schedule, add and remove holidays; raises NotFound, BadSchedule, BadInput."""
    return schedules.change(
        conn,
        tenant_id=tenant_id,
        name=name,
        add_holidays=add_holidays,
        remove_holidays=remove_holidays,
        **changes,
    )


def judge(context: Context, *, tenant_id: int, name: str, at: datetime | None = None) -> Verdict:
    """Tell whether a schedule is open, until when, and why if it is not; at None: now. Raises NotFound."""
    moment = at or context.now
    if moment.year not in YEARS:
        raise BadInput(f"at: the year must be {YEARS[0]} to {YEARS[-1]}")
    return schedules.judge(context.conn, tenant_id=tenant_id, name=name, at=moment)


METHODS = (
    Method("schedule.list", schedules.list_schedules, Scope.READ, Tenancy.FILTER),
    Method("schedule.show", schedules.find, Scope.READ, Tenancy.ONE),
    Method("schedule.add", schedules.add, Scope.ADMIN, Tenancy.ONE, narrow={"holidays": Sequence[date]}),
    Method("schedule.set", change, Scope.ADMIN, Tenancy.ONE, CHANGES),
    Method("schedule.rm", schedules.remove, Scope.ADMIN, Tenancy.ONE),
    Method("schedule.test", judge, Scope.READ, Tenancy.ONE),
    Method("callerid.list", caller_ids.list_caller_ids, Scope.READ, Tenancy.FILTER),
    Method("callerid.add", caller_ids.add, Scope.ADMIN, Tenancy.ONE),
    Method("callerid.set", caller_ids.change, Scope.ADMIN, Tenancy.ONE),
    Method("callerid.rm", caller_ids.remove, Scope.ADMIN, Tenancy.ONE),
    Method("callerid.export", caller_ids.export, Scope.READ, Tenancy.ONE),
    Method("callerid.import", caller_ids.import_, Scope.ADMIN, Tenancy.ONE),
)
