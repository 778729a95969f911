"""Methods domain.*: SIP domains of tenants."""

from __future__ import annotations

from api.method import Method, Scope, Tenancy
from kalibri.services import domain as domains

METHODS = (
    Method("domain.list", domains.list_domains, Scope.READ, Tenancy.FILTER),
    # A domain is a name on the net: the operator gives it, a tenant cannot take one.
    Method("domain.add", domains.add, Scope.ADMIN, Tenancy.SYSTEM),
    Method("domain.rm", domains.remove, Scope.ADMIN, Tenancy.SYSTEM),
)
