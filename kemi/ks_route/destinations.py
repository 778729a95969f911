"""What the destination of the route that was taken becomes: gateways in order, an account, a service, a reply.

Decides caller-ID substitution and the order of gateways (by callcore.gateway); writes the gateways into the trace.
Pure: every fact is in `world`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from callcore.gateway import Gateway, GatewayOrder, OrderWishes, order_gateways
from callcore.sip import SipCode
from callcore.value import value
from kemi.ks_route.model import (
    SERVICE_KINDS,
    Decision,
    DestinationKind,
    GatewayTarget,
    NumberRecord,
    NumberRegion,
    RedirectCall,
    RejectCall,
    RelayToAccount,
    RelayToGateways,
    RelayToUri,
    RouteRequest,
    RouteRow,
    ToService,
    World,
)
from kemi.ks_route.options import RouteOptions
from kemi.ks_route.trace import GatewayTrace, Trace

#: "486" or "486 Busy Here".
REJECT = re.compile(r"([3-6][0-9]{2})(?: (.{1,100}))?", re.ASCII)


@value
class Chosen:
    """What has been decided of a call so far."""

    #: With the numbers as the masks left them.
    request: RouteRequest
    hops: tuple[int, ...]
    options: RouteOptions
    #: Region and operator of the B number as it is now.
    place: NumberRegion | None

    def common(self, *, a_sent: str | None = None, reason: str = "") -> dict[str, Any]:
        """Return the fields that every decision carries."""
        return {
            "hops": self.hops,
            "tenant_id": self.request.tenant_id,
            "a_sent": self.request.a_number if a_sent is None else a_sent,
            "b_sent": self.request.b_number,
            "options": self.options,
            "b_region": self.place.region if self.place else None,
            "b_operator": self.place.operator if self.place else None,
            "emergency": bool(self.options.emergency),
            "reason": reason,
        }

    def reject(self, code: int, reason: str, phrase: str = "") -> RejectCall:
        """Return a rejection."""
        return RejectCall(code=int(code), phrase=phrase, **self.common(reason=reason))


def inventory_destination(record: NumberRecord) -> RouteRow | None:
    """Return the number inventory's destination as the route it stands for; None if the number leads nowhere."""
    if record.destination_kind is None or record.tenant_id is None:
        return None
    return RouteRow(
        route_id=0,
        tenant_id=record.tenant_id,
        priority=Decimal(0),
        destination_kind=record.destination_kind,
        destination=record.destination,
    )


def arrive(chosen: Chosen, row: RouteRow, world: World, trace: Trace | None, *, reason: str = "") -> Decision:
    """Return the decision that the destination of `row` stands for."""
    kind, value = row.destination_kind, row.destination
    if kind in (DestinationKind.GATEWAY, DestinationKind.GROUP):
        return _gateways(chosen, row, world, trace)
    if kind is DestinationKind.ACCOUNT:
        return _account(chosen, value or chosen.request.b_number, world, reason)
    a_sent = caller_id(chosen, world)
    if kind is DestinationKind.URI:
        return RelayToUri(uri=value, **chosen.common(a_sent=a_sent, reason=reason))
    if kind in SERVICE_KINDS:
        return ToService(kind=kind, name=value, **chosen.common(a_sent=a_sent, reason=reason))
    if kind is DestinationKind.REDIRECT:
        contacts = tuple(part.strip() for part in value.split(",") if part.strip())
        return RedirectCall(contacts=contacts, **chosen.common(reason=reason))
    match = REJECT.fullmatch(value)
    if kind is DestinationKind.REJECT and match:
        return chosen.reject(int(match[1]), reason or f"route {row.route_id} rejects", match[2] or "")
    return chosen.reject(SipCode.SERVER_ERROR, f"route {row.route_id} has no usable destination")


def _account(chosen: Chosen, username: str, world: World, reason: str) -> Decision:
    if not world.account_exists(chosen.request.tenant_id, username):
        return chosen.reject(SipCode.NOT_FOUND, f"there is no account {username}")
    return RelayToAccount(username=username, **chosen.common(a_sent=caller_id(chosen, world), reason=reason))


