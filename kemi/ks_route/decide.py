"""From a request to a decision: the routes in order, conditions, masks, chains.

The first route in order (priority, then id) whose every condition holds is taken. Its masks rewrite the numbers and
its options add to those of earlier hops. Destination "next" goes on with the routes behind it, "next" with the value
"top" starts again at the first route; at most MAX_HOPS hops, and no route twice. What a destination becomes is decided
in destinations.py. Pure: every fact is in `world`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from callcore.sip import SipCode
from kemi.ks_route.destinations import Chosen, arrive, inventory_destination
from kemi.ks_route.lookup import Routes
from kemi.ks_route.masks import MaskTooLong, compile_mask
from kemi.ks_route.model import (
    Decision,
    DestinationKind,
    Direction,
    NumberRegion,
    RelayToAccount,
    RouteRequest,
    RouteRow,
    World,
)
from kemi.ks_route.options import NO_OPTIONS, RouteOptions, parse_options
from kemi.ks_route.patterns import matcher_for, usable
from kemi.ks_route.syntax import MAX_INPUT
from kemi.ks_route.trace import MAX_LOOKED_AT, HopTrace, LookedAt, Trace

#: Hops of a chain ("next"); more is a mistake in the table.
MAX_HOPS = 8
#: Value of a "next" destination that starts again at the first route.
FROM_THE_TOP = "top"


class _Place:
    """Region and operator of a B number, looked up when first asked for."""

    __slots__ = ("_asked", "_found", "_number", "_world")

    def __init__(self, number: str, world: World) -> None:
        self._number, self._world = number, world
        self._asked = False
        self._found: NumberRegion | None = None

    def __call__(self) -> NumberRegion | None:
        if not self._asked:
            number = e164(self._number, self._world.home_country_code)
            self._asked, self._found = True, None if number is None else self._world.region(number)
        return self._found


@dataclass(slots=True)
class _Walk:
    """How far a call has come along its chain of routes."""

    request: RouteRequest
    place: _Place
    hops: tuple[int, ...] = ()
    options: RouteOptions = NO_OPTIONS
    #: Search on behind this (priority, id); None: from the first route.
    after: tuple[int, int] | None = None
    #: A route that fits but has all its calls: why, for the answer if no other one fits.
    full: str = ""

    def chosen(self) -> Chosen:
        return Chosen(self.request, self.hops, self.options, self.place())

    def take(self, row: RouteRow, world: World) -> None:
        """Go through a route: numbers, options, where to search on. Raises MaskTooLong; then nothing changed."""
        masked = _masked(self.request, row)
        if masked.b_number != self.request.b_number:
            self.place = _Place(masked.b_number, world)
        self.request = masked
        self.hops = (*self.hops, row.route_id)
        self.options = self.options.merged(parse_options(row.options))
        self.after = None if row.destination == FROM_THE_TOP else row.order


def decide(request: RouteRequest, table: Routes, world: World, *, trace: Trace | None = None) -> Decision:
    """Return what to do with the call; with `trace`, also write down what was looked at and why."""
    walk = _Walk(request, _Place(request.b_number, world))
    if not all(map(usable, (request.a_number, request.a_host, request.b_number, request.b_host))):
        reason = f"a number or host is longer than {MAX_INPUT} characters or holds control characters"
        return walk.chosen().reject(SipCode.BAD_REQUEST, reason)
    while True:
        row = _first_match(walk, table, world, trace)
        if row is None:
            return _without_route(walk, world, trace)
        if row.route_id in walk.hops:
            reason = f"route {row.route_id} comes up twice: a loop"
            return walk.chosen().reject(SipCode.LOOP_DETECTED, reason)
        chained = row.destination_kind is DestinationKind.NEXT
        if chained and len(walk.hops) == MAX_HOPS:
            return walk.chosen().reject(SipCode.SERVER_ERROR, f"more than {MAX_HOPS} hops")
        try:
            walk.take(row, world)
        except MaskTooLong:
            reason = f"the mask of route {row.route_id} makes a number too long"
            return walk.chosen().reject(SipCode.BAD_REQUEST, reason)
        if trace is not None:
            trace.hops[-1].a_after, trace.hops[-1].b_after = walk.request.a_number, walk.request.b_number
        if not chained:
            return arrive(walk.chosen(), row, world, trace)


def e164(number: str, home_country_code: str) -> str | None:
    """Return a number as E.164 digits, or None if it is none.

    +7…, 7…: as it is. 8 and ten digits: the national prefix of country 7. Ten digits: a number of the home country.
    """
    digits = number.removeprefix("+")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        return None
    if home_country_code == "7" and len(digits) == 11 and digits[0] == "8" and digits == number:
        return "7" + digits[1:]
    if len(digits) == 10 and digits == number:
        return home_country_code + digits
    return digits


def _first_match(walk: _Walk, table: Routes, world: World, trace: Trace | None) -> RouteRow | None:
    if trace is not None:
        return _traced_match(walk, table, world, trace)
    for row in table.candidates(walk.request, after=walk.after, place=walk.place):
        if (row.schedule_id is None and not row.options) or not _not_now(row, walk, world):
            return row
    return None


def _not_now(row: RouteRow, walk: _Walk, world: World) -> str:
    """Return why a route whose patterns fit is passed over at this moment; a full one is remembered."""
    reason = closed(row, world)
    if not reason and not walk.options.emergency:
        reason = full(row, world)
        if reason and not walk.full:
            walk.full = f"route {row.route_id} is {reason}"
    return reason


def closed(row: RouteRow, world: World) -> str:
    """Return why a route does not apply at this time; empty if it does."""
    if row.schedule_id is None:
        return ""
    schedule = world.system.schedules.get(row.schedule_id)
    if schedule is None:
        return f"its schedule {row.schedule_id} does not exist or cannot be read"
    return "" if schedule.is_open(world.now) else schedule.why_closed(world.now)


def full(row: RouteRow, world: World) -> str:
    """Return how full a route is that takes no further call; empty if it takes one."""
    limit = row.options.get("max_calls")
    if limit is None or row.options.get("emergency"):
        return ""
    calls = world.route_calls(row.route_id)
    return f"full: {calls} of {limit} calls" if calls >= limit else ""


def _traced_match(walk: _Walk, table: Routes, world: World, trace: Trace) -> RouteRow | None:
    """Like the quick search, but tell of every route that shares a key with the call."""
    request, place = walk.request, walk.place()
    hop = HopTrace(a_number=request.a_number, b_number=request.b_number)
    if place is not None:
        hop.b_region, hop.b_operator = place.region, place.operator
    trace.hops.append(hop)
    for row in table.looked_at(request, after=walk.after, place=walk.place):
        reason = why_not(row, request, place) or _not_now(row, walk, world)
        if len(hop.looked_at) < MAX_LOOKED_AT or not reason:
            hop.looked_at.append(_line(row, reason))
        else:
            hop.omitted += 1
        if not reason:
            hop.route_id = row.route_id
            return row
    return None


def _line(row: RouteRow, reason: str) -> LookedAt:
    destination = f"{row.destination_kind.value} {row.destination}".strip()
    return LookedAt(
        route_id=row.route_id,
        tenant_id=row.tenant_id,
        priority=row.priority,
        name=row.name,
        taken=not reason,
        reason=reason or f"matches: {destination}",
    )


def why_not(row: RouteRow, request: RouteRequest, place: NumberRegion | None) -> str:
    """Return why a route does not match a call, leaving the clock aside; empty if it matches."""
    if not row.enabled:
        return "disabled"
    if row.directions and request.direction not in row.directions:
        return f"is for calls from {', '.join(row.directions)}, this one is from {request.direction}"
    for name, pattern, text in (
        ("A number", row.a_pattern, request.a_number),
        ("A host", row.a_host_pattern, request.a_host),
        ("B number", row.b_pattern, request.b_number),
        ("B host", row.b_host_pattern, request.b_host),
    ):
        if pattern and not usable(text):
            return f"{name} is longer than {MAX_INPUT} characters or holds control characters"
        if pattern and not matcher_for(pattern)(text):
            return f"{name} {text!r} does not match {pattern}"
    if row.b_region is not None and (place is None or place.region != row.b_region):
        return f"region of B is {place.region if place else 'unknown'}, not {row.b_region}"
    if row.b_operator is not None and (place is None or place.operator != row.b_operator):
        return f"operator of B is {place.operator if place else 'unknown'}, not {row.b_operator}"
    return ""


def _masked(request: RouteRequest, row: RouteRow) -> RouteRequest:
    """Return the request with the masks of a route applied."""
    a_number, b_number = request.a_number, request.b_number
    if row.a_mask_pattern is not None and row.a_mask_replacement is not None:
        a_number = compile_mask(row.a_mask_pattern, row.a_mask_replacement).apply(a_number)
    if row.b_mask_pattern is not None and row.b_mask_replacement is not None:
        b_number = compile_mask(row.b_mask_pattern, row.b_mask_replacement).apply(b_number)
    if (a_number, b_number) == (request.a_number, request.b_number):
        return request
    return replace(request, a_number=a_number, b_number=b_number)


@dataclass(frozen=True, slots=True)
class _Implicit:
    """Where a call goes that no route takes."""

    decision: Decision
    note: str


def _without_route(walk: _Walk, world: World, trace: Trace | None) -> Decision:
    """Follow the number inventory, then the tenant's own accounts; else 404, or 503 if a full route fits."""
    chosen = walk.chosen()
    implicit = _by_inventory(chosen, world, trace) or _own_account(chosen, world)
    if implicit is None and walk.full:
        implicit = _Implicit(
            chosen.reject(SipCode.SERVICE_UNAVAILABLE, walk.full), f"{walk.full}, no other fits"
        )
    if implicit is None:
        rejected = chosen.reject(SipCode.NOT_FOUND, "no route matches")
        implicit = _Implicit(rejected, "no route, number or account matches")
    if trace is not None:
        trace.notes.append(implicit.note)
    return implicit.decision


