"""Callers and callbacks in queues, and what supervisors do to them.

Whether something is still possible is decided by the SQL functions at the moment they lock the tenant; what
comes too late is refused here in words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from callcore.call_queue import EntryEnd, EntryKind, EntryState
from callcore.errors import BadInput, NotFound, Refused
from kalibri import db
from kalibri.db import Conn
from kalibri.services import agent as agents
from kalibri.services import queue as queues
from kalibri.services.queue_target import AGENT, parse_target

SQL = db.statements("entry")
#: Far beyond those of queues: a caller may go before or after everybody.
HIGHEST_PRIORITY = 100_000


class TooLate(Refused):
    """The caller is not waiting any more."""

    error_id = "too-late"


class AgentGone(Refused):
    """The agent's phone is not there, or the agent is out of use."""

    error_id = "agent-gone"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry as it is listed."""

    tenant_id: int
    tenant: str
    entry_id: int
    queue: str
    kind: EntryKind
    state: EntryState
    call_id: UUID
    caller: str
    caller_name: str
    #: Whom a callback calls.
    number: str | None
    priority: int
    since: datetime
    waited_seconds: float
    #: Among those of the queue who are not talking; 1 is next. None: not waiting.
    position: int | None
    #: Who has him, rings for him, or is to get him.
    agent: str | None
    #: Node that carries the call.
    holder: str | None
    offers: int
    #: Calls made to the person of a callback.
    dials: int
    not_before: datetime | None
    expires_at: datetime | None
    end_reason: EntryEnd | None


@dataclass(frozen=True)
class _Answer:
    kind: str
    data: dict[str, Any]


def list_entries(
    conn: Conn,
    *,
    tenant_id: int | None,
    queue: str | None = None,
    kind: EntryKind | None = None,
    waiting: bool = False,
) -> list[Entry]:
    """Return entries that have not ended, in the order of service; waiting: without those who talk."""
    params = {"tenant_id": tenant_id, "entry_id": None, "queue": queue, "kind": kind, "waiting": waiting}
    return db.fetch_all(conn, Entry, SQL["list_entries"], **params)


def find(conn: Conn, *, tenant_id: int, entry_id: int) -> Entry:
    """Return one entry, also one that has ended; raises NotFound."""
    params = {"tenant_id": tenant_id, "entry_id": entry_id, "queue": None, "kind": None, "waiting": False}
    return db.require(db.fetch_one(conn, Entry, SQL["list_entries"], **params), "entry", entry_id)


def of_call(conn: Conn, *, tenant_id: int, call_id: UUID) -> int:
    """Return the entry of a call that is in a queue or with an agent; raises NotFound."""
    found = db.fetch_value(conn, SQL["entry_of_call"], tenant_id=tenant_id, call_id=call_id)
    return int(db.require(found, "queue call", call_id))


def _ask(conn: Conn, statement: LiteralString, **params: Any) -> _Answer:
    answer = db.require(db.fetch_one(conn, _Answer, statement, **params), "answer", "")
    if answer.kind != "too_late":
        return answer
    raise AgentGone() if answer.data.get("reason") == "gone" else TooLate()


def set_priority(conn: Conn, *, tenant_id: int, entry_id: int, priority: int) -> Entry:
    """Give a waiting caller another priority; raises NotFound, TooLate, BadInput."""
    if abs(priority) > HIGHEST_PRIORITY:
        raise BadInput(f"priority: -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}")
    if find(conn, tenant_id=tenant_id, entry_id=entry_id).state in (EntryState.ENDED, EntryState.TALKING):
        raise TooLate()
    _ask(conn, SQL["priority"], tenant_id=tenant_id, entry_id=entry_id, priority=priority)
    return find(conn, tenant_id=tenant_id, entry_id=entry_id)


def move(conn: Conn, *, tenant_id: int, entry_id: int, queue: str) -> Entry:
    """Move a waiting caller or a callback to another queue, with the waited time.

    Raises NotFound, TooLate, and Refused when he is in that queue already.
    """
    entry = find(conn, tenant_id=tenant_id, entry_id=entry_id)
    target = queues.find(conn, tenant_id=tenant_id, name=queue)
    if entry.queue == queue and entry.state not in (EntryState.ENDED, EntryState.TALKING):
        raise Refused(f'entry {entry_id} is in queue "{queue}" already')
    _ask(conn, SQL["move"], tenant_id=tenant_id, entry_id=entry_id, queue_id=target.queue_id)
    return find(conn, tenant_id=tenant_id, entry_id=entry_id)


def eject(conn: Conn, *, tenant_id: int, entry_id: int, to: str | None = None) -> None:
    """Send a waiting caller away, or to KIND:VALUE; takes a callback back. Raises NotFound, TooLate, BadInput."""
    find(conn, tenant_id=tenant_id, entry_id=entry_id)
    target: dict[str, str | None] = {"to_kind": None, "to": None}
    if to is not None:
        target |= parse_target(conn, tenant_id=tenant_id, text=to)
    _ask(conn, SQL["eject"], tenant_id=tenant_id, entry_id=entry_id, **target)


def assign(conn: Conn, *, tenant_id: int, entry_id: int, agent: str) -> bool:
    """Give a waiting caller to an agent whatever his state; False: he is in a call and gets him next.

    Raises NotFound, TooLate, AgentGone.
    """
    find(conn, tenant_id=tenant_id, entry_id=entry_id)
    found = agents.find(conn, tenant_id=tenant_id, name=agent)
    answer = _ask(conn, SQL["assign"], tenant_id=tenant_id, entry_id=entry_id, agent_id=found.agent_id)
    return answer.kind == "offer_agent"


@dataclass(frozen=True, kw_only=True)
class Reassigned:
    """How a call comes to another agent."""

    #: now: he is rung; next: he is in a call and gets the caller after it; transfer: the host hands the caller on.
    how: str
    #: Of a transfer: the order, for command_result.
    command: int | None = None


def reassign(conn: Conn, *, tenant_id: int, entry_id: int, agent: str) -> Reassigned:
    """Give a caller to another agent, whether he waits or talks with somebody.

    Raises NotFound, TooLate, AgentGone, and Refused when he talks and no media host has the call.
    """
    agents.find(conn, tenant_id=tenant_id, name=agent)
    if find(conn, tenant_id=tenant_id, entry_id=entry_id).state == EntryState.TALKING:
        order = command(
            conn,
            tenant_id=tenant_id,
            entry_id=entry_id,
            kind="transfer",
            **parse_target(conn, tenant_id=tenant_id, text=f"{AGENT}:{agent}"),
        )
        return Reassigned(how="transfer", command=order)
    now = assign(conn, tenant_id=tenant_id, entry_id=entry_id, agent=agent)
    return Reassigned(how="now" if now else "next")


# -------------------------------------------------------------------------------------------- callbacks


def add_callback(conn: Conn, *, tenant_id: int, queue: str, number: str) -> Entry:
    """Ask for a callback; returns the older one if the queue has one of this number. Raises NotFound, BadInput."""
    target = queues.find(conn, tenant_id=tenant_id, name=queue)
    params = {"queue_id": target.queue_id, "number": number, "options": "{}"}
    entry_id = db.fetch_value(conn, SQL["add_callback"], tenant_id=tenant_id, **params)
    return find(conn, tenant_id=tenant_id, entry_id=entry_id)


def cancel_callback(conn: Conn, *, tenant_id: int, entry_id: int) -> None:
    """Take a callback back; raises NotFound, TooLate when the person is being called already."""
    if find(conn, tenant_id=tenant_id, entry_id=entry_id).kind != EntryKind.CALLBACK:
        raise NotFound(f"entry {entry_id} is no callback")
    eject(conn, tenant_id=tenant_id, entry_id=entry_id)


# ------------------------------------------------------------------------------------------ supervision


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """How an order to a host went so far."""

    taken_at: datetime | None
    done_at: datetime | None
    #: Empty: no error (yet).
    error: str


def command(conn: Conn, *, tenant_id: int, entry_id: int, kind: str, **data: Any) -> int:
    """Order something of the media host that has a call; return the id of the order.

    kind: supervise, unsupervise, hangup, transfer, play (docs/acd.md, section 2). Raises NotFound, and Refused
    when no media host has the call.
    """
    find(conn, tenant_id=tenant_id, entry_id=entry_id)
    params = {"entry_id": entry_id, "kind": kind, "data": json.dumps(data)}
    command_id = db.fetch_value(conn, SQL["command"], tenant_id=tenant_id, **params)
    if command_id is None:
        raise Refused("no media host has this call: it is over, or it goes straight to the agent")
    return int(command_id)


def command_result(conn: Conn, *, tenant_id: int, command_id: int) -> CommandResult:
    """Return how an order went; raises NotFound."""
    params = {"tenant_id": tenant_id, "command_id": command_id}
    found = db.fetch_one(conn, CommandResult, SQL["command_result"], **params)
    return db.require(found, "command", command_id)
