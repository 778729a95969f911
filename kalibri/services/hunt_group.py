"""Hunt groups: accounts that ring together, or one after the other, under a name that is dialled like an account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from callcore.account_service import HuntMode
from callcore.errors import BadInput, NotFound
from kalibri import db
from kalibri.db import Conn
from kalibri.services.account_service import parse_destination, require_destination
from kalibri.services.references import refuse_if_used
from kemi.ks_route.model import DestinationKind

SQL = db.statements("hunt_group")


@dataclass(frozen=True, kw_only=True)
class _Stored:
    tenant_id: int
    tenant: str
    name: str
    mode: HuntMode
    ring_seconds: int
    members: tuple[str, ...]
    fallback_kind: str | None
    fallback: str


@dataclass(frozen=True, kw_only=True)
class HuntGroup:
    """A hunt group as it is listed."""

    tenant_id: int
    #: Name of the tenant.
    tenant: str
    name: str
    #: parallel: all at once; serial: one after the other.
    mode: HuntMode
    #: Of each member (serial), or of all together (parallel).
    ring_seconds: int
    #: User names in order.
    members: tuple[str, ...]
    #: Where a call goes that nobody took: "number:…", "account:…", "queue:…"; None: it ends.
    fallback: str | None


@dataclass(frozen=True)
class _Named:
    name: str


def list_groups(conn: Conn, *, tenant_id: int | None) -> list[HuntGroup]:
    """Return the hunt groups of a tenant; None: of all."""
    rows = db.fetch_all(conn, _Stored, SQL["list_hunt_groups"], tenant_id=tenant_id, name=None)
    return [_shown(row) for row in rows]


def find(conn: Conn, *, tenant_id: int, name: str) -> HuntGroup:
    """Return one group; raises NotFound."""
    found = db.fetch_one(conn, _Stored, SQL["list_hunt_groups"], tenant_id=tenant_id, name=name)
    return _shown(db.require(found, "hunt group", name))


def add(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    members: Sequence[str],
    mode: str = HuntMode.PARALLEL.value,
    ring_seconds: int = 20,
    fallback: str | None = None,
) -> HuntGroup:
    """Make a group of these accounts; raises AlreadyExists, NotFound, BadInput."""
    with conn.transaction():
        values = _stored_values(conn, tenant_id, mode, ring_seconds, fallback)
        db.execute(conn, SQL["add_hunt_group"], tenant_id=tenant_id, name=name, **values)
        _save_members(conn, tenant_id, name, members)
        return find(conn, tenant_id=tenant_id, name=name)


def change(conn: Conn, *, tenant_id: int, name: str, **changes: Any) -> HuntGroup:
    """Change mode, ring_seconds, fallback (None: none) or all members; raises NotFound, BadInput."""
    with conn.transaction():
        after = replace(find(conn, tenant_id=tenant_id, name=name), **changes)
        values = _stored_values(conn, tenant_id, after.mode, after.ring_seconds, after.fallback)
        db.execute(conn, SQL["set_hunt_group"], tenant_id=tenant_id, name=name, **values)
        _save_members(conn, tenant_id, name, after.members)
        return find(conn, tenant_id=tenant_id, name=name)


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a group; raises NotFound, StillInUse while a number or a route leads to it."""
    with conn.transaction():
        refuse_if_used(conn, kind=DestinationKind.ACCOUNT, tenant_id=tenant_id, name=name)
        if not db.execute(conn, SQL["remove_hunt_group"], tenant_id=tenant_id, name=name):
            raise NotFound(f'there is no hunt group "{name}"')


def _stored_values(
    conn: Conn, tenant_id: int, mode: str, ring_seconds: int, fallback: str | None
) -> dict[str, Any]:
    if mode not in tuple(HuntMode):
        raise BadInput(f'there is no mode "{mode}": parallel, serial')
    kind, destination = None, ""
    if fallback is not None:
        kind, destination = parse_destination(fallback)
        require_destination(conn, tenant_id=tenant_id, kind=kind, destination=destination)
    return {"mode": mode, "ring_seconds": ring_seconds, "fallback_kind": kind, "fallback": destination}


def _save_members(conn: Conn, tenant_id: int, name: str, members: Sequence[str]) -> None:
    wanted = list(members)
    if len(set(wanted)) < len(wanted):
        raise BadInput("an account is named twice")
    unknown = db.fetch_all(conn, _Named, SQL["unknown_members"], tenant_id=tenant_id, members=wanted)
    if unknown:
        raise NotFound(f'there is no account "{unknown[0].name}"')
    db.execute(conn, SQL["leave_hunt_group"], tenant_id=tenant_id, name=name, members=wanted)
    db.execute(conn, SQL["join_hunt_group"], tenant_id=tenant_id, name=name, members=wanted)


def _shown(row: _Stored) -> HuntGroup:
    values = dict(vars(row))
    kind = values.pop("fallback_kind")
    return HuntGroup(**{**values, "fallback": None if kind is None else f"{kind}:{row.fallback}"})
