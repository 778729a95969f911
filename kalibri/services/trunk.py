"""Trunks: our registration at the carrier behind a gateway (Kamailio's uac does it).

The carrier's password comes in here and only its HA1 goes on; the digest's user name and realm are part of it,
so they change together with the password. State is only shown: ks_cdr writes it from the proxy's journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from callcore.digest import ha1
from callcore.errors import BadInput
from callcore.states import RegistrationState
from kalibri import db
from kalibri.db import Conn
from kalibri.services import gateway as gateways

SQL = db.statements("trunk")


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """A trunk as it is listed."""

    tenant_id: int
    #: Name of the gateway's owner.
    tenant: str
    trunk_id: int
    gateway: str
    username: str
    domain: str
    auth_username: str
    auth_realm: str
    expires_seconds: int
    enabled: bool
    state: RegistrationState
    state_reason: str
    state_changed_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class TrunkSettings:
    """What is configured about a trunk; defaults are those of a new one."""

    trunk_id: int = 0
    gateway_id: int
    username: str
    domain: str
    auth_username: str
    auth_realm: str
    auth_ha1: str = field(repr=False)
    expires_seconds: int = 300
    enabled: bool = True


def list_trunks(conn: Conn, *, tenant_id: int | None) -> list[Trunk]:
    """Return the trunks of the gateways that a tenant owns; None: of all."""
    return db.fetch_all(conn, Trunk, SQL["list_trunks"], tenant_id=tenant_id, gateway=None)


def find(conn: Conn, *, tenant_id: int, gateway: str) -> Trunk:
    """Return the trunk of a gateway; raises NotFound, also for another owner's gateway."""
    found = db.fetch_one(conn, Trunk, SQL["list_trunks"], tenant_id=tenant_id, gateway=gateway)
    return db.require(found, "trunk for gateway", gateway)


def add(
    conn: Conn,
    *,
    tenant_id: int,
    gateway: str,
    username: str,
    password: str,
    domain: str | None = None,
    auth_username: str | None = None,
    auth_realm: str | None = None,
    **settings: Any,
) -> Trunk:
    """Register at the carrier behind a gateway.

    domain None: the gateway's host; auth_username None: the user name; auth_realm None: the domain. settings:
    expires_seconds, enabled. Raises NotFound, AlreadyExists, BadInput.
    """
    with conn.transaction():
        found = gateways.settings(conn, tenant_id=tenant_id, name=gateway)
        domain = domain or found.host
        auth_username, auth_realm = auth_username or username, auth_realm or domain
        trunk = TrunkSettings(
            gateway_id=found.gateway_id,
            username=username,
            domain=domain,
            auth_username=auth_username,
            auth_realm=auth_realm,
            auth_ha1=_carrier_ha1(auth_username, auth_realm, password),
            **settings,
        )
        db.execute(conn, SQL["add_trunk"], **vars(trunk))
        return find(conn, tenant_id=tenant_id, gateway=gateway)


def change(conn: Conn, *, tenant_id: int, gateway: str, password: str | None = None, **changes: Any) -> Trunk:
    """Change fields of TrunkSettings; auth_username and auth_realm only together with the password.

    Raises NotFound, BadInput.
    """
    with conn.transaction():
        before = settings(conn, tenant_id=tenant_id, gateway=gateway)
        after = replace(before, **changes)
        if password is not None:
            after = replace(after, auth_ha1=_carrier_ha1(after.auth_username, after.auth_realm, password))
        elif (after.auth_username, after.auth_realm) != (before.auth_username, before.auth_realm):
            raise BadInput(
                "user name and realm of the digest are part of what is stored: give the password too"
            )
        db.execute(conn, SQL["set_trunk"], **vars(after))
        return find(conn, tenant_id=tenant_id, gateway=gateway)


def settings(conn: Conn, *, tenant_id: int, gateway: str) -> TrunkSettings:
    """Return what is configured about a trunk and lock it for this transaction; raises NotFound."""
    found = db.fetch_one(conn, TrunkSettings, SQL["trunk_settings"], tenant_id=tenant_id, gateway=gateway)
    return db.require(found, "trunk for gateway", gateway)


def remove(conn: Conn, *, tenant_id: int, gateway: str) -> None:
    """Give up the registration at a carrier; the gateway stays. Raises NotFound."""
    with conn.transaction():
        trunk = settings(conn, tenant_id=tenant_id, gateway=gateway)
        db.execute(conn, SQL["remove_trunk"], trunk_id=trunk.trunk_id)


def _carrier_ha1(username: str, realm: str, password: str) -> str:
    """The carrier chose the password, so it is not judged; only an empty one is a mistake. uac knows MD5 only."""
    if not password:
        raise BadInput("the password is empty")
    return ha1(username, realm, password).md5
