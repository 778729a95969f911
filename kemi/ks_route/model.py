"""The words of routing: rows, requests, the facts a decision needs, and the decisions.

Decides nothing and reads nothing: plain frozen values that the index, the decision, the shells and the
tests share. `kemi.ks_route.decide.decide(request, table, world)` turns a request into one decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from callcore.gateway import Gateway, GatewayState, SkippedGateway
from callcore.value import value
from kemi.ks_route.facts import SystemFacts
from kemi.ks_route.options import NO_OPTIONS, RouteOptions

#: `priority` is numeric(12,4): this many steps a unit, so that order keys are plain integers.
PRIORITY_STEPS = 10_000


class Direction(StrEnum):
    """Where a call comes from (SQL enum route_direction)."""

    #: A registered account, authenticated by digest.
    ACCOUNT = "account"
    #: A gateway, known by address or by trunk registration.
    GATEWAY = "gateway"
    #: One of our own media hosts.
    APPLICATION = "application"


class DestinationKind(StrEnum):
    """What a route leads to (SQL enum destination_kind)."""

    #: A SIP URI, relayed as it stands.
    URI = "uri"
    #: One gateway, by name.
    GATEWAY = "gateway"
    #: A gateway group: cost, weight, capacity and health order it.
    GROUP = "group"
    #: An account of the tenant, by user name; the empty destination is the B number itself.
    ACCOUNT = "account"
    #: A queue (call distribution).
    QUEUE = "queue"
    #: An IVR scenario.
    IVR = "ivr"
    #: A prompt is played, then the call ends.
    ANNOUNCEMENT = "announcement"
    #: A callback request is left.
    CALLBACK = "callback"
    #: The answer of a campaign call.
    CAMPAIGN = "campaign"
    #: A final response: "486" or "486 Busy Here".
    REJECT = "reject"
    #: 302 with these contacts, separated by commas.
    REDIRECT = "redirect"
    #: Only rewrite, then look for a further route.
    NEXT = "next"


#: Destinations that a later part of the system serves.
SERVICE_KINDS = frozenset(
    {
        DestinationKind.QUEUE,
        DestinationKind.IVR,
        DestinationKind.ANNOUNCEMENT,
        DestinationKind.CALLBACK,
        DestinationKind.CAMPAIGN,
    }
)


class PatternClass(StrEnum):
    """How a pattern is matched (SQL enum pattern_class); decided when the route is saved."""

    #: The field is not looked at.
    NONE = "none"
    #: Literal prefixes and digit counts: no regex engine.
    SIMPLE = "simple"
    #: Provably tame: Python re with re.ASCII.
    RE = "re"
    #: Risky for backtracking: RE2, linear time.
    RE2 = "re2"


@value(kw_only=True)
class RouteRow:
    """One row of table `route`, as far as it matters for a decision."""

    route_id: int
    #: 0 is the system: its routes apply to every tenant.
    tenant_id: int
    #: Small first; equal priorities are ordered by route_id. At most four decimals.
    priority: Decimal
    enabled: bool = True
    #: Empty: calls from anywhere.
    directions: tuple[Direction, ...] = ()
    #: Regular expressions with the search semantics of Python re; None: not looked at.
    a_pattern: str | None = None
    a_host_pattern: str | None = None
    b_pattern: str | None = None
    b_host_pattern: str | None = None
    #: Region and operator of the B number (national number-range registry), exactly these; None: any.
    b_region: str | None = None
    b_operator: str | None = None
    schedule_id: int | None = None
    #: Regex substitution on the A and B number; both parts or none.
    a_mask_pattern: str | None = None
    a_mask_replacement: str | None = None
    b_mask_pattern: str | None = None
    b_mask_replacement: str | None = None
    destination_kind: DestinationKind
    destination: str = ""
    #: As stored; `kemi.ks_route.options.parse_options` gives the typed set.
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    @property
    def order(self) -> tuple[int, int]:
        """Return the place in the matching order: (priority in steps, route id)."""
        return int(self.priority * PRIORITY_STEPS), self.route_id


@value(kw_only=True)
class RouteRequest:
    """One call that wants a way: what the shell read from the INVITE."""

    tenant_id: int
    direction: Direction
    #: User part of the caller's URI.
    a_number: str
    #: Host part of the caller's URI.
    a_host: str
    #: User part of the Request-URI.
    b_number: str
    b_host: str
    source_gateway_id: int | None = None
    #: User name of the calling account.
    account: str | None = None
    #: Shown to gateways when no route substitutes another A number (account.caller_number).
    account_caller_number: str | None = None
    #: X-KS-Call; seeds the weighted order of gateways, so that a decision can be repeated.
    call_id: str = ""
    #: Gateway or group of gateways that the call would like best (a campaign's or lead's provider); "": none.
    wish: str = ""


@value
class NumberRecord:
    """What the number inventory knows of one public number."""

    number: str
    #: free, reserved, assigned or ported.
    state: str
    tenant_id: int | None
    destination_kind: DestinationKind | None = None
    destination: str = ""
    gateway_id: int | None = None


@value
class NumberRegion:
    """What the number-range registry knows of one number."""

    region: str
    operator: str


def _nothing(_key: str) -> None:
    return None


def _no_account(_tenant_id: int, _username: str) -> bool:
    return False


def _healthy(_gateway_id: int) -> GatewayState:
    return GatewayState()


def _no_calls(_route_id: int) -> int:
    return 0


@value(kw_only=True)
class World:
    """Facts beside the request. Everything that can change is an argument, time included."""

    #: Aware.
    now: datetime
    #: Tenants, gateways, groups, schedules, caller ids (system.*.json).
    system: SystemFacts
    #: Inventory record of an E.164 number (digits), or None.
    number: Callable[[str], NumberRecord | None] = _nothing
    #: Whether a tenant has an enabled account of this user name.
    account_exists: Callable[[int, str], bool] = _no_account
    #: Registry entry of an E.164 number (digits), or None.
    region: Callable[[str], NumberRegion | None] = _nothing
    gateway_state: Callable[[int], GatewayState] = _healthy
    #: Calls in progress through a route (option max_calls).
    route_calls: Callable[[int], int] = _no_calls
    #: Costs are compared for a call of this length.
    expected_call_seconds: int = 180
    #: Numbers in national form are brought to E.164 with it.
    home_country_code: str = "7"


@value(kw_only=True)
class Decision:
    """What to do with the call; the fields that every decision carries."""

    #: Ids of the routes that were taken, in order; empty if none matched.
    hops: tuple[int, ...] = ()
    #: The tenant whose destination was chosen.
    tenant_id: int
    #: A and B number after masks and caller-ID substitution.
    a_sent: str
    b_sent: str
    #: Options of all hops together; a later hop overrides an earlier one.
    options: RouteOptions = NO_OPTIONS
    b_region: str | None = None
    b_operator: str | None = None
    #: The call passes every limit (mission A7).
    emergency: bool = False
    #: Plain words beside the decision (inventory, account fallback ...).
    reason: str = ""
    #: Who wants the call recorded: route or account; empty: nobody.
    recorded_by: str = ""
    #: The caller hides his number from the called.
    hidden: bool = False


@value(kw_only=True)
class GatewayTarget:
    """One gateway to try."""

    gateway: Gateway
    #: Price of a call of the expected length; None: no rate is known for this number.
    cost: Decimal | None
    currency: str | None
    weight: int

    @property
    def gateway_id(self) -> int:
        """Return the id of the gateway."""
        return self.gateway.gateway_id

    @property
    def name(self) -> str:
        """Return the name of the gateway."""
        return self.gateway.name

    @property
    def host(self) -> str:
        """Return the host to send to."""
        return self.gateway.host

    @property
    def port(self) -> int:
        """Return the port to send to."""
        return self.gateway.port

    @property
    def transport(self) -> str:
        """Return udp, tcp or tls."""
        return self.gateway.transport


@value(kw_only=True)
class RelayToGateways(Decision):
    """Try these gateways in this order; never empty."""

    targets: tuple[GatewayTarget, ...]
    #: Members of the group that are not tried, with the reason.
    skipped: tuple[SkippedGateway, ...] = ()


@value(kw_only=True)
class RelayToAccount(Decision):
    """Ring the registered contacts of an account of `tenant_id`."""

    username: str
    #: Further accounts that ring at the same time: members of a hunt group, of a call that comes from another proxy.
    also: tuple[str, ...] = ()


@value(kw_only=True)
class RelayToUri(Decision):
    """Relay to this SIP URI."""

    uri: str


@value(kw_only=True)
class ToService(Decision):
    """Hand the call to a queue, IVR, announcement, callback or campaign of `tenant_id`."""

    kind: DestinationKind
    name: str


@value(kw_only=True)
class RejectCall(Decision):
    """Answer with this final response; `reason` says why."""

    code: int
    #: Reason phrase of the response; empty: the usual one of the code.
    phrase: str = ""


@value(kw_only=True)
class RedirectCall(Decision):
    """Answer 302 with these contacts."""

    contacts: tuple[str, ...]
