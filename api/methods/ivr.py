"""Methods ivr.*: scenarios, the tables and web servers that they ask, what callers did."""

from __future__ import annotations

from datetime import datetime

from api.method import Context, Method, Scope, Tenancy
from kalibri.services import ivr, ivr_report, ivr_table
from kalibri.services.ivr import Mistake, Scenario


def add(context: Context, *, tenant_id: int, name: str, source: str) -> Scenario:
    """Store a scenario, or a new version of it; raises BadScenario naming every mistake."""
    by = context.principal.actor
    return ivr.add(context.conn, context.config, tenant_id=tenant_id, name=name, source=source, by=by)


def check(context: Context, *, tenant_id: int, source: str) -> list[Mistake]:
    """Return every mistake of a scenario with its line; an empty list: it can be stored."""
    return ivr.check_source(context.conn, context.config, tenant_id=tenant_id, source=source)


def import_(context: Context, *, tenant_id: int, sources: dict[str, str]) -> list[Scenario]:
    """Store several scenarios (name to YAML) that may lead to one another, all or none; raises BadScenario."""
    by = context.principal.actor
    return ivr.import_(context.conn, context.config, tenant_id=tenant_id, sources=sources, by=by)


def report(
    context: Context,
    *,
    tenant_id: int,
    name: str,
    since: datetime | None = None,
    until: datetime | None = None,
    version: int | None = None,
) -> dict[str, object]:
    """Return what callers did in a scenario: {"nodes": visits and ends by node, "paths": the most common ways}."""
    given = {"tenant_id": tenant_id, "name": name, "since": since, "until": until, "version": version}
    return {
        "nodes": ivr_report.visits(context.conn, **given),  # type: ignore[arg-type]
        "paths": ivr_report.paths(context.conn, **given),  # type: ignore[arg-type]
    }


METHODS = (
    Method("ivr.list", ivr.list_scenarios, Scope.READ, Tenancy.FILTER),
    Method("ivr.show", ivr.find, Scope.READ, Tenancy.ONE),
    Method("ivr.add", add, Scope.ADMIN, Tenancy.ONE),
    Method("ivr.check", check, Scope.READ, Tenancy.ONE),
    Method("ivr.export", ivr.export, Scope.ADMIN, Tenancy.ONE),
    Method("ivr.import", import_, Scope.ADMIN, Tenancy.ONE),
    Method("ivr.rm", ivr.remove, Scope.ADMIN, Tenancy.ONE),
    Method("ivr.graph", ivr.graph, Scope.READ, Tenancy.ONE),
    Method("ivr.report", report, Scope.SUPERVISOR, Tenancy.ONE),
    Method("ivr.host.list", ivr.list_hosts, Scope.READ, Tenancy.FILTER),
    Method("ivr.host.add", ivr.allow_host, Scope.ADMIN, Tenancy.ONE, hide=("private",)),
    Method("ivr.host.rm", ivr.forbid_host, Scope.ADMIN, Tenancy.ONE),
    Method("ivr.table.list", ivr_table.list_tables, Scope.READ, Tenancy.FILTER),
    Method("ivr.table.import", ivr_table.import_, Scope.ADMIN, Tenancy.ONE, hide=("by",)),
    Method("ivr.table.export", ivr_table.export, Scope.READ, Tenancy.ONE),
    Method("ivr.table.rm", ivr_table.remove, Scope.ADMIN, Tenancy.ONE),
)
