"""Gateways that a call of the dialler would like best, and those that it keeps away from. Pure.

Routes decide which gateways a number may go to; a wish changes the order in which those are tried, and one that rests
because it fails is not tried.
"""

from __future__ import annotations

from dataclasses import fields, replace

from callcore.sip import SipCode
from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.model import Decision, RejectCall, RelayToGateways

#: What every decision carries.
_COMMON = tuple(entry.name for entry in fields(Decision))


def prefer(decision: Decision, wish: str, tenant_id: int | None, system: SystemFacts) -> Decision:
    """Return the decision with the gateways of this name (a gateway or a group, of the tenant or of all) first.

    The others follow in their order. Whatever is not among the gateways of the route is not tried.
    """
    if not wish or not isinstance(decision, RelayToGateways):
        return decision
    wanted = _gateways(wish, tenant_id, system)
    targets = tuple(sorted(decision.targets, key=lambda target: target.gateway_id not in wanted))
    return decision if targets == decision.targets else replace(decision, targets=targets)


def steer(decision: Decision, *, avoid: str = "", probe: str = "") -> Decision:
    """Return the decision without the gateways to avoid (ids with commas), and the one to probe (an id) first.

    When nothing is left the call is refused by 503: the dialler tries again when they have rested.
    """
    if not (avoid or probe) or not isinstance(decision, RelayToGateways):
        return decision
    avoided = {int(part) for part in avoid.split(",") if part.isdecimal()}
    left = [target for target in decision.targets if target.gateway_id not in avoided]
    if not left:
        names = ", ".join(target.name for target in decision.targets)
        common = {name: getattr(decision, name) for name in _COMMON} | {
            "reason": f"the dialler lets {names} rest"
        }
        return RejectCall(code=int(SipCode.SERVICE_UNAVAILABLE), **common)
    left.sort(key=lambda target: str(target.gateway_id) != probe)
    return replace(decision, targets=tuple(left))


def _gateways(wish: str, tenant_id: int | None, system: SystemFacts) -> frozenset[int]:
    """Return the gateways that a name means: the tenant's own before those of all (tenant 0)."""
    for owner in (tenant_id or 0, 0):
        if (gateway := system.gateway_names.get((owner, wish))) is not None:
            return frozenset({gateway.gateway_id})
        if (group := system.group_names.get((owner, wish))) is not None:
            return frozenset(member.gateway_id for member in group.members)
    return frozenset()
