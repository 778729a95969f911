"""Methods agent.*, skill.* and pausereason.*: who takes calls, and what he is doing.

An agent that logged in with his account acts for himself: which agent he is, the account says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from api.method import Context, Fields, Method, Scope, Tenancy
from callcore.agent import AgentState
from callcore.errors import BadInput, NotFound
from kalibri.db import Conn
from kalibri.services import agent as agents
from kalibri.services import pause_reason as reasons
from kalibri.services import preview
from kalibri.services import queue as queues
from kalibri.services import skill as skills
from kalibri.services.agent import Agent, Interval, SkillLevel
from kalibri.services.pause_reason import PauseReason
from kalibri.services.token import Forbidden

Seconds = Annotated[int, Field(ge=0, le=86_400)]
Limit = Annotated[int, Field(ge=1, le=10_000)]
Level = Annotated[int, Field(ge=0, le=10)]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


def own_name(context: Context, tenant_id: int, name: str | None) -> str:
    """Return the agent that is meant: for the token of an account, the agent on its phone and no other.

    Raises NotFound, Forbidden, BadInput.
    """
    account = context.principal.account
    if account is None:
        if name is None:
            raise BadInput("name: which agent?")
        return name
    rows = agents.list_agents(context.conn, tenant_id=tenant_id)
    own = next((agent.name for agent in rows if agent.account == account), None)
    if own is None:
        raise NotFound(f'no agent has the account "{account}"')
    if name not in (None, own):
        raise Forbidden("an agent acts for himself only")
    return own


def list_agents(
    conn: Conn, *, tenant_id: int | None, state: AgentState | None = None, queue: str | None = None
) -> list[Agent]:
    """Return agents with their states; queue: only its agents (of one tenant). Raises NotFound."""
    queue_id = None
    if queue is not None:
        if tenant_id is None:
            raise BadInput("queue: name the tenant, too")
        queue_id = queues.find(conn, tenant_id=tenant_id, name=queue).queue_id
    return agents.list_agents(conn, tenant_id=tenant_id, state=state, queue_id=queue_id)


def state(context: Context, *, tenant_id: int, name: str | None = None) -> Agent:
    """Return everything about one agent; raises NotFound."""
    return agents.find(context.conn, tenant_id=tenant_id, name=own_name(context, tenant_id, name))


def add(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    account: str | None = None,
    number: str | None = None,
    display_name: str = "",
    queue_names: Sequence[str] = (),
) -> Agent:
    """Make an agent, offline until he logs in, in these queues; raises AlreadyExists, NotFound, BadInput."""
    phone = {"account": account, "number": number}
    agents.add(conn, tenant_id=tenant_id, name=name, display_name=display_name, **phone)
    for queue in queue_names:
        queues.set_member(conn, tenant_id=tenant_id, name=queue, agent=name)
    return agents.find(conn, tenant_id=tenant_id, name=name)


@dataclass(frozen=True, kw_only=True)
class AgentChanges:
    """What can be changed of an agent."""

    account: str | None = None
    number: str | None = None
    display_name: str = ""
    enabled: bool = True


def login(context: Context, *, tenant_id: int, name: str | None = None) -> AgentState:
    """Begin a shift; the agent gets calls. Raises NotFound, Refused."""
    return agents.login(context.conn, tenant_id=tenant_id, name=own_name(context, tenant_id, name))


def logout(context: Context, *, tenant_id: int, name: str | None = None) -> AgentState:
    """End a shift; a call that goes on is finished first. Raises NotFound, Refused."""
    return agents.logout(context.conn, tenant_id=tenant_id, name=own_name(context, tenant_id, name))


def pause(context: Context, *, tenant_id: int, reason: str, name: str | None = None) -> AgentState:
    """Pause, at once or after the call. Raises NotFound, Refused."""
    own = own_name(context, tenant_id, name)
    return agents.pause(context.conn, tenant_id=tenant_id, name=own, reason=reason)


def resume(context: Context, *, tenant_id: int, name: str | None = None) -> AgentState:
    """End a pause. Raises NotFound, Refused."""
    return agents.resume(context.conn, tenant_id=tenant_id, name=own_name(context, tenant_id, name))


def wrapup(context: Context, *, tenant_id: int, seconds: Seconds, name: str | None = None) -> AgentState:
    """Let wrap-up last so long from now; 0 ends it. Raises NotFound, Refused."""
    own = own_name(context, tenant_id, name)
    return agents.wrapup(context.conn, tenant_id=tenant_id, name=own, seconds=seconds)


def set_state(
    context: Context, *, tenant_id: int, state: str, name: str | None = None, reason: str | None = None
) -> AgentState:
    """Bring an agent into a state: free, paused (with a reason), offline. Raises NotFound, Refused, BadInput."""
    own = own_name(context, tenant_id, name)
    found = agents.find(context.conn, tenant_id=tenant_id, name=own)
    if state == "paused":
        return pause(context, tenant_id=tenant_id, reason=reason or "", name=own)
    if state == "offline":
        return agents.logout(context.conn, tenant_id=tenant_id, name=own)
    if state != "free":
        raise BadInput(f'"{state}" is set by nobody: free, paused or offline')
    if not found.logged_in:
        return agents.login(context.conn, tenant_id=tenant_id, name=own)
    if found.state is AgentState.WRAPUP:
        return agents.wrapup(context.conn, tenant_id=tenant_id, name=own, seconds=0)
    return agents.resume(context.conn, tenant_id=tenant_id, name=own)


def set_skills(
    conn: Conn, *, tenant_id: int, name: str, levels: Mapping[str, Level] | None = None
) -> list[SkillLevel]:
    """Return the skills of an agent after giving him some; level 0 takes one away. Raises NotFound, BadInput."""
    for skill, level in (levels or {}).items():
        agents.set_skill(conn, tenant_id=tenant_id, name=name, skill_name=skill, level=level)
    return agents.skills(conn, tenant_id=tenant_id, name=name)


def history(
    context: Context,
    *,
    tenant_id: int,
    name: str | None = None,
    since: datetime | None = None,
    limit: Limit = 200,
) -> list[Interval]:
    """Return the states that an agent was in, the newest first. Raises NotFound."""
    own = own_name(context, tenant_id, name)
    return agents.history(context.conn, tenant_id=tenant_id, name=own, since=since, limit=limit)


def accept_preview(
    context: Context, *, tenant_id: int, name: str | None = None, offer: Id | None = None
) -> None:
    """Call the lead that an agent looks at. offer: as its card says. Raises NotFound, PreviewRefused."""
    own = own_name(context, tenant_id, name)
    preview.accept(context.conn, tenant_id=tenant_id, name=own, offer=offer)


def skip_preview(
    context: Context, *, tenant_id: int, reason: str, name: str | None = None, offer: Id | None = None
) -> None:
    """Do not call the lead that an agent looks at. Raises NotFound, BadInput, PreviewRefused."""
    own = own_name(context, tenant_id, name)
    preview.skip(context.conn, tenant_id=tenant_id, name=own, reason=reason, offer=offer)


def change_reason(
    conn: Conn, *, tenant_id: int, name: str, paid: bool | None = None, enabled: bool | None = None
) -> PauseReason:
    """Change a reason; who pauses for it goes on. Raises NotFound."""
    told = {key: value for key, value in (("paid", paid), ("enabled", enabled)) if value is not None}
    return reasons.change(conn, tenant_id=tenant_id, name=name, **told)


def edit(conn: Conn, *, tenant_id: int, name: str, **changes: object) -> Agent:
    """Change an agent's phone or name, or put him out of use; raises NotFound, BadInput."""
    return agents.change(conn, tenant_id=tenant_id, name=name, **changes)


