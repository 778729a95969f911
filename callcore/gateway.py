"""Gateways: what a call through one costs, in which order they are tried, when the next one is tried.

Decides cost (connection fee and billing increments), order (preferred, local, cost, fair weights), who is
passed over and why, and failover by SIP response. Never sends anything, holds no state and no clock:
health and running calls are facts handed in.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, fields
from decimal import Decimal
from typing import Any

from callcore.value import value

#: E.164 numbers have at most 15 digits; rate prefixes are not longer.
MAX_PREFIX_DIGITS = 15
SECONDS_A_MINUTE = 60


@value(kw_only=True)
class Rate:
    """Price of calls to one prefix through one gateway."""

    #: Digits of the sent B number; the empty prefix is the default.
    prefix: str
    price_per_minute: Decimal
    #: Charged once an answered call, whatever its length.
    connection_fee: Decimal = Decimal(0)
    #: Billing increments in seconds: the first, then each further one (60/60, 1/1, 30/6).
    first_increment_seconds: int = 60
    next_increment_seconds: int = 60
    currency: str = "RUB"


@value(kw_only=True)
class Trunk:
    """Our registration at the carrier behind a gateway."""

    trunk_id: int
    username: str
    domain: str
    auth_username: str
    auth_realm: str
    auth_ha1: str

    @property
    def contact_user(self) -> str:
        """Return the user of the Contact that we register (view kamailio.uacreg): the carrier calls it."""
        return f"t{self.trunk_id}"


@value(kw_only=True)
class Gateway:
    """One SIP next hop, as configured."""

    gateway_id: int
    tenant_id: int
    name: str
    host: str
    port: int = 5060
    transport: str = "udp"
    #: Requests from these networks come from this gateway; empty: none by address.
    source_networks: tuple[str, ...] = ()
    source_port: int | None = None
    #: Calls at once; None: no limit.
    max_calls: int | None = None
    #: Region that this gateway is local to, as in the number-range registry.
    region: str | None = None
    probe: bool = True
    media_relay: str = "auto"
    #: Not even a provisional response within this time: the next gateway is tried.
    no_reply_timeout_ms: int = 2000
    ring_timeout_seconds: int = 120
    #: P-Asserted-Identity is believed from it and shown to it (RFC 3325).
    trusted: bool = False
    trunk: Trunk | None = None
    #: By prefix.
    rates: Mapping[str, Rate] = field(default_factory=dict)

    def rate_for(self, number: str) -> Rate | None:
        """Return the rate of the longest prefix of `number` (digits, a leading + is ignored), or None."""
        digits = number.removeprefix("+")
        for length in range(min(len(digits), MAX_PREFIX_DIGITS), -1, -1):
            rate = self.rates.get(digits[:length])
            if rate is not None:
                return rate
        return None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Gateway:
        """Build from an entry of system.*.json; keys that this version does not know are ignored."""
        values = {key: data[key] for key in _PLAIN_KEYS if data.get(key) is not None}
        trunk = data.get("trunk")
        rates = [_rate_from_json(entry) for entry in data.get("rates") or ()]
        return cls(
            **values,
            source_networks=tuple(data.get("source_networks") or ()),
            trunk=Trunk(**{key: trunk[key] for key in _TRUNK_KEYS}) if trunk else None,
            rates={rate.prefix: rate for rate in rates},
        )


_TRUNK_KEYS = tuple(entry.name for entry in fields(Trunk))
_PLAIN_KEYS = (
    "gateway_id", "tenant_id", "name", "host", "port", "transport", "source_port", "max_calls", "region",
    "probe", "media_relay", "no_reply_timeout_ms", "ring_timeout_seconds", "trusted",
)  # fmt: skip


def _rate_from_json(data: Mapping[str, Any]) -> Rate:
    return Rate(
        prefix=data["prefix"],
        price_per_minute=Decimal(data["price_per_minute"]),
        connection_fee=Decimal(data.get("connection_fee") or 0),
        first_increment_seconds=data.get("first_increment_seconds", 60),
        next_increment_seconds=data.get("next_increment_seconds", 60),
        currency=data.get("currency", "RUB"),
    )


@value
class GroupMember:
    """A gateway in a group; weight 0 takes it out."""

    gateway_id: int
    weight: int = 100


@value
class GatewayGroup:
    """Gateways that a route may choose from."""

    group_id: int
    tenant_id: int
    name: str
    members: tuple[GroupMember, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GatewayGroup:
        """Build from an entry of system.*.json."""
        members = tuple(GroupMember(entry["gateway_id"], entry["weight"]) for entry in data["members"])
        return cls(data["group_id"], data["tenant_id"], data["name"], members)


@value
class GatewayState:
    """What the proxy knows of a gateway right now."""

    up: bool = True
    #: Why it is down (no answer to OPTIONS, registration lost, failures, Retry-After ...).
    reason: str = ""
    #: Calls in progress through it.
    calls: int = 0


@value
class GatewayChoice:
    """One gateway to try, with what put it in its place."""

    gateway: Gateway
    weight: int
    #: Price of a call of the expected length; None: no rate is known for the number.
    cost: Decimal | None
    currency: str | None
    #: Why it is where it is, in plain words.
    note: str = ""


@value
class SkippedGateway:
    """One gateway that is not tried, and why."""

    gateway_id: int
    name: str
    reason: str
    weight: int = 0
    cost: Decimal | None = None
    currency: str | None = None


@value
class GatewayOrder:
    """The outcome of a choice: whom to try in order, and who was passed over."""

    choices: tuple[GatewayChoice, ...]
    skipped: tuple[SkippedGateway, ...]


@value(kw_only=True)
class OrderWishes:
    """How a call wants its gateways ordered."""

    #: "cost": cheapest first, weight among equals; "weight": fair weighted order alone.
    group_order: str = "cost"
    #: Gateways (ids) that come first, those of the first set before those of the next.
    preferred: tuple[frozenset[int], ...] = ()
    #: Gateways of this region come before the others; None: no region is preferred.
    local_region: str | None = None
    expected_call_seconds: int = 180
    #: Full gateways are used, and gateways that are down are tried last, instead of being passed over.
    emergency: bool = False


def billed_seconds(rate: Rate, seconds: int) -> int:
    """Return the length that is charged for an answered call: whole increments, at least the first."""
    if seconds <= rate.first_increment_seconds:
        return rate.first_increment_seconds
    steps = -(-(seconds - rate.first_increment_seconds) // rate.next_increment_seconds)
    return rate.first_increment_seconds + steps * rate.next_increment_seconds


def call_cost(rate: Rate, seconds: int) -> Decimal:
    """Return what an answered call of this length costs, in the currency of the rate."""
    return rate.connection_fee + rate.price_per_minute * billed_seconds(rate, seconds) / SECONDS_A_MINUTE


def weighted_rank(seed: str, gateway_id: int, weight: int) -> float:
    """Return a sort key, smallest first, that makes the order over many seeds fair.

    An exponential variable of rate `weight` (Efraimidis and Spirakis 2006): each gateway is first with
    probability weight / sum of weights, and so on among the rest. The same seed gives the same key.
    """
    digest = hashlib.blake2b(f"{seed}:{gateway_id}".encode(errors="surrogatepass"), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -math.log(uniform) / weight


def _skip_reason(weight: int, gateway: Gateway, state: GatewayState, emergency: bool) -> str:
    """Return why this gateway is passed over; empty if it is not."""
    if weight <= 0:
        return "weight 0: taken out of the group"
    if emergency:
        return ""
    if not state.up:
        return f"down: {state.reason or 'no reason known'}"
    if gateway.max_calls is not None and state.calls >= gateway.max_calls:
        return f"full: {state.calls} of {gateway.max_calls} calls"
    return ""


def _price(gateway: Gateway, number: str, seconds: int) -> tuple[Decimal | None, str | None]:
    rate = gateway.rate_for(number) if gateway.rates else None
    return (None, None) if rate is None else (call_cost(rate, seconds), rate.currency)


def order_gateways(
    members: Iterable[tuple[Gateway, int]],
    number: str,
    state_of: Callable[[int], GatewayState],
    wishes: OrderWishes,
    *,
    seed: str,
) -> GatewayOrder:
    """Order (gateway, weight) pairs for a call to `number`; `seed` makes the weighted part repeatable.

    Costs in different currencies cannot be compared: such a group is ordered by weight alone. A gateway
    without a rate for the number comes after all that have one.
    """
    choices: list[tuple[GatewayChoice, bool]] = []
    skipped: list[SkippedGateway] = []
    for gateway, weight in members:
        cost, currency = _price(gateway, number, wishes.expected_call_seconds)
        state = state_of(gateway.gateway_id)
        reason = _skip_reason(weight, gateway, state, wishes.emergency)
        if reason:
            skipped.append(SkippedGateway(gateway.gateway_id, gateway.name, reason, weight, cost, currency))
        else:
            note = _note(gateway, cost, state, wishes)
            choices.append((GatewayChoice(gateway, weight, cost, currency, note), state.up))
    ordered = _sort(choices, wishes, seed)
    return GatewayOrder(tuple(ordered), tuple(skipped))


def _sort(
    choices: Sequence[tuple[GatewayChoice, bool]], wishes: OrderWishes, seed: str
) -> list[GatewayChoice]:
    if len(choices) == 1:
        return [choices[0][0]]
    currencies = {choice.currency for choice, _up in choices if choice.currency is not None}
    by_cost = wishes.group_order == "cost" and len(currencies) <= 1

    def key(entry: tuple[GatewayChoice, bool]) -> tuple[bool, tuple[bool, ...], bool, bool, Decimal, float]:
        choice, up = entry
        gateway = choice.gateway
        return (
            not up,  # only an emergency call gets here with a gateway that is down
            tuple(gateway.gateway_id not in wanted for wanted in wishes.preferred),
            wishes.local_region is not None and gateway.region != wishes.local_region,
            by_cost and choice.cost is None,
            choice.cost if by_cost and choice.cost is not None else Decimal(0),
            weighted_rank(seed, gateway.gateway_id, choice.weight),
        )

    return [choice for choice, _up in sorted(choices, key=key)]


def _note(gateway: Gateway, cost: Decimal | None, state: GatewayState, wishes: OrderWishes) -> str:
    words = []
    if any(gateway.gateway_id in wanted for wanted in wishes.preferred):
        words.append("preferred")
    if wishes.local_region is not None and gateway.region == wishes.local_region:
        words.append(f"local to {wishes.local_region}")
    if cost is None:
        words.append("no rate for this number")
    if not state.up:
        words.append(f"down ({state.reason or 'no reason known'}), tried last because of the emergency")
    elif gateway.max_calls is not None and state.calls >= gateway.max_calls:
        words.append("full, used because of the emergency")
    return ", ".join(words)


@value
class Failover:
    """What the end of one attempt means for the next one."""

    #: Try the next gateway.
    try_next: bool
    #: The gateway itself failed (counts towards taking it out).
    gateway_failed: bool
    #: Take the gateway out for this long (Retry-After), in seconds; None: it did not ask.
    penalty_seconds: int | None
    reason: str


#: A carrier that sends Retry-After: 86400 shall not lose a day of traffic.
MAX_PENALTY_SECONDS = 3600
#: 5xx that speak of the request, not of the gateway: others may well accept it, but it is not ill.
_REQUEST_REFUSED = frozenset({501, 505, 513})


def should_fail_over(
    code: int | None,
    *,
    had_provisional: bool,
    retry_after_seconds: int | None = None,
    caller_gone: bool = False,
) -> Failover:
    """Decide after the final response of an attempt (None: our own timer ended it).

    `had_provisional`: the gateway showed that the callee is being alerted or media flows (101-199; a
    100 Trying does not count). `caller_gone`: the caller cancelled meanwhile.
    """
    if caller_gone:
        return Failover(False, False, None, "the caller has gone")
    if code is None or code == 408:
        if had_provisional:
            return Failover(False, False, None, "nobody answered")
        return Failover(True, True, None, "no response at all" if code is None else "408 without ringing")
    if code in (401, 407):
        return Failover(True, True, None, f"{code}: the gateway does not accept us")
    if 500 <= code <= 599:
        failed = code not in _REQUEST_REFUSED
        penalty = _penalty(retry_after_seconds) if code == 503 else None
        return Failover(True, failed, penalty, f"{code} from the gateway")
    return Failover(False, False, None, f"{code} is an answer about the call, not about the gateway")


def _penalty(retry_after_seconds: int | None) -> int | None:
    """Return the time that RFC 3261 section 20.33 asks for, within our own bounds."""
    if retry_after_seconds is None or retry_after_seconds <= 0:
        return None
    return min(retry_after_seconds, MAX_PENALTY_SECONDS)


def penalty_after_failures(failures: int, *, limit: int, penalty_seconds: int) -> int | None:
    """Return how long a gateway is taken out after this many failures in a row; None: not yet.

    `limit` 0 switches the rule off.
    """
    return penalty_seconds if 0 < limit <= failures else None
