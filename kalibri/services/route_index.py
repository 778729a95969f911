"""Routes as the index holds them: the base file of all, the overlay rows of single ones.

Decides how a row of table `route` becomes a row of the index. Never decides which route a call takes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from callcore.region import normalise_region
from kalibri.db import Conn, dataclass_row, domain_errors, fetch_all, statements
from kemi.ks_route.index_write import build_index
from kemi.ks_route.model import RouteRow
from kemi.ks_route.rows import row_to_json

log = logging.getLogger(__name__)

#: Rows that the streaming cursor fetches at once.
BATCH_ROWS = 5000

_SQL = statements("index")


def build_base(conn: Conn, path: Path) -> int:
    """Write the base file of all routes of this snapshot; return how many routes it has.

    Routes that cannot be used (somebody wrote them into the table by hand) are left out and logged.
    """
    with rows_in_order(conn) as rows:
        report = build_index(rows, path)
    for unusable in report.unusable:
        log.warning("route %d is left out: %s", unusable.route_id, unusable.reason)
    return report.routes


@contextlib.contextmanager
def rows_in_order(conn: Conn, *, tenant_ids: Collection[int] | None = None) -> Iterator[Iterator[RouteRow]]:
    """Stream the routes in use of these tenants (None: of all) in matching order. Needs an open transaction."""
    with domain_errors(), conn.cursor(name="index_routes", row_factory=dataclass_row(RouteRow)) as cursor:
        cursor.itersize = BATCH_ROWS
        cursor.execute(_SQL["routes"], {"tenant_ids": None if tenant_ids is None else list(tenant_ids)})
        yield _with_region_names(cursor)


def overlay_rows(conn: Conn, route_ids: Collection[int]) -> dict[int, Mapping[str, Any] | None]:
    """Return these routes as the overlay file carries them; None: the route is gone."""
    found = {row.route_id: row_to_json(row) for row in some_rows(conn, route_ids)}
    return {route_id: found.get(route_id) for route_id in route_ids}


def some_rows(conn: Conn, route_ids: Collection[int]) -> Iterator[RouteRow]:
    """Return the routes of these ids that exist, in no order."""
    return _with_region_names(fetch_all(conn, RouteRow, _SQL["some_routes"], route_ids=list(route_ids)))


def _with_region_names(rows: Iterable[RouteRow]) -> Iterator[RouteRow]:
    """Give regions their one name, whoever wrote the row: the number ranges have no other."""
    for row in rows:
        name = row.b_region and normalise_region(row.b_region).name
        yield row if name == row.b_region else replace(row, b_region=name)
