"""Tenants and their things for tests that need some to be there."""

from __future__ import annotations

from typing import Any

from kalibri.db import Conn
from kalibri.services import account, domain, tenant

PASSWORD = "correct horse battery"


def make_tenant(conn: Conn, name: str, *domains: str) -> int:
    """Make a tenant whose realm is its name, with domains (default: <name>.example); return its id."""
    tenant_id = tenant.add(conn, name=name).tenant_id
    domain.add(conn, tenant_id=tenant_id, names=domains or [f"{name}.example"])
    return tenant_id


def make_account(conn: Conn, tenant_id: int, username: str, **settings: Any) -> account.Account:
    """Make an account with a good password."""
    return account.add(conn, tenant_id=tenant_id, username=username, password=PASSWORD, **settings)
