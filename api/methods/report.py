"""Methods report.*: figures of queues, agents, calls and gateways, for programs."""

from __future__ import annotations

from api.method import Context, Fields, Method, Scope, Tenancy
from kalibri.db import connect_tool
from kalibri.services import report, report_calls, report_facts, report_schedule
from kalibri.services.report_facts import Rebuilt
from kalibri.services.report_frame import When
from kalibri.services.report_schedule import ScheduleChanges, Scheduled

WHEN = Fields(When, required=("from_day",))


def rebuild(context: Context, *, tenant_id: int | None) -> Rebuilt:
    """Build what reports are made of again from all that is kept; null: of all tenants, and of calls."""
    with connect_tool(context.config, application_name="ks-api report") as conn:
        conn.execute("SET statement_timeout = 0")
        return report_facts.rebuild(conn, tenant_id=tenant_id)


def send(context: Context, *, tenant_id: int, name: str) -> Scheduled:
    """Send the last whole period of a scheduled report now, whether it was sent or not."""
    return report_schedule.send_now(
        context.conn, context.config, tenant_id=tenant_id, name=name, now=context.now
    )


METHODS = (
    Method("report.queue", report.queue, Scope.SUPERVISOR, Tenancy.ONE, WHEN),
    Method("report.interval", report.interval, Scope.SUPERVISOR, Tenancy.ONE, WHEN),
    Method("report.agent", report.agent, Scope.SUPERVISOR, Tenancy.ONE, WHEN),
    Method("report.pauses", report.pauses, Scope.SUPERVISOR, Tenancy.ONE, WHEN),
    Method("report.callbacks", report.callbacks, Scope.SUPERVISOR, Tenancy.ONE, WHEN),
    Method("report.calls", report_calls.calls, Scope.SUPERVISOR, Tenancy.FILTER, WHEN),
    Method("report.gateway", report_calls.gateway, Scope.SUPERVISOR, Tenancy.FILTER, WHEN),
    Method("report.attempts", report_calls.attempts, Scope.SUPERVISOR, Tenancy.ONE, WHEN),
    Method("report.states", report_calls.states, Scope.SUPERVISOR, Tenancy.ONE, WHEN),
    Method("report.missed", report_calls.missed, Scope.SUPERVISOR, Tenancy.ONE, WHEN),
    Method("report.schedule.list", report_schedule.list_scheduled, Scope.ADMIN, Tenancy.FILTER),
    Method("report.schedule.add", report_schedule.add, Scope.ADMIN, Tenancy.ONE),
    Method("report.schedule.edit", report_schedule.change, Scope.ADMIN, Tenancy.ONE, Fields(ScheduleChanges)),
    Method("report.schedule.rm", report_schedule.remove, Scope.ADMIN, Tenancy.ONE),
    Method("report.schedule.send", send, Scope.ADMIN, Tenancy.ONE),
    Method("report.rebuild", rebuild, Scope.ADMIN, Tenancy.FILTER, one_transaction=False),
)
