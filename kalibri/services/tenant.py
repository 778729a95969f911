"""Tenants: paying organisations, the boundary of isolation.

Decides what a tenant may be and when it may go. Never touches what a tenant owns: a tenant that still owns
something is not removed.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from callcore.errors import BadInput, Refused, StillInUse
from kalibri import db
from kalibri.db import Conn

SQL = db.statements("tenant")
SYSTEM_TENANT_ID = 0


class UnknownTimeZone(BadInput):
    """There is no such time zone."""

    error_id = "unknown-time-zone"


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A tenant; tenant 0 is the system, whose gateways, groups and routes serve everybody."""

    tenant_id: int
    name: str
    #: Digest realm of the accounts.
    realm: str
    time_zone: str
    #: Calls at once; None: no limit.
    max_calls: int | None
    enabled: bool
    created_at: datetime
    accounts: int


def list_tenants(conn: Conn) -> list[Tenant]:
    """Return all tenants, the system first."""
    return db.fetch_all(conn, Tenant, SQL["list_tenants"])


def find(conn: Conn, *, name: str) -> Tenant:
    """Return one tenant; raises NotFound."""
    return db.require(db.fetch_one(conn, Tenant, SQL["find_tenant"], name=name), "tenant", name)


def add(
    conn: Conn, *, name: str, realm: str | None = None, time_zone: str = "UTC", max_calls: int | None = None
) -> Tenant:
    """Make a tenant; realm None: the name. Raises AlreadyExists, BadInput."""
    check_time_zone(time_zone)
    with conn.transaction():
        db.execute(
            conn, SQL["add_tenant"], name=name, realm=realm or name, time_zone=time_zone, max_calls=max_calls
        )
        return find(conn, name=name)


def change(conn: Conn, *, name: str, **changes: Any) -> Tenant:
    """Change realm, time_zone, max_calls or enabled of a tenant.

    Raises NotFound, BadInput, and StillInUse for a new realm while there are accounts: their passwords are
    stored as HA1, which the realm is part of.
    """
    with conn.transaction():
        before = db.require(db.fetch_one(conn, Tenant, SQL["lock_tenant"], name=name), "tenant", name)
        after = replace(before, **changes)
        check_time_zone(after.time_zone)
        if after.realm != before.realm and before.accounts:
            raise StillInUse(
                f'the passwords of {before.accounts} accounts are stored for the realm "{before.realm}":'
                " it cannot be changed while there are accounts"
            )
        if not after.enabled and after.tenant_id == SYSTEM_TENANT_ID:
            raise Refused("the system itself cannot be put out of use")
        db.execute(conn, SQL["set_tenant"], **vars(after))
        return after


def remove(conn: Conn, *, name: str) -> None:
    """Remove a tenant that owns nothing; raises NotFound, StillInUse, Refused for the system."""
    tenant = find(conn, name=name)
    if tenant.tenant_id == SYSTEM_TENANT_ID:
        raise Refused("the system itself cannot be removed")
    with conn.transaction():
        db.execute(conn, SQL["remove_tenant"], tenant_id=tenant.tenant_id)


def check_time_zone(name: str) -> None:
    """Refuse a name that the time-zone database does not know; raises UnknownTimeZone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownTimeZone(f'there is no time zone "{name}" (write as Europe/Moscow)') from error
