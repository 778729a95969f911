"""Events and the state they change: a snapshot to begin with, and pages of what came after.

Decides that a snapshot's number is read before its state, so that no change can fall between: whoever listens
after it may be told what the snapshot shows already, but misses nothing. Numbering: schema/41_events.sql.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from kalibri import db
from kalibri.db import Conn
from kalibri.services import agent as agents
from kalibri.services import entry as entries
from kalibri.services import gateway as gateways
from kalibri.services import queue as queues
from kalibri.services.agent import Agent
from kalibri.services.entry import Entry
from kalibri.services.queue import Queue

SQL = db.statements("event")
#: Calls in a snapshot; more nobody can look at.
MAX_CALLS = 5000
#: Events that are numbered in one transaction.
SEQUENCED_AT_ONCE = 5000


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How far the stream reaches."""

    #: The newest event.
    head: int
    #: Events up to this one are removed.
    horizon: int


@dataclass(frozen=True, kw_only=True)
class OpenCall:
    """A call that goes on."""

    call_id: UUID
    started_at: datetime
    account: str | None
    a_number: str
    b_number: str
    answered_at: datetime | None
    emergency: bool


@dataclass(frozen=True, kw_only=True)
class GatewayNow:
    """How a gateway is."""

    name: str
    tenant: str
    health: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state as of some event."""

    #: Listen after this one.
    after: int
    calls: Sequence[OpenCall]
    gateways: Sequence[GatewayNow]
    queues: Sequence[Queue]
    agents: Sequence[Agent]
    entries: Sequence[Entry]


def bounds(conn: Conn) -> Bounds:
    """Return how far the stream reaches."""
    return db.require(db.fetch_one(conn, Bounds, SQL["bounds"]), "event", "horizon")


def snapshot(conn: Conn, *, tenant_id: int | None) -> Snapshot:
    """Return the state of a tenant (None: of all) and the event after which to listen."""
    after = bounds(conn).head
    return Snapshot(
        after=after,
        calls=db.fetch_all(conn, OpenCall, SQL["open_calls"], tenant_id=tenant_id, limit=MAX_CALLS),
        gateways=[
            GatewayNow(name=row.name, tenant=row.tenant, health=row.health.value, reason=row.reason)
            for row in gateways.list_gateways(conn, tenant_id=tenant_id)
        ],
        queues=queues.list_queues(conn, tenant_id=tenant_id),
        agents=agents.list_agents(conn, tenant_id=tenant_id),
        entries=entries.list_entries(conn, tenant_id=tenant_id),
    )


def sequence(conn: Conn) -> int:
    """Number all events that wait for it (while no ks-api runs); return the newest number, 0 for none."""
    last = 0
    while (found := db.fetch_value(conn, SQL["sequence"], most=SEQUENCED_AT_ONCE)) is not None:
        last = int(found)
    return last


def forget_old(conn: Conn, *, hours: int) -> int:
    """Remove events older than so many hours; return how many."""
    return int(db.fetch_value(conn, SQL["forget"], hours=hours))


@dataclass(frozen=True)
class _Text:
    seq: int
    tenant_id: int | None
    kind: str
    queue_id: int | None
    agent_id: int | None
    account: str | None
    text: str


def page(
    conn: Conn, *, tenant_id: int | None, after: int, limit: int
) -> tuple[list[Mapping[str, Any]], int, bool]:
    """Return events after a number, the number to go on after, and whether some are removed already."""
    known = bounds(conn)
    rows = db.fetch_all(
        conn, _Text, SQL["events_after"], after=after, upto=known.head, tenant_id=tenant_id, limit=limit
    )
    end = rows[-1].seq if len(rows) == limit else max(known.head, 0)
    lost = after < known.horizon or after > known.head
    return [json.loads(row.text) for row in rows], end, lost
