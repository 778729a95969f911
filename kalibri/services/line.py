"""Lines that phones watch at one proxy and that have calls and phones at another: what the proxies tell each other.

Each proxy says which lines are watched there, tells what it has of those that others watch, and reads what others have.
What a proxy told counts as long as it gives signs of life (8 s).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from kalibri import db
from kalibri.db import Conn

SQL = db.statements("line")

#: Tenant id and user name.
Line: TypeAlias = tuple[int, str]
#: How long a proxy counts as watching a line without saying so again.
WATCH_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A line that others watch, or did, and what this proxy has told of it."""

    tenant_id: int
    username: str
    #: Somebody still does.
    watched: bool
    #: None: nothing is told.
    registered: bool | None
    calls: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class LineAt:
    """What one proxy has of a line."""

    tenant_id: int
    username: str
    #: A phone of it is registered there.
    registered: bool
    #: Call id to state, direction and peer.
    calls: Mapping[str, Any]


def tidy(conn: Conn) -> None:
    """Forget what was left by proxies that are gone for good."""
    db.execute(conn, SQL["tidy"])


def wanted(conn: Conn, *, proxy: str) -> list[Wanted]:
    """Return the lines that other proxies watch, and those of which this one has told something."""
    return db.fetch_all(conn, Wanted, SQL["wanted"], proxy=proxy)


def tell(conn: Conn, *, proxy: str, lines: Sequence[LineAt], gone: Sequence[Line]) -> None:
    """Write what this proxy has of lines now; gone: those of which it has nothing to tell."""
    if lines:
        told = [
            {
                "tenant_id": line.tenant_id,
                "username": line.username,
                "registered": line.registered,
                "calls": line.calls,
            }
            for line in lines
        ]
        db.execute(conn, SQL["tell"], proxy=proxy, lines=json.dumps(told))
    if gone:
        db.execute(conn, SQL["forget"], proxy=proxy, **_columns(gone))


def watch(conn: Conn, *, proxy: str, lines: Sequence[Line]) -> None:
    """Say which lines are watched at this proxy: these and no others."""
    db.execute(conn, SQL["watch"], proxy=proxy, seconds=WATCH_SECONDS, **_columns(lines))
    db.execute(conn, SQL["unwatch"], proxy=proxy, **_columns(lines))


def elsewhere(conn: Conn, *, proxy: str, lines: Sequence[Line]) -> list[LineAt]:
    """Return what each of the other proxies has of lines."""
    return db.fetch_all(conn, LineAt, SQL["elsewhere"], proxy=proxy, **_columns(lines))


@dataclass(frozen=True, kw_only=True)
class StoredDialog:
    """An answered call as Kamailio's dialog module has stored it."""

    hash_entry: int
    hash_id: int
    callid: str
    from_tag: str
    variables: Mapping[str, str]


def dialogs(conn: Conn, *, sockets: Sequence[str]) -> list[StoredDialog]:
    """Return the answered calls that the proxy with these sockets (udp:address:port) has stored."""
    return db.fetch_all(conn, StoredDialog, SQL["dialogs"], sockets=list(sockets))


def _columns(lines: Sequence[Line]) -> dict[str, list[Any]]:
    return {"tenant_ids": [line[0] for line in lines], "usernames": [line[1] for line in lines]}
