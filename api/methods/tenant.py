"""Methods tenant.*: paying organisations. For the system; a tenant sees itself."""

from __future__ import annotations

from dataclasses import replace

from api.method import Context, Fields, Method, Scope, Tenancy
from callcore.errors import NotFound
from kalibri.services import tenant as tenants
from kalibri.services.tenant import Tenant

CHANGES = Fields(Tenant, without=("tenant_id", "name", "created_at", "accounts"))


def show(context: Context, *, name: str | None = None) -> Tenant:
    """Return one tenant; a tenant's token sees its own. Raises NotFound."""
    own = context.principal.tenant
    if not context.principal.is_system and name not in (None, own):
        raise NotFound(f'there is no tenant "{name}"')
    return replace(tenants.find(context.conn, name=name or own))


METHODS = (
    Method("tenant.list", tenants.list_tenants, Scope.READ, Tenancy.SYSTEM),
    Method("tenant.show", show, Scope.READ, Tenancy.ROWS),
    Method("tenant.add", tenants.add, Scope.ADMIN, Tenancy.SYSTEM),
    Method("tenant.set", tenants.change, Scope.ADMIN, Tenancy.SYSTEM, CHANGES),
    Method("tenant.rm", tenants.remove, Scope.ADMIN, Tenancy.SYSTEM),
)
