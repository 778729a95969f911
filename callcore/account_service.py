"""Supplementary services of an account: who may ring it, and where its calls go instead.

Decides from facts: `on_arrival` before an account is rung, `on_failure` after it did not answer, `in_group` for the
members of a hunt group. Reads nothing, knows no SIP message: the proxy gives the facts and does what is decided.
Offers of call distribution never come here (docs/contracts.md section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from callcore.sip import SipCode
from callcore.value import value

#: A call is forwarded at most so often, counting what other systems did before (RFC 5806, RFC 7044).
MAX_FORWARDS = 5
#: What an account's own phones answer when all of them are busy (RFC 3261 sections 21.4.24, 21.6.1).
_BUSY = frozenset({int(SipCode.BUSY_HERE), 600})
#: Nobody is there: no contact, or a phone that cannot be reached.
_AWAY = frozenset({404, 408, 410, 480, 500, 502, 503, 504})


class ForwardCondition(StrEnum):
    """When a call is forwarded (SQL enum forward_condition)."""

    #: At once; no phone rings.
    ALWAYS = "always"
    #: Every phone is busy, or the account does not want to be disturbed.
    BUSY = "busy"
    #: Nobody answered within the time.
    NO_ANSWER = "no_answer"
    #: No phone is registered, or none can be reached.
    UNREACHABLE = "unreachable"


class ForwardKind(StrEnum):
    """Where a call is forwarded to (SQL enum forward_kind)."""

    #: A number, by the routes and at the cost of the account.
    NUMBER = "number"
    #: An account or hunt group of the tenant.
    ACCOUNT = "account"
    #: A queue of the tenant.
    QUEUE = "queue"
    #: The voice mail of the account.
    VOICEMAIL = "voicemail"


class ScreenList(StrEnum):
    """A list of callers (SQL enum screen_list)."""

    #: These callers are refused.
    BLACK = "black"
    #: These callers ring, whatever else is set.
    WHITE = "white"


class HuntMode(StrEnum):
    """How a hunt group rings (SQL enum hunt_mode)."""

    #: All members at once.
    PARALLEL = "parallel"
    #: One after the other, in order.
    SERIAL = "serial"


@value
class Forward:
    """One forwarding."""

    kind: ForwardKind
    #: Number, user name or queue; "" for the voice mail.
    destination: str = ""
    #: Of NO_ANSWER: how long the phones ring before.
    seconds: int | None = None

    def __str__(self) -> str:
        """Return as people write it: "number:79161234567"."""
        return f"{self.kind}:{self.destination}" if self.destination else self.kind.value


@value(kw_only=True)
class AccountServices:
    """What an account has set; the defaults are those of an account without services."""

    do_not_disturb: bool = False
    #: Callers who hide their number get 433 (RFC 5079).
    reject_anonymous: bool = False
    #: Only callers of the white list ring.
    only_white: bool = False
    #: The account's own number is never shown (RFC 3323).
    hide_number: bool = False
    #: Members of one group take each other's ringing calls; "": none.
    pickup_group: str = ""
    forwards: Mapping[ForwardCondition, Forward] = field(default_factory=dict)
    #: Numbers or user names; one that ends with * is a prefix.
    black: tuple[str, ...] = ()
    white: tuple[str, ...] = ()
    #: Slot to number.
    speed_dial: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AccountServices:
        """Build from an entry of the directory file; unknown keys and kinds of a later version are left out."""
        forwards = {
            ForwardCondition(condition): Forward(ForwardKind(kind), destination, seconds)
            for condition, (kind, destination, seconds) in (data.get("forwards") or {}).items()
            if condition in _CONDITIONS and kind in _KINDS
        }
        return cls(
            forwards=forwards,
            black=tuple(data.get("black") or ()),
            white=tuple(data.get("white") or ()),
            speed_dial=dict(data.get("speed_dial") or {}),
            **{key: data[key] for key in _PLAIN if data.get(key) is not None},
        )


_CONDITIONS = frozenset(ForwardCondition)
_KINDS = frozenset(ForwardKind)
_PLAIN = ("do_not_disturb", "reject_anonymous", "only_white", "hide_number", "pickup_group")


@value(kw_only=True)
class HuntGroup:
    """Accounts that ring under one number."""

    name: str
    mode: HuntMode
    #: How long each member rings (serial), or all of them together (parallel).
    ring_seconds: int
    #: User names in order.
    members: tuple[str, ...]
    #: Where a call goes that nobody took; None: it ends.
    fallback: Forward | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HuntGroup:
        """Build from an entry of the directory file."""
        fallback = data.get("fallback")
        return cls(
            name=data["name"],
            mode=HuntMode(data["mode"]),
            ring_seconds=data["ring_seconds"],
            members=tuple(data["members"]),
            fallback=Forward(ForwardKind(fallback[0]), fallback[1]) if fallback else None,
        )


@value(kw_only=True)
class ForwardPolicy:
    """What forwarding to numbers may cost a tenant."""

    #: Whether accounts may forward out at all.
    to_numbers: bool = True
    #: Forwarded calls at once of one account.
    max_calls: int = 2
    #: Most that a call of the expected length may cost, in the currency of the rate; None: no limit.
    max_cost: Decimal | None = None
    #: A forwarded call ends after this time.
    max_seconds: int = 7200

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> ForwardPolicy:
        """Build from an entry of the system file; None: the defaults."""
        if not data:
            return cls()
        cost = data["max_cost"]
        return cls(
            to_numbers=data["to_numbers"],
            max_calls=data["max_calls"],
            max_cost=None if cost is None else Decimal(cost),
            max_seconds=data["max_seconds"],
        )

    def allows(self, cost: Decimal | None) -> bool:
        """Tell whether a way of this price may be taken; None: nobody knows what it costs."""
        return self.max_cost is None or (cost is not None and cost <= self.max_cost)


@value
class Caller:
    """Who calls, as far as the called may ask."""

    #: Number or user name.
    number: str
    #: He hides it from the called.
    hidden: bool = False


@value
class Ring:
    """Let the phones ring; seconds: no longer than this, because a forwarding waits. None: as usual."""

    seconds: int | None = None


@value
class Refuse:
    """Answer with this."""

    code: int
    phrase: str


@value
class ForwardTo:
    """Send the call elsewhere."""

    condition: ForwardCondition
    forward: Forward


def matches(patterns: Iterable[str], number: str) -> bool:
    """Tell whether a caller is in a list; a leading + does not matter, a last * stands for anything."""
    plain = number.removeprefix("+")
    for pattern in patterns:
        wanted = pattern.removeprefix("+")
        if wanted.endswith("*"):
            if plain.startswith(wanted[:-1]):
                return True
        elif wanted == plain:
            return True
    return False


def screened(services: AccountServices, caller: Caller) -> Refuse | None:
    """Return how a caller is refused whom the account does not want at any time; None: he is not.

    A hidden caller can be on no list: who hides from the called is not told apart by it either.
    """
    number = "" if caller.hidden else caller.number
    if number and matches(services.white, number):
        return None
    if caller.hidden and services.reject_anonymous:
        return Refuse(SipCode.ANONYMITY_DISALLOWED, "Anonymity Disallowed")
    if services.only_white or (number and matches(services.black, number)):
        return Refuse(SipCode.DECLINE, "Decline")
    return None


def on_arrival(services: AccountServices, caller: Caller) -> Ring | Refuse | ForwardTo:
    """Decide what happens to a call before any phone of the account rings."""
    refused = screened(services, caller)
    if refused is not None:
        return refused
    forward = services.forwards.get(ForwardCondition.ALWAYS)
    if forward is not None:
        return ForwardTo(ForwardCondition.ALWAYS, forward)
    if services.do_not_disturb and not (
        services.white and not caller.hidden and matches(services.white, caller.number)
    ):
        forward = services.forwards.get(ForwardCondition.BUSY)
        if forward is not None:
            return ForwardTo(ForwardCondition.BUSY, forward)
        return Refuse(SipCode.TEMPORARILY_UNAVAILABLE, "Do Not Disturb")
    waiting = services.forwards.get(ForwardCondition.NO_ANSWER)
    return Ring(None if waiting is None else waiting.seconds)


def on_failure(services: AccountServices, code: int, *, silent: bool, alerted: bool) -> ForwardTo | None:
    """Decide where a call goes that the phones did not take; None: the caller gets their response.

    code: the best final response; silent: our timer ended it; alerted: a phone rang before.
    """
    if code in _BUSY:
        condition = ForwardCondition.BUSY
    elif alerted and (silent or code in (408, 480)):
        condition = ForwardCondition.NO_ANSWER
    elif silent or code in _AWAY:
        condition = ForwardCondition.UNREACHABLE
    else:
        return None
    forward = services.forwards.get(condition)
    return None if forward is None else ForwardTo(condition, forward)


def in_group(services: AccountServices | None, caller: Caller) -> bool:
    """Tell whether a member of a hunt group is to be rung: his forwardings do not count, his refusals do."""
    return services is None or (screened(services, caller) is None and not services.do_not_disturb)
