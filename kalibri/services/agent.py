"""Agents: who takes calls, on which phone, with which skills; and what agents and supervisors do to their state.

Configuration is written here and told to call distribution in the same transaction; a state is changed by the
SQL functions only (docs/acd.md), which decide what is possible. The actor is who the session says it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from callcore.agent import AgentState
from callcore.errors import BadInput, NotFound, Refused
from kalibri import db
from kalibri.db import Conn
from kalibri.services import pause_reason, skill
from kalibri.services.account import find as find_account

SQL = db.statements("agent")
HISTORY_ROWS = 200


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent as he is listed."""

    tenant_id: int
    tenant: str
    agent_id: int
    name: str
    display_name: str
    #: User name of the account that is his phone; None: an external number is.
    account: str | None
    number: str | None
    enabled: bool
    state: AgentState
    state_reason: str
    state_at: datetime
    #: How long he has been in this state.
    state_seconds: float
    logged_in: bool
    login_at: datetime | None
    registered: bool
    #: Free, and no penalty delay runs.
    ready: bool
    #: Wanted; it takes effect when call and wrap-up are over.
    pause_reason: str | None
    wrapup_until: datetime | None
    #: Penalty: no call before this time.
    not_before: datetime | None
    #: Dialogs of his account that are no queue calls.
    legs: int
    #: Since login.
    calls: int
    talk_seconds: int
    #: The entry that he is rung for or talks with.
    entry_id: int | None
    call_id: UUID | None
    caller: str | None
    offer_queue: str | None
    queues: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SkillLevel:
    """A skill of an agent."""

    skill: str
    #: 1 to 10.
    level: int


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A time that an agent spent in one state for one reason."""

    since: datetime
    until: datetime
    state: AgentState
    reason: str
    seconds: float
    #: What ended it, and who.
    ended_by_event: str
    by: str
    #: False: a pause whose reason is not paid.
    paid: bool


def list_agents(
    conn: Conn, *, tenant_id: int | None, state: AgentState | None = None, queue_id: int | None = None
) -> list[Agent]:
    """Return agents of a tenant (None: of all), those in one state or of one queue if asked."""
    return db.fetch_all(
        conn, Agent, SQL["list_agents"], tenant_id=tenant_id, name=None, state=state, queue_id=queue_id
    )


def find(conn: Conn, *, tenant_id: int, name: str) -> Agent:
    """Return one agent; raises NotFound, also for another tenant's."""
    found = db.fetch_one(
        conn, Agent, SQL["list_agents"], tenant_id=tenant_id, name=name, state=None, queue_id=None
    )
    return db.require(found, "agent", name)


def add(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    account: str | None = None,
    number: str | None = None,
    display_name: str = "",
) -> Agent:
    """Make an agent on an account or an external number; raises AlreadyExists, BadInput, NotFound."""
    with conn.transaction():
        _check_phone(conn, tenant_id, account, number)
        values = {"name": name, "account": account, "number": number, "display_name": display_name}
        db.execute(conn, SQL["add_agent"], tenant_id=tenant_id, **values)
        return find(conn, tenant_id=tenant_id, name=name)


