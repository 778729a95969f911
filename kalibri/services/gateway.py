"""Gateways: SIP next hops of the system (tenant 0, for everybody) or of one tenant.

Decides what a gateway may be, from which addresses its requests are believed, and when it may go. Health and
registration are only shown here: ks_cdr writes them from the proxy's journal. Prices: gateway_rate.py.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from callcore.errors import AlreadyExists, BadInput, NotFound
from callcore.states import GatewayHealth, RegistrationState, RelayMode
from kalibri import db
from kalibri.db import Conn
from kalibri.services.references import refuse_if_used
from kalibri.services.tenant import SYSTEM_TENANT_ID
from kemi.ks_route.model import DestinationKind

SQL = db.statements("gateway")


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A gateway as it is listed, with what was last heard of it."""

    tenant_id: int
    #: Name of the owner.
    tenant: str
    gateway_id: int
    name: str
    host: str
    port: int
    transport: str
    #: Requests from here come from this gateway, without digest; empty: none by address.
    source_networks: tuple[str, ...]
    #: Their source port must be this one; None: any.
    source_port: int | None
    enabled: bool
    #: Calls at once; None: no limit.
    max_calls: int | None
    #: Region that this gateway is local to.
    region: str | None
    #: Whether it is asked by OPTIONS.
    probe: bool
    media_relay: RelayMode
    no_reply_timeout_ms: int
    ring_timeout_seconds: int
    #: P-Asserted-Identity is believed from it and shown to it.
    trusted: bool
    note: str
    health: GatewayHealth
    health_reason: str
    health_changed_at: datetime | None
    #: State of our registration at the carrier; None: no trunk, or it is out of use.
    registration: RegistrationState | None
    registration_reason: str
    registration_changed_at: datetime | None
    groups: tuple[str, ...]
    #: How many prices are stored.
    rates: int

    @property
    def reason(self) -> str:
        """Why calls may not go through, in one line; empty when nothing speaks against it."""
        reasons = [] if self.enabled else ["out of use"]
        if self.health is GatewayHealth.DOWN:
            reasons.append(self.health_reason or "down")
        if self.registration not in (None, RegistrationState.REGISTERED):
            reasons.append(f"registration {self.registration}: {self.registration_reason}".rstrip(": "))
        return "; ".join(reasons)


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """What is configured about a gateway; defaults are those of a new one."""

    gateway_id: int = 0
    name: str
    host: str
    port: int = 5060
    transport: str = "udp"
    source_networks: tuple[str, ...] = ()
    source_port: int | None = None
    enabled: bool = True
    max_calls: int | None = None
    region: str | None = None
    probe: bool = True
    media_relay: RelayMode = RelayMode.AUTO
    no_reply_timeout_ms: int = 2000
    ring_timeout_seconds: int = 120
    trusted: bool = False
    note: str = ""


@dataclass(frozen=True)
class UsableGateway:
    """The gateway that a name means for a tenant."""

    gateway_id: int
    tenant_id: int
    name: str


@dataclass(frozen=True)
class _Owner:
    tenant_id: int


def list_gateways(conn: Conn, *, tenant_id: int | None) -> list[Gateway]:
    """Return the gateways that a tenant owns; None: of all."""
    return db.fetch_all(conn, Gateway, SQL["list_gateways"], tenant_id=tenant_id, name=None)


def find(conn: Conn, *, tenant_id: int, name: str) -> Gateway:
    """Return one gateway of an owner; raises NotFound, also for another owner's."""
    found = db.fetch_one(conn, Gateway, SQL["list_gateways"], tenant_id=tenant_id, name=name)
    return db.require(found, "gateway", name)


def find_usable(conn: Conn, *, tenant_id: int, name: str) -> UsableGateway:
    """Return the gateway that a name means for a tenant: its own, else the system's; raises NotFound."""
    found = db.fetch_one(conn, UsableGateway, SQL["usable_gateway"], tenant_id=tenant_id, name=name)
    return db.require(found, "gateway", name)


