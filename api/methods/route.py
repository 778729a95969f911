"""Methods route.* and folder.*: the ordered rules that decide where a call goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from api.method import Context, Fields, Method, Scope, Tenancy
from kalibri.db import Conn
from kalibri.services import route as routes
from kalibri.services import route_check, route_explain, route_folder, route_live
from kalibri.services import tenant as tenants
from kalibri.services.route import Route
from kalibri.services.route_draft import RouteDraft
from kalibri.services.route_explain import Question
from kalibri.services.route_live import LiveState
from kalibri.services.route_staging import SaveCounts
from kalibri.services.tenant import SYSTEM_TENANT_ID
from kalibri.services.token import Forbidden
from kemi.directory import Directory
from kemi.ks_route.model import Direction

DRAFT = Fields(RouteDraft, without=("route_id",), required=("priority", "destination_kind"))
CHANGES = Fields(RouteDraft, without=("route_id",))
RouteIds = Annotated[list[Annotated[int, Field(ge=1, le=2**31 - 1)]], Field(min_length=1, max_length=1000)]
Limit = Annotated[int, Field(ge=1, le=10_000)]
#: Longest wait of route.reload, in seconds; a request holds a thread meanwhile.
LONGEST_WAIT = 10.0


def list_routes(
    conn: Conn,
    *,
    tenant_id: int | None,
    folder: str | None = None,
    enabled: bool | None = None,
    text: str | None = None,
    limit: Limit = 1000,
) -> list[Route]:
    """Return routes in matching order.

    folder: only those in it and below. text: found in name, patterns, destination, region or operator.
    """
    return routes.list_routes(
        conn, tenant_id=tenant_id, folder=folder, enabled=enabled, text=text, limit=limit
    )


def add(conn: Conn, *, tenant_id: int, **draft: Any) -> Route:
    """Save a new route; raises RouteRefused with everything that is wrong with it."""
    return routes.add(conn, tenant_id=tenant_id, draft=RouteDraft(**draft))


def edit(conn: Conn, *, tenant_id: int, route_id: int, **changes: Any) -> Route:
    """Change fields of a route; raises NotFound, RouteRefused."""
    return routes.edit(conn, tenant_id=tenant_id, route_id=route_id, changes=changes)


def enable(conn: Conn, *, tenant_id: int, route_ids: RouteIds) -> int:
    """Put routes into use; return how many were not so already. Raises NotFound."""
    return routes.set_enabled(conn, tenant_id=tenant_id, route_ids=route_ids, enabled=True)


def disable(conn: Conn, *, tenant_id: int, route_ids: RouteIds) -> int:
    """Put routes out of use without removing them; return how many were not so already. Raises NotFound."""
    return routes.set_enabled(conn, tenant_id=tenant_id, route_ids=route_ids, enabled=False)


def move(
    conn: Conn,
    *,
    tenant_id: int,
    route_id: int,
    before: int | None = None,
    after: int | None = None,
    folder: str | None = None,
) -> Route:
    """Put a route directly before or after another one, or into a folder (empty: out of its folder).

    Give one of before, after, folder. Raises NotFound, Refused if there is no room.
    """
    if folder is not None:
        routes.move_to_folder(conn, tenant_id=tenant_id, route_ids=[route_id], folder=folder)
        if before is None and after is None:
            return routes.get(conn, tenant_id=tenant_id, route_id=route_id)
    return routes.move(conn, tenant_id=tenant_id, route_id=route_id, before=before, after=after)


def import_(
    conn: Conn,
    *,
    tenant_id: int,
    file: Path,
    replace_all: bool = False,
    new_ids: bool = False,
    dry_run: bool = False,
) -> SaveCounts:
    """Save the routes of a CSV text, all or none; replace_all: those that are not in it are removed.

    new_ids: the ids of the text are not looked at. Raises CsvRefused naming every row that is wrong.
    """
    with conn.transaction(force_rollback=dry_run):
        return routes.import_csv(
            conn, tenant_id=tenant_id, file=file, replace_all=replace_all, new_ids=new_ids
        )


@dataclass(frozen=True, kw_only=True)
class Explained:
    """Where a call would go, and why."""

    #: What happens: relay, reject, redirect, …, and the numbers that are sent.
    decision: Mapping[str, Any]
    #: Every search through the routes: what was looked at, why each did not match.
    hops: Sequence[Mapping[str, Any]]
    #: Gateways in the order in which they are tried; costs are for the system only.
    gateways: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    generation: int
    index_seq: int


def explain(
    context: Context,
    *,
    tenant_id: int,
    number: str,
    from_number: str = "anonymous",
    direction: Direction | None = None,
    gateway: str | None = None,
    at: datetime | None = None,
    call_id: str = "route-test",
) -> Explained:
    """Tell where a call of the tenant would go, and why; no call is made.

    Decides with the index files of the proxy, by the proxy's own code. gateway: that it comes from. A tenant is
    not told prices, nor what the system's routes say. Raises NotFound, Unavailable while there is no index.
    """
    whole = context.principal.is_system
    if gateway is not None and not whole:
        raise Forbidden("which gateway a call comes from, only the system may ask")
    names = {item.tenant_id: item.name for item in tenants.list_tenants(context.conn)}
    told = route_explain.explain(
        Directory.open(context.config.index_directory),
        Question(
            b_number=number,
            a_number=from_number,
            tenant=names[tenant_id] if tenant_id != SYSTEM_TENANT_ID or gateway is None else None,
            direction=direction,
            gateway=gateway,
            at=at,
            call_id=call_id,
        ),
        now=context.now,
        routing=context.config.routing,
        gateway_state=route_explain.stored_states(context.conn),
    ).to_json()
    if not whole:
        _leave_out(told, tenant_id)
    return Explained(**{name: told[name] for name in Explained.__dataclass_fields__})


def _leave_out(told: dict[str, Any], tenant_id: int) -> None:
    """Take away what concerns the system only."""
    for hop in told["hops"]:
        hop["looked_at"] = [entry for entry in hop["looked_at"] if entry["tenant_id"] == tenant_id]
    told["gateways"] = _without_prices(told["gateways"])
    told["notes"] = []
    decision = told["decision"]
    decision.pop("skipped", None)
    if "targets" in decision:
        decision["targets"] = _without_prices(decision["targets"])


def _without_prices(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    hidden = ("cost", "currency", "calls")
    return [{name: value for name, value in entry.items() if name not in hidden} for entry in entries]


def reload(
    context: Context, *, timeout: Annotated[float, Field(ge=0, le=LONGEST_WAIT)] = LONGEST_WAIT
) -> LiveState:
    """Wait until everything that is saved is live; raises NotLiveYet when time is up."""
    return route_live.wait_live(
        context.conn, index_dir=context.config.index_directory, timeout_seconds=timeout
    )


METHODS = (
    Method("route.list", list_routes, Scope.READ, Tenancy.FILTER),
    Method("route.show", routes.get, Scope.READ, Tenancy.ONE),
    Method("route.add", add, Scope.ADMIN, Tenancy.ONE, DRAFT),
    Method("route.edit", edit, Scope.ADMIN, Tenancy.ONE, CHANGES),
    Method("route.rm", routes.remove, Scope.ADMIN, Tenancy.ONE, narrow={"route_ids": RouteIds}),
    Method("route.enable", enable, Scope.ADMIN, Tenancy.ONE),
    Method("route.disable", disable, Scope.ADMIN, Tenancy.ONE),
    Method("route.move", move, Scope.ADMIN, Tenancy.ONE),
    Method("route.export", routes.export_csv, Scope.READ, Tenancy.ONE),
    Method("route.import", import_, Scope.ADMIN, Tenancy.ONE),
    Method("route.test", explain, Scope.READ, Tenancy.ONE),
    Method("route.check", route_check.check, Scope.READ, Tenancy.FILTER, one_transaction=False),
    Method("route.reload", reload, Scope.READ, Tenancy.ROWS, one_transaction=False),
    Method("folder.list", route_folder.list_folders, Scope.READ, Tenancy.ONE),
    Method("folder.add", route_folder.add, Scope.ADMIN, Tenancy.ONE),
    Method("folder.rename", route_folder.rename, Scope.ADMIN, Tenancy.ONE),
    Method("folder.rm", route_folder.remove, Scope.ADMIN, Tenancy.ONE),
)
