"""SIP domains; each belongs to one tenant. Names are kept in lower case, as DNS compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kalibri import db
from kalibri.db import Conn

SQL = db.statements("domain")


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A domain of a tenant."""

    tenant_id: int
    #: Name of the tenant.
    tenant: str
    domain_id: int
    name: str
    #: How many accounts may register in it.
    accounts: int


def list_domains(conn: Conn, *, tenant_id: int | None) -> list[Domain]:
    """Return the domains of a tenant; None: of all."""
    return db.fetch_all(conn, Domain, SQL["list_domains"], tenant_id=tenant_id)


def find(conn: Conn, *, tenant_id: int, name: str) -> Domain:
    """Return one domain of a tenant; raises NotFound, also for another tenant's."""
    found = db.fetch_one(conn, Domain, SQL["find_domain"], tenant_id=tenant_id, name=name.lower())
    return db.require(found, "domain", name)


def add(conn: Conn, *, tenant_id: int, names: Sequence[str]) -> None:
    """Add domains to a tenant, all or none; raises AlreadyExists (whoever has it), BadInput, NotFound."""
    with conn.transaction():
        db.execute(conn, SQL["add_domains"], tenant_id=tenant_id, names=[name.lower() for name in names])


def remove(conn: Conn, *, tenant_id: int, name: str) -> None:
    """Remove a domain; raises NotFound, StillInUse while accounts may register in it."""
    domain = find(conn, tenant_id=tenant_id, name=name)
    with conn.transaction():
        db.execute(conn, SQL["remove_domain"], tenant_id=tenant_id, domain_id=domain.domain_id)
