"""Queues: their rules, agents and skills; every rule may change while calls wait.

Decides what may be stored. What the rules do is decided by the SQL functions (docs/acd.md), which are told of
each change in its transaction, so that waiting calls follow at once. Live views: queue_live.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

from callcore.agent import AgentState
from callcore.call_queue import QueueAnchor, QueueStaffing, QueueStrategy
from callcore.errors import BadInput, NotFound, StillInUse
from kalibri import db
from kalibri.db import Conn
from kalibri.services import agent as agents
from kalibri.services import skill as skills
from kalibri.services.queue_options import check_media, check_overflow
from kalibri.services.references import refuse_if_used
from kalibri.services.schedule import find as find_schedule
from kemi.ks_route.model import DestinationKind

SQL = db.statements("queue")


@dataclass(frozen=True, kw_only=True)
class QueueRules:
    """Everything that a person configures; seconds everywhere, None: no limit, never, or not used."""

    enabled: bool
    strategy: QueueStrategy
    anchor: QueueAnchor
    #: Callers of a higher priority go first, over all queues.
    priority: int
    #: What one step of a caller's own priority is worth; None: it is strict.
    ageing_seconds: int | None
    #: Element N: the agents of tier N + 1 take who has waited so long.
    tier_waits: tuple[int, ...]
    #: How long an agent rings.
    ring_seconds: int
    #: Strategy ring_all: how many ring at once.
    ring_all_limit: int
    #: Between two agents for the same caller.
    retry_seconds: int
    wrapup_seconds: int
    #: Callers who may wait; None: any number.
    max_size: int | None
    max_wait_seconds: int | None
    #: Whom the queue must have so that callers may join, or stay.
    join_when: QueueStaffing
    stay_when: QueueStaffing
    #: Opening hours: name of a schedule; None: always open.
    schedule: str | None
    #: How long a caller waits for the agent whom he had last; None: any agent.
    sticky_seconds: int | None
    sticky_days: int
    #: How long a caller is kept from an agent who rejected him.
    reject_exclusion_seconds: int
    #: Each outcome: how long the agent gets no call, and after how many in a row he is paused.
    no_answer_delay_seconds: int
    no_answer_limit: int | None
    reject_delay_seconds: int
    reject_limit: int | None
    busy_delay_seconds: int
    busy_limit: int | None
    unreachable_delay_seconds: int
    unreachable_limit: int | None
    #: Reason → {"kind", "value", "announcement"}.
    overflow: Mapping[str, Any]
    #: Fields of sems_apps.settings.QueueSettings.
    media: Mapping[str, Any]
    record: bool
    #: Agents may hand callers on; supervisors may listen: both need a media host.
    transferable: bool
    supervised: bool
    #: How long the place of a caller is kept whose host died.
    grace_seconds: int
    service_level_seconds: int
    service_level_percent: int
    short_abandon_seconds: int
    callback_enabled: bool
    #: agent or caller.
    callback_first: str
    callback_attempts: int
    callback_retry_seconds: int
    callback_ring_seconds: int
    callback_expires_seconds: int
    callback_schedule: str | None
    callback_caller_id: str


@dataclass(frozen=True, kw_only=True)
class Queue(QueueRules):
    """A queue as it is listed."""

    tenant_id: int
    tenant: str
    queue_id: int
    name: str
    #: A media host carries every call, though an agent is free.
    anchored: bool
    is_open: bool
    members: int
    #: Moving average of talk and wrap-up; None: nobody was served yet.
    handle_seconds: float | None
    waiting: int
    #: Agents who can get a call now.
    ready: int


@dataclass(frozen=True, kw_only=True)
class Member:
    """An agent of a queue."""

    agent: str
    display_name: str
    tier: int
    penalty: int
    position: int
    state: AgentState
    state_reason: str
    state_seconds: float
    #: Gets the next call of this queue if it is his turn.
    ready: bool


@dataclass(frozen=True, kw_only=True)
class SkillStep:
    """From which wait on which level of a skill is asked for; level 0: none any more."""

    skill: str
    after_seconds: int = field(default=0)
    level: int


RULE_NAMES = tuple(rule.name for rule in fields(QueueRules))


def list_queues(conn: Conn, *, tenant_id: int | None) -> list[Queue]:
    """Return the queues of a tenant; None: of all."""
    return db.fetch_all(conn, Queue, SQL["list_queues"], tenant_id=tenant_id, name=None)


def find(conn: Conn, *, tenant_id: int, name: str) -> Queue:
    """Return one queue; raises NotFound, also for another tenant's."""
    found = db.fetch_one(conn, Queue, SQL["list_queues"], tenant_id=tenant_id, name=name)
    return db.require(found, "queue", name)


def add(conn: Conn, *, tenant_id: int, name: str, **rules: Any) -> Queue:
    """Make a queue; rules: fields of QueueRules, the others as the table has them.

    Raises AlreadyExists, BadInput, NotFound (schedule).
    """
    with conn.transaction():
        db.execute(conn, SQL["add_queue"], tenant_id=tenant_id, name=name)
        return change(conn, tenant_id=tenant_id, name=name, **rules)


def change(conn: Conn, *, tenant_id: int, name: str, **changes: Any) -> Queue:
    """Change rules of a queue; waiting calls follow at once. Raises NotFound, BadInput.

    media and overflow are merged into what there is; a value of None takes a key away.
    """
    with conn.transaction():
        before = find(conn, tenant_id=tenant_id, name=name)
        for merged in ("media", "overflow"):
            if merged in changes:
                changes[merged] = _merge(getattr(before, merged), changes[merged])
        after = replace(before, **changes)
        _check(conn, after)
        rules = {rule: getattr(after, rule) for rule in RULE_NAMES}
        rules |= {"media": json.dumps(after.media), "overflow": json.dumps(after.overflow)}
        rules["tier_waits"] = list(after.tier_waits)
        db.execute(conn, SQL["set_queue"], tenant_id=tenant_id, queue_id=after.queue_id, **rules)
        _changed(conn, after)
        return find(conn, tenant_id=tenant_id, name=name)


