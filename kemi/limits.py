"""Calls at once per tenant, account, route and gateway. An emergency call (mission A7) passes each.

A dialog enters its profiles first and is counted then, so that two INVITEs in two workers cannot both see the last
free place: at the limit at most one too many is refused, never one too many accepted.
"""

from __future__ import annotations

from kemi.account_record import AccountRecord
from kemi.ks_route.model import Decision
from kemi.tenancy import Tenant, tenant_by_id
from kemi.worker import Worker


def enter(
    worker: Worker, decision: Decision, *, account: AccountRecord | None, tenant: Tenant | None
) -> str | None:
    """Count the call in; return which limit it breaks, or None."""
    tenant = tenant or tenant_by_id(worker.directory.system, decision.tenant_id)
    places: list[tuple[str, str, int | None]] = []
    if tenant is not None:
        places.append(("tenant", str(tenant.tenant_id), tenant.max_calls))
    if account is not None:
        places.append(("account", f"{account.tenant_id}:{account.username}", account.max_calls))
    last_route = decision.hops[-1] if decision.hops else None
    if last_route is not None:
        places.append(("route", str(last_route), decision.options.max_calls))
    for profile, value, _ in places:
        worker.port.enter(profile, value)
    if decision.emergency:
        return None
    for profile, value, limit in places:
        if limit is not None and worker.port.count(profile, value) > limit:
            return f"limit of {limit} calls of {profile} {value}"
    return None
