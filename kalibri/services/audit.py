"""The audit log: who changed what, before and after.

Decides nothing: triggers of the tables write it, whoever changes them, so that ksctl, the API and a person
with psql are noted alike. Who it was, a session says by the settings kalibri.actor and kalibri.origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kalibri import db
from kalibri.db import Conn

SQL = db.statements("audit")


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One change of one object."""

    audit_id: int
    at: datetime
    tenant_id: int | None
    #: Name of the tenant; None: an object of nobody, or of a tenant that is gone.
    tenant: str | None
    actor: str
    #: api, ksctl or another program.
    origin: str
    #: The table.
    noun: str
    #: insert, update or delete.
    operation: str
    key: Mapping[str, Any]
    #: None for an insert; of an update only what changed. Secrets are ***.
    before: Mapping[str, Any] | None
    #: None for a delete.
    after: Mapping[str, Any] | None


def list_entries(
    conn: Conn,
    *,
    tenant_id: int | None,
    noun: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """Return changes, the latest first; None lets everything through.

    actor: a part of the name. before: only entries before this audit_id (for the next page).
    """
    return db.fetch_all(
        conn,
        AuditEntry,
        SQL["list_audit"],
        tenant_id=tenant_id,
        noun=noun,
        actor=actor,
        since=since,
        until=until,
        before=before,
        limit=limit,
    )


def forget_old(conn: Conn, *, days: int) -> int:
    """Remove entries older than so many days; return how many."""
    with conn.transaction():
        db.fetch_value(conn, SQL["allow_forgetting"])
        return db.execute(conn, SQL["forget_audit"], days=days)
