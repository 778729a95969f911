"""What became of a call: the pure fold of its events into one row (CDR).

Decides times, attempts, final code, cause and who hung up first. Reads no clock and no database, and never
depends on the order or number of the events handed over: they are made unique by id and sorted by (at, id)
first, so a call can be folded again whenever another of its events turns up.

Every event may be missing, because every process may be killed: an answer without a start, a start without an
end, two BYE, a CANCEL that crosses the 200 (RFC 3261 section 9.1: the call was answered, and ends by BYE).
What is not known stays None; what contradicts itself is cut so that
started_at <= ringing_at <= answered_at <= ended_at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

from callcore.event import Event
from callcore.ids import uuid7_time

HungUpBy = Literal["caller", "callee", "system"]
Direction = Literal["account", "gateway", "application"]

#: The events that a CDR is made of; the others only belong to the story.
FOLDED_KINDS = frozenset(
    {
        "call.start",
        "call.route",
        "call.attempt",
        "call.ring",
        "call.attempt_end",
        "call.answer",
        "call.media",
        "call.media_lost",
        "call.end",
    }
)
#: Those that are told by RTP controllers, late: no sign that the call lives.
_MEDIA_KINDS = frozenset({"call.media", "call.media_lost"})

#: Cause of a call that was closed because its proxy came back without it.
PROXY_RESTART = "proxy_restart"

#: Why a call ended, in words for people. The keys are stored, and are part of the API.
CAUSE_TEXTS: Mapping[str, str] = {
    "normal": "hung up after talking",
    "cancelled": "the caller gave up before an answer",
    "busy": "busy",
    "no_answer": "nobody answered in time",
    "timeout": "no reply at all",
    "not_found": "no such number or account",
    "offline": "the account has no registered phone",
    "rejected": "refused by the called side",
    "forbidden": "not allowed",
    "no_route": "no route leads there",
    "unavailable": "no way to the destination works now",
    "redirected": "sent elsewhere",
    "max_duration": "the longest allowed duration was reached",
    "media_timeout": "no media arrived any more",
    "media_lost": "the RTP node that carried its media was lost",
    "failed": "it failed",
    PROXY_RESTART: "the proxy was restarted and the call was gone",
}

_CAUSE_BY_CODE: Mapping[int, str] = {
    403: "forbidden",
    404: "not_found",
    408: "timeout",
    480: "unavailable",
    486: "busy",
    487: "cancelled",
    488: "rejected",
    503: "unavailable",
    600: "busy",
    603: "rejected",
    604: "not_found",
    606: "rejected",
}


def cause_of(code: int | None, method: str = "", *, answered: bool = False) -> str:
    """Name the cause of an end from its final code and method, for events that do not name it themselves."""
    if answered or method == "BYE":
        return "normal"
    if method == "CANCEL":
        return "cancelled"
    if code is None:
        return ""
    if 300 <= code < 400:
        return "redirected"
    return _CAUSE_BY_CODE.get(code, "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to reach a destination: a gateway, or an account with all its contacts."""

    n: int
    gateway_id: int | None = None
    account: str = ""
    uri: str = ""
    #: Times are None when their event is missing.
    at: datetime | None = None
    ringing_at: datetime | None = None
    ended_at: datetime | None = None
    #: Final code; a 2xx is the answer.
    code: int | None = None
    reason: str = ""
    cause: str = ""
    #: The next attempt was made because of this one's end.
    failover: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cdr:
    """One call, as the table "call" holds it."""

    call_id: UUID
    #: The time inside call_id.
    started_at: datetime
    tenant_id: int | None = None
    direction: Direction | None = None
    account: str | None = None
    a_number: str = ""
    a_sent: str = ""
    b_number: str = ""
    b_sent: str = ""
    b_region: str | None = None
    b_operator: str | None = None
    route_ids: tuple[int, ...] = ()
    gateway_in_id: int | None = None
    gateway_out_id: int | None = None
    emergency: bool = False
    attempts: tuple[Attempt, ...] = ()
    media: Mapping[str, Any] = field(default_factory=dict)
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    #: From the first ringing to the answer or the end; None if it never rang or still rings.
    ring_ms: int | None = None
    #: From the answer to the end; 0 for an ended call without an answer, None while it lasts.
    talk_ms: int | None = None
    final_code: int | None = None
    cause: str = ""
    #: Who hung up first; None while it lasts or when nobody knows.
    hung_up_by: HungUpBy | None = None
    sip_call_id: str = ""
    node: str = ""


