"""Methods queue.*, entry.* and callback.*: waiting lines, who waits, and what supervisors do to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from api.method import Context, Fields, Method, Scope, Tenancy
from callcore.call_queue import EntryKind
from kalibri.db import Conn
from kalibri.services import entry as entries
from kalibri.services import queue as queues
from kalibri.services import queue_live
from kalibri.services.entry import CommandResult, Entry
from kalibri.services.queue import QueueRules, SkillStep
from kalibri.services.queue_live import Attempt, LiveQueue

RULES = Fields(QueueRules)
Limit = Annotated[int, Field(ge=1, le=10_000)]
EntryId = Annotated[int, Field(ge=1, le=2**63 - 1)]
DAY = timedelta(days=1)


def live(
    context: Context, *, tenant_id: int | None, queue: str | None = None, since: datetime | None = None
) -> list[LiveQueue]:
    """Return how queues stand; since: figures of calls that came then or later (default: a day ago)."""
    begin = since or context.now - DAY
    return queue_live.live(context.conn, tenant_id=tenant_id, since=begin, queue=queue)


def waiting(conn: Conn, *, tenant_id: int, name: str) -> list[Entry]:
    """Return who waits in a queue, in the order of service; raises NotFound."""
    queues.find(conn, tenant_id=tenant_id, name=name)
    return entries.list_entries(conn, tenant_id=tenant_id, queue=name, waiting=True)


def explain(
    conn: Conn, *, tenant_id: int, offer: Annotated[int, Field(ge=1, le=2**63 - 1)]
) -> queue_live.Explanation:
    """Say why an agent was rung for a caller: who was looked at, who was left out and why. Raises NotFound."""
    return queue_live.explain(conn, tenant_id=tenant_id, offer_id=offer)


def attempts(
    context: Context,
    *,
    tenant_id: int,
    queue: str | None = None,
    agent: str | None = None,
    since: datetime | None = None,
    limit: Limit = 100,
) -> list[Attempt]:
    """Return each ringing of an agent: queue, caller, agent, time, wait, talk, outcome."""
    begin = since or context.now - DAY
    return queue_live.attempts(
        context.conn, tenant_id=tenant_id, since=begin, queue=queue, agent=agent, limit=limit
    )


def set_members(
    conn: Conn,
    *,
    tenant_id: int,
    queue: str,
    agents: Sequence[str],
    tier: int = 1,
    penalty: int = 0,
    position: int = 0,
) -> None:
    """Put agents into a queue, or change their places in it; raises NotFound, BadInput."""
    for agent in agents:
        queues.set_member(
            conn,
            tenant_id=tenant_id,
            name=queue,
            agent=agent,
            tier=tier,
            penalty=penalty,
            position=position,
        )


def remove_member(conn: Conn, *, tenant_id: int, queue: str, agent: str) -> None:
    """Take an agent out of a queue; a call that he has goes on. Raises NotFound."""
    queues.remove_member(conn, tenant_id=tenant_id, name=queue, agent=agent)


def members(conn: Conn, *, tenant_id: int, queue: str) -> list[queues.Member]:
    """Return the agents of a queue; raises NotFound."""
    return queues.members(conn, tenant_id=tenant_id, name=queue)


def skills(conn: Conn, *, tenant_id: int, queue: str) -> list[SkillStep]:
    """Return what a queue asks for; raises NotFound."""
    return queues.skill_steps(conn, tenant_id=tenant_id, name=queue)


def set_skill(
    conn: Conn, *, tenant_id: int, queue: str, skill: str, level: int, after_seconds: int = 0
) -> None:
    """Ask for a level (0: none any more) of a skill for callers who have waited so long. Raises NotFound."""
    queues.set_skill(
        conn, tenant_id=tenant_id, name=queue, skill=skill, level=level, after_seconds=after_seconds
    )


def remove_skill(
    conn: Conn, *, tenant_id: int, queue: str, skill: str, after_seconds: int | None = None
) -> None:
    """Ask for a skill no more (after_seconds: only the step at this wait). Raises NotFound."""
    queues.remove_skill(conn, tenant_id=tenant_id, name=queue, skill=skill, after_seconds=after_seconds)


def show_entry(conn: Conn, *, tenant_id: int, entry: EntryId) -> Entry:
    """Return one entry, also one that has ended; raises NotFound."""
    return entries.find(conn, tenant_id=tenant_id, entry_id=entry)


def set_priority(conn: Conn, *, tenant_id: int, entry: EntryId, priority: int) -> Entry:
    """Give a waiting caller another priority; a higher one goes first. Raises NotFound, TooLate, BadInput."""
    return entries.set_priority(conn, tenant_id=tenant_id, entry_id=entry, priority=priority)


def move(conn: Conn, *, tenant_id: int, entry: EntryId, queue: str) -> Entry:
    """Move a waiting caller to another queue; the time that he has waited counts. Raises NotFound, TooLate."""
    return entries.move(conn, tenant_id=tenant_id, entry_id=entry, queue=queue)


def eject(conn: Conn, *, tenant_id: int, entry: EntryId, to: str | None = None) -> None:
    """Send a waiting caller away, or to KIND:VALUE, as account:101. Raises NotFound, TooLate, BadInput."""
    entries.eject(conn, tenant_id=tenant_id, entry_id=entry, to=to)


def assign(conn: Conn, *, tenant_id: int, entry: EntryId, agent: str) -> bool:
    """Give a waiting caller to an agent whatever his state; false: he is in a call and gets him next.

    Raises NotFound, TooLate, AgentGone.
    """
    return entries.assign(conn, tenant_id=tenant_id, entry_id=entry, agent=agent)


def command_result(
    conn: Conn, *, tenant_id: int, command: Annotated[int, Field(ge=1, le=2**63 - 1)]
) -> CommandResult:
    """Tell what became of a command to a media host; raises NotFound."""
    return entries.command_result(conn, tenant_id=tenant_id, command_id=command)


def list_callbacks(conn: Conn, *, tenant_id: int | None, queue: str | None = None) -> list[Entry]:
    """Return callbacks in the order of service."""
    return entries.list_entries(conn, tenant_id=tenant_id, queue=queue, kind=EntryKind.CALLBACK)


def cancel_callback(conn: Conn, *, tenant_id: int, entry: EntryId) -> None:
    """Take a callback back; raises NotFound, TooLate."""
    entries.cancel_callback(conn, tenant_id=tenant_id, entry_id=entry)


METHODS = (
    Method("queue.list", queues.list_queues, Scope.READ, Tenancy.FILTER),
    Method("queue.show", queues.find, Scope.READ, Tenancy.ONE),
    Method("queue.add", queues.add, Scope.ADMIN, Tenancy.ONE, RULES),
    Method("queue.edit", queues.change, Scope.ADMIN, Tenancy.ONE, RULES),
    Method("queue.rm", queues.remove, Scope.ADMIN, Tenancy.ONE),
    Method("queue.live", live, Scope.READ, Tenancy.FILTER),
    Method("queue.waiting", waiting, Scope.READ, Tenancy.ONE),
    Method("queue.explain", explain, Scope.READ, Tenancy.ONE),
    Method("queue.attempts", attempts, Scope.READ, Tenancy.ONE),
    Method("queue.member.list", members, Scope.READ, Tenancy.ONE),
    Method("queue.member.add", set_members, Scope.ADMIN, Tenancy.ONE),
    Method("queue.member.set", set_members, Scope.ADMIN, Tenancy.ONE),
    Method("queue.member.rm", remove_member, Scope.ADMIN, Tenancy.ONE),
    Method("queue.skill.list", skills, Scope.READ, Tenancy.ONE),
    Method("queue.skill.set", set_skill, Scope.ADMIN, Tenancy.ONE),
    Method("queue.skill.rm", remove_skill, Scope.ADMIN, Tenancy.ONE),
    Method(
        "entry.list",
        entries.list_entries,
        Scope.READ,
        Tenancy.FILTER,
        hide=(
            "kind",
            "waiting",
        ),
    ),
    Method("entry.show", show_entry, Scope.READ, Tenancy.ONE),
    Method("entry.priority", set_priority, Scope.SUPERVISOR, Tenancy.ONE),
    Method("entry.setPriority", set_priority, Scope.SUPERVISOR, Tenancy.ONE),
    Method("entry.move", move, Scope.SUPERVISOR, Tenancy.ONE),
    Method("entry.eject", eject, Scope.SUPERVISOR, Tenancy.ONE),
    Method("entry.assign", assign, Scope.SUPERVISOR, Tenancy.ONE),
    Method("entry.commandResult", command_result, Scope.SUPERVISOR, Tenancy.ONE),
    Method("callback.list", list_callbacks, Scope.READ, Tenancy.FILTER),
    Method("callback.add", entries.add_callback, Scope.SUPERVISOR, Tenancy.ONE),
    Method("callback.move", move, Scope.SUPERVISOR, Tenancy.ONE),
    Method("callback.cancel", cancel_callback, Scope.SUPERVISOR, Tenancy.ONE),
)
