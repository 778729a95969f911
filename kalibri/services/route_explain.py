"""Where would this call go, and why: one decision of the proxy's own core on the proxy's own index files.

Decides nothing itself: it builds the request as the proxy would and hands it to kemi.ks_route.decide with a
trace. What only the running proxy knows (calls in progress, penalties) is not known here; health comes from
the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from callcore.errors import NotFound, Unavailable
from callcore.gateway import Gateway, GatewayState
from callcore.states import GatewayHealth, RegistrationState
from kalibri.config_sections import RoutingConfig
from kalibri.db import Conn
from kalibri.services import gateway as gateways
from kemi.directory import Directory
from kemi.ks_route.decide import decide
from kemi.ks_route.facts import SYSTEM_TENANT
from kemi.ks_route.model import Decision, Direction, RouteRequest, World
from kemi.ks_route.options import RouteOptions
from kemi.ks_route.trace import Trace

#: Host of a caller or callee that nobody named and whose tenant has no domain.
NO_HOST = "unknown.invalid"

GatewayStates = Callable[[int], GatewayState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call that is not made."""

    #: As dialled.
    b_number: str
    a_number: str = "anonymous"
    #: Name of the tenant; None: whose gateway it is, or who owns the number.
    tenant: str | None = None
    a_host: str | None = None
    b_host: str | None = None
    #: None: from a gateway if one is named, else from an account.
    direction: Direction | None = None
    #: Name of the gateway that it comes from.
    gateway: str | None = None
    #: When; None: now. Without a zone: in the tenant's.
    at: datetime | None = None
    #: Seeds the weighted order of gateways, as a call id does.
    call_id: str = "route-test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would happen, and why."""

    tenant: str
    request: RouteRequest
    at: datetime
    decision: Decision
    trace: Trace
    #: Of the index that answered.
    generation: int
    index_seq: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values for json.dumps."""
        request = {name: _plain(value) for name, value in _fields(self.request).items()}
        return {
            "tenant": self.tenant,
            "at": self.at.isoformat(),
            "request": request,
            **self.trace.to_json(),
            "decision": decision_json(self.decision),
            "generation": self.generation,
            "index_seq": self.index_seq,
        }


def decision_json(decision: Decision) -> dict[str, Any]:
    """Return a decision as plain values; `kind` is what it does."""
    values = {name: _plain(value) for name, value in _fields(decision).items()}
    return {"kind": type(decision).__name__, **values}


def _fields(value: Any) -> dict[str, Any]:
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, RouteOptions):
        return value.to_json()
    if isinstance(value, Gateway):
        return value.name
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(entry) for name, entry in _fields(value).items()}
    return value


def explain(
    directory: Directory,
    question: Question,
    *,
    now: datetime,
    routing: RoutingConfig,
    gateway_state: GatewayStates,
) -> Explanation:
    """Decide about a call that is not made; raises Unavailable without an index, NotFound for unknown names."""
    if directory.generation == 0:
        raise Unavailable(
            f"there is no index yet: is ks-index running? ({directory.last_error})".replace(" ()", "")
        )
    request = _request(directory, question)
    facts = directory.system.tenants.get(request.tenant_id)
    zone: tzinfo = ZoneInfo(facts.time_zone if facts else "UTC")
    at = question.at or now
    at = at.replace(tzinfo=zone) if at.tzinfo is None else at.astimezone(zone)
    world = World(
        now=at,
        system=directory.system,
        number=directory.number,
        account_exists=directory.account_exists,
        region=directory.region,
        gateway_state=gateway_state,
        expected_call_seconds=routing.expected_call_seconds,
        home_country_code=routing.home_country_code,
    )
    trace = Trace()
    decision = decide(request, directory.routes, world, trace=trace)
    return Explanation(
        tenant=facts.name if facts else str(request.tenant_id),
        request=request,
        at=at,
        decision=decision,
        trace=trace,
        generation=directory.generation,
        index_seq=directory.seq,
    )


def _request(directory: Directory, question: Question) -> RouteRequest:
    """Build what the proxy would build from such an INVITE."""
    tenant_id = None if question.tenant is None else _tenant_id(directory, question.tenant)
    gateway = None
    if question.gateway is not None:
        gateway = directory.system.gateway(tenant_id or SYSTEM_TENANT, question.gateway)
        if gateway is None:
            raise NotFound(f'the index has no gateway "{question.gateway}"')
    if tenant_id is None:
        tenant_id = (gateway and gateway.tenant_id) or _owner(directory, question.b_number)
    direction = question.direction or (Direction.ACCOUNT if gateway is None else Direction.GATEWAY)
    account = None
    if direction is Direction.ACCOUNT:
        account = directory.account(tenant_id, question.a_number)
    host = _first_domain(directory, tenant_id)
    return RouteRequest(
        tenant_id=tenant_id,
        direction=direction,
        a_number=question.a_number,
        a_host=question.a_host or (gateway.host if gateway else host),
        b_number=question.b_number,
        b_host=question.b_host or host,
        source_gateway_id=gateway.gateway_id if gateway else None,
        account=account.username if account else None,
        account_caller_number=account.caller_number if account else None,
        call_id=question.call_id,
    )


def _tenant_id(directory: Directory, name: str) -> int:
    for tenant_id, facts in directory.system.tenants.items():
        if facts.name == name:
            return tenant_id
    raise NotFound(f'the index has no tenant "{name}" (or it is out of use)')


def _owner(directory: Directory, number: str) -> int:
    """Return whose the called number is, as the proxy asks for a gateway of the system; 0: nobody's."""
    record = directory.number(number.removeprefix("+"))
    return (record.tenant_id or SYSTEM_TENANT) if record is not None else SYSTEM_TENANT


def _first_domain(directory: Directory, tenant_id: int) -> str:
    domains = sorted(name for name, owner in directory.system.domains.items() if owner == tenant_id)
    return domains[0] if domains else NO_HOST


def stored_states(conn: Conn) -> GatewayStates:
    """Return the health of gateways as the database last heard of it."""
    states = {
        entry.gateway_id: GatewayState(up=not _is_down(entry), reason=entry.reason)
        for entry in gateways.list_gateways(conn, tenant_id=None)
    }
    return lambda gateway_id: states.get(gateway_id, GatewayState())


def _is_down(gateway: gateways.Gateway) -> bool:
    return gateway.health is GatewayHealth.DOWN or gateway.registration is RegistrationState.LOST


def assumed_healthy(_gateway_id: int) -> GatewayState:
    """Stand in for the database when it is away."""
    return GatewayState()
