"""Routes: add, edit, list, order, import and export.

Decides what may be done to routes of a tenant; every function sees that tenant's routes only. What a route
may say is in route_draft.py, how it is saved in route_staging.py, how it becomes live in ks-index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from callcore.errors import NotFound, Refused
from kalibri.csv_table import Complaints, read_table, write_table
from kalibri.csvfile import Progress
from kalibri.db import (
    Conn,
    dataclass_row,
    domain_errors,
    execute,
    fetch_all,
    fetch_one,
    fetch_value,
    require,
    statements,
)
from kalibri.services import route_folder, route_staging
from kalibri.services.route_draft import (
    COLUMNS,
    REQUIRED_COLUMNS,
    CheckedRoute,
    RouteDraft,
    RouteRefused,
    check_draft,
    draft_from_text,
    draft_to_text,
)
from kalibri.services.route_order import Place, place_between
from kalibri.services.route_staging import SaveCounts
from kemi.ks_route.model import DestinationKind, Direction, PatternClass

#: Rows that an export fetches at once.
BATCH_ROWS = 2000
#: PostgreSQL's LIMIT for "all".
NO_LIMIT = None

_SQL = statements("route")
#: The listing with nothing left out.
_ALL = dict.fromkeys(("tenant_id", "route_id", "folder", "enabled", "text", "limit"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A saved route."""

    tenant: str
    route_id: int
    #: Path of the folder; empty: none.
    folder: str
    name: str
    priority: Decimal
    enabled: bool
    directions: tuple[Direction, ...]
    a_pattern: str | None
    a_host_pattern: str | None
    b_pattern: str | None
    b_host_pattern: str | None
    #: Classes of the four patterns above.
    pattern_classes: tuple[PatternClass, ...]
    b_region: str | None
    b_operator: str | None
    schedule: str | None
    a_mask_pattern: str | None
    a_mask_replacement: str | None
    b_mask_pattern: str | None
    b_mask_replacement: str | None
    destination_kind: DestinationKind
    destination: str
    options: Mapping[str, Any]
    note: str
    changed_at: datetime
    tenant_id: int
    folder_id: int | None
    schedule_id: int | None

    @property
    def place(self) -> Place:
        """Where the route stands in the matching order."""
        return Place(self.priority, self.route_id)

    def to_draft(self) -> RouteDraft:
        """Return what the route says, to be changed or exported."""
        return RouteDraft(**{name: getattr(self, name) for name in COLUMNS})


def get(conn: Conn, *, tenant_id: int, route_id: int) -> Route:
    """Return one route; raises NotFound, for another tenant's route too."""
    found = fetch_one(conn, Route, _SQL["list"], **{**_ALL, "tenant_id": tenant_id, "route_id": route_id})
    return require(found, "route", route_id)


def list_routes(
    conn: Conn,
    *,
    tenant_id: int | None,
    folder: str | None = None,
    enabled: bool | None = None,
    text: str | None = None,
    limit: int | None = NO_LIMIT,
) -> list[Route]:
    """Return routes in matching order. tenant_id None: of all tenants.

    folder: only those in it and below. text: found in name, patterns, destination, region or operator.
    """
    chosen = {"tenant_id": tenant_id, "folder": folder, "enabled": enabled, "text": text, "limit": limit}
    return fetch_all(conn, Route, _SQL["list"], **{**_ALL, **chosen})


# -------------------------------------------------------------------------------------------------- save


def add(conn: Conn, *, tenant_id: int, draft: RouteDraft) -> Route:
    """Save a new route; raises RouteRefused with everything that is wrong with it."""
    with conn.transaction():
        _save_one(conn, tenant_id=tenant_id, draft=draft)
        route_id = draft.route_id or fetch_value(conn, _SQL["last_id"])
        return get(conn, tenant_id=tenant_id, route_id=route_id)


def edit(conn: Conn, *, tenant_id: int, route_id: int, changes: Mapping[str, Any]) -> Route:
    """Change fields of a route (names of RouteDraft); raises NotFound, RouteRefused.

    Raises TypeError for a name that no draft has.
    """
    with conn.transaction():
        _lock(conn, tenant_id=tenant_id, route_ids=[route_id])
        before = get(conn, tenant_id=tenant_id, route_id=route_id)
        draft = replace(before.to_draft(), **{**changes, "route_id": route_id})
        _save_one(conn, tenant_id=tenant_id, draft=draft)
        return get(conn, tenant_id=tenant_id, route_id=route_id)


def _save_one(conn: Conn, *, tenant_id: int, draft: RouteDraft) -> None:
    staged = route_staging.stage(conn, [(1, check_draft(draft))])
    problems = route_staging.staged_problems(conn, tenant_id=tenant_id)
    if problems:
        raise RouteRefused([problem.message for problem in problems])
    route_staging.store(conn, tenant_id=tenant_id, staged=staged)


def remove(conn: Conn, *, tenant_id: int, route_ids: Sequence[int]) -> None:
    """Remove routes, all or none; raises NotFound."""
    with conn.transaction():
        _lock(conn, tenant_id=tenant_id, route_ids=route_ids)
        execute(conn, _SQL["remove"], tenant_id=tenant_id, route_ids=list(route_ids))