def _merge(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**before, **changes}.items() if value is not None}


def _check(conn: Conn, queue: Queue) -> None:
    check_media(queue.media)
    check_overflow(conn, tenant_id=queue.tenant_id, overflow=queue.overflow)
    if any(later < earlier for earlier, later in pairwise(queue.tier_waits)):
        raise BadInput("tiers open one after the other: each wait is at least the one before")
    for schedule in (queue.schedule, queue.callback_schedule):
        if schedule is not None:
            find_schedule(conn, tenant_id=queue.tenant_id, name=schedule)


def _changed(conn: Conn, queue: Queue) -> None:
    db.fetch_value(conn, SQL["queue_changed"], tenant_id=queue.tenant_id, queue_id=queue.queue_id)


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a queue; raises NotFound, StillInUse while somebody is in it or something leads to it."""
    with conn.transaction():
        db.fetch_value(conn, SQL["lock_domain"], tenant_id=tenant_id)
        queue = find(conn, tenant_id=tenant_id, name=name)
        refuse_if_used(conn, kind=DestinationKind.QUEUE, tenant_id=tenant_id, name=name)
        params = {"tenant_id": tenant_id, "queue_id": queue.queue_id}
        if live := db.fetch_value(conn, SQL["live_entries"], **params):
            raise StillInUse(f'{live} calls or callbacks are in the queue "{name}"')
        db.execute(conn, SQL["remove_queue"], **params)


# ---------------------------------------------------------------------------------------------- members


def members(conn: Conn, *, tenant_id: int, name: str) -> list[Member]:
    """Return the agents of a queue; raises NotFound."""
    queue = find(conn, tenant_id=tenant_id, name=name)
    return db.fetch_all(conn, Member, SQL["members"], tenant_id=tenant_id, queue_id=queue.queue_id)


def set_member(
    conn: Conn, *, tenant_id: int, name: str, agent: str, tier: int = 1, penalty: int = 0, position: int = 0
) -> None:
    """Put an agent into a queue or change his place in it; raises NotFound, BadInput."""
    with conn.transaction():
        queue = find(conn, tenant_id=tenant_id, name=name)
        found = agents.find(conn, tenant_id=tenant_id, name=agent)
        place = {"tier": tier, "penalty": penalty, "position": position}
        ids = {"tenant_id": tenant_id, "queue_id": queue.queue_id, "agent_id": found.agent_id}
        db.execute(conn, SQL["set_member"], **ids, **place)
        _changed(conn, queue)


def remove_member(conn: Conn, *, tenant_id: int, name: str, agent: str) -> None:
    """Take an agent out of a queue; a call that he has goes on. Raises NotFound."""
    with conn.transaction():
        queue = find(conn, tenant_id=tenant_id, name=name)
        found = agents.find(conn, tenant_id=tenant_id, name=agent)
        ids = {"tenant_id": tenant_id, "queue_id": queue.queue_id, "agent_id": found.agent_id}
        if not db.execute(conn, SQL["remove_member"], **ids):
            raise NotFound(f'the agent "{agent}" is not in the queue')
        _changed(conn, queue)


# ----------------------------------------------------------------------------------------------- skills


def skill_steps(conn: Conn, *, tenant_id: int, name: str) -> list[SkillStep]:
    """Return what a queue asks for, skill by skill and step by step; raises NotFound."""
    queue = find(conn, tenant_id=tenant_id, name=name)
    return db.fetch_all(conn, SkillStep, SQL["queue_skills"], tenant_id=tenant_id, queue_id=queue.queue_id)


def set_skill(
    conn: Conn, *, tenant_id: int, name: str, skill: str, level: int, after_seconds: int = 0
) -> None:
    """Ask for a level of a skill (0: none any more) of agents for callers who have waited so long.

    Later steps may only ask for less. Raises NotFound, BadInput.
    """
    with conn.transaction():
        queue = find(conn, tenant_id=tenant_id, name=name)
        found = skills.find(conn, tenant_id=tenant_id, name=skill)
        ids = {"tenant_id": tenant_id, "queue_id": queue.queue_id, "skill_id": found.skill_id}
        db.execute(conn, SQL["set_queue_skill"], **ids, level=level, after_seconds=after_seconds)
        steps = [s for s in skill_steps(conn, tenant_id=tenant_id, name=name) if s.skill == skill]
        if any(later.level > earlier.level for earlier, later in pairwise(steps)):
            raise BadInput("a skill relaxes with time: a later step may not ask for more")
        _changed(conn, queue)


def remove_skill(
    conn: Conn, *, tenant_id: int, name: str, skill: str, after_seconds: int | None = None
) -> None:
    """Ask for a skill no more, or leave out one step of it; raises NotFound."""
    with conn.transaction():
        queue = find(conn, tenant_id=tenant_id, name=name)
        found = skills.find(conn, tenant_id=tenant_id, name=skill)
        ids = {"tenant_id": tenant_id, "queue_id": queue.queue_id, "skill_id": found.skill_id}
        if not db.execute(conn, SQL["remove_queue_skill"], **ids, after_seconds=after_seconds):
            raise NotFound(f'the queue does not ask for the skill "{skill}" so')
        _changed(conn, queue)
