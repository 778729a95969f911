"""Saving routes, one or a hundred thousand, by the same way: stage, check names, store, in one transaction.

Decides that routes are saved all or not at all, and that a route which would not change is not touched (so
that the index has nothing to do). What a single route may say is checked in route_draft.py before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from kalibri.csvfile import RowError
from kalibri.db import Conn, domain_errors, execute, fetch_all, statements
from kalibri.services.destination import Destination, missing_destinations
from kalibri.services.route_draft import COLUMNS, CheckedRoute
from kemi.ks_route.model import DestinationKind

_SQL = statements("route")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveCounts:
    """What saving did (or would do, in a dry run)."""

    added: int
    changed: int
    removed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class _Problem:
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    kind: str
    destination: str
    lines: list[int]


def stage(conn: Conn, routes: Iterable[tuple[int, CheckedRoute]]) -> int:
    """Put (line, route) pairs into the staging table; return how many. Needs an open transaction."""
    execute(conn, _SQL["unstage"])
    execute(conn, _SQL["stage"])
    count = 0
    with domain_errors(), conn.cursor() as cursor, cursor.copy(_SQL["copy"]) as copy:
        for line, route in routes:
            copy.write_row(_staged(line, route))
            count += 1
    execute(conn, _SQL["analyze_staged"])
    return count


def _staged(line: int, route: CheckedRoute) -> tuple[object, ...]:
    values = [getattr(route.draft, column) for column in COLUMNS]
    values[COLUMNS.index("directions")] = list(route.draft.directions)
    values[COLUMNS.index("options")] = json.dumps(route.draft.options)
    classes = [str(entry) for entry in route.pattern_classes]
    return (line, *values, classes, route.caller_id_set, route.prefer_gateway)


def staged_problems(conn: Conn, *, tenant_id: int) -> list[RowError]:
    """Return what the database knows to be wrong with the staged routes, by line."""
    problems = fetch_all(conn, _Problem, _SQL["staged_problems"], tenant_id=tenant_id)
    found = [RowError(problem.line, problem.message) for problem in problems]
    found += _missing_destinations(conn, tenant_id)
    return sorted(found, key=lambda error: error.line)


def _missing_destinations(conn: Conn, tenant_id: int) -> list[RowError]:
    wanted = fetch_all(conn, _Wanted, _SQL["staged_destinations"], tenant_id=tenant_id)
    asked = {
        number: (tenant_id, Destination(DestinationKind(each.kind), each.destination))
        for number, each in enumerate(wanted)
    }
    missing = missing_destinations(conn, asked)
    return [RowError(line, message) for number, message in missing.items() for line in wanted[number].lines]


def store(conn: Conn, *, tenant_id: int, staged: int, replace: bool = False) -> SaveCounts:
    """Save the staged routes; replace: the tenant's other routes are removed."""
    execute(conn, _SQL["add_staged_folders"], tenant_id=tenant_id)
    removed = execute(conn, _SQL["remove_unstaged"], tenant_id=tenant_id) if replace else 0
    changed = execute(conn, _SQL["update_from_staged"], tenant_id=tenant_id)
    execute(conn, _SQL["pass_staged_ids"])
    added = execute(conn, _SQL["insert_from_staged"], tenant_id=tenant_id)
    return SaveCounts(added=added, changed=changed, removed=removed, unchanged=staged - added - changed)
