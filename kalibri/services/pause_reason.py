"""Why agents of a tenant may pause, and whether that time is paid.

The system's own reasons (an agent paused after too many refusals) are the words of the outcomes; they need no
row and cannot be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from callcore.call_queue import PENALISED
from callcore.errors import BadInput, NotFound
from kalibri import db
from kalibri.db import Conn

SQL = db.statements("pause_reason")


@dataclass(frozen=True, kw_only=True)
class PauseReason:
    """A reason as it is listed."""

    tenant_id: int
    tenant: str
    name: str
    #: Whether the time counts as work.
    paid: bool
    #: Out of use, it cannot be chosen any more.
    enabled: bool
    #: How many agents pause for it now.
    paused: int


def list_reasons(conn: Conn, *, tenant_id: int | None) -> list[PauseReason]:
    """Return the reasons of a tenant; None: of all."""
    return db.fetch_all(conn, PauseReason, SQL["list_pause_reasons"], tenant_id=tenant_id, name=None)


def find(conn: Conn, *, tenant_id: int, name: str) -> PauseReason:
    """Return one reason; raises NotFound."""
    found = db.fetch_one(conn, PauseReason, SQL["list_pause_reasons"], tenant_id=tenant_id, name=name)
    return db.require(found, "pause reason", name)


def usable(conn: Conn, *, tenant_id: int, name: str) -> PauseReason:
    """Return a reason that may be chosen; raises NotFound."""
    reason = find(conn, tenant_id=tenant_id, name=name)
    if not reason.enabled:
        raise NotFound(f'the pause reason "{name}" is out of use')
    return reason


def add(conn: Conn, *, tenant_id: int, name: str, paid: bool = True) -> PauseReason:
    """Make a reason; raises AlreadyExists, BadInput for a word of the system."""
    if name in tuple(PENALISED):
        raise BadInput(f'"{name}" is a reason of the system')
    with conn.transaction():
        db.execute(conn, SQL["add_pause_reason"], tenant_id=tenant_id, name=name, paid=paid)
        return find(conn, tenant_id=tenant_id, name=name)


def change(conn: Conn, *, tenant_id: int, name: str, **changes: Any) -> PauseReason:
    """Change paid or enabled; raises NotFound."""
    with conn.transaction():
        after = replace(find(conn, tenant_id=tenant_id, name=name), **changes)
        values = {"paid": after.paid, "enabled": after.enabled}
        db.execute(conn, SQL["set_pause_reason"], tenant_id=tenant_id, name=name, **values)
        return after


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a reason; raises NotFound. Who pauses for it goes on pausing."""
    if not db.execute(conn, SQL["remove_pause_reason"], tenant_id=tenant_id, name=name):
        raise NotFound(f'there is no pause reason "{name}"')
