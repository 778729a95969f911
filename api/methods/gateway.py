"""Methods gateway.*, group.* and trunk.*: SIP next hops, groups of them, our registrations at carriers."""

from __future__ import annotations

from collections.abc import Sequence

from api.method import Fields, Method, Scope, Tenancy
from kalibri.db import Conn
from kalibri.services import gateway as gateways
from kalibri.services import gateway_rate as rates
from kalibri.services import group as groups
from kalibri.services import trunk as trunks
from kalibri.services.gateway import GatewaySettings
from kalibri.services.gateway_rate import Rate
from kalibri.services.group import Group
from kalibri.services.trunk import TrunkSettings

SETTINGS = Fields(GatewaySettings, without=("gateway_id", "name"))
TRUNK = Fields(
    TrunkSettings,
    without=("trunk_id", "gateway_id", "auth_ha1", "username", "domain", "auth_username", "auth_realm"),
)
TRUNK_CHANGES = Fields(TrunkSettings, without=("trunk_id", "gateway_id", "auth_ha1"))
RATE = Fields(Rate, required=("price_per_minute",))


def set_rate(conn: Conn, *, tenant_id: int, gateway: str, prefix: str = "", **rate: object) -> None:
    """Store the price for a prefix (empty: all other numbers), new or changed; raises NotFound, BadInput."""
    told = Rate(prefix=prefix, **rate)  # type: ignore[arg-type]
    rates.set_rate(conn, tenant_id=tenant_id, gateway=gateway, rate=told)


def remove_rate(conn: Conn, *, tenant_id: int, gateway: str, prefix: str = "") -> None:
    """Remove the price for a prefix (empty: that for all other numbers); raises NotFound."""
    rates.remove_rate(conn, tenant_id=tenant_id, gateway=gateway, prefix=prefix)


def add_group(
    conn: Conn,
    *,
    tenant_id: int,
    name: str,
    gateways: Sequence[str] = (),
    weight: int = groups.DEFAULT_WEIGHT,
    note: str = "",
) -> Group:
    """Make a group, at once with gateways if they are named; raises AlreadyExists, NotFound, BadInput."""
    groups.add(conn, tenant_id=tenant_id, name=name, note=note)
    for gateway in gateways:
        groups.set_member(conn, tenant_id=tenant_id, name=name, gateway=gateway, weight=weight)
    return groups.find(conn, tenant_id=tenant_id, name=name)


METHODS = (
    Method("gateway.list", gateways.list_gateways, Scope.READ, Tenancy.FILTER),
    Method("gateway.show", gateways.find, Scope.READ, Tenancy.OWNER),
    Method("gateway.add", gateways.add, Scope.ADMIN, Tenancy.OWNER, SETTINGS),
    Method("gateway.set", gateways.change, Scope.ADMIN, Tenancy.OWNER, SETTINGS),
    Method("gateway.rm", gateways.remove, Scope.ADMIN, Tenancy.OWNER),
    Method("gateway.source.add", gateways.add_sources, Scope.ADMIN, Tenancy.OWNER),
    Method("gateway.source.rm", gateways.remove_sources, Scope.ADMIN, Tenancy.OWNER),
    Method("gateway.rate.list", rates.list_rates, Scope.READ, Tenancy.OWNER),
    Method("gateway.rate.set", set_rate, Scope.ADMIN, Tenancy.OWNER, RATE),
    Method("gateway.rate.rm", remove_rate, Scope.ADMIN, Tenancy.OWNER),
    Method("gateway.rate.export", rates.export, Scope.READ, Tenancy.OWNER),
    Method("gateway.rate.import", rates.import_, Scope.ADMIN, Tenancy.OWNER),
    Method("group.list", groups.list_groups, Scope.READ, Tenancy.FILTER),
    Method("group.show", groups.members, Scope.READ, Tenancy.OWNER),
    Method("group.add", add_group, Scope.ADMIN, Tenancy.OWNER),
    Method("group.set", groups.change, Scope.ADMIN, Tenancy.OWNER),
    Method("group.rm", groups.remove, Scope.ADMIN, Tenancy.OWNER),
    Method("group.member.set", groups.set_member, Scope.ADMIN, Tenancy.OWNER),
    Method("group.member.rm", groups.remove_member, Scope.ADMIN, Tenancy.OWNER),
    Method("trunk.list", trunks.list_trunks, Scope.READ, Tenancy.FILTER),
    Method("trunk.show", trunks.find, Scope.READ, Tenancy.OWNER),
    Method("trunk.add", trunks.add, Scope.ADMIN, Tenancy.OWNER, TRUNK),
    Method("trunk.set", trunks.change, Scope.ADMIN, Tenancy.OWNER, TRUNK_CHANGES),
    Method("trunk.rm", trunks.remove, Scope.ADMIN, Tenancy.OWNER),
)