def _by_inventory(chosen: Chosen, world: World, trace: Trace | None) -> _Implicit | None:
    request = chosen.request
    number = e164(request.b_number, world.home_country_code)
    record = None if number is None else world.number(number)
    if record is None or record.tenant_id is None or record.state != "assigned":
        return None
    if request.tenant_id not in (0, record.tenant_id):
        return None
    row = inventory_destination(record)
    if row is None:
        return None
    owner = replace(chosen, request=replace(request, tenant_id=record.tenant_id))
    note = f"number {record.number} of the inventory leads to {row.destination_kind.value} {row.destination}"
    return _Implicit(arrive(owner, row, world, trace, reason="number inventory"), note)


def _own_account(chosen: Chosen, world: World) -> _Implicit | None:
    """An account calls a colleague by user name, in a domain of the tenant or at the proxy's own address."""
    request = chosen.request
    if request.direction is Direction.GATEWAY or not world.account_exists(
        request.tenant_id, request.b_number
    ):
        return None
    owner = world.system.domains.get(request.b_host)
    if owner != request.tenant_id and not _is_address(request.b_host):
        return None
    decision = RelayToAccount(username=request.b_number, **chosen.common(reason="account of the tenant"))
    return _Implicit(decision, f"B is the account {request.b_number} of the tenant")


def _is_address(host: str) -> bool:
    return host.startswith("[") or host.replace(".", "").isdigit()