def set_enabled(conn: Conn, *, tenant_id: int, route_ids: Sequence[int], enabled: bool) -> int:
    """Put routes into or out of use; return how many were not so already. Raises NotFound."""
    with conn.transaction():
        _lock(conn, tenant_id=tenant_id, route_ids=route_ids)
        return execute(
            conn, _SQL["set_enabled"], tenant_id=tenant_id, route_ids=list(route_ids), enabled=enabled
        )


@dataclass(frozen=True, slots=True)
class _Id:
    route_id: int


def _lock(conn: Conn, *, tenant_id: int, route_ids: Sequence[int]) -> None:
    """Keep others from changing these routes; raises NotFound naming those that do not exist."""
    rows = fetch_all(conn, _Id, _SQL["lock"], tenant_id=tenant_id, route_ids=list(route_ids))
    missing = sorted(set(route_ids) - {row.route_id for row in rows})
    if missing:
        names = ", ".join(map(str, missing))
        raise NotFound(f"the tenant has no route {names}", route_ids=missing)


# -------------------------------------------------------------------------------------------------- order


def move(
    conn: Conn,
    *,
    tenant_id: int,
    route_id: int,
    before: int | None = None,
    after: int | None = None,
) -> Route:
    """Put a route directly before or after another one; raises NotFound, Refused if there is no room.

    Only the priority of the moved route changes.
    """
    if (before is None) == (after is None):
        raise Refused("say before which or after which route")
    with conn.transaction():
        _lock(conn, tenant_id=tenant_id, route_ids=[route_id])
        target = get(conn, tenant_id=tenant_id, route_id=before or after or 0)
        if target.route_id == route_id:
            raise Refused("a route cannot stand before or after itself")
        side = "neighbour_before" if before is not None else "neighbour_after"
        beyond = fetch_one(
            conn,
            Place,
            _SQL[side],
            tenant_id=tenant_id,
            moved=route_id,
            priority=target.priority,
            route_id=target.route_id,
        )
        low, high = (beyond, target.place) if before is not None else (target.place, beyond)
        priority = place_between(low, high, route_id)
        execute(conn, _SQL["set_priority"], tenant_id=tenant_id, route_id=route_id, priority=priority)
        return get(conn, tenant_id=tenant_id, route_id=route_id)


def move_to_folder(conn: Conn, *, tenant_id: int, route_ids: Sequence[int], folder: str) -> int:
    """Put routes into a folder that exists (empty: into none); return how many moved. Raises NotFound."""
    with conn.transaction():
        _lock(conn, tenant_id=tenant_id, route_ids=route_ids)
        folder_id = route_folder.find(conn, tenant_id=tenant_id, path=folder).folder_id if folder else None
        return execute(
            conn, _SQL["set_folder"], tenant_id=tenant_id, route_ids=list(route_ids), folder_id=folder_id
        )


# --------------------------------------------------------------------------------------------------- CSV


def export_csv(conn: Conn, *, tenant_id: int, folder: str | None = None) -> Iterator[str]:
    """Yield the lines of a CSV file of a tenant's routes, in matching order; import_csv reads it back."""
    with (
        conn.transaction(),
        domain_errors(),
        conn.cursor(name="route_export", row_factory=dataclass_row(Route)) as cursor,
    ):
        cursor.itersize = BATCH_ROWS
        cursor.execute(_SQL["list"], {**_ALL, "tenant_id": tenant_id, "folder": folder})
        yield from write_table(COLUMNS, (draft_to_text(route.to_draft()) for route in cursor))


def import_csv(
    conn: Conn,
    *,
    tenant_id: int,
    file: Path,
    replace_all: bool = False,
    new_ids: bool = False,
    progress: Progress = lambda _bytes: None,
) -> SaveCounts:
    """Save the routes of a CSV file, all or none.

    A row with the id of a route of the tenant changes it, any other row is a new route. replace_all: routes
    that are not in the file are removed. new_ids: the ids of the file are not looked at. Raises CsvRefused
    naming every row that is wrong.
    """
    complaints = Complaints()
    with conn.transaction():
        routes = _read_routes(file, new_ids=new_ids, complaints=complaints, progress=progress)
        staged = route_staging.stage(conn, routes)
        for problem in route_staging.staged_problems(conn, tenant_id=tenant_id):
            complaints.add(problem.line, problem.message)
        complaints.raise_if_any()
        return route_staging.store(conn, tenant_id=tenant_id, staged=staged, replace=replace_all)


def _read_routes(
    file: Path, *, new_ids: bool, complaints: Complaints, progress: Progress
) -> Iterator[tuple[int, CheckedRoute]]:
    """Yield the rows that are good as far as the route alone can tell, with their lines."""
    optional = [name for name in COLUMNS if name not in REQUIRED_COLUMNS]
    rows = read_table(
        file, required=REQUIRED_COLUMNS, optional=optional, complaints=complaints, progress=progress
    )
    for row in rows:
        try:
            draft = draft_from_text(row.fields)
            checked = check_draft(replace(draft, route_id=None) if new_ids else draft)
        except RouteRefused as error:
            for problem in error.problems:
                complaints.add(row.number, problem)
        else:
            yield row.number, checked


assert {entry.name for entry in fields(RouteDraft)} <= {entry.name for entry in fields(Route)}