METHODS = (
    Method("agent.list", list_agents, Scope.READ, Tenancy.FILTER),
    Method("agent.state", state, Scope.AGENT, Tenancy.ONE),
    Method("agent.add", add, Scope.ADMIN, Tenancy.ONE),
    Method("agent.edit", edit, Scope.ADMIN, Tenancy.ONE, Fields(AgentChanges)),
    Method("agent.rm", agents.remove, Scope.ADMIN, Tenancy.ONE),
    Method("agent.login", login, Scope.AGENT, Tenancy.ONE),
    Method("agent.logout", logout, Scope.AGENT, Tenancy.ONE),
    Method("agent.pause", pause, Scope.AGENT, Tenancy.ONE),
    Method("agent.resume", resume, Scope.AGENT, Tenancy.ONE),
    Method("agent.wrapup", wrapup, Scope.AGENT, Tenancy.ONE),
    Method("agent.setState", set_state, Scope.AGENT, Tenancy.ONE),
    Method("agent.free", agents.free, Scope.SUPERVISOR, Tenancy.ONE),
    Method("agent.release", agents.release, Scope.SUPERVISOR, Tenancy.ONE),
    Method("agent.skills", set_skills, Scope.ADMIN, Tenancy.ONE),
    Method("agent.history", history, Scope.AGENT, Tenancy.ONE),
    Method("agent.preview.accept", accept_preview, Scope.AGENT, Tenancy.ONE),
    Method("agent.preview.skip", skip_preview, Scope.AGENT, Tenancy.ONE),
    Method("skill.list", skills.list_skills, Scope.READ, Tenancy.FILTER),
    Method("skill.add", skills.add, Scope.ADMIN, Tenancy.ONE),
    Method("skill.rm", skills.remove, Scope.ADMIN, Tenancy.ONE),
    Method("pausereason.list", reasons.list_reasons, Scope.AGENT, Tenancy.FILTER),
    Method("pausereason.add", reasons.add, Scope.ADMIN, Tenancy.ONE),
    Method("pausereason.set", change_reason, Scope.ADMIN, Tenancy.ONE),
    Method("pausereason.rm", reasons.remove, Scope.ADMIN, Tenancy.ONE),
)
