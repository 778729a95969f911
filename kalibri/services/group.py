"""Gateway groups: gateways with weights, from which a route chooses.

A tenant's group may hold its own gateways and the system's, a group of the system only the system's. Weight 0
takes a gateway out without losing its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from callcore.errors import NotFound
from callcore.states import GatewayHealth
from kalibri import db
from kalibri.db import Conn
from kalibri.services.gateway import find_usable
from kalibri.services.references import refuse_if_used
from kalibri.services.tenant import SYSTEM_TENANT_ID
from kemi.ks_route.model import DestinationKind

SQL = db.statements("group")
DEFAULT_WEIGHT = 100


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group as it is listed."""

    tenant_id: int
    #: Name of the owner.
    tenant: str
    group_id: int
    name: str
    note: str
    #: How many gateways are in it.
    members: int
    #: Sum of the weights of gateways in use; 0: no call gets through.
    weight: int


@dataclass(frozen=True, kw_only=True)
class Member:
    """A gateway in a group."""

    #: Name of the tenant that owns the gateway.
    owner: str
    gateway: str
    weight: int
    enabled: bool
    health: GatewayHealth


@dataclass(frozen=True)
class _Owner:
    tenant_id: int


def list_groups(conn: Conn, *, tenant_id: int | None) -> list[Group]:
    """Return the groups that a tenant owns; None: of all."""
    return db.fetch_all(conn, Group, SQL["list_groups"], tenant_id=tenant_id, name=None)


def find(conn: Conn, *, tenant_id: int, name: str) -> Group:
    """Return one group of an owner; raises NotFound, also for another owner's."""
    found = db.fetch_one(conn, Group, SQL["list_groups"], tenant_id=tenant_id, name=name)
    return db.require(found, "group", name)


def members(conn: Conn, *, tenant_id: int, name: str) -> list[Member]:
    """Return the gateways of a group, the heaviest first; raises NotFound."""
    group = find(conn, tenant_id=tenant_id, name=name)
    return db.fetch_all(conn, Member, SQL["members"], group_id=group.group_id)


def add(conn: Conn, *, tenant_id: int, name: str, note: str = "") -> Group:
    """Make an empty group; raises AlreadyExists, BadInput."""
    with conn.transaction():
        db.execute(conn, SQL["add_group"], tenant_id=tenant_id, name=name, note=note)
        return find(conn, tenant_id=tenant_id, name=name)


def change(conn: Conn, *, tenant_id: int, name: str, note: str) -> None:
    """Change the note of a group; raises NotFound."""
    with conn.transaction():
        group = find(conn, tenant_id=tenant_id, name=name)
        db.execute(conn, SQL["set_group"], group_id=group.group_id, note=note)


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a group; raises NotFound, StillInUse while a number or a route leads to it."""
    with conn.transaction():
        group = find(conn, tenant_id=tenant_id, name=name)
        others = db.fetch_all(conn, _Owner, SQL["owners_of_same_group"], name=name)
        shadowed_by = [other.tenant_id for other in others] if tenant_id == SYSTEM_TENANT_ID else []
        refuse_if_used(
            conn, kind=DestinationKind.GROUP, tenant_id=tenant_id, name=name, shadowed_by=shadowed_by
        )
        db.execute(conn, SQL["remove_group"], group_id=group.group_id)


def set_member(conn: Conn, *, tenant_id: int, name: str, gateway: str, weight: int = DEFAULT_WEIGHT) -> None:
    """Put a gateway into a group or change its weight; its name means the owner's own, else the system's.

    Raises NotFound, BadInput.
    """
    with conn.transaction():
        group = find(conn, tenant_id=tenant_id, name=name)
        found = find_usable(conn, tenant_id=tenant_id, name=gateway)
        parameters = {"group_id": group.group_id, "gateway_id": found.gateway_id, "weight": weight}
        db.execute(conn, SQL["set_member"], **parameters)


def remove_member(conn: Conn, *, tenant_id: int, name: str, gateway: str) -> None:
    """Take a gateway out of a group; raises NotFound."""
    with conn.transaction():
        group = find(conn, tenant_id=tenant_id, name=name)
        if not db.execute(conn, SQL["remove_member"], group_id=group.group_id, gateway=gateway):
            raise NotFound(f'the gateway "{gateway}" is not in the group')