def add(conn: Conn, *, tenant_id: int, name: str, host: str, **settings: Any) -> Gateway:
    """Make a gateway; settings: further fields of GatewaySettings. Raises AlreadyExists, BadInput."""
    with conn.transaction():
        gateway = _checked(GatewaySettings(name=name, host=host, **settings))
        db.execute(conn, SQL["add_gateway"], tenant_id=tenant_id, **_parameters(gateway))
        return find(conn, tenant_id=tenant_id, name=name)


def change(conn: Conn, *, tenant_id: int, name: str, **changes: Any) -> Gateway:
    """Change fields of GatewaySettings, the name apart; raises NotFound, BadInput."""
    with conn.transaction():
        gateway = _checked(replace(settings(conn, tenant_id=tenant_id, name=name), **changes))
        db.execute(conn, SQL["set_gateway"], **_parameters(gateway))
        return find(conn, tenant_id=tenant_id, name=name)


def settings(conn: Conn, *, tenant_id: int, name: str) -> GatewaySettings:
    """Return what is configured about a gateway and lock it for this transaction; raises NotFound."""
    found = db.fetch_one(conn, GatewaySettings, SQL["gateway_settings"], tenant_id=tenant_id, name=name)
    return db.require(found, "gateway", name)


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a gateway with its prices and its trunk.

    Raises NotFound, StillInUse while it is in a group or a number or a route leads to it.
    """
    with conn.transaction():
        gateway = settings(conn, tenant_id=tenant_id, name=name)
        others = db.fetch_all(conn, _Owner, SQL["owners_of_same_name"], name=name)
        shadowed_by = [other.tenant_id for other in others] if tenant_id == SYSTEM_TENANT_ID else []
        refuse_if_used(
            conn, kind=DestinationKind.GATEWAY, tenant_id=tenant_id, name=name, shadowed_by=shadowed_by
        )
        db.execute(conn, SQL["remove_gateway"], gateway_id=gateway.gateway_id)


def add_sources(conn: Conn, *, tenant_id: int, name: str, networks: Sequence[str]) -> Gateway:
    """Believe requests from these networks too; raises NotFound, BadInput, AlreadyExists."""
    with conn.transaction():
        before = settings(conn, tenant_id=tenant_id, name=name).source_networks
        for network in (new := check_networks(networks)):
            if network in before:
                raise AlreadyExists(f"{network} is a source of this gateway already")
        return change(conn, tenant_id=tenant_id, name=name, source_networks=(*before, *new))


def remove_sources(conn: Conn, *, tenant_id: int, name: str, networks: Sequence[str]) -> Gateway:
    """Believe requests from these networks no longer; raises NotFound, BadInput."""
    with conn.transaction():
        before = settings(conn, tenant_id=tenant_id, name=name).source_networks
        for network in (gone := check_networks(networks)):
            if network not in before:
                raise NotFound(f"{network} is no source of this gateway")
        left = tuple(network for network in before if network not in gone)
        return change(conn, tenant_id=tenant_id, name=name, source_networks=left)


def check_networks(networks: Sequence[str]) -> tuple[str, ...]:
    """Return addresses and networks in the form that is stored (192.0.2.0/24); raises BadInput."""
    checked = []
    for network in networks:
        try:
            checked.append(str(ipaddress.ip_network(network)))
        except ValueError as error:
            raise BadInput(f"source: {error} (as 192.0.2.1 or 192.0.2.0/24)") from error
    return tuple(dict.fromkeys(checked))


def _checked(gateway: GatewaySettings) -> GatewaySettings:
    return replace(gateway, source_networks=check_networks(gateway.source_networks))


def _parameters(gateway: GatewaySettings) -> dict[str, Any]:
    return {**vars(gateway), "source_networks": list(gateway.source_networks)}
