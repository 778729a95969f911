"""A gateway that a call would like best: a campaign's or a lead's provider. Pure.

Routes decide which gateways a number may go to; a wish only changes the order in which those are tried.
"""

from __future__ import annotations

from dataclasses import replace

from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.model import Decision, RelayToGateways


def prefer(decision: Decision, wish: str, tenant_id: int | None, system: SystemFacts) -> Decision:
    """Return the decision with the gateways of this name (a gateway or a group, of the tenant or of all) first.

    The others follow in their order. Whatever is not among the gateways of the route is not tried.
    """
    if not wish or not isinstance(decision, RelayToGateways):
        return decision
    wanted = _gateways(wish, tenant_id, system)
    targets = tuple(sorted(decision.targets, key=lambda target: target.gateway_id not in wanted))
    return decision if targets == decision.targets else replace(decision, targets=targets)


def _gateways(wish: str, tenant_id: int | None, system: SystemFacts) -> frozenset[int]:
    """Return the gateways that a name means: the tenant's own before those of all (tenant 0)."""
    for owner in (tenant_id or 0, 0):
        if (gateway := system.gateway_names.get((owner, wish))) is not None:
            return frozenset({gateway.gateway_id})
        if (group := system.group_names.get((owner, wish))) is not None:
            return frozenset(member.gateway_id for member in group.members)
    return frozenset()