def caller_id(chosen: Chosen, world: World) -> str:
    """Return the A number to show: of the route, of its caller-ID set by region, or as the masks left it."""
    options, request = chosen.options, chosen.request
    if options.caller_id is not None:
        return options.caller_id
    if options.caller_id_set is not None:
        region = chosen.place.region if chosen.place else None
        number = world.system.caller_id(request.tenant_id, options.caller_id_set, region)
        if number is not None:
            return number
    return request.a_number


def _external_caller_id(chosen: Chosen, world: World) -> str:
    """Return the A number to show to a gateway: an account's own number stands for its user name."""
    number = caller_id(chosen, world)
    request = chosen.request
    if number == request.account and request.account_caller_number:
        return request.account_caller_number
    return number


def _gateways(chosen: Chosen, row: RouteRow, world: World, trace: Trace | None) -> Decision:
    members = list(_members(row, world))
    what = f"{row.destination_kind.value} {row.destination}"
    if not members:
        return chosen.reject(SipCode.SERVICE_UNAVAILABLE, f"{what} does not exist, is disabled or is empty")
    wishes = OrderWishes(
        group_order=chosen.options.group_order or "cost",
        preferred=_preferred(chosen, row, world),
        local_region=chosen.place.region if chosen.options.local_provider and chosen.place else None,
        expected_call_seconds=world.expected_call_seconds,
        emergency=bool(chosen.options.emergency),
    )
    number = chosen.request.b_number
    order = order_gateways(members, number, world.gateway_state, wishes, seed=chosen.request.call_id)
    if trace is not None:
        trace.gateways.extend(_traced(order, world))
    if not order.choices:
        reasons = "; ".join(f"{entry.name}: {entry.reason}" for entry in order.skipped)
        return chosen.reject(
            SipCode.SERVICE_UNAVAILABLE, f"no gateway of {what} can take the call ({reasons})"
        )
    targets = tuple(
        GatewayTarget(
            gateway=choice.gateway, cost=choice.cost, currency=choice.currency, weight=choice.weight
        )
        for choice in order.choices
    )
    common = chosen.common(a_sent=_external_caller_id(chosen, world))
    return RelayToGateways(targets=targets, skipped=order.skipped, **common)


def _preferred(chosen: Chosen, row: RouteRow, world: World) -> tuple[frozenset[int], ...]:
    """Return the gateways that come first: those that the call wishes, then those that the route prefers.

    A wish changes the order only: what the route does not lead to is not tried.
    """
    request, option = chosen.request, chosen.options.prefer_gateway
    wishes = ((request.tenant_id, request.wish), (row.tenant_id, option or ""))
    return tuple(world.system.gateways_called(tenant_id, name) for tenant_id, name in wishes if name)


def _members(row: RouteRow, world: World) -> Iterable[tuple[Gateway, int]]:
    system = world.system
    if row.destination_kind is DestinationKind.GATEWAY:
        gateway = system.gateway(row.tenant_id, row.destination)
        return () if gateway is None else ((gateway, 1),)
    group = system.group(row.tenant_id, row.destination)
    if group is None:
        return ()
    return [
        (system.gateways[member.gateway_id], member.weight)
        for member in group.members
        if member.gateway_id in system.gateways
    ]


def _traced(order: GatewayOrder, world: World) -> Iterable[GatewayTrace]:
    for place, choice in enumerate(order.choices, 1):
        state = world.gateway_state(choice.gateway.gateway_id)
        yield GatewayTrace(
            gateway_id=choice.gateway.gateway_id,
            name=choice.gateway.name,
            place=place,
            weight=choice.weight,
            cost=choice.cost,
            currency=choice.currency,
            up=state.up,
            calls=state.calls,
            reason=choice.note,
        )
    for entry in order.skipped:
        state = world.gateway_state(entry.gateway_id)
        yield GatewayTrace(
            gateway_id=entry.gateway_id,
            name=entry.name,
            place=None,
            weight=entry.weight,
            cost=entry.cost,
            currency=entry.currency,
            up=state.up,
            calls=state.calls,
            reason=entry.reason,
        )