def change(conn: Conn, *, tenant_id: int, name: str, **changes: Any) -> Agent:
    """Change account, number, display_name or enabled; raises NotFound, BadInput.

    A new phone of one kind takes the place of the other kind.
    """
    if changes.get("account") is not None:
        changes.setdefault("number", None)
    elif changes.get("number") is not None:
        changes.setdefault("account", None)
    with conn.transaction():
        after = replace(find(conn, tenant_id=tenant_id, name=name), **changes)
        _check_phone(conn, tenant_id, after.account, after.number)
        keys = ("tenant_id", "agent_id", "account", "number", "display_name", "enabled")
        db.execute(conn, SQL["set_agent"], **{key: getattr(after, key) for key in keys})
        _changed(conn, after)
        return find(conn, tenant_id=tenant_id, name=name)


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove an agent; raises NotFound, Refused while he has a call. His history stays."""
    with conn.transaction():
        db.fetch_value(conn, SQL["lock_domain"], tenant_id=tenant_id)
        agent = find(conn, tenant_id=tenant_id, name=name)
        if agent.entry_id is not None:
            raise Refused(f'the agent "{name}" has a call')
        db.execute(conn, SQL["remove_agent"], tenant_id=tenant_id, agent_id=agent.agent_id)


def _check_phone(conn: Conn, tenant_id: int, account: str | None, number: str | None) -> None:
    if (account is None) == (number is None):
        raise BadInput("an agent has an account or an external number, not both")
    if account is not None:
        find_account(conn, tenant_id=tenant_id, username=account)


def _changed(conn: Conn, agent: Agent) -> None:
    db.fetch_value(conn, SQL["agent_changed"], tenant_id=agent.tenant_id, agent_id=agent.agent_id)


# ------------------------------------------------------------------------------------------------ state


def _event(conn: Conn, event: str, tenant_id: int, name: str, **params: Any) -> AgentState:
    agent = find(conn, tenant_id=tenant_id, name=name)
    state = db.fetch_value(conn, SQL[event], tenant_id=tenant_id, agent_id=agent.agent_id, **params)
    return AgentState(state)


def login(conn: Conn, *, tenant_id: int, name: str) -> AgentState:
    """Begin a shift; return the state. Raises NotFound, Refused for an agent out of use."""
    if not find(conn, tenant_id=tenant_id, name=name).enabled:
        raise Refused(f'the agent "{name}" is out of use')
    return _event(conn, "login", tenant_id, name)


def logout(conn: Conn, *, tenant_id: int, name: str) -> AgentState:
    """End a shift; a queue call goes on to its end."""
    return _event(conn, "logout", tenant_id, name)


def pause(conn: Conn, *, tenant_id: int, name: str, reason: str) -> AgentState:
    """Pause now, or after call and wrap-up; raises NotFound for an unknown reason."""
    pause_reason.usable(conn, tenant_id=tenant_id, name=reason)
    return _event(conn, "pause", tenant_id, name, reason=reason)


def resume(conn: Conn, *, tenant_id: int, name: str) -> AgentState:
    """End the pause."""
    return _event(conn, "resume", tenant_id, name)


def wrapup(conn: Conn, *, tenant_id: int, name: str, seconds: int) -> AgentState:
    """Let wrap-up last so many seconds from now; 0 ends it. Nothing happens during a call."""
    if not 0 <= seconds <= 3600:
        raise BadInput("wrap-up: 0 to 3600 seconds")
    return _event(conn, "wrapup", tenant_id, name, seconds=seconds)


def free(conn: Conn, *, tenant_id: int, name: str) -> AgentState:
    """End wrap-up, pause and penalties."""
    return _event(conn, "free", tenant_id, name)


def release(conn: Conn, *, tenant_id: int, name: str) -> AgentState:
    """Free an agent whom something holds wrongly; the event says what it was."""
    return _event(conn, "release", tenant_id, name)


def history(
    conn: Conn, *, tenant_id: int, name: str, since: datetime | None = None, limit: int = HISTORY_ROWS
) -> list[Interval]:
    """Return the states that an agent was in, newest first; the one that goes on is not among them."""
    agent = find(conn, tenant_id=tenant_id, name=name)
    params: Mapping[str, Any] = {"agent_id": agent.agent_id, "since": since, "limit": limit}
    return db.fetch_all(conn, Interval, SQL["history"], tenant_id=tenant_id, **params)


# ----------------------------------------------------------------------------------------------- skills


def skills(conn: Conn, *, tenant_id: int, name: str) -> list[SkillLevel]:
    """Return the skills of an agent; raises NotFound."""
    agent = find(conn, tenant_id=tenant_id, name=name)
    return db.fetch_all(conn, SkillLevel, SQL["skills"], tenant_id=tenant_id, agent_id=agent.agent_id)


def set_skill(conn: Conn, *, tenant_id: int, name: str, skill_name: str, level: int) -> None:
    """Give an agent a skill or another level of it (1 to 10); 0 takes it away. Raises NotFound, BadInput."""
    with conn.transaction():
        agent = find(conn, tenant_id=tenant_id, name=name)
        found = skill.find(conn, tenant_id=tenant_id, name=skill_name)
        params = {"tenant_id": tenant_id, "agent_id": agent.agent_id, "skill_id": found.skill_id}
        if level:
            db.execute(conn, SQL["set_skill"], level=level, **params)
        elif not db.execute(conn, SQL["remove_skill"], **params):
            raise NotFound(f'the agent "{name}" has no skill "{skill_name}"')
        _changed(conn, agent)
