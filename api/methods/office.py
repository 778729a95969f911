"""Methods office.*: virtual offices. They take numbers of the inventory, so they are the system's."""

from __future__ import annotations

from api.method import Context, Method, Scope, Tenancy
from kalibri.services import office
from kalibri.services.office import Made


def create(context: Context, *, tenant_id: int, source: str, dry_run: bool = False) -> list[Made]:
    """Make what a YAML text describes, all or nothing, and return it with the passwords of new accounts.

    dry_run: only tell what would be made. Raises BadOffice, OfficeRefused, AlreadyExists, each with the line.
    """
    return office.create(
        context.conn,
        context.config,
        tenant_id=tenant_id,
        source=source,
        by=context.principal.actor,
        dry_run=dry_run,
    )


def remove(context: Context, *, tenant_id: int, name: str) -> list[Made]:
    """Take away what was made for an office, and return it. Raises NotFound, StillInUse."""
    return office.remove(context.conn, context.config, tenant_id=tenant_id, name=name)


METHODS = (
    Method("office.list", office.list_offices, Scope.READ, Tenancy.FILTER),
    Method("office.show", office.find, Scope.READ, Tenancy.ONE),
    Method("office.create", create, Scope.ADMIN, Tenancy.SYSTEM, one_transaction=False),
    Method("office.rm", remove, Scope.ADMIN, Tenancy.SYSTEM, one_transaction=False),
)
