"""Skills of a tenant: what agents can be good at and queues can ask for."""

from __future__ import annotations

from dataclasses import dataclass

from kalibri import db
from kalibri.db import Conn

SQL = db.statements("skill")


@dataclass(frozen=True, kw_only=True)
class Skill:
    """A skill as it is listed."""

    tenant_id: int
    tenant: str
    skill_id: int
    name: str
    #: How many agents have it, how many queues ask for it.
    agents: int
    queues: int


def list_skills(conn: Conn, *, tenant_id: int | None) -> list[Skill]:
    """Return the skills of a tenant; None: of all."""
    return db.fetch_all(conn, Skill, SQL["list_skills"], tenant_id=tenant_id, name=None)


def find(conn: Conn, *, tenant_id: int, name: str) -> Skill:
    """Return one skill; raises NotFound."""
    found = db.fetch_one(conn, Skill, SQL["list_skills"], tenant_id=tenant_id, name=name)
    return db.require(found, "skill", name)


def add(conn: Conn, *, tenant_id: int, name: str) -> Skill:
    """Make a skill; raises AlreadyExists, BadInput."""
    with conn.transaction():
        db.execute(conn, SQL["add_skill"], tenant_id=tenant_id, name=name)
        return find(conn, tenant_id=tenant_id, name=name)


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a skill; raises NotFound, StillInUse while an agent has it or a queue asks for it."""
    with conn.transaction():
        skill = find(conn, tenant_id=tenant_id, name=name)
        db.execute(conn, SQL["remove_skill"], tenant_id=tenant_id, skill_id=skill.skill_id)
