"""What callers do in a scenario: calls through each node, where they leave, the most common paths. Reads stories."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kalibri import db
from kalibri.db import Conn

SQL = db.statements("ivr")
#: Reports look back so far unless told otherwise.
DEFAULT_DAYS = 1


@dataclass(frozen=True, kw_only=True)
class Visits:
    """One node of a scenario in a time."""

    node: str
    #: How often it was entered, and by how many calls.
    visits: int
    calls: int
    #: How often its failure branch was taken.
    failures: int
    #: Callers who hung up here, and calls that the scenario ended here.
    hung_up: int
    ended: int


@dataclass(frozen=True, kw_only=True)
class Path:
    """One way through a scenario."""

    #: Names of nodes, with " > " between them.
    path: str
    #: How the call left the scenario.
    outcome: str
    calls: int


def visits(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    since: datetime | None = None,
    until: datetime | None = None,
    version: int | None = None,
) -> list[Visits]:
    """Return the nodes that were entered, the busiest first. None: since a day, until now, all versions."""
    return db.fetch_all(
        conn, Visits, SQL["visits"], tenant_id=tenant_id, name=name, version=version, **_between(since, until)
    )


def paths(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    since: datetime | None = None,
    until: datetime | None = None,
    version: int | None = None,
    limit: int = 20,
) -> list[Path]:
    """Return the most common ways through a scenario, the most common first."""
    parameters = {"tenant_id": tenant_id, "name": name, "version": version, "limit": limit}
    return db.fetch_all(conn, Path, SQL["paths"], **parameters, **_between(since, until))


def _between(since: datetime | None, until: datetime | None) -> dict[str, datetime]:
    end = until or datetime.now(UTC) + timedelta(minutes=1)
    return {"since": since or end - timedelta(days=DEFAULT_DAYS), "until": end}
