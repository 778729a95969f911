"""Where a queue call goes that leaves its queue, or whose agent is a number: asks ks_route, as for any call. Shell."""

from __future__ import annotations

from decimal import Decimal

from kemi.ks_acd.model import QueueCall
from kemi.ks_acd.steps import Leave
from kemi.ks_route.decide import decide
from kemi.ks_route.destinations import Chosen, arrive
from kemi.ks_route.model import Decision, DestinationKind, Direction, RouteRequest, RouteRow
from kemi.ks_route.options import NO_OPTIONS
from kemi.routing_facts import make_world
from kemi.tenancy import tenant_by_id
from kemi.worker import Worker


def number_decision(worker: Worker, call: QueueCall, number: str, call_id: str) -> Decision:
    """Return where the routes send a call of this queue to a number."""
    request = _request(worker, call.tenant_id, call.caller, number, call_id)
    return decide(request, worker.directory.routes, make_world(worker))


def destination(worker: Worker, call: QueueCall, step: Leave, call_id: str) -> Decision | None:
    """Return what the overflow target stands for; None for a kind that nobody knows."""
    if step.to_kind == "number":
        return number_decision(worker, call, step.to, call_id)
    try:
        kind = DestinationKind(step.to_kind or "")
    except ValueError:
        return None
    row = RouteRow(
        route_id=0,
        tenant_id=call.tenant_id,
        priority=Decimal(0),
        destination_kind=kind,
        destination=step.to,
    )
    request = _request(worker, call.tenant_id, call.caller, step.to, call_id)
    chosen = Chosen(request, (), NO_OPTIONS, None)
    return arrive(chosen, row, make_world(worker), None, reason=f"queue {call.queue_name}: {step.reason}")


def _request(worker: Worker, tenant_id: int, caller: str, number: str, call_id: str) -> RouteRequest:
    tenant = tenant_by_id(worker.directory.system, tenant_id)
    realm = tenant.realm if tenant is not None else ""
    return RouteRequest(
        tenant_id=tenant_id,
        direction=Direction.APPLICATION,
        a_number=caller,
        a_host=realm,
        b_number=number,
        b_host=realm,
        call_id=call_id,
    )
