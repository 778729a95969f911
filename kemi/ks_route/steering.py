"""Gateways that a call of the dialler keeps away from, because they fail, and the one that it probes. Pure.

Routes decide which gateways a number may go to; one that rests is not tried.
"""

from __future__ import annotations

from dataclasses import fields, replace

from callcore.sip import SipCode
from kemi.ks_route.model import Decision, RejectCall, RelayToGateways

#: What every decision carries.
_COMMON = tuple(entry.name for entry in fields(Decision))


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