def fold(call_id: UUID, events: Iterable[Event]) -> Cdr:
    """Fold the events of a call; order and repetitions do not matter, events of other calls are left out."""
    mine = in_order(event for event in events if event.call == call_id)
    by_kind: dict[str, list[Event]] = {kind: [] for kind in FOLDED_KINDS}
    for event in mine:
        by_kind.get(event.kind, []).append(event)
    started_at = uuid7_time(call_id)
    answer = by_kind["call.answer"][0] if by_kind["call.answer"] else None
    attempts = _attempts(by_kind)
    return Cdr(
        call_id=call_id,
        started_at=started_at,
        gateway_out_id=_gateway_out(attempts),
        attempts=attempts,
        media=_merged(by_kind["call.media"]),
        **_origin(mine, by_kind["call.start"]),
        **_routed(by_kind["call.route"]),
        **_outcome(
            started_at, by_kind["call.ring"], answer, _ends(mine), attempts, bool(by_kind["call.media_lost"])
        ),
    )


def in_order(events: Iterable[Event]) -> list[Event]:
    """Return the events without repetitions, in the order of (at, id)."""
    return sorted({event.order: event for event in events}.values(), key=lambda event: event.order)


def is_restart_end(event: Event) -> bool:
    """Tell whether this end was concluded from a restart of the proxy, and not seen."""
    return event.kind == "call.end" and event.data.get("cause") == PROXY_RESTART


def last_sign_of_life(events: Iterable[Event]) -> Event | None:
    """Return the latest event that shows the call alive, or really ended; media counters come late."""
    alive = [e for e in events if e.kind in FOLDED_KINDS - _MEDIA_KINDS and not is_restart_end(e)]
    return max(alive, key=lambda event: event.order, default=None)


def _ends(mine: Sequence[Event]) -> list[Event]:
    """Return the ends that count: one concluded from a restart does not if the call shows life later."""
    life = last_sign_of_life(mine)
    ends = [event for event in mine if event.kind == "call.end"]
    return [end for end in ends if not is_restart_end(end) or life is None or life.order < end.order]


def _origin(mine: Sequence[Event], starts: Sequence[Event]) -> dict[str, Any]:
    first = starts[0] if starts else None
    data: Mapping[str, Any] = first.data if first else {}
    tenants = [event.tenant for event in (*starts, *mine) if event.tenant is not None]
    direction = data.get("direction")
    return {
        "tenant_id": tenants[0] if tenants else None,
        "direction": direction if direction in ("account", "gateway", "application") else None,
        "account": text_of(data.get("account")) or None,
        "a_number": text_of(data.get("a")),
        "b_number": text_of(data.get("b")),
        "gateway_in_id": id_of(data.get("gateway")),
        "emergency": data.get("emergency") is True,
        "sip_call_id": text_of(data.get("sip_call_id")),
        "node": first.node if first else (mine[0].node if mine else ""),
    }


def _routed(routes: Sequence[Event]) -> dict[str, Any]:
    """A call may be routed again (a redirection, a queue): hops add up, what was sent last counts."""
    told = _merged(routes)
    hops = [route_id for event in routes for route_id in list_of(event.data.get("route_ids"))]
    return {
        "route_ids": tuple(dict.fromkeys(known for hop in hops if (known := id_of(hop)) is not None)),
        "a_sent": text_of(told.get("a_sent")),
        "b_sent": text_of(told.get("b_sent")),
        "b_region": text_of(told.get("region")) or None,
        "b_operator": text_of(told.get("operator")) or None,
    }


def _merged(events: Sequence[Event]) -> dict[str, Any]:
    return {key: value for event in events for key, value in event.data.items()}


def _outcome(
    started_at: datetime,
    rings: Sequence[Event],
    answer: Event | None,
    ends: Sequence[Event],
    attempts: Sequence[Attempt],
    media_lost: bool,
) -> dict[str, Any]:
    """Times, code, cause and who hung up first."""
    # A CANCEL that crossed the 200: the call ended by what came after the answer, but the CANCEL was first.
    closing = next((e for e in ends if answer is None or e.order > answer.order), ends[0] if ends else None)
    answered_at = max(answer.at, started_at) if answer else None
    ended_at = max(closing.at, answered_at or started_at) if closing else None
    ringing_at = _ringing_at(started_at, rings, answer or closing)
    picked_up_at = answered_at or ended_at
    code = _final_code(answer, closing, attempts)
    by = ends[0].data.get("by") if ends else None
    return {
        "ringing_at": ringing_at,
        "answered_at": answered_at,
        "ended_at": ended_at,
        "ring_ms": _ms(picked_up_at - ringing_at) if ringing_at and picked_up_at else None,
        "talk_ms": (_ms(ended_at - answered_at) if answered_at else 0) if ended_at else None,
        "final_code": code,
        "cause": _cause(closing, code, answered=answer is not None, media_lost=media_lost),
        "hung_up_by": by if by in ("caller", "callee", "system") else None,
    }


