"""What is wrong with the saved routes: static analysis over what the database holds.

Decides nothing itself: the analysis is kemi.ks_route.check; this hands it the routes in matching order and
the names that exist. Looks at the database, not at the index, so it can be asked before anything is live.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from kalibri.db import Conn, fetch_value, statements
from kalibri.services import index_build, route_index
from kalibri.services.tenant import SYSTEM_TENANT_ID
from kemi.ks_route.check import Finding, FindingKind, RouteCheck
from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.model import RouteRow

#: Accounts whose existence is remembered while routes are checked.
REMEMBERED_ACCOUNTS = 100_000

_SQL = statements("route")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFinding:
    """One thing that a person should look at."""

    route_id: int
    tenant: str
    #: Name of the route.
    name: str
    kind: FindingKind
    message: str
    #: The earlier route that shadows it.
    other_route_id: int | None


def check(conn: Conn, *, tenant_id: int | None) -> list[RouteFinding]:
    """Return what is wrong with the routes of a tenant (None: with all), in matching order."""
    with index_build.snapshot(conn):
        system = SystemFacts.from_json(json.loads(index_build.system_content(conn)))
        tenant_ids = None if tenant_id is None else {tenant_id, SYSTEM_TENANT_ID}

        @lru_cache(maxsize=REMEMBERED_ACCOUNTS)
        def account_exists(owner: int, username: str) -> bool:
            return bool(fetch_value(conn, _SQL["account_exists"], tenant_id=owner, username=username))

        check_row = RouteCheck(system, account_exists=account_exists)
        found: list[tuple[Finding, RouteRow]] = []
        with route_index.rows_in_order(conn, tenant_ids=tenant_ids) as rows:
            for row in rows:
                found += [(entry, row) for entry in check_row.add(row)]
        for entry in check_row.finish():
            found += [(entry, row) for row in route_index.some_rows(conn, [entry.route_id])]
    return [_finding(entry, row, system) for entry, row in found if tenant_id in (None, row.tenant_id)]


def _finding(entry: Finding, row: RouteRow, system: SystemFacts) -> RouteFinding:
    tenant = system.tenants.get(row.tenant_id)
    return RouteFinding(
        route_id=entry.route_id,
        tenant=tenant.name if tenant else str(row.tenant_id),
        name=row.name,
        kind=entry.kind,
        message=entry.message,
        other_route_id=entry.other_route_id,
    )