def _ringing_at(started_at: datetime, rings: Sequence[Event], until: Event | None) -> datetime | None:
    if not rings or (until is not None and rings[0].order > until.order):
        return None
    return max(rings[0].at, started_at)


def _final_code(answer: Event | None, closing: Event | None, attempts: Sequence[Attempt]) -> int | None:
    if answer is not None:
        code = code_of(answer.data.get("code"))
        return code if code is not None and code < 300 else 200
    if closing is None:
        return None
    codes = [attempt.code for attempt in attempts if attempt.code is not None]
    return code_of(closing.data.get("code")) or (codes[-1] if codes else None)


def _cause(closing: Event | None, code: int | None, *, answered: bool, media_lost: bool) -> str:
    if closing is None:
        return ""
    told = text_of(closing.data.get("cause"))
    if media_lost and told == "failed":  # the proxy ended it for the controller, and does not know why
        return "media_lost"
    return told or cause_of(code, text_of(closing.data.get("method")), answered=answered)


def _ms(duration: timedelta) -> int:
    return max(0, duration // timedelta(milliseconds=1))


# --------------------------------------------------------------------------------------------- attempts


def _attempts(by_kind: Mapping[str, Sequence[Event]]) -> tuple[Attempt, ...]:
    kinds = ("call.attempt", "call.ring", "call.attempt_end", "call.answer")
    told: dict[int, dict[str, Any]] = {}
    current: int | None = None
    for event in in_order(event for kind in kinds for event in by_kind[kind]):
        n = id_of(event.data.get("n"))
        if event.kind == "call.attempt" and n is not None:
            current = n
        n = current if n is None else n
        if n is not None:
            _ATTEMPT_FACTS[event.kind](told.setdefault(n, {}), event)
    return tuple(Attempt(n=n, **told[n]) for n in sorted(told))


def _attempt_begins(told: dict[str, Any], event: Event) -> None:
    told.setdefault("at", event.at)
    told.setdefault("gateway_id", id_of(event.data.get("gateway_id")))
    told.setdefault("account", text_of(event.data.get("account")))
    told.setdefault("uri", text_of(event.data.get("uri")))


def _attempt_rings(told: dict[str, Any], event: Event) -> None:
    told.setdefault("ringing_at", event.at)


def _attempt_ends(told: dict[str, Any], event: Event) -> None:
    """The first end of an attempt counts, unless it was answered: a 200 is never taken back."""
    if "code" not in told:
        told["code"] = code_of(event.data.get("code"))
        told["reason"] = text_of(event.data.get("reason"))
        told["cause"] = text_of(event.data.get("cause"))
        told["failover"] = event.data.get("failover") is True
        told["ended_at"] = event.at


def _attempt_answers(told: dict[str, Any], event: Event) -> None:
    code = code_of(event.data.get("code"))
    if not 200 <= (told.get("code") or 0) < 300:
        told.update(code=code if code is not None and code < 300 else 200, reason="", cause="")
        told.update(failover=False, ended_at=None)


_ATTEMPT_FACTS = {
    "call.attempt": _attempt_begins,
    "call.ring": _attempt_rings,
    "call.attempt_end": _attempt_ends,
    "call.answer": _attempt_answers,
}


def _gateway_out(attempts: Sequence[Attempt]) -> int | None:
    """Return the gateway that answered, else the last one that was tried."""
    answered = [a.gateway_id for a in attempts if a.code is not None and 200 <= a.code < 300]
    tried = [a.gateway_id for a in attempts if a.gateway_id is not None]
    if answered:
        return answered[0]
    return tried[-1] if tried else None


# ------------------------------------------------------- values of a journal line may have any type


def text_of(value: object) -> str:
    """Return a text or number as text; anything else as the empty text."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def id_of(value: object) -> int | None:
    """Return an id that PostgreSQL's integer can hold, else None."""
    return value if type(value) is int and 0 <= value < 1 << 31 else None


def code_of(value: object) -> int | None:
    """Return a final or provisional SIP response code, else None."""
    return value if type(value) is int and 100 <= value < 700 else None


def list_of(value: object) -> Sequence[object]:
    """Return a list as it is, anything else as the empty list."""
    return cast("list[object]", value) if isinstance(value, list) else ()
